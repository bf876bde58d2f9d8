//! The way out (SPEC §5, §7, §8): decided once, on the final response head, at a second reading of the clock.
//!
//! Two questions. What did the backend do to C? Its lines get their lifetimes from the token, and a logout or another
//! login is remembered. And, where it did nothing to C: is a renewal of ours due and right on this answer?

use super::attributes::Attributes;
use super::cache::CacheFacts;
use super::companion::{Companion, Tombstones};
use super::decide::{Due, Live, Verdict, foreign};
use super::family::{Family, Subject};
use super::mint::{MintError, Minted, mint, renewed_exp};
use super::outcome::{Event, Fallback, Kept, Login, Logout, Outcome, Renewed};
use super::set_cookie::{LONGEST_MAX_AGE, Lifetime, SetCookie};
use super::time::{Span, UnixMillis, UnixSeconds};
use super::token::{Dead, NotOurs, Reading, SessionToken, claimed_exp, looks_like_jwt, read};
use super::{Persistence, Rules, Surroundings};

/// An answer may be this late for a token that was handed off with little life left.
const HAND_OFF_GRACE: Span = Span::from_secs(10);
/// Renewals that win less are not worth a cookie.
const LEAST_GAIN: Span = Span::from_secs(60);
/// How much longer than a token a tombstone lives: late answers and other clocks.
const TOMBSTONE_GRACE: Span = Span::from_secs(600);

/// What the shell found in a response's head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFacts<'a> {
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
    /// The response carries C or a companion: no cache may keep it (SPEC H1).
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

/// What the process, and the store if there is one, should remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The family is logged out; no token of it can live longer than `until`.
    End { family: Family, until: UnixMillis },
    /// A new login took a logged-out family up again.
    Reopen(Family),
    /// How the backend sets C.
    Learn(Companion),
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

/// What one `Set-Cookie` line for C does to the session.
enum Meaning {
    /// Deletes a cookie of another place: only passes.
    CleanUp,
    Deletion,
    /// The very token that the backend got: no login.
    Again {
        renewed: Option<Renewed>,
        end: UnixSeconds,
    },
    Session(Box<Started>),
    NoSession,
}

/// A session that the backend set.
struct Started {
    family: Family,
    subject: Option<Subject>,
    end: UnixSeconds,
    clamped: bool,
    companion: Companion,
}

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

