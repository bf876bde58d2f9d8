//! The backend: connect, pool, send.
//!
//! In reading order: this file (what a request goes through), `connect` (sockets), `pool` (idle HTTP/1.1 connections and
//! the one of HTTP/2), `lease` (one exchange on a pooled connection), `again` (the second time), `upload` (the client's body
//! on its way).
//!
//! A request is sent at most once, but for one case: a connection of the pool that the backend closed as we wrote. Then it
//! goes to a fresh connection if none of it was written or looked at, or if it is a safe one without a body and no byte
//! of an answer came.

mod again;
mod connect;
mod lease;
mod pool;
mod upload;

pub use connect::{Target, client_config};
pub use lease::Download;
pub use upload::UploadLimits;

use crate::headers::retain;
use crate::session::time::Span;
use again::{Failed, Kept, protocol_error};
use connect::{Connector, Dialed, Offer};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
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
    /// A WebSocket was asked for, and the backend's address says that it speaks HTTP/2 only.
    NoTunnel,
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
        let limits = self.settings.upload.of(&head.headers);
        let exchange = self.exchange(Request::from_parts(head, upload), state.as_ref());
        tokio::select! {
            biased;
            answer = exchange => answer,
            error = upload::patience(state.as_deref(), &limits, self.settings.response) => Err(error),
        }
    }

    async fn exchange(&self, request: Request<Upload>, state: Option<&Arc<UploadState>>) -> Result<Response<Download>, UpstreamError> {
        let offer = if request.headers().contains_key(header::UPGRADE) { Offer::Http1 } else { Offer::Any };
        if offer == Offer::Http1 && matches!(self.settings.target, Target::H2c(_)) {
            return Err(UpstreamError::NoTunnel);
        }
        let request = match self.send_pooled(request, offer, state).await {
            Pooled::Answered(response) => return Ok(response),
            Pooled::Untried(request) => *request,
            Pooled::Failed(failed) => failed.again().await?,
        };
        let sent = match self.connector.dial(offer, &self.pool).await? {
            Dialed::Http1(lease) => lease.send(request, state).await,
            Dialed::Http2(place) => self.send_multiplexed(place, request).await,
        };
        sent.map_err(|failed| failed.error())
    }

    /// On a connection that is there, if there is one with room.
    async fn send_pooled(&self, request: Request<Upload>, offer: Offer, state: Option<&Arc<UploadState>>) -> Pooled {
        let place = if offer == Offer::Any { self.pool.multiplexed() } else { None };
        let sent = if let Some(place) = place {
            self.send_multiplexed(place, request).await
        } else if let Some(lease) = self.pool.take().await {
            lease.send(request, state).await
        } else {
            return Pooled::Untried(Box::new(request));
        };
        match sent {
            Ok(response) => Pooled::Answered(response),
            Err(failed) => Pooled::Failed(failed),
        }
    }

    async fn send_multiplexed(&self, place: Multiplexed, request: Request<Upload>) -> Result<Response<Download>, Failed> {
        let Multiplexed { mut sender, slot } = place;
        let scheme = if self.settings.target.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
        let copy = copy_without_body(&request);
        match sender.try_send_request(for_http2(request, scheme)).await {
            Ok(response) => Ok(response.map(|body| Download::multiplexed(body, slot))),
            Err(mut failed) => {
                let unsent = failed.take_message().map(|unsent| Box::new(for_http1(unsent)));
                let cause = failed.into_error();
                // What the backend said of the stream tells whether it looked at the request.
                let answered = protocol_error(&cause).is_some_and(|error| error.is_reset() && error.is_remote());
                Err(Failed { cause, unsent, answered, kept: copy.map(|copy| Kept::Copy(Box::new(copy))) })
            }
        }
    }
}

/// What a connection of the pool came to.
enum Pooled {
    Answered(Response<Download>),
    /// There was none.
    Untried(Box<Request<Upload>>),
    Failed(Failed),
}

/// The same request once more, if it has no body.
fn copy_without_body(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Upload::nothing());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// `Host` becomes `:authority`; framing is the protocol's own, and hyper's to leave out.
fn for_http2(request: Request<Upload>, scheme: Scheme) -> Request<Upload> {
    let (mut head, body) = request.into_parts();
    let mut uri = head.uri.clone().into_parts();
    uri.scheme = Some(scheme);
    uri.authority = head.headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // What was one address with a path is one with a host, unless the host is none: then the backend will say so.
    if let Ok(uri) = Uri::from_parts(uri) {
        head.uri = uri;
        retain(&mut head.headers, |name, _| *name != header::HOST);
    }
    head.version = Version::HTTP_2;
    Request::from_parts(head, body)
}

/// The way back, for a request that has to take another connection.
fn for_http1(request: Request<Upload>) -> Request<Upload> {
    let (mut head, body) = request.into_parts();
    if let Some(host) = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        head.headers.insert(header::HOST, host);
    }
    head.uri = head.uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from);
    head.version = Version::HTTP_11;
    Request::from_parts(head, body)
}
