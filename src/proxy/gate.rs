//! The strict gate (rule T3): what hyper parses, but no proxy should pass on. Runs before anything else; a refused
//! message is answered and its connection closed.

use crate::headers::{connection_options, list};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version, header};

/// What no message may exceed, in either protocol.
#[derive(Clone, Copy, Debug)]
pub struct GateLimits {
    /// Fields of a head, each crumb of a cookie counted.
    pub max_fields: usize,
    /// Bytes of the request target.
    pub max_target: usize,
}

/// Fields that may stand once only: two readers would pick two.
const SINGLE: [HeaderName; 5] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::AUTHORIZATION, header::CONTENT_TYPE];
/// Fields that a `Connection` line must not take away: slidecar or the backend relies on them.
const RELIED_ON: [HeaderName; 15] = [
    header::COOKIE,
    header::HOST,
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("forwarded"),
    header::ACCEPT,
    header::ORIGIN,
    HeaderName::from_static("purpose"),
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static("session-passive"),
];

/// Options that `Connection` may name.
const MOST_OPTIONS: usize = 16;

/// Why a message is refused: the status, and a reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub detail: &'static str,
}

/// Checks a request's head.
pub fn check<B>(limits: &GateLimits, request: &Request<B>) -> Result<(), Refusal> {
    method(request)?;
    target(limits, request)?;
    host(request)?;
    fields(limits, request.headers())
}

fn method<B>(request: &Request<B>) -> Result<(), Refusal> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "CONNECT and TRACE are not passed on");
    }
    Ok(())
}

fn target<B>(limits: &GateLimits, request: &Request<B>) -> Result<(), Refusal> {
    let uri = request.uri();
    if !uri.path().starts_with('/') {
        return bad("the request target must be a path or an http URL");
    }
    if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return bad("the request target must be a path or an http URL");
    }
    if uri.scheme().is_none() && uri.authority().is_some() {
        return bad("the request target must be a path or an http URL");
    }
    if uri.path_and_query().is_some_and(|path| path.as_str().len() > limits.max_target) {
        return refuse(StatusCode::URI_TOO_LONG, "the request target is longer than SLIDECAR_MAX_TARGET");
    }
    Ok(())
}

/// HTTP/1.1 names the host in `Host`, HTTP/2 in `:authority`; where both stand, they say the same.
fn host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let authority = request.uri().authority();
    if authority.is_some_and(|authority| authority.as_str().contains('@')) {
        return bad("the request target's host is no host");
    }
    let Some(host) = request.headers().get(header::HOST) else {
        let needs_none = match request.version() {
            // HTTP/1.0 knew none (RFC 9112 §3.2).
            Version::HTTP_10 => true,
            Version::HTTP_2 => authority.is_some(),
            _ => false,
        };
        return if needs_none { Ok(()) } else { bad("there must be one Host") };
    };
    if !is_host(host.as_bytes()) {
        return bad("Host is no host");
    }
    match authority {
        Some(authority) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            bad("Host differs from the request target's")
        }
        _ => Ok(()),
    }
}

fn is_host(host: &[u8]) -> bool {
    // A name, an address and a port need no parser; whatever else there is does.
    let is_plain = host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    is_plain || (http::uri::Authority::try_from(host).is_ok() && !host.contains(&b'@'))
}

