//! Requests and answers on their way.

use super::super::backend::{Answer, Ask, Desk, Known};
use super::super::gaps;
use super::super::invariants::{Arrival, Departure, Held, on_arrival, on_departure};
use super::super::plan::{Millis, SECOND, SKEW, TOMBSTONE_GRACE};
use super::super::replica::{LOGOUT, PAGE, POLL, Process};
use super::super::rng::Rng;
use super::{Delay, Event, Flight, World};
use crate::harness::NOW;
use slidecar::session::Surroundings;
use slidecar::session::cache::CacheFacts;
use slidecar::session::companion::Companion;
use slidecar::session::decide::{Forward, RequestFacts, Verdict, decide};
use slidecar::session::keys::DirectSigner;
use slidecar::session::settle::{ResponseFacts, Settlement, settle};
use slidecar::session::signs::{Method, Signs};
use std::rc::Rc;

impl World {
    pub(super) fn send(&mut self, user: usize, ask: Ask, delay: Delay) -> Held {
        let replica = self.rng.index(self.replicas.len());
        let process = Rc::clone(&self.replicas[replica].process);
        let path = match ask {
            Ask::Page => PAGE,
            Ask::Poll => POLL,
            Ask::Login { .. } => self.setting.login,
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
            let who =
                carried.as_ref().map_or("nobody".to_owned(), |known| format!("session {} until {}", known.session, known.claims.exp - NOW));
            let backend = if upstream.is_none() { "refused" } else { "asked" };
            format!(
                "user {user} {ask:?} passive {passive} as {who} at process {}: {:?}, backend {backend} says {}",
                process.id, verdict.outcome, answer.status
            )
        });
        // Outside the path of C nobody is anybody.
        let is_on_path = path.starts_with(self.setting.cookie_path());
        if is_on_path {
            self.check_arrival(user, &process, carried.as_ref(), served.as_ref(), answer.is_somebodys)?;
        }
        self.browsers[user].last_sent = self.now;
        if matches!(ask, Ask::Login { .. } | Ask::Logout) {
            // From here on it depends on answers that may be lost.
            self.browsers[user].promise = None;
        }

        let (slow, transit) = self.delays(delay);
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

    fn has_expired(&self, flight: &Flight) -> bool {
        flight.served.as_ref().is_some_and(|known| known.claims.exp <= flight.process.clock(self.now).second().get())
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
            ends: &self.ends,
            now: self.now,
            carried,
            served,
            accepted,
        };
        on_arrival(&arrival, &mut self.tally)?;
        if let Some(carried) = carried {
            self.ends.meet(carried, process, self.now);
        }
        Ok(())
    }

    /// How long the backend takes, and how long the answer is under way; `None` if it is lost.
    fn delays(&mut self, delay: Delay) -> (Millis, Option<Millis>) {
        let patience = self.setting.patience() / 2;
        let (dice, rng) = (self.rng.index(100), &mut self.rng);
        let (slow, transit) = (rng.between(20, 800), rng.between(5, 400));
        let long = |rng: &mut Rng| rng.between(5 * SECOND, patience);
        // A renewal made longer after a logout than this would outlive the tombstone (TTL + 10 min).
        let working = |rng: &mut Rng| rng.between(5 * SECOND, patience.min(TOMBSTONE_GRACE - 2 * SKEW));
        let (slow, transit) = match delay {
            _ if !self.plan.delays => (slow, transit),
            Delay::Prompt => (slow, transit),
            Delay::Held if dice < 50 => (slow, long(rng)),
            Delay::Held => (working(rng), long(rng)),
            Delay::Any => match dice {
                0..6 => (working(rng), transit),
                6..12 => (slow, long(rng)),
                12..22 => (rng.between(SECOND, 20 * SECOND), rng.between(SECOND, 30 * SECOND)),
                _ => (slow, transit),
            },
        };
        let is_lost = self.rng.chance(4) && self.plan.loses;
        (slow, (!is_lost).then_some(transit))
    }

    pub(super) fn settle(&mut self, index: usize) -> Held {
        let mut flight = self.flights[index].take().expect("each flight settles once");
        if gaps::RESENT_EXPIRED && self.setting.resends && self.has_expired(&flight) {
            return Ok(());
        }
        let backend_lines: Vec<&[u8]> = flight.answer.lines.iter().map(String::as_bytes).collect();
        let control: Vec<&[u8]> = flight.answer.cache_control.iter().map(|value| value.as_bytes()).collect();
        let facts = ResponseFacts {
            request_path: flight.path.as_bytes(),
            status: flight.answer.status,
            own: false,
            set_cookies: &backend_lines,
            cache: CacheFacts { cache_control: &control, ..CacheFacts::default() },
            clears_cookies: flight.answer.clears,
        };
        let process = Rc::clone(&flight.process);
        let clock = process.clock(self.now);
        let around = Surroundings {
            ended: &process.memory,
            verified: &process.verified.under(1),
            signer: &DirectSigner,
            learned: flight.learned.as_ref(),
        };
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
}

pub(super) fn judge(
    process: &Process,
    learned: Option<&Companion>,
    https: bool,
    cookies: &str,
    path: &str,
    passive: bool,
    now: Millis,
) -> Verdict {
    let around = Surroundings { ended: &process.memory, verified: &process.verified.under(1), signer: &DirectSigner, learned };
    let session_passive = passive.then_some(&b"1"[..]);
    let signs = Signs { method: Method::Get, session_passive, ..Signs::default() };
    let facts = RequestFacts { cookies: cookies.as_bytes(), path: path.as_bytes(), query: None, secure: https, signs };
    let verdict = decide(&process.rules, &around, &facts, process.clock(now));
    process.memory.apply(&verdict.effects, process.clock(now));
    verdict
}

/// The `Set-Cookie` lines as they leave: the backend's, some replaced, then ours.
fn leaving(backend: &[String], settlement: &Settlement) -> Vec<String> {
    let text = |line: &Vec<u8>| String::from_utf8(line.clone()).expect("the world speaks ASCII");
    let replaced = backend.iter().zip(&settlement.lines).map(|(old, new)| new.as_ref().map_or_else(|| old.clone(), text));
    replaced.chain(settlement.added.iter().map(text)).collect()
}

pub(super) fn session_value(cookies: &str) -> Option<&str> {
    cookies.split("; ").find_map(|pair| pair.strip_prefix("session=")).filter(|value| !value.is_empty())
}

/// A line without the bulk of its token.
fn shown(line: &str) -> String {
    match line.split_once(';') {
        Some((pair, attributes)) if pair.len() > 130 => format!("{}…{};{attributes}", &pair[..12], &pair[pair.len() - 6..]),
        _ => line.to_owned(),
    }
}
