//! The attributes that a session cookie has: what a renewed cookie must repeat exactly, or it becomes a second cookie
//! (another Domain or Path) or is lost (`Secure` on plain http, `Lax` in an iframe).

use super::set_cookie::{LONGEST_MAX_AGE, SetCookie};
use super::time::Span;
use std::sync::Arc;

/// Attributes but the lifetime, in order, as name and value. There is always a `Path`. Every request copies them, so that
/// costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Arc<Vec<(Vec<u8>, Vec<u8>)>>);

impl Attributes {
    /// `Path=/; HttpOnly; SameSite=Lax`, and `Secure` where the request came over https.
    #[must_use]
    pub fn default_for(secure: bool) -> Self {
        let text: &[u8] = if secure { b"Path=/; HttpOnly; Secure; SameSite=Lax" } else { b"Path=/; HttpOnly; SameSite=Lax" };
        Self::from_text(text)
    }

    /// From a setting or a companion: attributes separated by `;`, without a lifetime.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Self {
        let line = [b"c=v;", text].concat();
        SetCookie::parse(&line).map_or_else(Self::default, |line| Self::of(&line, b"/"))
    }

    /// As the backend set them. A line without a usable Path means the request's directory (RFC 6265bis §5.1.4);
    /// spelled out, it stays the same on every later request.
    #[must_use]
    pub fn of(line: &SetCookie<'_>, request_path: &[u8]) -> Self {
        let mut list: Vec<_> = line.identity().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        if !line.attribute("path").is_some_and(|path| path.starts_with(b"/")) {
            list.retain(|(name, _)| !name.eq_ignore_ascii_case(b"path"));
            list.insert(0, (b"Path".to_vec(), default_path(request_path).to_vec()));
        }
        Self(Arc::new(list))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rfind(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value.as_slice())
    }

    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.get("path").unwrap_or(b"/")
    }

    /// Whether browsers send such a cookie to this path (RFC 6265 §5.1.4).
    #[must_use]
    pub fn reaches(&self, path: &[u8]) -> bool {
        let own = self.path();
        path.strip_prefix(own).is_some_and(|rest| own.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Without the leading dot that browsers ignore, lower case; `None` for a host-only cookie.
    #[must_use]
    pub fn domain(&self) -> Option<Vec<u8>> {
        let domain = self.get("domain")?;
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        (!domain.is_empty()).then(|| domain.to_ascii_lowercase())
    }

    /// Whether a cookie with those attributes would replace one with these.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.path() == other.path() && self.domain() == other.domain()
    }

    /// Whether browsers would treat both alike: same place, same flags, whatever the order and case.
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        self.same_place(other) && self.flags() == other.flags()
    }

    /// `; Name=Value` for each.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in self.0.iter() {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(name);
            if !value.is_empty() {
                out.push(b'=');
                out.extend_from_slice(value);
            }
        }
    }

    /// A `Set-Cookie` line: `name=value; Max-Age=…; attributes`; a deletion if there is no value.
    #[must_use]
    pub fn line(&self, name: &str, value: &[u8], age: Option<Span>) -> Vec<u8> {
        let mut line = [name.as_bytes(), b"=", value].concat();
        if let Some(age) = age {
            let least = if value.is_empty() { 0 } else { 1 };
            line.extend_from_slice(format!("; Max-Age={}", age.as_secs().clamp(least, LONGEST_MAX_AGE)).as_bytes());
        }
        self.write(&mut line);
        line
    }

    /// These attributes for a cookie of our own beside C: same place and same reach, and never for scripts.
    #[must_use]
    pub fn for_companion(&self) -> Self {
        let reach = ["path", "domain", "secure", "samesite", "partitioned"];
        let mut list = self.0.to_vec();
        list.retain(|(name, _)| reach.iter().any(|kept| name.eq_ignore_ascii_case(kept.as_bytes())));
        list.push((b"HttpOnly".to_vec(), Vec::new()));
        Self(Arc::new(list))
    }

    /// The same for what was logged out, which every path has to see: a login outside of C's path answers to it too.
    #[must_use]
    pub fn for_tombstones(&self) -> Self {
        let mut list = self.for_companion().0.to_vec();
        list.retain(|(name, _)| !name.eq_ignore_ascii_case(b"path"));
        list.insert(0, (b"Path".to_vec(), b"/".to_vec()));
        Self(Arc::new(list))
    }

    /// As a setting would write them.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out.split_off(out.len().min(2))
    }

    fn flags(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let placed = |name: &[u8]| name.eq_ignore_ascii_case(b"path") || name.eq_ignore_ascii_case(b"domain");
        let mut flags: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| !placed(name))
            .map(|(name, value)| {
                // The value of a flag that has none means nothing to a browser.
                let valueless = name.eq_ignore_ascii_case(b"secure") || name.eq_ignore_ascii_case(b"httponly");
                (name.to_ascii_lowercase(), if valueless { Vec::new() } else { value.to_ascii_lowercase() })
            })
            .collect();
        flags.sort();
        flags.dedup();
        flags
    }
}

