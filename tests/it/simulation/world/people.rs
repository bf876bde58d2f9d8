//! What people do, and when.

use super::super::backend::{Ask, Known};
use super::super::browser::Persona;
use super::super::invariants::{Held, Replay, a_replay_is_not_accepted};
use super::super::plan::{DAY, HOUR, MINUTE, Millis, SECOND, SKEW, SLACK};
use super::super::replica::PAGE;
use super::traffic::judge;
use super::{Copied, Delay, Event, World};
use crate::harness::NOW;
use std::rc::Rc;

impl World {
    pub(super) fn act(&mut self, user: usize) -> Held {
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
            let ask = if self.users[user].rng.chance(30) { Ask::Poll } else { Ask::Page };
            self.send(user, ask, Delay::Held)?;
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
        // Once more when a tombstone of TTL + 10 min is gone.
        let pause = self.setting.longest_tombstone() + self.users[user].rng.between(0, 2 * HOUR);
        self.at(self.now + pause, Event::Send { user, is_poll: false });
    }

    /// Somebody copies the cookie, to try it after the logout.
    fn copy(&mut self, user: usize) {
        let Some(text) = self.browsers[user].values("session").next().map(str::to_owned) else { return };
        let Some(known) = self.ledger.know(&text).cloned() else { return };
        for replica in 0..self.replicas.len() {
            let pause = self.users[user].rng.between(2 * SECOND, 10 * MINUTE);
            self.keep_copy(&text, &known, replica, self.now + pause);
        }
    }

    fn keep_copy(&mut self, text: &str, known: &Known, replica: usize, until: Millis) {
        let process = Rc::clone(&self.replicas[replica].process);
        self.copies.push(Copied { text: text.to_owned(), known: known.clone(), process });
        self.at(until, Event::Replay(self.copies.len() - 1));
    }

    /// The same with a token that says to live beyond origin + A: a browser may have dropped its cookie by then.
    pub(super) fn copy_for_later(&mut self, user: usize) {
        let Some(text) = self.browsers[user].values("session").next().map(str::to_owned) else { return };
        let Some(known) = self.ledger.know(&text).cloned() else { return };
        let Some((origin, absolute)) = self.ledger.mints[known.mint].origin.zip(self.setting.absolute()) else { return };
        let cap = (origin - NOW) * SECOND + absolute;
        if (known.claims.exp - NOW) * SECOND <= cap + SLACK || self.copies.iter().any(|copy| copy.text == text) {
            return;
        }
        for replica in 0..self.replicas.len() {
            self.keep_copy(&text, &known, replica, self.now.max(cap + SKEW + SECOND));
        }
    }

    pub(super) fn replay(&mut self, copy: usize) -> Held {
        let Copied { text, known, process } = &self.copies[copy];
        let (known, process, cookies) = (known.clone(), Rc::clone(process), format!("session={text}"));
        let verdict = judge(&process, None, self.setting.https, &cookies, PAGE, false, self.now);
        let is_served = verdict.session.is_some();
        let replay = Replay { ledger: &self.ledger, process: &process, ends: &self.ends, now: self.now, known: &known, is_served };
        a_replay_is_not_accepted(&replay, &mut self.tally)
    }
}
