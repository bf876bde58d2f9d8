//! Where a navigation without a session is sent, and the address to which it may come back.

use super::paths::{Spelling, spelling};

const PLACEHOLDER: &str = "{return}";

/// `SESSION_LOGIN_URL`: a path of this origin or an http(s) URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginUrl(String);

impl LoginUrl {
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let own = text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/\\");
        let other = text.starts_with("https://") || text.starts_with("http://");
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        ((own || other) && printable).then(|| Self(text.to_owned()))
    }

    /// The path, if it is one of this origin.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.starts_with('/').then(|| self.0.split(['?', '#']).next().unwrap_or_default())
    }

    /// The address for a request with this path and query; only a GET can be repeated, so only a GET comes back.
    #[must_use]
    pub fn location(&self, is_get: bool, path: &[u8], query: Option<&[u8]>) -> String {
        let target = match query {
            Some(query) if is_get => [path, b"?", query].concat(),
            _ => path.to_vec(),
        };
        let safe = is_get && is_same_origin(path) && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
        self.0.replace(PLACEHOLDER, &percent_encoded(if safe { &target } else { b"/" }))
    }
}

/// Whether a browser that is sent to this path stays on this origin, whoever resolves it.
#[must_use]
pub fn is_same_origin(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.starts_with(b"//") && spelling(path) == Spelling::Plain
}

fn percent_encoded(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}"); // Writing to a String cannot fail.
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q8_the_return_address_stays_on_this_origin() {
        let login = LoginUrl::new("/login?next={return}").unwrap();
        let back = |path: &str, query: Option<&str>| login.location(true, path.as_bytes(), query.map(str::as_bytes));
        assert_eq!(back("/app/x", None), "/login?next=%2Fapp%2Fx");
        assert_eq!(back("/app", Some("a=1&b=%2F")), "/login?next=%2Fapp%3Fa%3D1%26b%3D%252F");
        assert_eq!(login.location(false, b"/app", None), "/login?next=%2F");
        let hostile = [
            "//evil",
            "/\\evil",
            "/%09/evil",
            "/%5cevil",
            "/%2f/evil",
            "/%2Fevil",
            "https:evil",
            "https://good@evil",
            "/..//evil",
            "/.//evil",
            "/;@evil",
            "evil",
            "",
            "/\t/evil",
            "/ /evil",
            "/\r\nevil",
            "/é",
            "/a/..//evil",
            "///evil",
            "/%00",
            "/%0d%0aLocation:x",
            "javascript:alert(1)",
        ];
        for path in hostile {
            assert_eq!(back(path, None), "/login?next=%2F", "{path:?}");
        }
        assert_eq!(back("/app", Some("x=\\\\evil")), "/login?next=%2F");
        assert_eq!(back("/app", Some("x=\r\ny")), "/login?next=%2F");
    }

    #[test]
    fn a_login_url_is_a_path_or_an_http_url() {
        for good in ["/login", "/login?r={return}", "https://id.example.com/start?rd={return}", "http://localhost:8000/"] {
            assert!(LoginUrl::new(good).is_some(), "{good}");
        }
        for bad in ["", "login", "//evil/login", "/\\evil", "javascript:x", "ftp://x", "/lo gin", "/login\r\nX: y"] {
            assert!(LoginUrl::new(bad).is_none(), "{bad:?}");
        }
        assert_eq!(LoginUrl::new("/login?x=1#y").unwrap().path(), Some("/login"));
        assert_eq!(LoginUrl::new("https://id/login").unwrap().path(), None);
        assert_eq!(LoginUrl::new("/login").unwrap().location(true, b"/x", None), "/login");
    }
}
