//! WebSockets and event streams that are open, and the sessions that they were opened with (rule W2). Bytes on them are
//! no activity, so their sessions may end before they do.

use crate::session::family::{Family, Subject};
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use crate::session::token::SessionToken;
use crate::session::{Ended, Ending};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// `SESSION_STREAMS`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamMode {
    /// They live on; a gauge counts those that outlive their session.
    #[default]
    Ignore,
    /// They end with their session.
    Close,
}

/// Why a stream ends that nobody ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Its session is over.
    SessionOver,
    /// slidecar stops, or nothing moved for too long.
    GoingAway,
}

/// Every open stream.
#[derive(Debug)]
pub struct Streams {
    mode: StreamMode,
    registry: Mutex<Registry>,
    count: AtomicUsize,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Registry {
    open: HashMap<u64, Open>,
    /// By family: when its session ends, and how many streams it has.
    ends: HashMap<[u8; 16], (UnixMillis, usize)>,
}

#[derive(Debug)]
struct Open {
    session: Option<Session>,
    end: Option<oneshot::Sender<Farewell>>,
}

#[derive(Debug)]
struct Session {
    family: Family,
    subject: Option<Subject>,
    origin: Option<UnixSeconds>,
}

/// One stream's place; dropping it says that the stream has ended.
#[derive(Debug)]
pub struct Registration {
    id: u64,
    streams: Arc<Streams>,
    /// Hears when the stream has to end.
    pub end: oneshot::Receiver<Farewell>,
}

impl Streams {
    #[must_use]
    pub fn new(mode: StreamMode) -> Self {
        Self { mode, registry: Mutex::default(), count: AtomicUsize::new(0), next: AtomicU64::new(0) }
    }

    /// A stream opens, with a session or without.
    #[must_use]
    pub fn enter(self: &Arc<Self>, token: Option<&SessionToken>) -> Registration {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, end) = oneshot::channel();
        let session = token.map(|token| Session { family: token.family, subject: token.subject, origin: token.origin });
        let mut registry = self.lock();
        if let Some(token) = token {
            let (ends, streams) = registry.ends.entry(*token.family.id()).or_insert((UnixMillis::new(0), 0));
            *ends = token.effective_exp().millis().max(*ends);
            *streams += 1;
        }
        registry.open.insert(id, Open { session, end: Some(sender) });
        drop(registry);
        self.count.fetch_add(1, Ordering::Relaxed);
        Registration { id, streams: Arc::clone(self), end }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Without a lock: asked on every request.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// A session has a later end than its streams knew.
    pub fn extend(&self, family: &Family, ends: UnixMillis) {
        if self.is_empty() {
            return;
        }
        if let Some((known, _)) = self.lock().ends.get_mut(family.id()) {
            *known = ends.max(*known);
        }
    }

    /// Ends what has to end; answers how many live on beyond their session. `buffer` is how long after its session's end a
    /// stream may live: the grace that the browser's timer has too. `renewal` tells a later end that a peer knows of.
    pub fn sweep(&self, ended: &dyn Ended, renewal: impl Fn(&Family) -> Option<UnixMillis>, buffer: Span, now: UnixMillis) -> usize {
        let mut outliving = 0_usize;
        let Registry { open, ends } = &mut *self.lock();
        for open in open.values_mut() {
            let Some(session) = &open.session else { continue };
            let Some((ends, _)) = ends.get_mut(session.family.id()) else { continue };
            *ends = renewal(&session.family).map_or(*ends, |renewed| renewed.max(*ends));
            let ending: Option<Ending> = ended.ended(&session.family, session.subject.as_ref(), session.origin, now);
            if now < *ends && ending.is_none() {
                continue;
            }
            outliving += 1;
            let is_due = ending.is_some() || now >= ends.plus(buffer);
            if self.mode == StreamMode::Close && is_due {
                say(open, Farewell::SessionOver);
            }
        }
        outliving
    }

    /// Ends all of them.
    pub fn end_all(&self) {
        self.lock().open.values_mut().for_each(|open| say(open, Farewell::GoingAway));
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say(open: &mut Open, farewell: Farewell) {
    if let Some(end) = open.end.take() {
        let _ = end.send(farewell); // A stream that is ending already does not listen.
    }
}

impl Registry {
    fn leave(&mut self, id: u64) {
        let Some(Open { session: Some(session), .. }) = self.open.remove(&id) else { return };
        if let Entry::Occupied(mut family) = self.ends.entry(*session.family.id()) {
            family.get_mut().1 -= 1;
            if family.get().1 == 0 {
                family.remove();
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.streams.lock().leave(self.id);
        self.streams.count.fetch_sub(1, Ordering::Relaxed);
    }
}
