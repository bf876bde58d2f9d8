//! The second time that a request is sent (rule T5), and what it takes: a copy, which every request would have to pay for,
//! or what was written, which has only to be kept and is read back when it is needed.

use super::UpstreamError;
use super::upload::Upload;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::{Future as _, pending};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// Fields of a head of our own, which no limit stopped on its way in.
const MOST_FIELDS: usize = 8192;

/// What passed over an HTTP/1.1 connection.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    is_kept: AtomicBool,
    written: Mutex<Vec<u8>>,
}

/// An exchange that came to nothing.
pub struct Failed {
    pub cause: hyper::Error,
    /// The request, if none of it was written.
    pub unsent: Option<Box<Request<Upload>>>,
    /// The backend began to answer, or to work on it.
    pub answered: bool,
    pub kept: Option<Kept>,
}

/// The same request once more. It has no body.
pub enum Kept {
    Copy(Box<Request<Upload>>),
    /// As it was written.
    Head(Vec<u8>),
}

impl Traffic {
    /// Bytes that the backend sent so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub fn receive(&self, count: usize) {
        self.received.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// From now on, what is written is the next request; it is kept if it may be needed again.
    pub fn begin(&self, is_kept: bool) {
        self.is_kept.store(is_kept, Ordering::Relaxed);
        self.lock().clear();
    }

    pub fn send<'a>(&self, written: &Poll<io::Result<usize>>, slices: impl IntoIterator<Item = &'a [u8]>) {
        let Poll::Ready(Ok(count)) = written else { return };
        if !self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        let (mut left, mut kept) = (*count, self.lock());
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            kept.extend_from_slice(part);
            left -= part.len();
        }
    }

    /// What was written since the beginning, if it was kept.
    pub fn written(&self) -> Option<Kept> {
        self.is_kept.load(Ordering::Relaxed).then(|| Kept::Head(std::mem::take(&mut *self.lock())))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 9110 §9.2.1: asked twice, a backend does no more than asked once.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl Failed {
    pub fn error(&self) -> UpstreamError {
        let cause = &self.cause;
        tracing::debug!(event = "upstream_failed", error = %cause, detail = std::error::Error::source(cause).map(tracing::field::display));
        if cause.is_user() { UpstreamError::ClientBody } else { UpstreamError::Broken }
    }

    /// The request that may be sent once more, if it may.
    pub async fn again(mut self) -> Result<Request<Upload>, UpstreamError> {
        if let Some(unsent) = self.unsent {
            return Ok(*unsent);
        }
        let again = match self.kept.take() {
            Some(Kept::Copy(copy)) => Some(*copy),
            Some(Kept::Head(head)) => read_back(&head).await,
            None => None,
        };
        again.filter(|again| self.allows(again.method())).ok_or_else(|| self.error())
    }

    fn allows(&self, method: &Method) -> bool {
        // RFC 9113 §8.7: a refused stream was not processed, whatever its method.
        let is_refused = protocol_error(&self.cause).is_some_and(|error| error.reason() == Some(h2::Reason::REFUSED_STREAM));
        is_refused || (is_safe(method) && !self.answered)
    }
}

pub fn protocol_error(cause: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(cause)?.downcast_ref()
}

/// What we wrote as hyper would read it, so that the spelling of names, which only hyper knows, is the same again.
async fn read_back(head: &[u8]) -> Option<Request<Upload>> {
    let (mut ours, theirs) = tokio::io::duplex(head.len().max(1));
    ours.write_all(head).await.ok()?;
    // Whatever is no whole head will not become one.
    drop(ours);
    let (say, mut said) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let _ = say.send(request); // Somebody waits for it, or nobody needs it.
        pending::<Result<http::Response<String>, std::convert::Infallible>>()
    });
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).max_headers(MOST_FIELDS).max_buf_size(head.len().max(8192));
    let reading = builder.serve_connection(TokioIo::new(theirs), service);
    tokio::pin!(reading);
    let request = std::future::poll_fn(|context| {
        let ended = reading.as_mut().poll(context).is_ready();
        match said.poll_recv(context) {
            Poll::Pending if ended => Poll::Ready(None),
            request => request,
        }
    });
    Some(request.await?.map(|_| Upload::nothing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn t5_what_was_written_is_read_back() {
        let head = "GET /a%20b?c=d HTTP/1.1\r\nhOst: x\r\nCookie: a=b; c=\"d\"\r\nx-Latin: caf\u{e9}\r\n\r\n";
        let request = read_back(head.as_bytes()).await.unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "/a%20b?c=d"));
        let names: Vec<_> = request.headers().keys().map(http::HeaderName::as_str).collect();
        assert_eq!((names, request.headers()["cookie"].as_bytes()), (vec!["host", "cookie", "x-latin"], &b"a=b; c=\"d\""[..]));
        assert!(read_back(b"").await.is_none());
        assert!(read_back(b"GET / HT").await.is_none());
    }

    #[test]
    fn t5_only_what_was_taken_counts_as_written() {
        let traffic = Traffic::default();
        traffic.begin(true);
        traffic.send(&Poll::Ready(Ok(5)), [&b"abc"[..], b"defg"]);
        traffic.send(&Poll::Pending, [&b"x"[..]]);
        traffic.send(&Poll::Ready(Ok(1)), [&b"fg"[..]]);
        assert!(matches!(traffic.written(), Some(Kept::Head(head)) if head == b"abcdef"));
        traffic.begin(false);
        traffic.send(&Poll::Ready(Ok(1)), [&b"y"[..]]);
        assert!(traffic.written().is_none());
    }
}
