//! Idle connections to the backend, used no longer than the backend keeps them (Node closes an idle one after 5 s).

use super::lease::{Http1, Lease};
use super::upload::Upload;
use crate::session::time::Span;
use hyper::client::conn::http2;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// A connection whose answer was just read may need this long to notice that it is free.
const READY_WAIT: Duration = Duration::from_millis(50);

/// A connection for any number of requests at once.
pub type Multiplexed = http2::SendRequest<Upload>;

#[derive(Debug)]
pub struct Pool {
    idle: Mutex<VecDeque<(Http1, Instant)>>,
    multiplexed: Mutex<Option<Multiplexed>>,
    longest_idle: Duration,
    max_idle: usize,
    is_swept: AtomicBool,
}

impl Pool {
    pub fn new(idle: Span, max_idle: usize) -> Self {
        Self {
            idle: Mutex::default(),
            multiplexed: Mutex::default(),
            longest_idle: idle.to_std(),
            max_idle,
            is_swept: AtomicBool::new(false),
        }
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
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self), self.longest_idle / 2));
        }
    }

    pub fn multiplexed(&self) -> Option<Multiplexed> {
        let mut shared = lock(&self.multiplexed);
        if shared.as_ref().is_some_and(Multiplexed::is_closed) {
            *shared = None;
        }
        shared.clone()
    }

    pub fn share(&self, connection: Multiplexed) {
        *lock(&self.multiplexed) = Some(connection);
    }
}

/// Closes what is idle for too long, so that the backend need not.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        lock(&pool.idle).retain(|(connection, since)| since.elapsed() < pool.longest_idle && !connection.is_closed());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
