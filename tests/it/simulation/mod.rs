//! The simulation: a month of many worlds on the rules alone, without sockets and without waiting.
//!
//! Every invariant has been seen to fail, and to be the one that is reported, by one edit of the rules (under
//! `src/session`), which was then taken back:
//!
//! - `an_active_user_is_never_logged_out_before_the_absolute_timeout`: a session older than one TTL is not renewed any
//!   more (`settle/renewal.rs`, the chain of `renewal` also ends at origin + TTL).
//! - `nobody_idle_longer_than_ttl_stays_in`: passive requests slide (`decide.rs`, `live` does not ask `is_passive`).
//! - `nobody_idle_less_than_r_is_out`: an answer with 404 does not renew (`settle/renewal.rs`, 400.. in place of 401, 407,
//!   500..); older sessions are then reported under the first invariant.
//! - `no_cookie_outlives_its_token`: the Max-Age of a renewal is longer by the buffer (`settle/renewal.rs`, `renew`).
//! - `nothing_lives_beyond_origin_plus_a`: the effective exp is the exp (`token.rs`, `effective_exp` without the cap); or
//!   a renewal is not cut at the cap (`mint.rs`, `renewed_exp`).
//! - `a_logged_out_family_is_never_accepted_again`: a logout is not remembered by the process (`settle/mod.rs`, `log_out`
//!   without `end_everywhere`); or the browser's tombstones are not looked at (`decide.rs`, `ending`).
//! - `one_users_answer_never_replaces_anothers_login`: a login of another subject leaves the family before it without a
//!   tombstone (`settle/mod.rs`, `log_in`); or one whose request carried it merely expired (`before` without `over`).
//! - `the_published_policy_is_the_enforced_one`: due below R/2 (`decide.rs`, `live`); or renewed for TTL + buffer
//!   (`mint.rs`, `renewed_exp`).
//! - `a_renewal_changes_no_byte_but_exp`: a renewal adds `orig_iat` where `iat` is kept (`mint.rs`, `mint`).
//! - `a_browser_never_holds_two_session_cookies`: a renewed C takes the configured attributes, not its own
//!   (`settle/renewal.rs`, `renew`).

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
