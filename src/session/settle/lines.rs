//! What the backend's `Set-Cookie` lines do to the session, and what becomes of them (rule K3–K5, K8).

use super::Settling;
use crate::session::Persistence;
use crate::session::attributes::Attributes;
use crate::session::companion::Companion;
use crate::session::decide::{Live, foreign};
use crate::session::effect::Effect;
use crate::session::family::{Family, Subject};
use crate::session::mint::MintError;
use crate::session::outcome::{Event, Fallback, Renewed};
use crate::session::set_cookie::{Lifetime, SetCookie};
use crate::session::time::{Span, UnixSeconds};
use crate::session::token::{Dead, NotOurs, Reading, SessionToken, claimed_exp, looks_like_jwt, read};

/// What one `Set-Cookie` line for C does to the session.
pub(super) enum Meaning {
    /// Says nothing of the session: deletes a cookie of another place, or repeats what is over.
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
pub(super) struct Started {
    pub family: Family,
    pub subject: Option<Subject>,
    pub origin: Option<UnixSeconds>,
    pub end: UnixSeconds,
    pub clamped: bool,
    pub companion: Companion,
}

impl Settling<'_> {
    /// Rule K3–K5, K8: every line for C by itself; the last at the expected place is what the browser keeps.
    pub(super) fn read_lines(&mut self) {
        for (index, line) in self.facts.set_cookies.iter().enumerate() {
            let Some(cookie) = SetCookie::parse(line).filter(|cookie| cookie.name() == self.rules.cookie.name.as_bytes()) else {
                continue;
            };
            self.out.uncacheable = true;
            let attributes = Attributes::of(&cookie, self.facts.request_path);
            let (meaning, replacement) = self.read_line(&cookie, &attributes);
            self.out.lines[index] = replacement;
            let is_expected = attributes.same_place(self.expected());
            let meaning = match meaning {
                // A cookie of the same name at another place replaces nothing.
                Meaning::NoSession if !is_expected && self.verdict.session.is_some() => Meaning::CleanUp,
                meaning => meaning,
            };
            let decides = match &self.last {
                None => true,
                // A shim that deletes the cookie's old place beside setting its new one logs nobody out.
                Some((Meaning::Session(_) | Meaning::Again { .. }, _)) if matches!(meaning, Meaning::Deletion) => {
                    self.last.as_ref().is_some_and(|(_, kept)| kept.same_place(&attributes))
                }
                Some((Meaning::Deletion, kept)) if matches!(meaning, Meaning::Session(_) | Meaning::Again { .. }) => {
                    is_expected || !kept.same_place(&attributes)
                }
                Some((_, kept)) => is_expected || !kept.same_place(self.expected()),
            };
            if decides {
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
            Reading::Dead(Dead::Expired(token)) => {
                // Sent again by an answer that took its time: no sign that anybody logged out.
                let is_own = self.verdict.session.as_ref().is_some_and(|live| live.token.family == token.family);
                let meaning = if is_own { Meaning::CleanUp } else { Meaning::NoSession };
                (meaning, self.fall_back(cookie, Fallback::Expired))
            }
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
        let outlives = token.outlives(ttl, self.now);
        let clamped = outlives && !self.around.ended.is_paused(self.now);
        if outlives {
            self.out.events.push(Event::TtlMismatch { token_seconds: self.now.until(token.exp).as_secs(), policy_seconds: ttl.as_secs() });
        }
        if clamped {
            match self.minted(token) {
                Ok(minted) => {
                    self.out.effects.push(Effect::Renew { family: token.family, exp: minted.exp });
                    (value, end) = (minted.text, minted.exp);
                }
                Err(MintError::NoOrigin) => self.out.events.push(Event::NoOrigin),
                Err(_) => {}
            }
        }
        let age = self.age(cookie, end);
        let persistent = age.is_some();
        let line = cookie.rewritten(&value, age);
        let companion = Companion { attributes: attributes.clone(), persistent };
        let started = Started { family: token.family, subject: token.subject, origin: token.origin, end, clamped, companion };
        (Meaning::Session(Box::new(started)), Some(line))
    }

    /// Rule K4: the first thing that an operator with a wrong key must see.
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

    /// The line's own lifetime, if it has one.
    fn lifetime(&self, cookie: &SetCookie<'_>) -> Option<Span> {
        match cookie.lifetime(self.now) {
            Lifetime::Browser => None,
            Lifetime::Until(end) => Some(Span::from_millis(end.get().saturating_sub(self.now.get()).max(0).unsigned_abs())),
        }
    }

    /// The Max-Age for a token that ends then; `None` leaves a browser-session cookie one (rule K9).
    fn age(&self, cookie: &SetCookie<'_>, end: UnixSeconds) -> Option<Span> {
        let lasts = self.rules.cookie.persistence == Persistence::Always || self.lifetime(cookie).is_some();
        lasts.then(|| self.now.until(end))
    }
}
