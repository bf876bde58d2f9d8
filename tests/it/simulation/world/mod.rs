//! The events of one world in the order of time: people act, requests are decided, answers are settled and delivered.

mod people;
mod traffic;
mod truth;

use super::backend::{Answer, Ask, Known, Ledger, Order, SECRETS};
use super::browser::{Browser, Persona, Promise};
use super::ends::Ends;
use super::invariants::{Held, Tally, Violation};
use super::plan::{DAY, HOUR, MINUTE, Millis, Plan, Setting};
use super::replica::{LOGIN, Process, Replica};
use super::rng::Rng;
use slidecar::session::companion::Companion;
use slidecar::session::decide::Verdict;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A replica starts anew with what is in force.
    Restart(usize),
    /// A person does the next thing.
    Act(usize),
    Send {
        user: usize,
        is_poll: bool,
    },
    Settle(usize),
    Deliver(usize),
    Replay(usize),
}

struct User {
    persona: Persona,
    rng: Rng,
    subjects: [String; 2],
    visits: i64,
    is_here: bool,
    /// Things still to do in this visit.
    left: i64,
    subject: usize,
}

/// A request under way.
struct Flight {
    user: usize,
    opening: u64,
    ask: Ask,
    path: &'static str,
    passive: bool,
    process: Rc<Process>,
    learned: Option<Companion>,
    verdict: Verdict,
    carried: Option<Known>,
    served: Option<Known>,
    handed_off: Option<String>,
    answer: Answer,
    sent: Millis,
    settled: Millis,
    transit: Option<Millis>,
    lines: Vec<String>,
    /// The session that this answer ends in the browser.
    ends: Option<usize>,
}

impl Flight {
    /// Whether the session it was sent in, or that its answer makes, is this one.
    fn carries_on(&self, session: usize) -> bool {
        self.served.as_ref().is_some_and(|known| known.session == session) || self.answer.made.is_some_and(|made| made.session == session)
    }
}

/// A cookie that somebody copied, for a process that will have seen its session end, or for later.
struct Copied {
    text: String,
    known: Known,
    process: Rc<Process>,
}

pub struct World {
    plan: Plan,
    setting: Setting,
    replicas: Vec<Replica>,
    processes: usize,
    ledger: Ledger,
    users: Vec<User>,
    browsers: Vec<Browser>,
    queue: BinaryHeap<Reverse<(Millis, usize, Event)>>,
    events: usize,
    flights: Vec<Option<Flight>>,
    copies: Vec<Copied>,
    ends: Ends,
    rng: Rng,
    now: Millis,
    tally: Tally,
    log: Option<Vec<String>>,
}

/// How late an answer is made to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delay {
    Prompt,
    Any,
    /// Late enough for something else to come first.
    Held,
}

impl World {
    pub fn run(plan: Plan, logs: bool) -> (Tally, Result<(), Violation>, Vec<String>) {
        let mut world = Self::new(plan, logs);
        let result = world.live();
        (world.tally, result, world.log.unwrap_or_default())
    }

