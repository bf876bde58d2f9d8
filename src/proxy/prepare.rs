//! The upstream request that a verdict asks for.

use super::facts::{self, SESSION_PASSIVE};
use crate::headers::{remove_hop_by_hop, retain};
use crate::session::decide::Forward;
use http::{HeaderMap, HeaderValue, header};

/// Turns a client's head into the backend's: our own fields and those of the connection go, the cookie is as decided.
pub fn prepare(headers: &mut HeaderMap, forward: &Forward, upgrade: Option<&HeaderValue>) {
    retain(headers, |name, _| *name != SESSION_PASSIVE);
    match forward {
        Forward::Cookies(cookies) if cookies.is_empty() => retain(headers, |name, _| *name != header::COOKIE),
        Forward::Cookies(cookies) => {
            // What came as field values, less some bytes, or with a token in place of another, is one again.
            if let Ok(value) = HeaderValue::from_bytes(cookies) {
                headers.insert(header::COOKIE, value);
            }
        }
        _ => {}
    }
    connect(headers, upgrade);
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
    remove_hop_by_hop(headers);
    // hyper asked for the body already, when it was first read.
    retain(headers, |name, _| *name != header::EXPECT);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}
