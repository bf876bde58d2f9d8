//! The upstream request that a verdict asks for.

use super::facts::{self, SESSION_PASSIVE};
use crate::headers::{remove_hop_by_hop, retain};
use crate::session::decide::Forward;
use crate::traces::{Span, TRACEPARENT, TRACESTATE};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Turns a client's head into the backend's: our own fields and those of the connection go, the cookie is as decided.
pub fn prepare(headers: &mut HeaderMap, forward: &Forward, upgrade: Option<&HeaderValue>) {
    let mut without_cookies = false;
    if let Forward::Cookies(cookies) = forward {
        without_cookies = cookies.is_empty();
        // What came as field values, less some bytes, or with a token in place of another, is one again.
        if let Ok(value) = HeaderValue::from_bytes(cookies)
            && !without_cookies
        {
            headers.insert(header::COOKIE, value);
        }
    }
    connected(headers, upgrade, |name| *name != SESSION_PASSIVE && !(without_cookies && *name == header::COOKIE));
}

/// A page that is to get the browser client must be readable.
pub fn ask_for_plain(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// What the backend does for this request belongs under the request's span.
pub fn pass_on(headers: &mut HeaderMap, span: &Span) {
    let Some(parent) = span.traceparent() else { return };
    if span.is_first() {
        // It spoke of a trace that nobody named (W3C Trace Context §3.3).
        retain(headers, |name, _| *name != TRACESTATE);
    }
    headers.insert(TRACEPARENT, parent);
}

/// HTTP/2 may split the cookie string; a backend that speaks HTTP/1.1 reads the first field only (RFC 9113 §8.2.3).
pub fn join_crumbs(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_some()
        && let Ok(joined) = HeaderValue::from_bytes(&facts::cookies(headers))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// What any proxy does to a head: the fields of the client's connection go, those of ours come.
pub fn connect(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    connected(headers, upgrade, |_| true);
}

fn connected(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>, is_kept: impl Fn(&HeaderName) -> bool) {
    // hyper asked for the body already, when it was first read.
    remove_hop_by_hop(headers, |name| *name != header::EXPECT && is_kept(name));
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}
