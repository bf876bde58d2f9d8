//! `GET /auth/session-policy`: the numbers that are enforced, from the same value that enforces them.

use super::{Call, names};
use crate::session::hash::{Hasher, hex};
use crate::session::policy::Class;
use http::{HeaderValue, Response, StatusCode, header};

pub fn answer(call: &Call<'_>) -> Response<Vec<u8>> {
    let class = call.verdict.session.as_ref().map_or(Class::Standard, |live| live.token.class);
    // Four integers always serialise.
    let body = serde_json::to_vec(&call.rules.policy.public(class)).unwrap_or_default();
    let mut hash = Hasher::new("slidecar policy etag v1");
    hash.part(&body);
    let etag = format!("\"{}\"", hex(&hash.finish()[..8]));

    let unchanged = names(&call.head.headers, &etag);
    let mut response = Response::new(if unchanged { Vec::new() } else { body });
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie"));
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}
