//! The cookies of the examined session, and what a `Set-Cookie` says of it. Values never leave this room as text.

use super::client::Answer;
use crate::session::cache::CacheFacts;
use crate::session::keys::Secret;
use crate::session::set_cookie::{Lifetime, SetCookie};
use crate::session::time::{Span, UnixMillis};
use crate::session::token::looks_like_jwt;
use http::{HeaderValue, header};

/// What the browser would send. Domain and Path are not looked at: there is one host, and the operator says which paths.
#[derive(Default)]
pub struct Jar(Vec<(String, Secret)>);

/// The session cookie as an answer set it.
pub struct Sighting {
    pub value: Secret,
    /// `None`: it ends with the browser.
    pub life: Option<Span>,
    /// The attribute that says so.
    pub said_by: &'static str,
    pub attributes: Attributes,
    /// A shared cache may store the answer, and with it the cookie.
    pub is_shared: bool,
    pub cache_control: Option<String>,
    /// By the server's clock.
    pub at: UnixMillis,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attributes {
    pub secure: bool,
    pub http_only: bool,
    pub same_site: Option<String>,
    pub path: Option<String>,
    pub domain: Option<String>,
}

/// Why no cookie can be taken for the session's.
pub enum NoSession {
    /// Names of the cookies that there are.
    NoJwt(Vec<String>),
    Several(Vec<String>),
}

impl Jar {
    /// From what a browser sends: `name=value; other=value`, with or without the field's name.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let text = text.get(..7).filter(|start| start.eq_ignore_ascii_case("cookie:")).map_or(text, |start| &text[start.len()..]);
        let mut jar = Self::default();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("write it as name=value, such as session=…")?;
            if pair.bytes().any(|byte| byte.is_ascii_control()) {
                return Err("write it in one line");
            }
            jar.put(name.trim().to_owned(), Secret::new(value.trim().as_bytes().to_vec()));
        }
        if jar.0.is_empty() { Err("there is none; write it as name=value") } else { Ok(jar) }
    }

    pub fn value(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub fn put(&mut self, name: String, value: Secret) {
        self.0.retain(|(own, _)| *own != name);
        self.0.push((name, value));
    }

    /// Takes up what an answer sets and deletes.
    pub fn keep(&mut self, answer: &Answer) {
        for line in answer.set_cookies().filter_map(SetCookie::parse) {
            let Ok(name) = std::str::from_utf8(line.name()) else { continue };
            if line.is_deletion(answer.at) {
                self.0.retain(|(own, _)| own != name);
            } else {
                self.put(name.to_owned(), Secret::new(line.value().to_vec()));
            }
        }
    }

    /// The Cookie field; `None` if there is nothing to send.
    pub fn field(&self) -> Option<HeaderValue> {
        self.field_with(None)
    }

    /// The Cookie field with another value in the place of one cookie's.
    pub fn field_with(&self, other: Option<(&str, &[u8])>) -> Option<HeaderValue> {
        let mut text = Vec::new();
        for (name, value) in &self.0 {
            if !text.is_empty() {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
            text.extend_from_slice(other.filter(|(other, _)| other == name).map_or(value.expose(), |(_, value)| value));
        }
        let mut field = HeaderValue::from_bytes(&text).ok().filter(|_| !text.is_empty())?;
        field.set_sensitive(true);
        Some(field)
    }

    /// The cookie that holds the session: the one of this name, or the only one with a JWT, or the one called `session`.
    pub fn session(&self, name: Option<&str>) -> Result<String, NoSession> {
        let names = || self.0.iter().map(|(name, _)| printable(name)).collect();
        let jwts: Vec<&String> = self.0.iter().filter(|(_, value)| looks_like_jwt(value.expose())).map(|(name, _)| name).collect();
        let wanted = name.unwrap_or("session");
        match &jwts[..] {
            _ if jwts.iter().any(|jwt| *jwt == wanted) => Ok(wanted.to_owned()),
            [] => Err(NoSession::NoJwt(names())),
            _ if name.is_some() => Err(NoSession::NoJwt(names())),
            [only] => Ok((*only).clone()),
            several => Err(NoSession::Several(several.iter().map(|name| printable(name)).collect())),
        }
    }
}

impl Sighting {
    /// The last line of an answer that sets this cookie, which is the one that a browser keeps.
    pub fn of(answer: &Answer, name: &str) -> Option<Self> {
        let line = answer.set_cookies().filter_map(SetCookie::parse).filter(|line| line.name() == name.as_bytes()).last()?;
        if line.is_deletion(answer.at) || !looks_like_jwt(line.value()) {
            return None;
        }
        let text = |name: &str| line.attribute(name).map(|value| printable(&String::from_utf8_lossy(value)));
        let values = |name: &str| answer.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        let (control, cdn) = (values("cache-control"), [values("cdn-cache-control"), values("surrogate-control")].concat());
        let facts = CacheFacts {
            cache_control: &control,
            targeted: &cdn,
            expires: answer.headers.get(header::EXPIRES).map(HeaderValue::as_bytes),
            has_last_modified: answer.headers.contains_key(header::LAST_MODIFIED),
        };
        Some(Self {
            value: Secret::new(line.value().to_vec()),
            life: match line.lifetime(answer.at) {
                Lifetime::Browser => None,
                Lifetime::Until(end) => Some(Span::from_millis(end.get().saturating_sub(answer.at.get()).max(0).unsigned_abs())),
            },
            // Max-Age wins where both stand.
            said_by: if line.attribute("max-age").is_some() { "Max-Age" } else { "Expires" },
            attributes: Attributes {
                secure: line.attribute("secure").is_some(),
                http_only: line.attribute("httponly").is_some(),
                same_site: text("samesite"),
                path: text("path").filter(|path| path.starts_with('/')),
                domain: text("domain").filter(|domain| !domain.is_empty()),
            },
            is_shared: facts.is_shared_storable(answer.at),
            cache_control: answer.headers.get(header::CACHE_CONTROL).map(|value| printable(&String::from_utf8_lossy(value.as_bytes()))),
            at: answer.at,
        })
    }
}

/// What a server says may hold what a terminal obeys.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";

    #[test]
    fn c_the_session_is_the_one_jwt_or_the_one_that_is_named() {
        let session = |text: &str, name: Option<&str>| {
            Jar::from_text(text).unwrap().session(name).map_err(|error| match error {
                NoSession::NoJwt(names) => format!("no jwt among {}", names.join(",")),
                NoSession::Several(names) => format!("several: {}", names.join(",")),
            })
        };
        let table = [
            (format!("a=1; sid={JWT}"), None, Ok("sid")),
            (format!("Cookie: a=1; sid={JWT}\n"), None, Ok("sid")),
            (format!("access={JWT}; session={JWT}"), None, Ok("session")),
            (format!("access={JWT}; refresh={JWT}"), None, Err("several: access,refresh")),
            (format!("access={JWT}; refresh={JWT}"), Some("access"), Ok("access")),
            (format!("a=1; b=s%3Aabc.def; sid={JWT}"), Some("b"), Err("no jwt among a,b,sid")),
            ("a=1".to_owned(), None, Err("no jwt among a")),
        ];
        for (text, name, expected) in table {
            assert_eq!(session(&text, name), expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        assert!(Jar::from_text(JWT).is_err() && Jar::from_text(" ; ").is_err());
    }

    #[test]
    fn c_a_terminal_gets_no_orders_from_a_server() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a?[2Jb??");
    }
}
