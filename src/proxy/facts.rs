//! What the rules need of a head, found once.

use crate::headers::{first, list};
use crate::session::cache::CacheFacts;
use crate::session::cookie;
use crate::session::decide::RequestFacts;
use crate::session::settle::ResponseFacts;
use crate::session::signs::{Method as Kind, Signs};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request, response};
use std::borrow::Cow;

pub const SESSION_PASSIVE: HeaderName = HeaderName::from_static("session-passive");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// All cookie fields as one string.
#[must_use]
pub fn cookies(headers: &HeaderMap) -> Cow<'_, [u8]> {
    cookie::join(headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes))
}

#[must_use]
pub fn of_request<'a>(head: &'a request::Parts, cookies: &'a [u8], is_https: bool) -> RequestFacts<'a> {
    let mut signs = Signs {
        method: match head.method {
            Method::GET => Kind::Get,
            Method::HEAD => Kind::Head,
            Method::OPTIONS => Kind::Options,
            _ => Kind::Other,
        },
        ..Signs::default()
    };
    let (mut proto, mut forwarded, mut purpose) = (None, None, None);
    // One walk costs less than a search for each.
    for (name, value) in &head.headers {
        let value = value.as_bytes();
        if *name == header::ACCEPT {
            signs.accept = signs.accept.or(Some(value));
        } else if *name == header::AUTHORIZATION {
            signs.authorization = signs.authorization.or(Some(value));
        } else if *name == header::UPGRADE {
            signs.is_upgrade = true;
        } else if *name == header::FORWARDED {
            forwarded = forwarded.or(Some(value));
        } else if *name == X_FORWARDED_PROTO {
            proto = proto.or(Some(value));
        } else if *name == SEC_FETCH_MODE {
            signs.fetch_mode = signs.fetch_mode.or(Some(value));
        } else if *name == X_REQUESTED_WITH {
            signs.has_requested_with = true;
        } else if *name == SESSION_PASSIVE {
            signs.session_passive = signs.session_passive.or(Some(value));
        } else if *name == SEC_PURPOSE {
            signs.purpose = signs.purpose.or(Some(value));
        } else if *name == PURPOSE {
            purpose = purpose.or(Some(value));
        }
    }
    signs.purpose = signs.purpose.or(purpose);
    RequestFacts {
        cookies,
        path: head.uri.path().as_bytes(),
        query: head.uri.query().map(str::as_bytes),
        secure: is_https || was_https(proto, forwarded),
        signs,
    }
}

/// The fields of a response that matter, found in one walk.
#[derive(Default)]
pub struct ResponseFields<'a> {
    set_cookies: Vec<&'a [u8]>,
    cache_control: Vec<&'a [u8]>,
    targeted: Vec<&'a [u8]>,
    expires: Option<&'a [u8]>,
    has_last_modified: bool,
    clears_cookies: bool,
    status: u16,
}

impl<'a> ResponseFields<'a> {
    #[must_use]
    pub fn of(head: &'a response::Parts) -> Self {
        let mut fields = Self { status: head.status.as_u16(), ..Self::default() };
        for (name, value) in &head.headers {
            if *name == header::SET_COOKIE {
                fields.set_cookies.push(value.as_bytes());
            } else if *name == header::CACHE_CONTROL {
                fields.cache_control.push(value.as_bytes());
            } else if *name == CDN_CACHE_CONTROL || *name == SURROGATE_CONTROL {
                fields.targeted.push(value.as_bytes());
            } else if *name == header::EXPIRES {
                fields.expires = fields.expires.or(Some(value.as_bytes()));
            } else if *name == header::LAST_MODIFIED {
                fields.has_last_modified = true;
            } else if *name == CLEAR_SITE_DATA {
                fields.clears_cookies |= list(value).any(|kind| kind == b"\"cookies\"" || kind == b"\"*\"");
            }
        }
        fields
    }

    #[must_use]
    pub fn facts<'b>(&'b self, request_path: &'b [u8], own: bool) -> ResponseFacts<'b> {
        ResponseFacts {
            request_path,
            status: self.status,
            own,
            set_cookies: &self.set_cookies,
            cache: CacheFacts {
                cache_control: &self.cache_control,
                targeted: &self.targeted,
                expires: self.expires,
                has_last_modified: self.has_last_modified,
            },
            clears_cookies: self.clears_cookies,
        }
    }
}

/// Whether an answer is one that goes on and on (WHATWG server-sent events).
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    first(headers, &header::CONTENT_TYPE)
        .and_then(|kind| kind.split(|&byte| byte == b';').next())
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether whoever ended TLS before us says that the browser spoke https.
fn was_https(proto: Option<&[u8]>, forwarded: Option<&[u8]>) -> bool {
    if let Some(proto) = proto.and_then(nearest) {
        return proto.eq_ignore_ascii_case(b"https");
    }
    forwarded.and_then(nearest).is_some_and(|element| {
        element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).any(|pair| {
            let (name, value) = pair.split_at(pair.len().min(6));
            name.eq_ignore_ascii_case(b"proto=") && value.trim_ascii().eq_ignore_ascii_case(b"https")
                || pair.eq_ignore_ascii_case(b"proto=\"https\"")
        })
    })
}

/// The first element is the one nearest to the browser (RFC 7239 §4).
fn nearest(value: &[u8]) -> Option<&[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).find(|element| !element.is_empty())
}

/// Whether an answer would be shown as a page of its own, or in a frame: what scripts fetch is part of one that is there already.
/// A page that a service worker fetches for the browser says `empty`, and that it is for a navigation.
#[must_use]
pub fn shows_page(head: &request::Parts) -> bool {
    let is_page = |destination: &HeaderValue| [&b"document"[..], b"iframe", b"frame"].contains(&destination.as_bytes());
    let (destination, mode) = (head.headers.get("sec-fetch-dest"), head.headers.get("sec-fetch-mode"));
    matches!(head.method, http::Method::GET | http::Method::HEAD)
        && (destination.is_none_or(is_page) || mode.is_some_and(|mode| mode == "navigate"))
        && !["x-requested-with", "hx-request", "turbo-frame"].iter().any(|name| head.headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k6_https_is_known_by_what_ended_it() {
        let table = [
            (None, false),
            (Some(("x-forwarded-proto", "https")), true),
            (Some(("x-forwarded-proto", "HTTPS, http")), true),
            (Some(("x-forwarded-proto", "http")), false),
            (Some(("forwarded", "for=1.2.3.4;proto=https, for=9")), true),
            (Some(("forwarded", "for=1;Proto=\"https\"")), true),
            (Some(("forwarded", "for=1;proto=http, proto=https")), false),
        ];
        for (field, expected) in table {
            let value = |wanted| field.filter(|(name, _): &(&str, &str)| *name == wanted).map(|(_, value)| value.as_bytes());
            assert_eq!(was_https(value("x-forwarded-proto"), value("forwarded")), expected, "{field:?}");
        }
    }
}
