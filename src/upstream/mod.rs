//! The backend: connect, pool, send.
//!
//! In reading order: this file (what a request goes through), `connect` (sockets), `pool` (idle HTTP/1.1 connections and
//! the one of HTTP/2), `lease` (one exchange on a pooled connection), `upload` (the client's body on its way).
//!
//! A request is sent at most once, but for one case: a connection of the pool that the backend closed as we wrote. Then it
//! goes to a fresh connection if none of it was written, or if it is a safe one without a body and no byte of an
//! answer came.

mod connect;
mod lease;
mod pool;
mod upload;

pub use connect::Target;
pub use lease::Download;
pub use upload::UploadLimits;

use crate::headers::retain;
use crate::session::time::Span;
use connect::{Connector, Dialed, Offer};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use lease::Failed;
use pool::{Multiplexed, Pool};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use upload::{Upload, UploadState};

#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    pub target: Target,
    /// How long a connection may take to be made, TLS included.
    pub connect: Span,
    /// How long after the request's end the answer may begin; `None` waits for ever.
    pub response: Option<Span>,
    /// How long an idle connection is used.
    pub idle: Span,
    /// Idle connections kept.
    pub max_idle: usize,
    /// Bytes of a response head; hyper reads no more.
    pub max_head: usize,
    /// Fields of a response head.
    pub max_fields: usize,
    /// Roots that are trusted besides the public ones, PEM.
    pub extra_roots: Vec<CertificateDer<'static>>,
    pub upload: UploadLimits,
}

/// The one backend.
#[derive(Debug)]
pub struct Upstream {
    connector: Connector,
    pool: Arc<Pool>,
    settings: UpstreamSettings,
    /// What a request names as host that came without one.
    default_host: HeaderValue,
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
    /// The client's own body came too slowly, or not at all.
    ClientSlow,
}

impl Upstream {
    #[must_use]
    pub fn new(settings: UpstreamSettings) -> Self {
        let default_host = HeaderValue::from_str(settings.target.host()).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Self { connector: Connector::new(&settings), pool: Arc::new(Pool::new(settings.idle, settings.max_idle)), settings, default_host }
    }

    /// Sends a request whose head says what the backend shall see; answers when the response's head is there.
    pub async fn send(&self, request: Request<Incoming>) -> Result<Response<Download>, UpstreamError> {
        let (mut head, body) = request.into_parts();
        if !head.headers.contains_key(header::HOST) {
            let host = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
            // An HTTP/1.0 client may have named none; HTTP/1.1 demands one.
            head.headers.insert(header::HOST, host.unwrap_or_else(|| self.default_host.clone()));
        }
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::from(path);
        head.version = Version::HTTP_11;
        // Of a body whose length nobody knows, hyper sends nothing with GET and HEAD unless it is told how.
        if !body.is_end_stream() && !head.headers.contains_key(header::CONTENT_LENGTH) {
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let (upload, state) = Upload::new(body);
        let exchange = self.exchange(Request::from_parts(head, upload), &state);
        tokio::select! {
            answer = exchange => answer,
            error = state.patience(&self.settings.upload, self.settings.response) => Err(error),
        }
    }

    async fn exchange(&self, mut request: Request<Upload>, state: &Arc<UploadState>) -> Result<Response<Download>, UpstreamError> {
        let offer = if request.headers().contains_key(header::UPGRADE) { Offer::Http1 } else { Offer::Any };
        if offer == Offer::Any
            && let Some(sender) = self.pool.multiplexed()
        {
            match self.send_multiplexed(sender, request).await? {
                Ok(response) => return Ok(response),
                Err(unsent) => request = *unsent,
            }
        } else if let Some(lease) = self.pool.take().await {
            let again = repeatable(&request);
            match lease.send(request, state).await {
                Ok(response) => return Ok(response),
                Err(Failed { unsent: Some(unsent), .. }) => request = *unsent,
                Err(failed) => match again.filter(|_| !failed.answered) {
                    Some(again) => request = again,
                    None => return Err(failed.error()),
                },
            }
        }
        match self.connector.dial(offer, &self.pool).await? {
            Dialed::Http1(lease) => lease.send(request, state).await.map_err(|failed| failed.error()),
            Dialed::Http2(sender) => {
                self.pool.share(sender.clone());
                self.send_multiplexed(sender, request).await?.map_err(|_| UpstreamError::Broken)
            }
        }
    }

    /// The inner error is the request, none of which was written.
    async fn send_multiplexed(&self, mut sender: Multiplexed, request: Request<Upload>) -> Result<Multiplexing, UpstreamError> {
        let scheme = if self.settings.target.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let request = for_http2(request, scheme).ok_or(UpstreamError::Broken)?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(Ok(response.map(Download::multiplexed))),
            Err(mut failed) => match failed.take_message() {
                Some(unsent) => Ok(Err(Box::new(for_http1(unsent)))),
                None => Err(lease::blame(failed.error())),
            },
        }
    }
}

type Multiplexing = Result<Response<Download>, Box<Request<Upload>>>;

/// The same request once more, if a backend that gets it twice does no more than once (RFC 9110 §9.2.1) and there is no
/// body that has begun to go.
fn repeatable(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let mut again = Request::new(request.body().again()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// `Host` becomes `:authority`; framing is the protocol's own.
fn for_http2(request: Request<Upload>, scheme: Scheme) -> Option<Request<Upload>> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut uri = head.uri.into_parts();
    uri.scheme = Some(scheme);
    uri.authority = host;
    head.uri = Uri::from_parts(uri).ok()?;
    head.version = Version::HTTP_2;
    retain(&mut head.headers, |name, _| ![header::HOST, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE].contains(name));
    Some(Request::from_parts(head, body))
}

/// The way back, for a request that has to take another connection.
fn for_http1(request: Request<Upload>) -> Request<Upload> {
    let (mut head, body) = request.into_parts();
    if let Some(host) = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        head.headers.insert(header::HOST, host);
    }
    head.uri = head.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
    head.version = Version::HTTP_11;
    if !body.is_end_stream() && !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Request::from_parts(head, body)
}
