//! The events of one world in the order of time: people act, requests are decided, answers are settled and delivered.

use super::backend::{Answer, Ask, Desk, Known, Ledger, Order, SECRETS};
use super::browser::{Browser, Persona, Promise};
use super::invariants::{
    Arrival, Departure, Held, Tally, Violation, a_browser_never_holds_two_session_cookies, a_replay_is_not_accepted, class, on_arrival,
    on_departure,
};
use super::plan::{DAY, HOUR, MINUTE, Millis, Plan, SECOND, SLACK, Setting};
use super::replica::{LOGIN, LOGOUT, PAGE, POLL, Process, Replica};
use super::rng::Rng;
use slidecar::session::Surroundings;
use slidecar::session::cache::CacheFacts;
use slidecar::session::companion::Companion;
use slidecar::session::decide::{Forward, RequestFacts, Verdict, decide};
use slidecar::session::keys::DirectSigner;
use slidecar::session::settle::{ResponseFacts, Settlement, settle};
use slidecar::session::signs::{Method, Signs};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::rc::Rc;

/// KNOWN GAP: a login or logout whose request carries a merely expired C leaves its family without a tombstone, although
/// a renewal of it may still be under way.
const GAP_EXPIRED_FAMILY: bool = true;

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
    /// The sessions that this answer ends in the browser.
    ends: Option<usize>,
}

impl Flight {
    /// Whether the session it was sent in, or that its answer makes, is this one.
    fn carries_on(&self, session: usize) -> bool {
        self.served.as_ref().is_some_and(|known| known.session == session) || self.answer.made.is_some_and(|made| made.session == session)
    }
}

