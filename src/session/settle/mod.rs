//! The way out (rules P, K, L): decided once, on the final response head, at a second reading of the clock.
//!
//! Two questions. What did the backend do to C? Its lines get their lifetimes from the token, and a logout or another
//! login is remembered. And, where it did nothing to C: is a renewal of ours due and right on this answer?
//!
//! In reading order: this file (what it comes to), `lines` (what the backend's lines do), `renewal` (the chain of §5),
//! `own` (the cookies beside C).

mod lines;
mod own;
mod renewal;
#[cfg(test)]
mod tests;

use super::attributes::Attributes;
use super::cache::CacheFacts;
use super::decide::{Due, Verdict};
use super::effect::{Effect, TOMBSTONE_GRACE};
use super::outcome::{Event, Kept, Login, Logout, Outcome};
use super::time::{Span, UnixMillis, UnixSeconds};
use super::token::SessionToken;
use super::{Rules, Surroundings};
use lines::{Meaning, Started};
use std::sync::Arc;

/// What the shell found in a response's head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFacts<'a> {
    /// The raw path of the request, without the query.
    pub request_path: &'a [u8],
    pub status: u16,
    /// The answer is slidecar's, not the backend's.
    pub own: bool,
    /// Every `Set-Cookie` field, in order.
    pub set_cookies: &'a [&'a [u8]],
    pub cache: CacheFacts<'a>,
    /// `Clear-Site-Data` names cookies.
    pub clears_cookies: bool,
}

/// What leaves, and what is to be remembered.
#[derive(Debug, PartialEq, Eq)]
pub struct Settlement {
    /// For each of the backend's `Set-Cookie` fields: what replaces it, if anything does.
    pub lines: Vec<Option<Vec<u8>>>,
    /// `Set-Cookie` fields of our own.
    pub added: Vec<Vec<u8>>,
    /// The response carries C or a companion: no cache may keep it (rule H1).
    pub uncacheable: bool,
    pub outcome: Outcome,
    /// What the page may know of the session's end; `None` without one, or where a shared cache may store the answer.
    pub clock: Option<SessionClock>,
    pub effects: Vec<Effect>,
    pub events: Vec<Event>,
}

/// The session's end as this answer tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionClock {
    pub remaining: Span,
    pub now: UnixMillis,
}

/// Settles an answer. Never fails: a renewal that cannot be made is left out.
#[must_use]
pub fn settle(rules: &Rules, around: &Surroundings<'_>, verdict: &Verdict, facts: &ResponseFacts<'_>, now: UnixMillis) -> Settlement {
    let end = verdict.session.as_ref().map(|live| live.token.effective_exp());
    let mut settling = Settling { rules, around, verdict, facts, now, out: Settlement::untouched(verdict.outcome, facts), last: None, end };
    settling.read_lines();
    settling.conclude();
    settling.tell_clock();
    settling.out
}

