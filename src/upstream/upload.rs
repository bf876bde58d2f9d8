//! The client's body on its way to the backend: who is being waited for, and for how long.

use super::UpstreamError;
use crate::headers::without_unsafe_trailers;
use crate::session::time::Span;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The span over which a body's rate is measured, and how long a body may be slow before anybody measures.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// How often a body on its way is looked at.
const TICK: Duration = Duration::from_millis(500);

/// What a client's body must keep up, as long as the backend has not begun to answer.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// The longest pause; `None` waits for ever.
    pub idle: Option<Span>,
    /// Bytes per second, over every ten seconds; 0 is no limit.
    pub rate: u64,
}

impl UploadLimits {
    /// Those that hold for a request with these fields. A message of unknown length may be a conversation, which has no
    /// rate; and gRPC's are, where either side may have nothing to say for hours, the first answer included.
    pub fn of(&self, headers: &HeaderMap) -> Self {
        let is_grpc = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let is_counted = headers.contains_key(header::CONTENT_LENGTH);
        Self { idle: self.idle.filter(|_| !is_grpc), rate: if is_counted { self.rate } else { 0 } }
    }
}

/// The client's body, which tells how far it is.
#[derive(Debug)]
pub struct Upload {
    /// `None` for a request that has none.
    body: Option<(Incoming, Arc<UploadState>)>,
}

/// How far a body is.
#[derive(Debug, Default)]
pub struct UploadState {
    moved: AtomicU64,
    /// The backend would take more, and the client has not sent it.
    waits: AtomicBool,
    done: AtomicBool,
    finished: Notify,
}

impl Upload {
    /// Without a state where there is nothing to send.
    pub fn new(body: Incoming) -> (Self, Option<Arc<UploadState>>) {
        if body.is_end_stream() {
            return (Self { body: None }, None);
        }
        let state = Arc::new(UploadState::default());
        (Self { body: Some((body, Arc::clone(&state))) }, Some(state))
    }

    pub const fn nothing() -> Self {
        Self { body: None }
    }
}

/// Ends when too much time went by without an answer, and says whose fault that is.
pub async fn patience(state: Option<&UploadState>, limits: &UploadLimits, response: Option<Span>) -> UpstreamError {
    if let Some(state) = state
        && let Some(fault) = state.patience(limits, response).await
    {
        return fault;
    }
    match response {
        Some(limit) => tokio::time::sleep(limit.to_std()).await,
        None => std::future::pending().await,
    }
    UpstreamError::Silent
}

impl UploadState {
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn finish(&self) {
        if !self.done.swap(true, Ordering::AcqRel) {
            self.finished.notify_one();
        }
    }

    /// Ends with `None` when the body has gone, and otherwise when it takes too long.
    async fn patience(&self, limits: &UploadLimits, response: Option<Span>) -> Option<UpstreamError> {
        let mut last = (Instant::now(), 0);
        let mut window = last;
        while !self.is_done() {
            tokio::select! {
                () = self.finished.notified() => break,
                () = tokio::time::sleep(TICK) => {}
            }
            let (now, moved) = (Instant::now(), self.moved.load(Ordering::Relaxed));
            if moved != last.1 {
                last = (now, moved);
            }
            let quiet = now.duration_since(last.0);
            if !self.waits.load(Ordering::Relaxed) {
                // The backend does not take what is there: that is no client's fault.
                window = (now, moved);
                if response.is_some_and(|limit| quiet >= limit.to_std()) {
                    return Some(UpstreamError::Silent);
                }
                continue;
            }
            if limits.idle.is_some_and(|limit| quiet >= limit.to_std()) {
                return Some(UpstreamError::ClientSlow);
            }
            if now.duration_since(window.0) >= RATE_WINDOW {
                if moved.saturating_sub(window.1) < limits.rate.saturating_mul(RATE_WINDOW.as_secs()) {
                    return Some(UpstreamError::ClientSlow);
                }
                window = (now, moved);
            }
        }
        None
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some((body, state)) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(context);
        state.waits.store(frame.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            state.moved.fetch_add(u64::try_from(data.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if matches!(frame, Poll::Ready(None)) || body.is_end_stream() {
            state.finish();
        }
        frame.map_ok(without_unsafe_trailers)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: UploadLimits = UploadLimits { idle: Some(Span::from_secs(30)), rate: 500 };
    const RESPONSE: Option<Span> = Some(Span::from_secs(60));

    /// What happens to a body whose bytes move like this each second, and when.
    async fn fate(limits: UploadLimits, waits: bool, seconds: u64, per_second: u64) -> Option<(UpstreamError, u64)> {
        let state = Arc::new(UploadState::default());
        state.waits.store(waits, Ordering::Relaxed);
        let start = Instant::now();
        let moving = Arc::clone(&state);
        let feed = tokio::spawn(async move {
            for _ in 0..seconds {
                tokio::time::sleep(Duration::from_secs(1)).await;
                moving.moved.fetch_add(per_second, Ordering::Relaxed);
            }
            std::future::pending::<()>().await;
        });
        let limit = Duration::from_secs(seconds + 120);
        let fate = tokio::time::timeout(limit, patience(Some(&state), &limits, RESPONSE)).await.ok();
        feed.abort();
        fate.map(|error| (error, start.elapsed().as_secs()))
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_body_that_pauses_too_long_is_the_clients_fault() {
        assert_eq!(fate(LIMITS, true, 0, 0).await, Some((UpstreamError::ClientSlow, 10)), "below the rate first");
        let only_idle = UploadLimits { rate: 0, ..LIMITS };
        assert_eq!(fate(only_idle, true, 0, 0).await, Some((UpstreamError::ClientSlow, 30)));
        assert_eq!(fate(only_idle, true, 100, 1).await, Some((UpstreamError::ClientSlow, 130)), "a byte a second is no pause");
        assert_eq!(fate(UploadLimits { idle: None, rate: 0 }, true, 0, 0).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_body_below_the_rate_is_cut_and_one_above_it_takes_its_time() {
        assert_eq!(fate(LIMITS, true, 100, 480).await.map(|fate| fate.1), Some(10));
        let steady = fate(LIMITS, true, 600, 560).await.unwrap();
        assert!(steady.1 > 600, "{steady:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_backend_that_takes_nothing_is_its_own_fault() {
        assert_eq!(fate(LIMITS, false, 0, 0).await, Some((UpstreamError::Silent, 60)));
    }

    #[tokio::test(start_paused = true)]
    async fn t4_the_clock_of_the_answer_starts_when_the_body_has_gone() {
        let state = Arc::new(UploadState::default());
        state.waits.store(true, Ordering::Relaxed);
        let start = Instant::now();
        let sent = Arc::clone(&state);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            sent.finish();
        });
        assert_eq!(patience(Some(&state), &LIMITS, RESPONSE).await, UpstreamError::Silent);
        assert_eq!(start.elapsed().as_secs(), 65);
    }
}