    fn new(plan: Plan, logs: bool) -> Self {
        let setting = Setting::of(&plan);
        let mut rng = Rng::new(plan.seed, 3);
        let mut all: Vec<_> = (0..3).map(|index| Replica::new(&setting, index, &mut rng)).collect();
        all.truncate(plan.replicas);
        let users = (0..plan.users).map(|index| User::new(plan.seed, index)).collect::<Vec<_>>();
        let mut world = Self {
            plan,
            replicas: all,
            processes: 3,
            ledger: Ledger::new(&setting),
            browsers: users.iter().map(|_| Browser::default()).collect(),
            users,
            queue: BinaryHeap::new(),
            events: 0,
            flights: Vec::new(),
            copies: Vec::new(),
            ends: Ends::default(),
            rng,
            now: 0,
            tally: Tally::default(),
            log: logs.then(|| vec![format!("{setting:?}")]),
            setting,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for replica in 0..self.replicas.len() {
            let changes = [self.setting.policy_change, self.setting.rotation];
            for change in changes.into_iter().flatten() {
                let turn = self.replicas[replica].turn(change);
                self.at(turn, Event::Restart(replica));
            }
        }
        for restart in self.setting.restarts.clone() {
            let replica = self.rng.index(self.replicas.len());
            self.at(restart, Event::Restart(replica));
        }
        for user in 0..self.users.len() {
            let (first, persona) = (self.users[user].rng.between(0, 8 * DAY), self.users[user].persona);
            if self.setting.installed_late {
                self.was_logged_in(user);
                let pause = persona.pause(&self.setting, &mut self.users[user].rng);
                self.at(pause, Event::Act(user));
            } else {
                self.at(first, Event::Act(user));
            }
        }
    }

    /// A session from before slidecar, with a token and a cookie of a week.
    fn was_logged_in(&mut self, user: usize) {
        let mut setting = self.setting.clone();
        setting.backend_ttl = [7 * 86_400; 2];
        let persona = self.users[user].persona;
        let subject = self.users[user].subjects[0].clone();
        let clock = self.replicas[0].backend_clock(0);
        let order = Order { subject: Some(&subject), demo: persona == Persona::Demo, before: None, key: 0, clock, now: 0 };
        let (text, made) = self.ledger.make(&setting, &order);
        let line = format!("session={text}; {}{}", setting.attributes, if setting.lasting { "; Max-Age=604800" } else { "" });
        self.browsers[user].store(&line, LOGIN, setting.https, 0);
        self.browsers[user].person = Some(subject);
        // Whatever happens, this very token may be used for its week; a renewal shortens it.
        self.ledger.sessions[made.session].active = made.lives;
        let known = self.ledger.know(&text).expect("it was just made").clone();
        let until = self.until(&known, self.setting.threshold(persona.class()), 0);
        self.browsers[user].promise = Some(Promise { session: made.session, since: 0, until });
        let (low, high) = persona.busy();
        let someone = &mut self.users[user];
        // Some leave at once, before anything shortened the token.
        let left = if someone.rng.chance(50) { 0 } else { someone.rng.between(low, high) };
        (someone.is_here, someone.left) = (true, left);
    }

    fn live(&mut self) -> Held {
        while let Some(Reverse((time, _, event))) = self.queue.pop() {
            if time > self.plan.days * DAY {
                break;
            }
            self.now = time;
            match event {
                Event::Restart(replica) => {
                    self.log(|| format!("replica {replica} starts anew"));
                    self.replicas[replica].restart(&self.setting, self.processes, time);
                    self.processes += 1;
                }
                Event::Act(user) => self.act(user)?,
                Event::Send { user, is_poll } => self.send(user, if is_poll { Ask::Poll } else { Ask::Page }, Delay::Any)?,
                Event::Settle(flight) => self.settle(flight)?,
                Event::Deliver(flight) => self.deliver(flight)?,
                Event::Replay(copy) => self.replay(copy)?,
            }
        }
        Ok(())
    }

    fn at(&mut self, time: Millis, event: Event) {
        self.events += 1;
        self.queue.push(Reverse((time, self.events, event)));
    }

    fn log(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let (days, rest) = (self.now / DAY, self.now % DAY);
            log.push(format!(
                "day {days:2} {:02}:{:02}:{:06.3}  {}",
                rest / HOUR,
                rest / MINUTE % 60,
                (rest % MINUTE) as f64 / 1000.0,
                line()
            ));
        }
    }
}

impl User {
    fn new(seed: u64, index: usize) -> Self {
        let mut rng = Rng::new(seed, 10 + u64::try_from(index).expect("few users"));
        let persona = Persona::ALL[rng.index(Persona::ALL.len())];
        let subjects = ["a", "b"].map(|who| format!("{who}{index}"));
        Self { persona, subjects, visits: rng.between(2, 4), is_here: false, left: 0, subject: 0, rng }
    }
}

// The two keys must differ, or no rotation is one.
const _: () = assert!(SECRETS[0].len() != SECRETS[1].len());