/// RFC 6265bis §5.1.4: the request's path up to its last slash.
fn default_path(request_path: &[u8]) -> &[u8] {
    // What follows a semicolon would be read as an attribute, and whoever writes a link writes its path.
    let request_path = request_path.split(|&byte| byte == b';').next().unwrap_or_default();
    match request_path.iter().rposition(|&byte| byte == b'/') {
        None | Some(0) => b"/",
        Some(_) if !request_path.starts_with(b"/") => b"/",
        Some(last) => &request_path[..last],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, path: &str) -> Attributes {
        Attributes::of(&SetCookie::parse(line.as_bytes()).unwrap(), path.as_bytes())
    }

    #[test]
    fn k6_a_missing_path_is_the_directory_of_the_request() {
        for (path, expected) in [("/login", "/"), ("/app/login", "/app"), ("/app/", "/app"), ("/", "/"), ("*", "/")] {
            assert_eq!(of("s=1; HttpOnly", path).path(), expected.as_bytes(), "{path}");
        }
        assert_eq!(of("s=1; Path=app", "/a/b").path(), b"/a");
        assert_eq!(of("s=1; Path=/app", "/a/b").path(), b"/app");
    }

    #[test]
    fn k6_where_browsers_send_a_cookie() {
        for (own, path, expected) in [
            ("/", "/auth", true),
            ("/app", "/app/auth", true),
            ("/app/", "/app/auth", true),
            ("/app/auth", "/app/auth", true),
            ("/app", "/auth", false),
            ("/app", "/apple/auth", false),
            ("/app/", "/app", false),
            ("/App", "/app/auth", false),
            ("app", "/auth", true),
        ] {
            let attributes = Attributes::from_text(format!("HttpOnly; Path={own}").as_bytes());
            assert_eq!(attributes.reaches(path.as_bytes()), expected, "{own} {path}");
        }
    }

    #[test]
    fn k6_a_request_path_slips_no_attribute_in() {
        for (path, expected) in
            [("/x;Domain=example.com/login", "/"), ("/app/x;v=1/login", "/app"), ("/app/;v=1/login", "/app"), ("/a/b;c", "/a")]
        {
            let attributes = of("s=1; HttpOnly", path);
            assert_eq!(attributes.path(), expected.as_bytes(), "{path}");
            assert_eq!(Attributes::from_text(&attributes.text()), attributes, "{path}");
        }
    }

    #[test]
    fn k6_likeness_is_the_browsers() {
        let base = Attributes::from_text(b"Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(base, Attributes::default_for(false));
        assert!(base.equivalent(&of("s=1; samesite=lax; httponly; path=/; Max-Age=5", "/x/y")));
        for other in [
            "s=1; Path=/; SameSite=Lax",
            "s=1; Path=/; HttpOnly; SameSite=None",
            "s=1; Path=/; HttpOnly; SameSite=Lax; Secure",
            "s=1; Path=/a; HttpOnly; SameSite=Lax",
        ] {
            assert!(!base.equivalent(&of(other, "/")), "{other}");
        }
        assert!(of("s=; Domain=.Example.com; Path=/", "/").same_place(&of("s=1; path=/; domain=example.com; Secure", "/")));
        assert!(!of("s=; Domain=example.com; Path=/", "/").same_place(&base));
    }

    #[test]
    fn attributes_print_as_they_were_written() {
        let attributes = of("s=1; path=/app; Secure; Priority=High; Max-Age=3; Foo", "/");
        assert_eq!(attributes.text(), b"path=/app; Secure; Priority=High; Foo");
        assert_eq!(attributes.for_companion().text(), b"path=/app; Secure; HttpOnly");
        assert_eq!(Attributes::from_text(&attributes.text()), attributes);
    }
}
