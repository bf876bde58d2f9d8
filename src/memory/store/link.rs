//! Whether the store is there, and since when not.

use crate::session::time::Span;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Link {
    /// The address, without what it takes to log in.
    shown: String,
    grace: Span,
    begun: Instant,
    /// Milliseconds from the beginning until it was last heard, plus one; zero before the first time. A clock that no
    /// administrator sets: a step of the other one must not end the grace.
    heard: AtomicU64,
    is_connected: watch::Sender<bool>,
    has_overflowed: AtomicBool,
    trouble: RwLock<String>,
}

impl Link {
    pub(super) fn new(shown: String, grace: Span) -> Self {
        let is_connected = watch::Sender::new(false);
        Self {
            shown,
            grace,
            begun: Instant::now(),
            heard: AtomicU64::new(0),
            is_connected,
            has_overflowed: AtomicBool::new(false),
            trouble: RwLock::default(),
        }
    }

    /// Nothing was heard for longer than the grace, or ever.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        heard == 0 || self.since_beginning().saturating_sub(heard) > self.grace.as_millis()
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.is_connected.borrow()
    }

    /// Since it was last heard; `None` if it never was.
    #[must_use]
    pub fn silence(&self) -> Option<Span> {
        let heard = self.heard.load(Ordering::Relaxed);
        (heard > 0).then(|| Span::from_millis(self.since_beginning().saturating_sub(heard.saturating_sub(1))))
    }

    /// Ends when everything that the store holds was read for the first time.
    pub async fn connected(&self) {
        let _ = self.is_connected.subscribe().wait_for(|connected| *connected).await; // The sender is ours.
    }

    /// A line for an operator: the address, and what is wrong.
    #[must_use]
    pub fn describe(&self) -> String {
        let trouble = self.trouble.read().unwrap_or_else(PoisonError::into_inner);
        match (self.is_connected(), self.is_blind()) {
            (false, _) if self.heard.load(Ordering::Relaxed) == 0 => {
                format!("{} not reached yet ({trouble}): sessions are refused", self.shown)
            }
            (true, _) => format!("{} connected", self.shown),
            (false, false) => format!("{} lost ({trouble}): sessions are let in on what was last known", self.shown),
            (false, true) => format!("{} lost ({trouble}): sessions are refused", self.shown),
        }
    }

    /// It answered. That is worth nothing before all was read for the first time.
    pub(super) fn alive(&self) {
        if self.is_connected() {
            self.heard();
        }
    }

    /// More was said than could be told.
    pub(super) fn overflow(&self) {
        self.has_overflowed.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_overflow(&self) -> bool {
        self.has_overflowed.swap(false, Ordering::Relaxed)
    }

    fn heard(&self) {
        self.heard.store(self.since_beginning().saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn found(&self) {
        self.heard();
        self.is_connected.send_replace(true);
        tracing::info!(event = "store_connected", store = self.shown);
    }

    /// What is lost for long, for one reason, is said once.
    pub(super) fn lost(&self, trouble: &str) {
        let was_connected = self.is_connected.send_replace(false);
        let is_news = std::mem::replace(&mut *self.trouble.write().unwrap_or_else(PoisonError::into_inner), trouble.to_owned()) != trouble;
        if was_connected || is_news {
            tracing::error!(event = "store_lost", store = self.shown, error = trouble, grace_ms = self.grace.as_millis());
        }
    }

    fn since_beginning(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn r4_blind_before_the_first_word_and_after_the_grace() {
        let link = Link::new("redis://h".to_owned(), Span::from_secs(60));
        assert!(link.is_blind() && !link.is_connected() && link.describe().starts_with("redis://h not reached yet"));
        link.found();
        assert!(!link.is_blind() && link.is_connected());
        link.lost("refused");
        link.alive();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!link.is_blind());
        assert_eq!(link.describe(), "redis://h lost (refused): sessions are let in on what was last known");
        tokio::time::advance(Duration::from_millis(2)).await;
        assert!(link.is_blind() && link.describe().ends_with("sessions are refused"));
        link.found();
        assert_eq!((link.is_blind(), link.describe().as_str()), (false, "redis://h connected"));
    }
}
