//! One exchange on an HTTP/1.1 connection: it goes back to the pool when both bodies have gone, and is closed at once if
//! anything was left.

use super::UpstreamError;
use super::pool::{Pool, Slot};
use super::upload::{Upload, UploadState};
use crate::headers::without_unsafe_trailers;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::task::AbortHandle;

/// A connection that carries one request after the other; dropping it closes it.
#[derive(Debug)]
pub struct Http1 {
    sender: SendRequest<Upload>,
    /// Bytes that the backend sent so far.
    received: Arc<AtomicU64>,
    task: AbortHandle,
    /// The connection is a tunnel now and lives by itself.
    is_free: bool,
}

/// A connection that is in use.
#[derive(Debug)]
pub struct Lease {
    connection: Http1,
    pool: Arc<Pool>,
}

/// An exchange that came to nothing.
pub struct Failed {
    pub cause: hyper::Error,
    /// The request, if none of it was written.
    pub unsent: Option<Box<Request<Upload>>>,
    /// The backend began to answer, or to work on it.
    pub answered: bool,
}

/// The backend's body as it streams.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    /// What the connection needs to go back.
    lease: Option<(Lease, Option<Arc<UploadState>>)>,
    /// The place among the streams of a connection that carries many.
    _slot: Option<Slot>,
}

impl Http1 {
    pub const fn new(sender: SendRequest<Upload>, received: Arc<AtomicU64>, task: AbortHandle) -> Self {
        Self { sender, received, task, is_free: false }
    }

    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub async fn ready(&mut self) -> hyper::Result<()> {
        self.sender.ready().await
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        if !self.is_free {
            self.task.abort();
        }
    }
}

impl Lease {
    pub const fn new(connection: Http1, pool: Arc<Pool>) -> Self {
        Self { connection, pool }
    }

    /// Cancelling this closes the connection, so the backend hears of it.
    pub async fn send(mut self, request: Request<Upload>, state: Option<&Arc<UploadState>>) -> Result<Response<Download>, Failed> {
        let connection = &mut self.connection;
        let before = connection.received.load(Ordering::Relaxed);
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    connection.is_free = true;
                    return Ok(response.map(|body| Download { body, lease: None, _slot: None }));
                }
                Ok(response.map(|body| {
                    let mut download = Download { body, lease: Some((self, state.cloned())), _slot: None };
                    if download.body.is_end_stream() {
                        download.release();
                    }
                    download
                }))
            }
            Err(mut failed) => {
                let unsent = failed.take_message().map(Box::new);
                let answered = connection.received.load(Ordering::Relaxed) > before;
                Err(Failed { cause: failed.into_error(), unsent, answered })
            }
        }
    }

    fn release(self) {
        self.pool.put(self.connection);
    }
}

impl Failed {
    /// On a connection that carries many: what the backend said of the stream tells whether it looked at the request.
    pub fn of_stream(mut failed: TrySendError<Request<Upload>>) -> Self {
        let unsent = failed.take_message().map(Box::new);
        let cause = failed.into_error();
        let answered = protocol_error(&cause).is_some_and(|error| error.is_reset() && error.is_remote());
        Self { cause, unsent, answered }
    }

    /// Whether this very request may be sent once more.
    pub fn allows(&self, again: &Request<Upload>) -> bool {
        // RFC 9113 §8.7: a refused stream was not processed, whatever its method.
        let is_refused = protocol_error(&self.cause).is_some_and(|error| error.reason() == Some(h2::Reason::REFUSED_STREAM));
        // RFC 9110 §9.2.1: asked twice, a backend does no more than asked once.
        let is_safe = matches!(*again.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        is_refused || (is_safe && !self.answered)
    }

    pub fn error(&self) -> UpstreamError {
        let cause = &self.cause;
        tracing::debug!(event = "upstream_failed", error = %cause, detail = std::error::Error::source(cause).map(tracing::field::display));
        if cause.is_user() { UpstreamError::ClientBody } else { UpstreamError::Broken }
    }
}

fn protocol_error(cause: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(cause)?.downcast_ref()
}

impl Download {
    /// A stream among others of its connection.
    pub const fn multiplexed(body: Incoming, slot: Slot) -> Self {
        Self { body, lease: None, _slot: Some(slot) }
    }

    /// An answer to a request that is still being sent leaves the connection in no state to be used again.
    fn release(&mut self) {
        if let Some((lease, state)) = self.lease.take()
            && state.is_none_or(|state| state.is_done())
        {
            lease.release();
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Ready(None) => self.release(),
            // After trailers nothing comes, and hyper does not ask whether it did.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() || self.body.is_end_stream() => self.release(),
            _ => {}
        }
        frame.map_ok(without_unsafe_trailers)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
