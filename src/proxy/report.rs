//! Events that an operator should hear about, in the words of the documents. What any client can cause is said at most
//! once in a while, so that nobody can fill a log.

use crate::session::outcome::Event;
use crate::session::time::{Span, UnixMillis};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The least time between two events of one kind that clients can cause.
const QUIET: Span = Span::from_secs(10);

/// The least time between two looks at the other cookies of people without a session.
const LOOK_EVERY: Span = Span::from_millis(100);

/// Says events, and keeps silent about repetitions.
#[derive(Debug, Default)]
pub struct Reporter {
    heard: Mutex<HashMap<&'static str, Heard>>,
    next_look: AtomicI64,
}

#[derive(Debug)]
struct Heard {
    quiet_until: UnixMillis,
    suppressed: u64,
}

impl Reporter {
    pub fn report(&self, events: &[Event], now: UnixMillis) {
        for event in events {
            self.say(event, now);
        }
    }

    /// The first thing that an operator with a wrong key must see: tokens come, and none has ever verified.
    pub fn unverified(&self, now: UnixMillis) {
        if let Some(suppressed) = self.turn("session_token_unverified", now) {
            tracing::warn!(
                event = "session_token_unverified",
                suppressed,
                detail = "no session token of a request has verified since the start: is JWT_SECRET the backend's key, and JWT_ALGORITHM its algorithm?",
            );
        }
    }

    /// Whether to look for a session under another name: before one with the right name has come, most requests of a public
    /// site have none.
    pub fn may_look(&self, now: UnixMillis) -> bool {
        let is_time = now.get() >= self.next_look.load(Ordering::Relaxed);
        if is_time {
            self.next_look.store(now.plus(LOOK_EVERY).get(), Ordering::Relaxed);
        }
        is_time
    }

    /// And the first thing that one with a wrong name must see.
    pub fn misnamed(&self, name: &[u8], now: UnixMillis) {
        if let Some(suppressed) = self.turn("session_cookie_misnamed", now) {
            tracing::warn!(
                event = "session_cookie_misnamed",
                found = %String::from_utf8_lossy(name),
                suppressed,
                detail = "no session has come yet, but a cookie of another name holds one: is SESSION_COOKIE_NAME the backend's?",
            );
        }
    }

    fn say(&self, event: &Event, now: UnixMillis) {
        match event {
            Event::TtlMismatch { token_seconds, policy_seconds } => tracing::warn!(
                event = "session_ttl_mismatch",
                token_seconds,
                policy_seconds,
                detail = "the backend's token outlives JWT_EXPIRES_IN; it is shortened to it",
            ),
            Event::TokenUnverified => tracing::warn!(
                event = "session_token_unverified",
                detail = "the backend's token does not verify with JWT_SECRET and JWT_ALGORITHM: requests that carry it count as anonymous",
            ),
            Event::MaxAgeFallback(why) => tracing::warn!(event = "cookie_maxage_fallback", reason = why.word()),
            Event::TokenUnusable(why) => {
                if let Some(suppressed) = self.turn("session_token_unusable", now) {
                    tracing::warn!(event = "session_token_unusable", reason = why.word(), suppressed);
                }
            }
            Event::NoOrigin => {
                if let Some(suppressed) = self.turn("no_origin", now) {
                    tracing::warn!(
                        event = "no_origin",
                        suppressed,
                        detail = "SESSION_ABSOLUTE_TIMEOUT is set and the token has none of auth_time, orig_iat, iat: it is never renewed",
                    );
                }
            }
            Event::CompanionRejected => {
                if let Some(suppressed) = self.turn("companion_rejected", now) {
                    tracing::warn!(event = "companion_rejected", suppressed);
                }
            }
        }
    }

    /// How many were kept silent before this one; `None` if this one is to be.
    fn turn(&self, kind: &'static str, now: UnixMillis) -> Option<u64> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(kind) {
            Some(last) if now < last.quiet_until => {
                last.suppressed = last.suppressed.saturating_add(1);
                None
            }
            last => {
                let suppressed = last.map_or(0, |last| last.suppressed);
                heard.insert(kind, Heard { quiet_until: now.plus(QUIET), suppressed: 0 });
                Some(suppressed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q8_what_clients_cause_is_said_once_in_a_while() {
        let reporter = Reporter::default();
        let turn = |kind, second: i64| reporter.turn(kind, UnixMillis::new(second * 1000));
        assert_eq!(turn("a", 0), Some(0));
        assert_eq!((turn("a", 5), turn("a", 9), turn("b", 9)), (None, None, Some(0)));
        assert_eq!((turn("a", 10), turn("a", 11), turn("a", 30)), (Some(2), None, Some(1)));
    }
}
