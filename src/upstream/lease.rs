//! One exchange on an HTTP/1.1 connection: it goes back to the pool when both bodies have gone, and is closed at once if
//! anything was left.

use super::again::{Failed, Traffic, is_safe};
use super::pool::{Pool, Slot};
use super::upload::{Upload, UploadState};
use crate::headers::without_unsafe_trailers;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::AbortHandle;

/// A connection that carries one request after the other; dropping it closes it.
#[derive(Debug)]
pub struct Http1 {
    sender: SendRequest<Upload>,
    traffic: Arc<Traffic>,
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
    pub const fn new(sender: SendRequest<Upload>, traffic: Arc<Traffic>, task: AbortHandle) -> Self {
        Self { sender, traffic, task, is_free: false }
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
        let before = connection.traffic.received();
        connection.traffic.begin(state.is_none() && is_safe(request.method()));
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
                let answered = connection.traffic.received() > before;
                Err(Failed { cause: failed.into_error(), unsent, answered, kept: connection.traffic.written() })
            }
        }
    }

    fn release(self) {
        self.pool.put(self.connection);
    }
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
