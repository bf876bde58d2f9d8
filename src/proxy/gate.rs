//! The strict gate (rule T3): what hyper parses, but no proxy should pass on. Runs before anything else; a refused
//! message is answered and its connection closed.

use super::headers::{connection_options, list};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Version, header};

/// The longest request target; more than browsers send.
const LONGEST_TARGET: usize = 8 * 1024;
/// Fields that may stand once only: two readers would pick two.
const SINGLE: [HeaderName; 4] = [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::CONTENT_TYPE];
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

/// Why a message is refused: the status, and a reason in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub detail: &'static str,
}

/// Checks a request's head.
pub fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    method(request)?;
    target(request)?;
    host(request)?;
    fields(request.headers())
}

fn method<B>(request: &Request<B>) -> Result<(), Refusal> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "CONNECT and TRACE are not passed on");
    }
    Ok(())
}

fn target<B>(request: &Request<B>) -> Result<(), Refusal> {
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
    if uri.path_and_query().is_some_and(|path| path.as_str().len() > LONGEST_TARGET) {
        return refuse(StatusCode::URI_TOO_LONG, "the request target is longer than 8 KiB");
    }
    Ok(())
}

fn host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let Some(host) = request.headers().get(header::HOST) else {
        // HTTP/1.0 knew none (RFC 9112 §3.2).
        return if request.version() == Version::HTTP_10 { Ok(()) } else { bad("there must be one Host") };
    };
    let valid = host.is_empty() || host.to_str().is_ok_and(|host| host.parse::<http::uri::Authority>().is_ok() && !host.contains('@'));
    if !valid {
        return bad("Host is no host");
    }
    match request.uri().authority() {
        Some(authority) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            bad("Host differs from the request target's")
        }
        _ => Ok(()),
    }
}

fn fields(headers: &HeaderMap) -> Result<(), Refusal> {
    if SINGLE.iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
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

    fn status(uri: &str, method: &str, version: Version, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
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
            ("/", "POST", &[h, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 501),
            ("/", "POST", &[h, ("transfer-encoding", "identity")], 501),
            ("/", "GET", &[h, ("expect", "100-continue")], 200),
            ("/", "GET", &[h, ("expect", "200-ok")], 417),
            ("/", "GET", &[h, ("connection", "close, x-hop")], 200),
            ("/", "GET", &[h, ("connection", "close"), ("connection", "Cookie")], 400),
            ("/", "GET", &[h, ("connection", "transfer-encoding")], 400),
            ("/", "GET", &[h, ("connection", "X-Forwarded-User")], 400),
            ("/", "GET", &[h, ("connection", "sec-fetch-site")], 400),
            ("/", "GET", &[h, ("authorization", "a"), ("authorization", "b")], 400),
            ("/", "GET", &[h, ("cookie", "a=1"), ("cookie", "b=2")], 200),
        ];
        for (uri, method, fields, expected) in table {
            assert_eq!(status(uri, method, v11, fields), *expected, "{method} {uri} {fields:?}");
        }
        assert_eq!(status("/", "GET", Version::HTTP_10, &[]), 200);
        assert_eq!(status(&format!("/{}", "a".repeat(LONGEST_TARGET - 1)), "GET", v11, &[h]), 200);
        assert_eq!(status(&format!("/{}", "a".repeat(LONGEST_TARGET)), "GET", v11, &[h]), 414);
    }
}
