//! What goes wrong, whose fault it is, and the one function that turns it into an answer.

use super::AnswerBody;
use super::gate::Refusal;
use crate::headers::{RETRY_AFTER, STORE_LOST};
use crate::session::outcome::Outcome;
use crate::upstream::UpstreamError;
use http::{HeaderValue, Response, StatusCode, header};

/// Why a request is not answered by the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// The client's fault: the message is not one that can be passed on.
    Message(Refusal),
    /// The client's fault: the path cannot be read.
    BadPath,
    /// The client has no session where one is needed.
    NoSession(Outcome),
    /// Ours: nobody knows what was revoked.
    StoreLost,
    /// The backend's fault.
    Upstream(UpstreamError),
}

/// Every word of [`ProxyError::reason`].
pub const REASONS: [&str; 12] = [
    "bad_message",
    "bad_path",
    "no_session",
    "not_ours",
    "dead",
    "store_lost",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_broken",
    "client_body",
    "client_slow",
    "no_tunnel",
];

impl ProxyError {
    /// A word for logs and for the body.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Message(_) => "bad_message",
            Self::BadPath => "bad_path",
            Self::NoSession(outcome) => outcome.reason(),
            Self::StoreLost => "store_lost",
            Self::Upstream(UpstreamError::Unreachable) => "upstream_unreachable",
            Self::Upstream(UpstreamError::Silent) => "upstream_timeout",
            Self::Upstream(UpstreamError::Broken) => "upstream_broken",
            Self::Upstream(UpstreamError::ClientBody) => "client_body",
            Self::Upstream(UpstreamError::ClientSlow) => "client_slow",
            Self::Upstream(UpstreamError::NoTunnel) => "no_tunnel",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Message(refusal) => refusal.status,
            Self::BadPath | Self::Upstream(UpstreamError::ClientBody) => StatusCode::BAD_REQUEST,
            Self::Upstream(UpstreamError::ClientSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::NoSession(_) => StatusCode::UNAUTHORIZED,
            Self::StoreLost => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(UpstreamError::Unreachable | UpstreamError::Broken) => StatusCode::BAD_GATEWAY,
            Self::Upstream(UpstreamError::Silent) => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream(UpstreamError::NoTunnel) => StatusCode::NOT_IMPLEMENTED,
        }
    }

    const fn detail(&self) -> &'static str {
        match self {
            Self::Message(refusal) => refusal.detail,
            Self::BadPath => "the path has a bad escape",
            Self::NoSession(_) => "this path needs a session",
            Self::StoreLost => STORE_LOST,
            Self::Upstream(UpstreamError::Unreachable) => "the backend does not accept connections",
            Self::Upstream(UpstreamError::Silent) => "the backend did not answer in time",
            Self::Upstream(UpstreamError::Broken) => "the backend's answer broke off before it began",
            Self::Upstream(UpstreamError::ClientBody) => "the request's body broke off or is malformed",
            Self::Upstream(UpstreamError::ClientSlow) => "the request's body came too slowly",
            Self::Upstream(UpstreamError::NoTunnel) => "no WebSocket can be opened to a backend at h2c://",
        }
    }
}

/// The answer: RFC 9457 problem details, never stored.
#[must_use]
pub fn respond(error: &ProxyError, request_id: &impl std::fmt::Display) -> Response<AnswerBody> {
    let status = error.status();
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": error.detail(),
        "reason": error.reason(),
        "requestId": request_id.to_string(),
    });
    let mut response = Response::new(AnswerBody::own(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match error {
        // The cookie is the credential; there is no scheme to log in with by a header.
        ProxyError::NoSession(_) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Session realm=\"session\""));
        }
        ProxyError::StoreLost => {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        ProxyError::Message(refusal) => {
            if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
            }
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // What is left of the message is unread or wrong.
        ProxyError::Upstream(UpstreamError::ClientBody | UpstreamError::ClientSlow) => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        ProxyError::BadPath | ProxyError::Upstream(_) => {}
    }
    response
}
