//! The one room where time is read. Everything else gets `now` as a value.

use crate::session::time::{Span, UnixMillis};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the wall clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "this is the room")]
        let now = SystemTime::now();
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis::new(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The system's clock to the nanosecond: for what is compared with the clocks of others, and decides nothing.
#[must_use]
pub fn exact() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "this is the room")]
    let now = SystemTime::now();
    now
}

/// Measures how long something takes; never runs backwards.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[must_use]
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the room")]
        let start = Instant::now();
        Self(start)
    }

    /// To the nanosecond, for statistics.
    #[must_use]
    pub fn exact(&self) -> Duration {
        self.0.elapsed()
    }

    #[must_use]
    pub fn elapsed(&self) -> Span {
        Span::from_millis(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
