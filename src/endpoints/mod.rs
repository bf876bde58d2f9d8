//! What slidecar answers itself, under `SESSION_ENDPOINTS`. The backend never sees these calls.
//!
//! Paths match exactly and raw; every variant of one goes to the backend (rule E1). An answer here is settled like one
//! of the backend's: the heartbeat's may carry a renewal, the logout's deletes C.

mod client;
mod policy;
mod sender;
mod session;

pub use client::{ClientScript, ClientScripts};

use crate::session::Rules;
use crate::session::decide::Verdict;
use crate::session::policy::SessionPolicy;
use crate::session::time::UnixMillis;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};

#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// Begins with `/` and does not end with one.
    pub prefix: String,
    /// Other origins that may call with credentials, as browsers write them in `Origin`.
    pub origins: Vec<String>,
    pub client: ClientScripts,
}

/// One of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Policy,
    Status,
    Heartbeat,
    Logout,
    Client,
}

/// A call and what is known of it.
pub struct Call<'a> {
    pub head: &'a request::Parts,
    pub rules: &'a Rules,
    pub verdict: &'a Verdict,
    pub now: UnixMillis,
}

impl EndpointSettings {
    /// Which of our own this path names, if any.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Endpoint> {
        match path.strip_prefix(&self.prefix)? {
            "/session-policy" => Some(Endpoint::Policy),
            "/session-status" => Some(Endpoint::Status),
            "/session-heartbeat" => Some(Endpoint::Heartbeat),
            "/session-logout" => Some(Endpoint::Logout),
            name => client::is_name(name).then_some(Endpoint::Client),
        }
    }

    /// The answer: complete, small, and never from a cache that did not ask again.
    #[must_use]
    pub fn answer(&self, endpoint: Endpoint, call: &Call<'_>) -> Response<Vec<u8>> {
        let sender = sender::Sender::of(&call.head.headers, &self.origins);
        let mut response = if endpoint.allows(&call.head.method) {
            if call.head.method == Method::POST && !sender.may_act() {
                problem(StatusCode::FORBIDDEN, "cross_site", "this page may not act on the session; see SESSION_CLIENT_ORIGINS")
            } else {
                self.respond(endpoint, call)
            }
        } else if let Some(preflight) = sender.preflight(&call.head.method, endpoint.methods()) {
            preflight
        } else {
            method_not_allowed(endpoint.methods())
        };
        sender.share(response.headers_mut());
        response
    }

    fn respond(&self, endpoint: Endpoint, call: &Call<'_>) -> Response<Vec<u8>> {
        match endpoint {
            Endpoint::Policy => policy::answer(call),
            Endpoint::Status => session::status(call),
            Endpoint::Heartbeat => session::heartbeat(call),
            Endpoint::Logout => session::logout(call),
            Endpoint::Client => client::answer(call, &self.client, !self.origins.is_empty()),
        }
    }

    /// Where the browser client for this policy is, to be kept for ever.
    #[must_use]
    pub fn client_path(&self, policy: &SessionPolicy) -> String {
        format!("{}{}", self.prefix, self.client.of(policy).name())
    }
}

impl Endpoint {
    /// Whether a call is a sign of a person, so that its answer may renew.
    #[must_use]
    pub const fn is_activity(self) -> bool {
        matches!(self, Self::Heartbeat | Self::Logout)
    }

    const fn methods(self) -> &'static str {
        match self {
            Self::Policy | Self::Status | Self::Client => "GET, HEAD",
            Self::Heartbeat | Self::Logout => "POST",
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method.as_str())
    }
}

/// RFC 9110 §13.1.2: any of the listed tags, compared weakly, or `*`.
fn names(headers: &HeaderMap, etag: &str) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

fn method_not_allowed(allowed: &'static str) -> Response<Vec<u8>> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "see Allow");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// RFC 9457, never stored.
fn problem(status: StatusCode, reason: &str, detail: &str) -> Response<Vec<u8>> {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "reason": reason });
    let mut response = Response::new(body.to_string().into_bytes());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
