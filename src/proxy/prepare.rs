//! The upstream request that a verdict asks for.

use super::facts::SESSION_PASSIVE;
use super::headers::{remove_hop_by_hop, retain};
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
