//! What slidecar answers itself, under `SESSION_ENDPOINTS`. The backend never sees these calls.
//!
//! Paths match exactly and raw; every variant of one goes to the backend (SPEC E1).

mod policy;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// Begins with `/` and does not end with one.
    pub prefix: String,
}

/// One of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Policy,
}

/// What an endpoint needs to know of the request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

impl EndpointSettings {
    /// Which of our own this path names, if any.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Endpoint> {
        match path.strip_prefix(&self.prefix)? {
            "/session-policy" => Some(Endpoint::Policy),
            _ => None,
        }
    }
}

impl Endpoint {
    /// The answer: complete, small, and never from a cache that did not ask again.
    #[must_use]
    pub fn answer(self, call: &Call<'_>, rules: &crate::session::Rules, class: crate::session::policy::Class) -> Response<Vec<u8>> {
        match self {
            Self::Policy if matches!(*call.method, Method::GET | Method::HEAD) => policy::answer(call, &rules.policy, class),
            Self::Policy => method_not_allowed("GET, HEAD"),
        }
    }
}

fn method_not_allowed(allowed: &'static str) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