fn fields(limits: &GateLimits, headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.len() > limits.max_fields {
        return refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "there are more fields than SLIDECAR_MAX_FIELDS");
    }
    // Most messages have no field twice.
    if headers.len() > headers.keys_len() && SINGLE.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
        return bad("a field that may stand once stands twice");
    }
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter().flat_map(list);
    if codings.count() > 1
        || headers.get_all(header::TRANSFER_ENCODING).iter().flat_map(list).any(|coding| !coding.eq_ignore_ascii_case(b"chunked"))
    {
        return refuse(StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked");
    }
    if headers.get(header::EXPECT).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return refuse(StatusCode::EXPECTATION_FAILED, "the only expectation is 100-continue");
    }
    let is_relied_on = |option: &[u8]| {
        let is_forwarded = option.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
        is_forwarded || RELIED_ON.iter().any(|name| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    // Each of them is looked for among all fields.
    if connection_options(headers).nth(MOST_OPTIONS).is_some() {
        return bad("Connection names too many fields");
    }
    if connection_options(headers).any(is_relied_on) {
        return bad("Connection names a field that must not be removed");
    }
    Ok(())
}

const fn bad(detail: &'static str) -> Result<(), Refusal> {
    refuse(StatusCode::BAD_REQUEST, detail)
}

const fn refuse(status: StatusCode, detail: &'static str) -> Result<(), Refusal> {
    Err(Refusal { status, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GateLimits = GateLimits { max_fields: 5, max_target: 20 };

    fn status(uri: &str, method: &str, version: Version, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check(&LIMITS, &request.body(()).unwrap()).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn t3_the_gate() {
        let h = ("host", "a");
        let v11 = Version::HTTP_11;
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16);
        let table: &[Case<'_>] = &[
            ("/", "GET", &[h], 200),
            ("/", "GET", &[], 400),
            ("/", "GET", &[h, h], 400),
            ("/", "GET", &[("host", "a b")], 400),
            ("/", "GET", &[("host", "u@a")], 400),
            ("/", "GET", &[("host", "[::1]:8080")], 200),
            ("http://a/x", "GET", &[h], 200),
            ("http://b/x", "GET", &[h], 400),
            ("ftp://a/x", "GET", &[h], 400),
            ("foo", "GET", &[h], 400),
            ("a:1", "CONNECT", &[h], 405),
            ("/", "TRACE", &[h], 405),
            ("*", "OPTIONS", &[h], 400),
            ("/", "PURGE", &[h], 200),
            ("/", "POST", &[h, ("transfer-encoding", "chunked")], 200),
            ("/", "POST", &[h, ("transfer-encoding", "gzip, chunked")], 501),
            ("/", "POST", &[h, ("transfer-encoding", "chunked"), ("transfer-encoding", "")], 400),
            ("/", "POST", &[h, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
            ("/", "POST", &[h, ("transfer-encoding", "identity")], 501),
            ("/", "GET", &[h, ("expect", "100-continue")], 200),
            ("/", "GET", &[h, ("expect", "200-ok")], 417),
            ("/", "GET", &[h, ("connection", "close, x-hop")], 200),
            ("/", "GET", &[h, ("connection", "close"), ("connection", "Cookie")], 400),
            ("/", "GET", &[h, ("connection", "transfer-encoding")], 400),
            ("/", "GET", &[h, ("connection", "X-Forwarded-User")], 400),
            ("/", "GET", &[h, ("connection", "sec-fetch-site")], 400),
            ("/", "GET", &[h, ("connection", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p")], 200),
            ("/", "GET", &[h, ("connection", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q")], 400),
            ("/", "GET", &[h, ("authorization", "a"), ("authorization", "b")], 400),
            ("/", "GET", &[h, ("cookie", "a=1"), ("cookie", "b=2")], 200),
            ("/", "GET", &[h, ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3"), ("a", "1")], 200),
            ("/", "GET", &[h, ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3"), ("a", "1"), ("b", "2")], 431),
            ("/2345678901234567?90", "GET", &[h], 200),
            ("/2345678901234567?901", "GET", &[h], 414),
            ("http://a/234567890123456789", "GET", &[h], 200),
        ];
        for (uri, method, fields, expected) in table {
            assert_eq!(status(uri, method, v11, fields), *expected, "{method} {uri} {fields:?}");
        }
        assert_eq!(status("/", "GET", Version::HTTP_10, &[]), 200);
        let h2 = |uri: &str, fields: &[(&str, &str)]| status(uri, "GET", Version::HTTP_2, fields);
        assert_eq!(
            (h2("https://a/x", &[]), h2("https://a/x", &[h]), h2("https://b/x", &[h]), h2("https://u@a/x", &[])),
            (200, 200, 400, 400)
        );
        assert_eq!((h2("/x", &[h]), h2("/x", &[])), (200, 400));
    }
}
