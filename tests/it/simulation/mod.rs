//! The simulation: a month of many worlds on the rules alone, without sockets and without waiting.

mod backend;
mod browser;
mod ends;
mod gaps;
mod invariants;
mod plan;
mod replica;
mod rng;
mod world;

use invariants::{Tally, Violation};
use plan::Plan;
use std::ops::Range;
use world::World;

#[test]
fn seeds_1() {
    simulate(0..125);
}

#[test]
fn seeds_2() {
    simulate(125..250);
}

#[test]
fn seeds_3() {
    simulate(250..375);
}

#[test]
fn seeds_4() {
    simulate(375..500);
}

#[test]
fn seeds_5() {
    simulate(500..625);
}

#[test]
fn seeds_6() {
    simulate(625..750);
}

#[test]
fn seeds_7() {
    simulate(750..875);
}

#[test]
fn seeds_8() {
    simulate(875..1000);
}

fn simulate(seeds: Range<u64>) {
    let mut all = Tally::default();
    for seed in seeds {
        let plan = Plan::of(seed);
        let (tally, result, _) = World::run(plan, false);
        all.add(&tally);
        let failure = result.err().map(|violation| smallest(plan, violation));
        assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    }
    println!("{:#?}", all.0);
    for invariant in invariants::ALL {
        assert!(all.0.contains_key(invariant), "{invariant} was never put to the test");
    }
}

/// Makes the failing world smaller for as long as the same invariant fails, and tells what happened in it.
fn smallest(mut plan: Plan, mut violation: Violation) -> String {
    while let Some((smaller, same)) = plan.smaller().find_map(|smaller| {
        let (_, result, _) = World::run(smaller, false);
        let same = result.err().filter(|other| other.invariant == violation.invariant)?;
        Some((smaller, same))
    }) {
        (plan, violation) = (smaller, same);
    }
    let (_, _, log) = World::run(plan, true);
    let last = log.len().saturating_sub(60).max(1);
    format!("{} does not hold in {plan:?}\n{}\n…\n{}\n{}", violation.invariant, log[0], log[last..].join("\n"), violation.detail)
}
