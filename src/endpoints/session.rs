//! Status, heartbeat and logout: the three that speak of the caller's own session.

use super::{Call, problem};
use crate::headers::{RETRY_AFTER, STORE_LOST};
use crate::session::decide::Forward;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

#[derive(Serialize)]
#[serde(untagged)]
enum Status {
    #[serde(rename_all = "camelCase")]
    Active {
        active: bool,
        class: crate::session::policy::Class,
        expires_in_ms: u64,
        /// Zero once a request of a person would renew.
        renews_in_ms: u64,
        /// `null` without an absolute timeout.
        absolute_expires_in_ms: Option<u64>,
    },
    Inactive {
        active: bool,
        reason: &'static str,
    },
}

/// Tells how long the session lives, without being a sign of anybody.
pub fn status(call: &Call<'_>) -> Response<Vec<u8>> {
    if call.verdict.forward == Forward::Unavailable {
        return unavailable();
    }
    let status = match &call.verdict.session {
        Some(live) => {
            let remaining = live.token.remaining(call.now);
            Status::Active {
                active: true,
                class: live.token.class,
                expires_in_ms: remaining.as_millis(),
                renews_in_ms: remaining.minus(call.rules.policy.clocks(live.token.class).threshold).as_millis(),
                absolute_expires_in_ms: live.token.cap().map(|cap| call.now.until(cap).as_millis()),
            }
        }
        None => Status::Inactive { active: false, reason: call.verdict.outcome.reason() },
    };
    // Numbers and words always serialise.
    let mut response = Response::new(serde_json::to_vec(&status).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie"));
    response
}

/// A person is at work: the answer renews if that is due.
pub fn heartbeat(call: &Call<'_>) -> Response<Vec<u8>> {
    if call.verdict.forward == Forward::Unavailable {
        return unavailable();
    }
    if call.verdict.session.is_some() {
        return no_content();
    }
    let mut response = problem(StatusCode::UNAUTHORIZED, call.verdict.outcome.reason(), "there is no session to keep");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Session realm=\"session\""));
    response
}

/// Deletes C where the backend set it; the settlement sees that and remembers the logout.
pub fn logout(call: &Call<'_>) -> Response<Vec<u8>> {
    let mut response = no_content();
    if let Ok(deletion) = HeaderValue::from_bytes(&call.verdict.deletion(&call.rules.cookie.name)) {
        response.headers_mut().append(header::SET_COOKIE, deletion);
    }
    response
}

/// Not over, but nobody can tell (rule R4): the page asks again.
fn unavailable() -> Response<Vec<u8>> {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "store_lost", STORE_LOST);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

fn no_content() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