impl Settling<'_> {
    /// SPEC K3–K5, K8: every line for C by itself; the last at the expected place is what the browser keeps.
    fn read_lines(&mut self) {
        for (index, line) in self.facts.set_cookies.iter().enumerate() {
            let Some(cookie) = SetCookie::parse(line).filter(|cookie| cookie.name() == self.rules.cookie.name.as_bytes()) else {
                continue;
            };
            self.out.uncacheable = true;
            let attributes = Attributes::of(&cookie, &self.verdict.request_path);
            let (meaning, replacement) = self.read_line(&cookie, &attributes);
            self.out.lines[index] = replacement;
            let expected = attributes.same_place(self.expected());
            if expected || self.last.as_ref().is_none_or(|(_, kept)| !kept.same_place(self.expected())) {
                self.last = Some((meaning, attributes));
            }
        }
    }

    fn read_line(&mut self, cookie: &SetCookie<'_>, attributes: &Attributes) -> (Meaning, Option<Vec<u8>>) {
        if cookie.is_deletion(self.now) {
            let meaning = if attributes.same_place(self.expected()) { Meaning::Deletion } else { Meaning::CleanUp };
            return (meaning, None);
        }
        match read(self.rules, cookie.value(), self.now) {
            Reading::Session(token) => match self.verdict.session.as_ref().filter(|live| live.was_sent(cookie.value())) {
                Some(live) => self.again(cookie, live),
                None => self.started(cookie, attributes, &token),
            },
            Reading::Dead(Dead::Expired(_)) => (Meaning::NoSession, self.fall_back(cookie, Fallback::Expired)),
            Reading::Dead(_) => (Meaning::NoSession, self.unverified(cookie)),
            Reading::NotOurs(NotOurs::NoJwt) => (Meaning::NoSession, self.fall_back(cookie, Fallback::DecodeFailed)),
            Reading::NotOurs(NotOurs::MissingExp) => (Meaning::NoSession, self.fall_back(cookie, Fallback::MissingExp)),
            Reading::NotOurs(why) => {
                self.out.events.push(Event::TokenUnusable(foreign(why)));
                (Meaning::NoSession, None)
            }
        }
    }

    /// Legacy code that sends the cookie again on every answer.
    fn again(&mut self, cookie: &SetCookie<'_>, live: &Live) -> (Meaning, Option<Vec<u8>>) {
        let (value, end, renewed) = match self.renewal(live) {
            Ok((minted, why)) => (minted.text, minted.exp, Some(why)),
            // The browser gets what it has; a token that was handed off is as good, and lives longer.
            Err(_) => {
                let end =
                    live.handed_off.as_ref().filter(|minted| minted.text == cookie.value()).map_or(live.token.exp, |minted| minted.exp);
                (cookie.value().to_vec(), live.token.cap().map_or(end, |cap| end.min(cap)), None)
            }
        };
        let line = cookie.rewritten(&value, self.age(cookie, end));
        (Meaning::Again { renewed, end }, Some(line))
    }

    /// The backend set C to a session.
    fn started(&mut self, cookie: &SetCookie<'_>, attributes: &Attributes, token: &SessionToken) -> (Meaning, Option<Vec<u8>>) {
        let mut value = cookie.value().to_vec();
        let mut end = token.effective_exp();
        let ttl = self.rules.policy.clocks(token.class).ttl;
        let clamped = token.outlives(ttl, self.now);
        if clamped {
            self.out.events.push(Event::TtlMismatch { token_seconds: self.now.until(token.exp).as_secs(), policy_seconds: ttl.as_secs() });
            match self.minted(token) {
                Ok(minted) => (value, end) = (minted.text, minted.exp),
                Err(MintError::NoOrigin) => self.out.events.push(Event::NoOrigin),
                Err(_) => {}
            }
        }
        let age = self.age(cookie, end);
        let persistent = age.is_some();
        let line = cookie.rewritten(&value, age);
        let companion = Companion { attributes: attributes.clone(), persistent };
        let started = Started { family: token.family, subject: token.subject, end, clamped, companion };
        (Meaning::Session(Box::new(started)), Some(line))
    }

    /// SPEC K4: the first thing that an operator with a wrong key must see.
    fn unverified(&mut self, cookie: &SetCookie<'_>) -> Option<Vec<u8>> {
        match claimed_exp(cookie.value(), self.now) {
            Some(exp) if exp.millis() > self.now => {
                self.out.events.push(Event::TokenUnverified);
                self.lifetime(cookie).map(|_| cookie.with_max_age(self.now.until(exp)))
            }
            Some(_) => self.fall_back(cookie, Fallback::Expired),
            None => self.fall_back(cookie, Fallback::MissingExp),
        }
    }

    fn fall_back(&mut self, cookie: &SetCookie<'_>, why: Fallback) -> Option<Vec<u8>> {
        let own = self.lifetime(cookie)?;
        self.out.events.push(Event::MaxAgeFallback(why));
        let longest = self.rules.cookie.fallback.filter(|_| looks_like_jwt(cookie.value()))?;
        Some(cookie.with_max_age(own.min(longest)))
    }

    fn conclude(&mut self) {
        let declared = self.verdict.path.logout && (200..400).contains(&self.facts.status) || self.facts.clears_cookies;
        let meaning = self.last.take().map(|(meaning, _)| meaning);
        match (meaning, &self.verdict.session) {
            (Some(Meaning::Session(started)), before)
                if before.as_ref().is_none_or(|live| !declared || live.token.family != started.family) =>
            {
                self.log_in(&started, before.as_ref(), declared);
            }
            (Some(Meaning::Deletion), Some(live)) => self.log_out(live, Logout::Deleted),
            (_, Some(live)) if declared => self.log_out(live, Logout::Declared),
            (Some(Meaning::NoSession), Some(live)) => self.log_out(live, Logout::Replaced),
            (Some(Meaning::Again { renewed, end }), Some(live)) => {
                self.out.outcome = renewed.map_or(Outcome::Kept(Kept::BackendCookie), Outcome::Renewed);
                self.end = Some(end);
                self.renew_companion(live, end);
            }
            (Some(_), Some(_)) => self.out.outcome = Outcome::Kept(Kept::BackendCookie),
            (None, Some(live)) => self.renew(live),
            (_, None) => {}
        }
    }

    fn log_in(&mut self, started: &Started, before: Option<&Live>, declared: bool) {
        let is_ended = self.around.ended.ended(&started.family, started.subject.as_ref(), None).is_some();
        let carried = self.verdict.tombstones.contains(&started.family);
        let mut tombstones = self.verdict.tombstones.clone();
        // L3. A request that carried the tombstone was sent after the logout, so its answer is a new login.
        if carried {
            tombstones = tombstones.without(&started.family);
            self.out.effects.push(Effect::Reopen(started.family));
        }
        // L2. Held answers of the session before must not overwrite this one.
        let switched = before.filter(|live| live.token.family != started.family);
        if let Some(live) = switched {
            tombstones = tombstones.with(&live.token.family);
            if declared || started.subject.is_none() || started.subject != live.token.subject {
                self.end_everywhere(live);
            }
        }
        if tombstones != self.verdict.tombstones {
            // A held answer would put C where the session before had it, so the tombstone has to be seen there.
            self.add_tombstones(&tombstones, switched.map_or(&started.companion.attributes, |live| &live.attributes));
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

    /// SPEC L1, L2. A browser that is told to clear its cookies would clear ours too.
    fn log_out(&mut self, live: &Live, why: Logout) {
        if !self.facts.clears_cookies {
            self.add_tombstones(&self.verdict.tombstones.with(&live.token.family), &live.attributes);
            if self.verdict.has_companion {
                let name = self.rules.cookie.companion_name();
                self.add(set_cookie_line(&name, b"", &live.attributes.for_companion(), Some(Span::ZERO)));
            }
        }
        self.end_everywhere(live);
        self.end = None;
        self.out.outcome = Outcome::Logout(why);
    }

    /// A weak family may be shared by people who did not log out.
    fn end_everywhere(&mut self, live: &Live) {
        let family = live.token.family;
        if !family.is_weak() {
            // Every token of the family is this one or was renewed under the policy.
            let last = self.now.plus(self.rules.policy.longest_ttl()).max(live.token.exp.millis());
            self.out.effects.push(Effect::End { family, until: last.plus(TOMBSTONE_GRACE) });
        }
    }

    /// One `Set-Cookie` of our own, where the chain of SPEC §5 lets it pass.
    fn renew(&mut self, live: &Live) {
        match self.renewal(live) {
            Ok((minted, why)) => {
                let age = live.persistent.then(|| self.now.until(minted.exp));
                let line = set_cookie_line(&self.rules.cookie.name, &minted.text, &live.attributes, age);
                self.add(line);
                self.out.outcome = Outcome::Renewed(why);
                self.end = Some(minted.exp);
                self.renew_companion(live, minted.exp);
            }
            Err(why) => {
                if why == Kept::NoOrigin {
                    self.out.events.push(Event::NoOrigin);
                }
                self.out.outcome = Outcome::Kept(why);
            }
        }
    }

    /// The chain of SPEC §5, but for what the backend did to C.
    fn renewal(&self, live: &Live) -> Result<(Minted, Renewed), Kept> {
        let Due::Yes(why) = live.due else {
            return Err(live.due.kept());
        };
        let token = &live.token;
        let remaining = token.remaining(self.now);
        let clocks = self.rules.policy.clocks(token.class);
        let nearly_over = remaining < clocks.threshold.divided_by(4);
        if self.around.ended.ended(&token.family, token.subject.as_ref(), token.origin).is_some() {
            return Err(Kept::Revoked);
        }
        if self.facts.own || matches!(self.facts.status, 101 | 401 | 407 | 500..) || (self.facts.status == 304 && !nearly_over) {
            return Err(Kept::Status);
        }
        let grace = if live.handed_off.is_some() { HAND_OFF_GRACE } else { Span::ZERO };
        if self.now >= token.effective_exp().millis().plus(grace) {
            return Err(Kept::ExpiredInFlight);
        }
        if self.facts.cache.is_shared_storable(self.now) && !nearly_over {
            return Err(Kept::Cacheable);
        }
        let exp = renewed_exp(self.rules, token, self.now).map_err(kept)?;
        if exp.millis() <= self.now {
            return Err(Kept::ExpiredInFlight);
        }
        let least = LEAST_GAIN.min(clocks.ttl.minus(clocks.threshold).divided_by(10));
        if why == Renewed::Threshold && exp.since(token.effective_exp()) < least {
            return Err(Kept::NoGain);
        }
        self.minted(token).map(|minted| (minted, why)).map_err(kept)
    }

    fn minted(&self, token: &SessionToken) -> Result<Minted, MintError> {
        mint(self.rules, self.around.signer, token, renewed_exp(self.rules, token, self.now)?, self.now)
    }

    /// SPEC E3.
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
}

/// The cookies of our own.
impl Settling<'_> {
    /// A line of ours is one person's as much as C is.
    fn add(&mut self, line: Vec<u8>) {
        self.out.added.push(line);
        self.out.uncacheable = true;
    }

    fn add_tombstones(&mut self, tombstones: &Tombstones, attributes: &Attributes) {
        let age = if tombstones.is_empty() { Span::ZERO } else { self.rules.policy.longest_ttl().plus(TOMBSTONE_GRACE) };
        let name = self.rules.cookie.tombstones_name();
        self.add(set_cookie_line(&name, &tombstones.encode(), &attributes.for_companion(), Some(age)));
    }

    /// SPEC K6: a companion is only needed where the settings do not already say how C is set.
    fn set_companion(&mut self, started: &Started) {
        let is_told = started.companion.persistent && started.companion.attributes.equivalent(&self.verdict.configured);
        if !is_told {
            self.add_companion(&started.companion, &started.family, started.end);
        } else if self.verdict.has_companion {
            let name = self.rules.cookie.companion_name();
            self.add(set_cookie_line(&name, b"", &self.expected().for_companion(), Some(Span::ZERO)));
        }
    }

    fn renew_companion(&mut self, live: &Live, end: UnixSeconds) {
        if live.from_companion {
            let companion = Companion { attributes: live.attributes.clone(), persistent: live.persistent };
            self.add_companion(&companion, &live.token.family, end);
        }
    }

    fn add_companion(&mut self, companion: &Companion, family: &Family, end: UnixSeconds) {
        let age = companion.persistent.then(|| self.now.until(end));
        let value = companion.encode(family, &self.rules.keys);
        self.add(set_cookie_line(&self.rules.cookie.companion_name(), &value, &companion.attributes.for_companion(), age));
    }
}

