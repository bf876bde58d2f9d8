//! What a connection is doing, known to its socket and to whoever answers its requests.

use crate::session::time::Span;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    FirstByte,
    Head,
    /// A request is being answered: other clocks rule.
    Busy,
    Idle,
}

/// Shared by a connection's socket and its service.
#[derive(Clone, Debug)]
pub struct Progress(Arc<State>);

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    /// Requests being answered; more than one with HTTP/2 only.
    busy: AtomicUsize,
    /// Requests so far.
    begun: AtomicU64,
    /// HTTP/2: bytes on an idle connection are no head, for there are pings and settings.
    is_multiplexed: AtomicBool,
    is_tunnel: AtomicBool,
    /// Bytes were read, and nobody asked for more since.
    is_unheard: AtomicBool,
    /// An answer broke off that an old client could take for whole: only a reset tells it.
    is_broken: AtomicBool,
    /// The connection is quiet, and hyper shall let go of the socket without a word.
    is_parking: AtomicBool,
}

/// A request in the making: busy until it is dropped.
#[derive(Debug)]
pub struct Busy(Option<Progress>);

impl Progress {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(State {
            phase: AtomicU8::new(Phase::FirstByte as u8),
            busy: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            is_multiplexed: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
            is_unheard: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_parking: AtomicBool::new(false),
        }))
    }

    /// HTTP/2 is spoken from here on.
    pub fn multiplex(&self) {
        self.0.is_multiplexed.store(true, Ordering::Relaxed);
        self.set(Phase::Idle);
    }

    pub fn is_multiplexed(&self) -> bool {
        self.0.is_multiplexed.load(Ordering::Relaxed)
    }

    /// Ends when nothing has been asked for so long.
    pub async fn idle_for(&self, limit: Span) {
        let tick = limit.divided_by(4).to_std();
        let (mut seen, mut quiet) = (self.begun(), 0);
        while quiet < 4 {
            tokio::time::sleep(tick).await;
            let is_quiet = self.busy() == 0 && self.begun() == seen;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            seen = self.begun();
        }
    }

    /// A head is complete; what is returned goes with the answer to its end.
    #[must_use]
    pub fn begin(&self) -> Busy {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        // What follows when this one and all others are through.
        self.set(Phase::Idle);
        Busy(Some(self.clone()))
    }

    /// An answer is being made, and nobody listens to the client meanwhile.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.0.is_unheard.load(Ordering::Relaxed) && self.busy() > 0
    }

    /// Requests that are being answered.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.0.busy.load(Ordering::Relaxed)
    }

    /// Requests so far on this connection.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// The connection is quiet: whoever serves it should take the socket back.
    #[must_use]
    pub fn is_parking(&self) -> bool {
        self.0.is_parking.load(Ordering::Relaxed)
    }

    /// Says whether the connection is quiet.
    pub fn park(&self, is_quiet: bool) {
        self.0.is_parking.store(is_quiet, Ordering::Relaxed);
    }

    /// Says whether bytes were read since anybody asked for more.
    pub fn hear(&self, is_unheard: bool) {
        self.0.is_unheard.store(is_unheard, Ordering::Relaxed);
    }

    /// The connection ends by a reset.
    pub fn break_off(&self) {
        self.0.is_broken.store(true, Ordering::Relaxed);
    }

    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.0.is_broken.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.0.is_tunnel.load(Ordering::Relaxed)
    }

    pub fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub fn get(&self) -> Phase {
        // The count decides: with several requests at once, the end of one may cross the beginning of another.
        if self.busy() > 0 {
            return Phase::Busy;
        }
        let phase = self.0.phase.load(Ordering::Relaxed);
        [Phase::FirstByte, Phase::Head].into_iter().find(|known| *known as u8 == phase).unwrap_or(Phase::Idle)
    }
}

impl Busy {
    /// The connection became a tunnel: it never waits for a head again, and what comes after our last word is the
    /// tunnel's to read.
    pub fn for_good(mut self) {
        if let Some(progress) = self.0.take() {
            progress.0.is_tunnel.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.0.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