impl Settlement {
    fn untouched(outcome: Outcome, facts: &ResponseFacts<'_>) -> Self {
        Self {
            lines: vec![None; facts.set_cookies.len()],
            added: Vec::new(),
            uncacheable: false,
            outcome,
            clock: None,
            effects: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// An answer in the making.
struct Settling<'a> {
    rules: &'a Rules,
    around: &'a Surroundings<'a>,
    verdict: &'a Verdict,
    facts: &'a ResponseFacts<'a>,
    now: UnixMillis,
    out: Settlement,
    /// The line that the browser keeps, and where it puts C.
    last: Option<(Meaning, Attributes)>,
    /// When the browser's session ends, after this answer.
    end: Option<UnixSeconds>,
}

impl<'a> Settling<'a> {
    fn conclude(&mut self) {
        let declared = self.verdict.path.logout && (200..400).contains(&self.facts.status) || self.facts.clears_cookies;
        let meaning = self.last.take().map(|(meaning, _)| meaning);
        let before = self.before();
        match (meaning, before) {
            (Some(Meaning::Session(started)), before) if before.is_none_or(|token| !declared || token.family != started.family) => {
                self.log_in(&started, before, declared);
            }
            (Some(Meaning::Deletion), Some(token)) => self.log_out(token, Logout::Deleted),
            (_, Some(token)) if declared => self.log_out(token, Logout::Declared),
            (meaning, _) => match (meaning, &self.verdict.session) {
                (Some(Meaning::NoSession), Some(live)) => self.log_out(&live.token, Logout::Replaced),
                (Some(Meaning::Again { renewed, end }), Some(live)) => {
                    self.out.outcome = renewed.map_or(Outcome::Kept(Kept::BackendCookie), Outcome::Renewed);
                    self.end = Some(end);
                    if renewed.is_some() {
                        self.out.effects.push(Effect::Renew { family: live.token.family, exp: end });
                    }
                    self.renew_companion(live, end);
                }
                (Some(_), Some(_)) => self.out.outcome = Outcome::Kept(Kept::BackendCookie),
                (None, Some(live)) => self.renew(live),
                (_, None) => {}
            },
        }
    }

    /// The session that the request carried. One that is over counts for what ends or replaces it, for an answer to
    /// another request of its time may have renewed it.
    fn before(&self) -> Option<&'a SessionToken> {
        self.verdict.session.as_ref().map(|live| &live.token).or(self.verdict.over.as_ref()).map(Arc::as_ref)
    }

    fn log_in(&mut self, started: &Started, before: Option<&SessionToken>, declared: bool) {
        let is_ended = self.around.ended.ended(&started.family, started.subject.as_ref(), started.origin, self.now).is_some();
        let carried = self.verdict.tombstones.contains(&started.family);
        let mut tombstones = self.verdict.tombstones.clone();
        // L3. A request that carried the tombstone was sent after the logout, so its answer is a new login.
        if carried {
            tombstones = tombstones.without(&started.family);
            let until = self.now.plus(self.rules.policy.longest_ttl().max(self.now.until(started.end)).plus(TOMBSTONE_GRACE));
            self.out.effects.push(Effect::Reopen { family: started.family, until });
        }
        // L2. Held answers of the session before must not overwrite this one.
        let switched = before.filter(|token| token.family != started.family);
        if let Some(token) = switched {
            tombstones = tombstones.with(&token.family);
            if declared || started.subject.is_none() || started.subject != token.subject {
                self.end_everywhere(token);
            } else {
                self.out.effects.push(Effect::Supersede(token.family));
            }
        }
        if tombstones != self.verdict.tombstones {
            self.add_tombstones(&tombstones, &started.companion.attributes, switched);
        }
        self.set_companion(started);
        self.out.effects.push(Effect::Learn(started.companion.clone()));
        self.end = Some(started.end);
        self.out.outcome = if switched.is_some() {
            Outcome::Logout(Logout::Switched)
        } else if is_ended && !carried {
            Outcome::Login(Login::Late)
        } else if started.clamped {
            Outcome::Login(Login::Clamped)
        } else {
            Outcome::Login(Login::New)
        };
    }

    /// Rule L1, L2. A browser that is told to clear its cookies would clear ours too.
    fn log_out(&mut self, token: &SessionToken, why: Logout) {
        if !self.facts.clears_cookies {
            self.add_tombstones(&self.verdict.tombstones.with(&token.family), &self.expected().clone(), Some(token));
            if self.verdict.has_companion {
                self.delete_companion();
            }
        }
        self.end_everywhere(token);
        self.end = None;
        self.out.outcome = Outcome::Logout(why);
    }

    /// A weak family may be shared by people who did not log out.
    fn end_everywhere(&mut self, token: &SessionToken) {
        let family = token.family;
        if !family.is_weak() {
            self.out.effects.push(Effect::End { family, subject: token.subject, until: self.now.plus(self.memory_of(Some(token))) });
        }
    }

    /// For how long tokens of an ended family may come back: each is the one that came, or was renewed under the policy.
    fn memory_of(&self, token: Option<&SessionToken>) -> Span {
        let own = token.map_or(Span::ZERO, |token| self.now.until(token.exp));
        self.rules.policy.longest_ttl().max(own).plus(TOMBSTONE_GRACE)
    }

    /// Rule E3.
    fn tell_clock(&mut self) {
        if self.facts.cache.is_shared_storable(self.now) && !self.out.uncacheable {
            return;
        }
        let is_over = matches!(self.out.outcome, Outcome::Kept(Kept::Revoked) | Outcome::Login(Login::Late));
        let remaining = self.end.map_or(Span::ZERO, |end| self.now.until(end));
        if !is_over && remaining > Span::ZERO {
            self.out.clock = Some(SessionClock { remaining, now: self.now });
        }
    }

    /// Where C is expected to stand, and how.
    fn expected(&self) -> &Attributes {
        self.verdict.session.as_ref().map_or(&self.verdict.expected, |live| &live.attributes)
    }
}

impl Due {
    pub(super) const fn kept(self) -> Kept {
        match self {
            Self::Passive => Kept::Passive,
            Self::Paused => Kept::Paused,
            Self::Ambiguous => Kept::Ambiguous,
            Self::Yes(_) | Self::No => Kept::NotDue,
        }
    }
}
