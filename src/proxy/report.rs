//! Events that an operator should hear about, in the words of the documents. What any client can cause is said at most
//! once in a while, so that nobody can fill a log.

use crate::metrics::Metrics;
use crate::session::breaker::Pause;
use crate::session::outcome::{Event, EventKind};
use crate::session::time::{Span, UnixMillis};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The least time between two events of one kind that clients can cause.
const QUIET: Span = Span::from_secs(10);

/// The least time between two looks at the other cookies of people without a session.
const LOOK_EVERY: Span = Span::from_millis(100);

/// Counts events and says them, and keeps silent about repetitions.
pub struct Reporter {
    metrics: Arc<Metrics>,
    heard: Mutex<HashMap<EventKind, Heard>>,
    next_look: AtomicI64,
}

#[derive(Debug)]
struct Heard {
    quiet_until: UnixMillis,
    suppressed: u64,
}

impl Reporter {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, heard: Mutex::default(), next_look: AtomicI64::new(0) }
    }

    pub fn report(&self, events: &[Event], now: UnixMillis) {
        for event in events {
            self.say(event, now);
        }
    }

    /// The first thing that an operator with a wrong key must see: tokens come, and none has ever verified.
    pub fn unverified(&self, now: UnixMillis) {
        if let Some(suppressed) = self.turn(EventKind::TokenUnverified, now) {
            tracing::warn!(
                event = EventKind::TokenUnverified.word(),
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
        if let Some(suppressed) = self.turn(EventKind::CookieMisnamed, now) {
            tracing::warn!(
                event = EventKind::CookieMisnamed.word(),
                found = %String::from_utf8_lossy(name),
                suppressed,
                detail = "no session has come yet, but a cookie of another name holds one: is SESSION_COOKIE_NAME the backend's?",
            );
        }
    }

    /// Rule O4.
    pub fn paused(&self, pause: &Pause) {
        self.metrics.event(EventKind::RenewedRejected);
        tracing::error!(
            event = EventKind::RenewedRejected.word(),
            rejected = pause.rejected,
            of = pause.of,
            paused_ms = pause.lasts.as_millis(),
            detail = "the backend answers 401 to tokens that it did not make itself, as one does that remembers them: nothing is renewed or shortened until the pause is over or other settings hold; let the backend verify signatures only",
        );
    }

    fn say(&self, event: &Event, now: UnixMillis) {
        let kind = event.kind().word();
        match event {
            Event::TtlMismatch { token_seconds, policy_seconds } => {
                self.metrics.event(event.kind());
                tracing::warn!(
                    event = kind,
                    token_seconds,
                    policy_seconds,
                    detail = "the backend's token outlives JWT_EXPIRES_IN; it is shortened to it",
                );
            }
            Event::TokenUnverified => {
                self.metrics.event(event.kind());
                tracing::warn!(
                    event = kind,
                    detail =
                        "the backend's token does not verify with JWT_SECRET and JWT_ALGORITHM: requests that carry it count as anonymous",
                );
            }
            Event::MaxAgeFallback(why) => {
                self.metrics.event(event.kind());
                tracing::warn!(event = kind, reason = why.word());
            }
            Event::TokenUnusable(why) => {
                if let Some(suppressed) = self.turn(event.kind(), now) {
                    tracing::warn!(event = kind, reason = why.word(), suppressed);
                }
            }
            Event::NoOrigin => {
                if let Some(suppressed) = self.turn(event.kind(), now) {
                    tracing::warn!(
                        event = kind,
                        suppressed,
                        detail = "SESSION_ABSOLUTE_TIMEOUT is set and the token has none of auth_time, orig_iat, iat: it is never renewed",
                    );
                }
            }
            Event::CompanionRejected => {
                if let Some(suppressed) = self.turn(event.kind(), now) {
                    tracing::warn!(event = kind, suppressed);
                }
            }
        }
    }

    /// How many were kept silent before this one; `None` if this one is to be. All are counted.
    fn turn(&self, kind: EventKind, now: UnixMillis) -> Option<u64> {
        self.metrics.event(kind);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(&kind) {
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
        let reporter = Reporter::new(Arc::default());
        let (a, b) = (EventKind::NoOrigin, EventKind::TokenUnusable);
        let turn = |kind, second: i64| reporter.turn(kind, UnixMillis::new(second * 1000));
        assert_eq!(turn(a, 0), Some(0));
        assert_eq!((turn(a, 5), turn(a, 9), turn(b, 9)), (None, None, Some(0)));
        assert_eq!((turn(a, 10), turn(a, 11), turn(a, 30)), (Some(2), None, Some(1)));
        assert!(reporter.metrics.render().contains("slidecar_events_total{event=\"no_origin\"} 6\n"));
    }
}