/// A cookie that somebody copied, for the process that saw its session end.
struct Copied {
    text: String,
    session: usize,
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
    /// Which session ended as far as which process knows.
    ended: HashSet<(usize, usize)>,
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
            ended: HashSet::new(),
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
            if self.setting.installed_late && self.setting.told {
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
        self.browsers[user].promise = self.promise(made.session, self.setting.threshold(persona.class()), 0);
        let (low, high) = persona.busy();
        let someone = &mut self.users[user];
        (someone.is_here, someone.left) = (true, someone.rng.between(low, high));
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

/// People.
impl World {
    fn act(&mut self, user: usize) -> Held {
        let someone = &mut self.users[user];
        if !someone.is_here {
            return self.arrive(user);
        }
        if self.browsers[user].noticed_out && someone.rng.chance(70) {
            self.browsers[user].noticed_out = false;
            self.log_in(user)?;
            let pause = self.users[user].rng.between(2 * SECOND, 20 * SECOND);
            self.at(self.now + pause, Event::Act(user));
            return Ok(());
        }
        if someone.left == 0 {
            return self.leave(user);
        }
        someone.left -= 1;
        let pause = someone.persona.pause(&self.setting, &mut someone.rng);
        if someone.persona.polls() {
            self.poll(user, pause / 3, 2);
        }
        self.at(self.now + pause, Event::Act(user));
        self.send(user, Ask::Page, Delay::Any)
    }

    fn arrive(&mut self, user: usize) -> Held {
        let someone = &mut self.users[user];
        if someone.visits == 0 {
            return Ok(());
        }
        let (low, high) = someone.persona.busy();
        (someone.is_here, someone.left, someone.visits) = (true, someone.rng.between(low, high), someone.visits - 1);
        someone.subject = if someone.rng.chance(70) { 0 } else { 1 };
        let pause = someone.rng.between(2 * SECOND, 20 * SECOND);
        self.at(self.now + pause, Event::Act(user));
        self.log_in(user)
    }

    fn log_in(&mut self, user: usize) -> Held {
        let someone = &self.users[user];
        let ask = Ask::Login { subject: someone.subjects[someone.subject].clone(), demo: someone.persona == Persona::Demo };
        self.send(user, ask, Delay::Prompt)
    }

    fn leave(&mut self, user: usize) -> Held {
        let ttl = self.setting.longest_ttl(self.users[user].persona.class());
        let polls = self.users[user].persona.polls();
        let someone = &mut self.users[user];
        someone.is_here = false;
        let (way, soon) = (someone.rng.index(100), someone.rng.chance(50));
        let back = if soon { someone.rng.between(3 * SECOND, 5 * MINUTE) } else { someone.rng.between(DAY / 2, 8 * DAY) };
        match way {
            0..45 => {
                self.send_held(user)?;
                self.copy(user);
                self.send(user, Ask::Logout, Delay::Prompt)?;
                self.peek(user);
            }
            45..70 => {
                // Somebody else takes the chair, without a logout.
                self.send_held(user)?;
                let someone = &mut self.users[user];
                (someone.is_here, someone.subject) = (true, 1 - someone.subject);
                someone.left = someone.rng.between(2, 6);
                self.copy(user);
                self.log_in(user)?;
                let pause = self.users[user].rng.between(2 * SECOND, 20 * SECOND);
                self.at(self.now + pause, Event::Act(user));
                return Ok(());
            }
            70..80 => self.browsers[user].close(),
            _ if polls => self.poll(user, ttl / 3, 5),
            _ => {}
        }
        self.at(self.now + back, Event::Act(user));
        Ok(())
    }

    /// A request whose answer comes after what is done next.
    fn send_held(&mut self, user: usize) -> Held {
        for _ in 0..self.users[user].rng.between(0, 3) {
            self.send(user, Ask::Page, Delay::Held)?;
            // Answers of one moment would have tokens of one second.
            self.now += self.users[user].rng.between(1, 1500);
        }
        Ok(())
    }

    fn poll(&mut self, user: usize, every: Millis, times: i64) {
        for time in 1..=times {
            self.at(self.now + every * time, Event::Send { user, is_poll: true });
        }
    }

    /// Looks in again after a logout.
    fn peek(&mut self, user: usize) {
        let patience = self.setting.patience();
        for _ in 0..2 {
            let pause = self.users[user].rng.between(SECOND, patience + MINUTE);
            self.at(self.now + pause, Event::Send { user, is_poll: false });
        }
    }

    /// Somebody copies the cookie, to try it after the logout.
    fn copy(&mut self, user: usize) {
        let Some(text) = self.browsers[user].values("session").next().map(str::to_owned) else { return };
        let Some(session) = self.ledger.know(&text).map(|known| known.session) else { return };
        for replica in 0..self.replicas.len() {
            let process = Rc::clone(&self.replicas[replica].process);
            self.copies.push(Copied { text: text.clone(), session, process });
            let pause = self.users[user].rng.between(2 * SECOND, 10 * MINUTE);
            self.at(self.now + pause, Event::Replay(self.copies.len() - 1));
        }
    }

    fn replay(&mut self, copy: usize) -> Held {
        let Copied { text, session, process } = &self.copies[copy];
        let (session, process) = (*session, Rc::clone(process));
        if !self.ended.contains(&(session, process.id)) {
            return Ok(());
        }
        let cookies = format!("session={text}");
        let verdict = judge(&process, None, self.setting.https, &cookies, PAGE, false, self.now);
        a_replay_is_not_accepted(session, &process, &self.ended, verdict.session.is_some(), &mut self.tally)
    }
}

fn judge(process: &Process, learned: Option<&Companion>, https: bool, cookies: &str, path: &str, passive: bool, now: Millis) -> Verdict {
    let around = Surroundings { ended: &process.memory, signer: &DirectSigner, learned };
    let session_passive = passive.then_some(&b"1"[..]);
    let signs = Signs { method: Method::Get, session_passive, ..Signs::default() };
    let facts = RequestFacts { cookies: cookies.as_bytes(), path: path.as_bytes(), query: None, secure: https, signs };
    decide(&process.rules, &around, &facts, process.clock(now))
}

/// Requests and answers.
impl World {
    fn send(&mut self, user: usize, ask: Ask, delay: Delay) -> Held {
        let replica = self.rng.index(self.replicas.len());
        let process = Rc::clone(&self.replicas[replica].process);
        let path = match ask {
            Ask::Page => PAGE,
            Ask::Poll => POLL,
            Ask::Login { .. } => LOGIN,
            Ask::Logout => LOGOUT,
        };
        let passive = ask == Ask::Poll || (ask == Ask::Page && self.rng.chance(5));
        let cookies = self.browsers[user].cookies(path, self.now);
        let learned = process.memory.learned();
        let verdict = judge(&process, learned.as_ref(), self.setting.https, &cookies, path, passive, self.now);
        let carried = session_value(&cookies).and_then(|text| self.ledger.know(text)).cloned();
        let served = verdict.session.as_ref().and_then(|live| self.ledger.know(std::str::from_utf8(live.token.text()).ok()?)).cloned();

        let upstream = match &verdict.forward {
            Forward::AsItCame => Some(cookies.clone()),
            Forward::Cookies(cookies) => Some(String::from_utf8(cookies.clone()).expect("the world speaks ASCII")),
            _ => None,
        };
        let handed_off =
            upstream.as_deref().and_then(session_value).filter(|text| session_value(&cookies) != Some(text)).map(str::to_owned);
        let answer = upstream
            .as_ref()
            .map_or_else(|| Answer { status: 401, ..Answer::default() }, |cookies| self.ask(replica, &process, &ask, cookies));
        self.log(|| {
            let who = carried
                .as_ref()
                .map_or("nobody".to_owned(), |known| format!("session {} until {}", known.session, known.claims.exp - crate::harness::NOW));
            let backend = if upstream.is_none() { "refused" } else { "asked" };
            format!(
                "user {user} {ask:?} passive {passive} as {who} at process {}: {:?}, backend {backend} says {}",
                process.id, verdict.outcome, answer.status
            )
        });
        self.check_arrival(user, &process, carried.as_ref(), served.as_ref(), answer.is_somebodys)?;
        self.browsers[user].last_sent = self.now;
        if matches!(ask, Ask::Login { .. } | Ask::Logout) {
            // From here on it depends on answers that may be lost.
            self.browsers[user].promise = None;
        }

        let (slow, transit) = self.delays(delay, answer.made.is_some());
        let settled = self.now + slow;
        let is_own = upstream.is_none();
        self.flights.push(Some(Flight {
            user,
            opening: self.browsers[user].openings,
            ask,
            path,
            passive,
            process,
            learned,
            verdict,
            carried,
            served,
            handed_off,
            answer,
            sent: self.now,
            settled,
            transit,
            lines: Vec::new(),
            ends: None,
        }));
        let flight = self.flights.len() - 1;
        let next = if is_own { Event::Deliver(flight) } else { Event::Settle(flight) };
        self.at(settled, next);
        Ok(())
    }

    fn ask(&mut self, replica: usize, process: &Process, ask: &Ask, cookies: &str) -> Answer {
        let clock = self.replicas[replica].backend_clock(self.now);
        let mut desk =
            Desk { setting: &self.setting, ledger: &mut self.ledger, rng: &mut self.rng, key: process.key, clock, now: self.now };
        desk.answer(ask, cookies)
    }

    fn check_arrival(&mut self, user: usize, process: &Process, carried: Option<&Known>, served: Option<&Known>, accepted: bool) -> Held {
        let arrival = Arrival {
            setting: &self.setting,
            ledger: &self.ledger,
            process,
            browser: &self.browsers[user],
            ended: &self.ended,
            now: self.now,
            carried,
            served,
            accepted,
        };
        on_arrival(&arrival, &mut self.tally)
    }

    /// How long the backend takes, and how long the answer is under way; `None` if it is lost.
    fn delays(&mut self, delay: Delay, makes_token: bool) -> (Millis, Option<Millis>) {
        let patience = self.setting.patience() / 2;
        let (dice, rng) = (self.rng.index(100), &mut self.rng);
        let (slow, transit) = (rng.between(20, 800), rng.between(5, 400));
        let long = |rng: &mut Rng| rng.between(5 * SECOND, patience);
        let (slow, transit) = match delay {
            // A backend that renames sessions on its own undoes what it did if its answers overtake each other.
            _ if !self.plan.delays || (makes_token && self.setting.renames()) => (slow, transit),
            Delay::Prompt => (slow, transit),
            Delay::Held if dice < 50 => (slow, long(rng)),
            Delay::Held => (long(rng), long(rng)),
            Delay::Any => match dice {
                0..6 => (long(rng), transit),
                6..12 => (slow, long(rng)),
                12..22 => (rng.between(SECOND, 20 * SECOND), rng.between(SECOND, 30 * SECOND)),
                _ => (slow, transit),
            },
        };
        let is_lost = self.rng.chance(4) && self.plan.loses;
        (slow, (!is_lost).then_some(transit))
    }

    fn settle(&mut self, index: usize) -> Held {
        let mut flight = self.flights[index].take().expect("each flight settles once");
        let backend_lines: Vec<&[u8]> = flight.answer.lines.iter().map(String::as_bytes).collect();
        let control: Vec<&[u8]> = flight.answer.cache_control.iter().map(|value| value.as_bytes()).collect();
        let facts = ResponseFacts {
            status: flight.answer.status,
            own: false,
            set_cookies: &backend_lines,
            cache: CacheFacts { cache_control: &control, ..CacheFacts::default() },
            clears_cookies: flight.answer.clears,
        };
        let process = Rc::clone(&flight.process);
        let clock = process.clock(self.now);
        let around = Surroundings { ended: &process.memory, signer: &DirectSigner, learned: flight.learned.as_ref() };
        let settlement = settle(&process.rules, &around, &flight.verdict, &facts, clock);
        process.memory.apply(&settlement.effects, clock);
        flight.lines = leaving(&flight.answer.lines, &settlement);
        self.log(|| {
            let lines: Vec<String> = flight.lines.iter().map(|line| shown(line)).collect();
            format!(
                "    answer {index} of user {}'s {:?} leaves process {}: {:?} {lines:?}",
                flight.user, flight.ask, process.id, settlement.outcome
            )
        });
        let mut departure = Departure {
            setting: &self.setting,
            ledger: &mut self.ledger,
            process: &process,
            verdict: &flight.verdict,
            settlement: &settlement,
            decided: flight.sent,
            now: self.now,
            served: flight.served.as_ref(),
            handed_off: flight.handed_off.as_deref(),
            made: flight.answer.made,
            backend_lines: &flight.answer.lines,
            lines: &flight.lines,
        };
        on_departure(&mut departure, &mut self.tally)?;
        self.remember(&mut flight);
        if let Some(transit) = flight.transit {
            self.at(self.now + transit, Event::Deliver(index));
        } else {
            self.log(|| format!("    answer {index} is lost"));
        }
        self.flights[index] = Some(flight);
        Ok(())
    }

    /// What is true from now on, whether or not anybody hears of it.
    fn remember(&mut self, flight: &mut Flight) {
        let served = flight.served.as_ref().map(|known| known.session);
        let counts = !flight.passive && !matches!(flight.answer.status, 401 | 407 | 500..);
        if let Some(session) = served.filter(|_| counts) {
            let session = &mut self.ledger.sessions[session];
            session.active = session.active.max(self.now);
        }
        let made = flight.answer.made.map(|made| made.session);
        if let Some(made) = made {
            let session = &mut self.ledger.sessions[made];
            session.active = session.active.max(self.now);
            if flight.ask.begins() {
                self.ended.remove(&(made, flight.process.id));
            }
        }
        if let Some(before) = served.filter(|before| (flight.answer.logs_out || made.is_some()) && made != Some(*before)) {
            let subject = made.and_then(|made| self.ledger.sessions[made].subject.clone());
            flight.ends = (!flight.answer.clears).then_some(before);
            let is_another = subject.is_none() || subject != self.ledger.sessions[before].subject;
            if is_another && !self.ledger.sessions[before].weak {
                self.ended.insert((before, flight.process.id));
            }
        }
    }

    fn deliver(&mut self, index: usize) -> Held {
        let flight = self.flights[index].take().expect("each flight arrives once");
        let (user, now) = (flight.user, self.now);
        if flight.opening != self.browsers[user].openings {
            return Ok(());
        }
        self.log(|| format!("    answer {index} reaches user {user}"));
        let browser = &mut self.browsers[user];
        for line in &flight.lines {
            browser.store(line, flight.path, self.setting.https, now);
        }
        if flight.answer.clears {
            // The tombstones too: from here on only processes remember.
            browser.clear();
            browser.unnamed.extend(flight.served.as_ref().map(|known| known.session));
        }
        if GAP_EXPIRED_FAMILY && flight.answer.makes_an_end() && flight.served.is_none() {
            browser.unnamed.extend(flight.carried.as_ref().map(|known| known.session));
        }
        a_browser_never_holds_two_session_cookies(browser, &mut self.tally)?;
        if let Some(session) = flight.ends {
            browser.forget(session, now);
        }
        if let Some(made) = flight.answer.made.filter(|_| flight.ask.begins()) {
            browser.ended.retain(|(session, _)| *session != made.session);
            browser.unnamed.remove(&made.session);
        }
        match &flight.ask {
            Ask::Login { subject, .. } => (browser.person, browser.noticed_out) = (Some(subject.clone()), false),
            Ask::Logout => (browser.person, browser.noticed_out) = (None, false),
            Ask::Page if flight.answer.status == 401 => browser.noticed_out = true,
            _ => {}
        }
        self.keep_promise(&flight);
        Ok(())
    }

    /// What this person may rely on after this answer.
    fn keep_promise(&mut self, flight: &Flight) {
        let held = self.browsers[flight.user].values("session").next().map(str::to_owned);
        let held = held.and_then(|text| self.ledger.know(&text)).cloned();
        let sets = flight.lines.iter().find_map(|line| session_value(line.split(';').next()?));
        let set = sets.and_then(|text| self.ledger.know(text)).cloned();
        let browser = &self.browsers[flight.user];

        if let (Some(made), Some(held)) = (flight.answer.made, &held)
            && made.session == held.session
            && browser.person == self.ledger.sessions[made.session].subject
            && (flight.ask.begins() || browser.promise.is_some_and(|promise| flight.carries_on(promise.session)))
        {
            let threshold = self.setting.threshold(class(self.ledger.sessions[made.session].demo));
            self.browsers[flight.user].promise = self.promise(made.session, threshold.min(made.lives), flight.sent);
            return;
        }
        let Some(promise) = browser.promise else { return };
        if held.as_ref().is_none_or(|held| held.session != promise.session) && set.is_some() {
            // A late answer of a session before this one: the browser took its cookie, and no server can help that.
            self.tally.count("logins lost to a late answer of an earlier one");
            self.browsers[flight.user].promise = None;
            return;
        }
        let is_activity = !flight.passive && !matches!(flight.answer.status, 401 | 407 | 500..) && flight.settled <= promise.until;
        let mut until = promise.until;
        if is_activity && flight.served.as_ref().is_some_and(|served| served.session == promise.session) {
            let threshold = self.setting.threshold(class(self.ledger.sessions[promise.session].demo));
            let is_weak_sign = flight.answer.status == 304 || flight.answer.cache_control.is_some();
            let fresh = self.promise(promise.session, if is_weak_sign { threshold / 4 } else { threshold }, flight.sent);
            until = until.max(fresh.map_or(until, |fresh| fresh.until));
        }
        if self.setting.resends
            && let Some(set) = set
        {
            // The backend's own line brings its own end, however late.
            until = until.min((set.claims.exp - crate::harness::NOW) * SECOND - SLACK);
        }
        self.browsers[flight.user].promise = Some(Promise { until, ..promise });
    }

    /// A promise for so long from some moment, never beyond what the shortest A allows.
    fn promise(&self, session: usize, span: Millis, from: Millis) -> Option<Promise> {
        let origins = self.ledger.mints.iter().filter(|mint| mint.session == session).filter_map(|mint| mint.origin);
        let cap = origins.min().zip(self.setting.absolute()).map(|(origin, absolute)| (origin - crate::harness::NOW) * SECOND + absolute);
        Some(Promise { session, until: (from + span).min(cap.unwrap_or(Millis::MAX)) - SLACK })
    }
}

/// The `Set-Cookie` lines as they leave: the backend's, some replaced, then ours.
fn leaving(backend: &[String], settlement: &Settlement) -> Vec<String> {
    let text = |line: &Vec<u8>| String::from_utf8(line.clone()).expect("the world speaks ASCII");
    let replaced = backend.iter().zip(&settlement.lines).map(|(old, new)| new.as_ref().map_or_else(|| old.clone(), text));
    replaced.chain(settlement.added.iter().map(text)).collect()
}

fn session_value(cookies: &str) -> Option<&str> {
    cookies.split("; ").find_map(|pair| pair.strip_prefix("session=")).filter(|value| !value.is_empty())
}

/// A line without the bulk of its token.
fn shown(line: &str) -> String {
    match line.split_once(';') {
        Some((pair, attributes)) if pair.len() > 60 => format!("{}…{};{attributes}", &pair[..12], &pair[pair.len() - 6..]),
        _ => line.to_owned(),
    }
}

// The two keys must differ, or no rotation is one.
const _: () = assert!(SECRETS[0].len() != SECRETS[1].len());
