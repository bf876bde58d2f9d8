//! Idle connections to the backend, used no longer than the backend keeps them (Node closes an idle one after 5 s).

use super::lease::{Http1, Lease};
use super::upload::Upload;
use crate::session::time::Span;
use hyper::client::conn::http2;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// A connection whose answer was just read may need this long to notice that it is free.
const READY_WAIT: Duration = Duration::from_millis(50);

/// Streams on one connection, even if the backend would take more: together they fit into the connection's window, so
/// that streams whose readers are slow never stop the others.
pub const MOST_STREAMS: usize = 100;

/// Room for one request on a connection that carries many.
#[derive(Debug)]
pub struct Multiplexed {
    pub sender: http2::SendRequest<Upload>,
    pub slot: Slot,
}

/// A stream's place on its connection, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<Upload>,
    /// Streams that the backend allows, as it says itself.
    allowed: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    used: Instant,
}

#[derive(Debug)]
pub struct Pool {
    idle: Mutex<VecDeque<(Http1, Instant)>>,
    shared: Mutex<Vec<Shared>>,
    longest_idle: Duration,
    max_idle: usize,
    is_swept: AtomicBool,
}

impl Pool {
    pub fn new(idle: Span, max_idle: usize) -> Self {
        Self { idle: Mutex::default(), shared: Mutex::default(), longest_idle: idle.to_std(), max_idle, is_swept: AtomicBool::new(false) }
    }

    /// The connection that was used last, for it has the longest to live.
    pub async fn take(self: &Arc<Self>) -> Option<Lease> {
        loop {
            let (mut connection, since) = lock(&self.idle).pop_back()?;
            if since.elapsed() >= self.longest_idle || connection.is_closed() {
                continue;
            }
            if connection.is_ready() || tokio::time::timeout(READY_WAIT, connection.ready()).await.is_ok_and(|ready| ready.is_ok()) {
                return Some(Lease::new(connection, Arc::clone(self)));
            }
        }
    }

    pub fn put(self: &Arc<Self>, connection: Http1) {
        if connection.is_closed() {
            return;
        }
        let mut idle = lock(&self.idle);
        idle.push_back((connection, Instant::now()));
        if idle.len() > self.max_idle {
            idle.pop_front();
        }
        drop(idle);
        self.keep_swept();
    }

    /// A place on a connection that has one; the fullest first, so that the others may become idle.
    pub fn multiplexed(&self) -> Option<Multiplexed> {
        let mut shared = lock(&self.shared);
        shared.retain(|one| one.is_alive(self.longest_idle));
        let has_room = |one: &&mut Shared| one.open.load(Ordering::Relaxed) < MOST_STREAMS.min(one.allowed.load(Ordering::Relaxed));
        let fullest = shared.iter_mut().filter(has_room).max_by_key(|one| one.open.load(Ordering::Relaxed))?;
        Some(fullest.place())
    }

    /// A new connection, for this request and others.
    pub fn share(self: &Arc<Self>, sender: http2::SendRequest<Upload>, allowed: Arc<AtomicUsize>) -> Multiplexed {
        let mut one = Shared { sender, allowed, open: Arc::default(), used: Instant::now() };
        let place = one.place();
        lock(&self.shared).push(one);
        self.keep_swept();
        place
    }

    fn keep_swept(self: &Arc<Self>) {
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self), self.longest_idle / 2));
        }
    }
}

impl Shared {
    fn is_alive(&self, longest_idle: Duration) -> bool {
        let is_idle = self.open.load(Ordering::Relaxed) == 0 && self.used.elapsed() >= longest_idle;
        !self.sender.is_closed() && !is_idle
    }

    fn place(&mut self) -> Multiplexed {
        self.used = Instant::now();
        self.open.fetch_add(1, Ordering::Relaxed);
        Multiplexed { sender: self.sender.clone(), slot: Slot(Arc::clone(&self.open)) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes what is idle for too long, so that the backend need not.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        lock(&pool.idle).retain(|(connection, since)| since.elapsed() < pool.longest_idle && !connection.is_closed());
        lock(&pool.shared).retain(|one| one.is_alive(pool.longest_idle));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
