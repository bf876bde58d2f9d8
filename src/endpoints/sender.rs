//! Who calls: a page of this origin, of a listed one, of a foreign one, or no page at all (rule E2).

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
/// What a page of a listed origin may read of an answer.
const EXPOSED: &str = "ETag, Server-Timing, Session-Expires-In, Session-Policy-Version";
const ALLOWED_HEADERS: &str = "Content-Type, If-None-Match, Session-Passive";
/// Seconds that a browser may remember a preflight.
const PREFLIGHT_AGE: &str = "600";

pub struct Sender<'a> {
    headers: &'a HeaderMap,
    origin: Option<&'a HeaderValue>,
    is_listed: bool,
    has_lists: bool,
}

impl<'a> Sender<'a> {
    #[must_use]
    pub fn of(headers: &'a HeaderMap, listed: &[String]) -> Self {
        let origin = headers.get(header::ORIGIN);
        let is_listed = origin.is_some_and(|origin| listed.iter().any(|one| origin.as_bytes().eq_ignore_ascii_case(one.as_bytes())));
        Self { headers, origin, is_listed, has_lists: !listed.is_empty() }
    }

    /// Whether this sender's POST may change anything. A foreign page can send one with the cookie, but it cannot lie
    /// about itself here.
    #[must_use]
    pub fn may_act(&self) -> bool {
        match (self.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes), self.origin) {
            (Some(b"same-origin"), _) => true,
            (Some(_), _) => self.is_listed,
            (None, Some(origin)) => self.is_listed || self.is_own(origin),
            // No browser: a script of an operator, a test.
            (None, None) => true,
        }
    }

    /// The answer to a listed origin's question whether it may call.
    #[must_use]
    pub fn preflight(&self, method: &Method, methods: &'static str) -> Option<Response<Vec<u8>>> {
        let asks = *method == Method::OPTIONS && self.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || !self.is_listed {
            return None;
        }
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
        Some(response)
    }

    /// Lets a page of a listed origin read the answer.
    pub fn share(&self, headers: &mut HeaderMap) {
        if self.has_lists {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let (Some(origin), true) = (self.origin, self.is_listed) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            headers.insert(TIMING_ALLOW_ORIGIN, origin.clone());
        }
    }

    /// The scheme says nothing: TLS may end before us.
    fn is_own(&self, origin: &HeaderValue) -> bool {
        let host = self.headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let origin = origin.as_bytes();
        let named = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
        !host.is_empty() && named.is_some_and(|named| named.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_act(fields: &[(&'static str, &'static str)]) -> bool {
        let headers: HeaderMap =
            fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        Sender::of(&headers, &["https://front.example".to_owned()]).may_act()
    }

    #[test]
    fn e2_only_pages_of_this_or_a_listed_origin_may_act() {
        let host = ("host", "app.example:8443");
        for fields in [
            &[host][..],
            &[host, ("origin", "https://app.example:8443")],
            &[host, ("origin", "http://APP.example:8443")],
            &[host, ("origin", "https://front.example")],
            &[host, ("sec-fetch-site", "same-origin"), ("origin", "https://x")],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "https://front.example")],
            &[host, ("sec-fetch-site", "same-site"), ("origin", "https://front.example")],
        ] {
            assert!(may_act(fields), "{fields:?}");
        }
        for fields in [
            &[host, ("origin", "https://evil.example")][..],
            &[host, ("origin", "null")],
            &[host, ("origin", "https://app.example")],
            &[host, ("origin", "https://app.example:8443.evil")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site"), ("origin", "https://app.example:8443")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://front.example")],
        ] {
            assert!(!may_act(fields), "{fields:?}");
        }
    }
}
