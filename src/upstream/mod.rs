//! The backend: connect, pool, send.
//!
//! Connections are pooled and used no longer than the backend keeps them (Node closes an idle one after 5 s). A
//! request that a closing connection did not take at all is sent again by the pool, once; nothing else is.

use crate::session::time::Span;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Idle connections kept; more would only be closed by the backend.
const MOST_IDLE: usize = 256;
/// Bytes of a response's head that are read; larger heads are refused.
const LARGEST_HEAD: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    pub authority: Authority,
    /// How long a connection may take to be made.
    pub connect: Span,
    /// How long after the request's end the answer may begin; `None` waits for ever.
    pub response: Option<Span>,
    /// How long an idle connection is used.
    pub idle: Span,
}

/// The one backend.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: Client<HttpConnector, ReportingBody>,
    authority: Authority,
    response: Option<Span>,
}

/// Why there is no answer. Whose fault it is decides the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// No connection: refused, unreachable, or not in time.
    Unreachable,
    /// Connected and asked, but no answer began in time.
    Silent,
    /// The connection ended, or what came was no HTTP.
    Broken,
    /// The client's own body broke off or was malformed.
    ClientBody,
}

impl Upstream {
    #[must_use]
    pub fn new(settings: &UpstreamSettings) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.connect.to_std()));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle.to_std())
            .pool_max_idle_per_host(MOST_IDLE)
            .http1_preserve_header_case(true)
            .http1_max_buf_size(LARGEST_HEAD)
            .http1_max_headers(200)
            .set_host(false)
            .build(connector);
        Self { client, authority: settings.authority.clone(), response: settings.response }
    }

    /// Sends a request whose head says what the backend shall see; answers when the response's head is there.
    pub async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, UpstreamError> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path);
        head.uri = Uri::from_parts(uri).map_err(|_| UpstreamError::Broken)?;
        head.version = http::Version::HTTP_11;
        // An HTTP/1.0 client may have named no host; HTTP/1.1 demands one.
        if !head.headers.contains_key(header::HOST)
            && let Ok(host) = HeaderValue::from_str(self.authority.as_str())
        {
            head.headers.insert(header::HOST, host);
        }

        // Of a body whose length nobody knows, hyper sends nothing with GET and HEAD unless it is told how.
        if !body.is_end_stream() && !head.headers.contains_key(header::CONTENT_LENGTH) {
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let (sent, was_sent) = oneshot::channel();
        let answer = self.client.request(Request::from_parts(head, ReportingBody { body, sent: Some(sent) }));
        let patience = async {
            // An upload takes the time it takes; only then does the backend's begin.
            let _ = was_sent.await;
            match self.response {
                Some(span) => tokio::time::sleep(span.to_std()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = answer => answer.map_err(|error| blame(&error)),
            () = patience => Err(UpstreamError::Silent),
        }
    }
}

fn blame(error: &hyper_util::client::legacy::Error) -> UpstreamError {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<hyper::Error>());
    if error.is_connect() {
        UpstreamError::Unreachable
    } else if cause.is_some_and(hyper::Error::is_user) {
        UpstreamError::ClientBody
    } else {
        UpstreamError::Broken
    }
}

/// The client's body on its way, which tells when it has gone.
#[derive(Debug)]
struct ReportingBody {
    body: Incoming,
    sent: Option<oneshot::Sender<()>>,
}

impl Body for ReportingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.sent.take(); // Dropping the sender tells.
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
