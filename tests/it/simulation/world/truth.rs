//! What is true whatever slidecar thinks: who is active, what has ended, and what people may rely on.

use super::super::backend::{Ask, Known};
use super::super::browser::Promise;
use super::super::gaps;
use super::super::invariants::{Held, a_browser_never_holds_two_session_cookies, class};
use super::super::plan::{Millis, SECOND, SLACK};
use super::traffic::session_value;
use super::{Flight, World};
use crate::harness::NOW;

impl World {
    /// What is true from now on, whether or not anybody hears of it.
    pub(super) fn remember(&mut self, flight: &mut Flight) {
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
                // Whoever logs in again under the same name of a session has a session again, at every process.
                self.ends.reopen(made);
                self.ledger.sessions[made].begun = self.now;
            }
        }
        let is_end = |before: &&Known| (flight.answer.logs_out || made.is_some()) && made != Some(before.session);
        if let Some(before) = flight.served.as_ref().filter(is_end) {
            let subject = made.and_then(|made| self.ledger.sessions[made].subject.clone());
            flight.ends = (!flight.answer.clears).then_some(before.session);
            let session = &self.ledger.sessions[before.session];
            if (subject.is_none() || subject != session.subject) && !session.weak {
                self.ends.begin(before, &flight.process, self.now);
            }
        }
    }

    pub(super) fn deliver(&mut self, index: usize) -> Held {
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
        if gaps::EXPIRED_FAMILY && flight.answer.makes_an_end() && flight.served.is_none() {
            browser.unnamed.extend(flight.carried.as_ref().map(|known| known.session));
        }
        a_browser_never_holds_two_session_cookies(browser, &mut self.tally)?;
        if let Some(session) = flight.ends {
            browser.forget(session, now);
        }
        let is_in_turn = browser.promise.is_some_and(|promise| flight.carries_on(promise.session));
        if let Some(made) =
            flight.answer.made.filter(|_| gaps::RENAMING_REISSUE && self.setting.renames() && !flight.ask.begins() && !is_in_turn)
        {
            browser.unnamed.insert(made.session);
            // Its list of tombstones is that of its request, and takes the place of a longer one.
            browser.unnamed.extend(browser.ended.iter().map(|(session, _)| *session));
        }
        if let Some(made) = flight.answer.made.filter(|_| flight.ask.begins() || is_in_turn) {
            browser.ended.retain(|(session, _)| *session != made.session);
            browser.unnamed.remove(&made.session);
        }
        if flight.ask.begins() {
            self.leave_unnamed(&flight);
        }
        let browser = &mut self.browsers[user];
        match &flight.ask {
            Ask::Login { subject, .. } => (browser.person, browser.noticed_out) = (Some(subject.clone()), false),
            Ask::Logout => (browser.person, browser.noticed_out) = (None, false),
            Ask::Page if flight.answer.status == 401 => browser.noticed_out = true,
            _ => {}
        }
        self.keep_promise(&flight);
        self.copy_for_later(user);
        Ok(())
    }

    /// A login ends what its request carried. What else is under way, and was not in that request because its cookie
    /// was over, overtaken, or is not sent to where people log in, nobody could name.
    fn leave_unnamed(&mut self, login: &Flight) {
        let browser = &mut self.browsers[login.user];
        let made = login.answer.made.map(|made| made.session);
        let carried = login.carried.as_ref().map(|known| known.session);
        let others = self.flights.iter().flatten().filter(|other| other.user == login.user);
        let under_way =
            others.flat_map(|other| [other.served.as_ref().map(|known| known.session), other.answer.made.map(|made| made.session)]);
        let unknown = under_way.filter(|session| *session != made && *session != carried).flatten();
        browser.unnamed.extend(unknown.filter(|session| !browser.ended.iter().any(|(ended, _)| ended == session)));
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
            let until = self.until(held, self.threshold(held).min(made.lives), flight.sent);
            self.browsers[flight.user].promise = Some(Promise { session: made.session, since: self.now, until });
            return;
        }
        let Some(promise) = browser.promise else { return };
        if let Some(held) = held.filter(|held| held.session != promise.session && flight.sent <= promise.since) {
            // The browser took the cookie of an answer that was under way before this login: no server can help that.
            let is_anothers = self.ledger.sessions[held.session].subject != self.ledger.sessions[promise.session].subject;
            if !is_anothers && self.setting.renames() && !gaps::RENAMING_REISSUE {
                return;
            }
            self.tally.count(if is_anothers { "logins lost to another's late answer" } else { "logins lost to an own late answer" });
            self.browsers[flight.user].promise = None;
            return;
        }
        let is_activity = !flight.passive && !matches!(flight.answer.status, 401 | 407 | 500..) && flight.settled <= promise.until;
        let mut until = promise.until;
        if let Some(served) = flight.served.as_ref().filter(|served| is_activity && served.session == promise.session) {
            let threshold = self.threshold(served);
            let is_weak_sign = flight.answer.status == 304 || flight.answer.cache_control.is_some();
            until = until.max(self.until(served, if is_weak_sign { threshold / 4 } else { threshold }, flight.sent));
        }
        if let Some(set) = set.filter(|_| self.setting.resends) {
            // The backend's own line brings its own end, however late.
            until = until.min((set.claims.exp - NOW) * SECOND - SLACK);
        }
        self.browsers[flight.user].promise = Some(Promise { until, ..promise });
    }

    /// For so long from some moment, but never beyond what the shortest A allows.
    pub(super) fn until(&self, known: &Known, span: Millis, from: Millis) -> Millis {
        let cap = self.ledger.mints[known.mint].origin.zip(self.setting.absolute());
        let cap = cap.map_or(Millis::MAX, |(origin, absolute)| (origin - NOW) * SECOND + absolute);
        (from + span).min(cap) - SLACK
    }

    /// R of this session's class.
    fn threshold(&self, known: &Known) -> Millis {
        self.setting.threshold(class(self.ledger.sessions[known.session].demo))
    }
}