impl Settling<'_> {
    fn expected(&self) -> &Attributes {
        self.verdict.session.as_ref().map_or(&self.verdict.expected, |live| &live.attributes)
    }

    /// The line's own lifetime, if it has one.
    fn lifetime(&self, cookie: &SetCookie<'_>) -> Option<Span> {
        match cookie.lifetime(self.now) {
            Lifetime::Browser => None,
            Lifetime::Until(end) => Some(Span::from_millis(end.get().saturating_sub(self.now.get()).max(0).unsigned_abs())),
        }
    }

    /// The Max-Age for a token that ends then; `None` leaves a browser-session cookie one (SPEC K9).
    fn age(&self, cookie: &SetCookie<'_>, end: UnixSeconds) -> Option<Span> {
        let lasts = self.rules.cookie.persistence == Persistence::Always || self.lifetime(cookie).is_some();
        lasts.then(|| self.now.until(end))
    }
}

/// `name=value; Max-Age=…; attributes`; a deletion if there is no value.
pub(super) fn set_cookie_line(name: &str, value: &[u8], attributes: &Attributes, age: Option<Span>) -> Vec<u8> {
    let mut line = [name.as_bytes(), b"=", value].concat();
    if let Some(age) = age {
        let least = if value.is_empty() { 0 } else { 1 };
        line.extend_from_slice(format!("; Max-Age={}", age.as_secs().clamp(least, LONGEST_MAX_AGE)).as_bytes());
    }
    attributes.write(&mut line);
    line
}

const fn kept(error: MintError) -> Kept {
    match error {
        MintError::NoOrigin => Kept::NoOrigin,
        MintError::TooLong => Kept::TooLong,
        MintError::Failed => Kept::SignFailed,
    }
}

impl Due {
    pub(super) const fn kept(self) -> Kept {
        match self {
            Self::Passive => Kept::Passive,
            Self::Ambiguous => Kept::Ambiguous,
            Self::Yes(_) | Self::No => Kept::NotDue,
        }
    }
}
