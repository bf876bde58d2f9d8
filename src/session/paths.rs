//! What a request's path says: protected, public, passive, logout (rule Q9).
//!
//! The raw path is matched, whole segments, case-sensitive. A spelling that another server might read as another path
//! never opens anything, and wherever anything is protected it counts as protected.

/// A path prefix of whole segments: `/app` covers `/app` and `/app/x`, not `/apple`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Vec<u8>);

/// The prefixes of each kind.
#[derive(Clone, Debug, Default)]
pub struct PathRules {
    pub protected: Vec<Prefix>,
    pub public: Vec<Prefix>,
    pub passive: Vec<Prefix>,
    pub logout: Vec<Prefix>,
    pub expired: Vec<Prefix>,
}

/// What holds for one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathFacts {
    /// Needs a session at the edge.
    pub protected: bool,
    pub passive: bool,
    pub logout: bool,
    /// A merely expired session still reaches the backend here.
    pub expired: bool,
    /// It cannot be read: 400.
    pub bad: bool,
}

/// How a path is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    Plain,
    /// Servers differ in what they read.
    Ambiguous,
    /// `%00` or a bad escape: to be refused with 400.
    Bad,
}

impl Prefix {
    /// From a setting: must begin with `/`, be spelled plainly and have no query. A trailing slash says nothing more.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.starts_with('/') && spelling(text.as_bytes()) == Spelling::Plain && !text.contains(['?', '#', '*', ' ']);
        plain.then(|| Self(text.trim_end_matches('/').as_bytes().to_vec()))
    }

    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.0.as_slice()).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }
}

impl PathRules {
    #[must_use]
    pub fn facts(&self, path: &[u8]) -> PathFacts {
        let any = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.covers(path));
        let spelling = spelling(path);
        if spelling == Spelling::Plain {
            PathFacts {
                protected: any(&self.protected) && !any(&self.public),
                passive: any(&self.passive),
                logout: any(&self.logout),
                expired: any(&self.expired),
                bad: false,
            }
        } else {
            PathFacts { protected: !self.protected.is_empty(), bad: spelling == Spelling::Bad, ..PathFacts::default() }
        }
    }
}

/// Judges the spelling of a raw path, without its query.
#[must_use]
pub fn spelling(path: &[u8]) -> Spelling {
    let mut ambiguous = path.iter().any(|byte| !byte.is_ascii() || matches!(byte, b'\\' | b';' | 0..=0x20 | 0x7f));
    let mut rest = path;
    let mut decoded = Vec::new();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let Some(code) = rest.get(at.saturating_add(1)..at.saturating_add(3)).and_then(escaped_byte) else {
            return Spelling::Bad;
        };
        if code == 0 {
            return Spelling::Bad;
        }
        decoded.extend_from_slice(&rest[..at]);
        decoded.push(code);
        // Escapes of what needs none, of separators and of the percent sign itself read differently once decoded.
        ambiguous |= code.is_ascii_alphanumeric() || code.is_ascii_control() || b"-._~/\\%;?#".contains(&code);
        rest = &rest[at.saturating_add(3)..];
    }
    // Overlong forms are dots and slashes to old decoders.
    ambiguous |= std::str::from_utf8(&decoded).is_err();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        ambiguous |= matches!(segment, b"." | b"..") || (segment.is_empty() && segments.peek().is_some());
    }
    if ambiguous { Spelling::Ambiguous } else { Spelling::Plain }
}

fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let high = char::from(*digits.first()?).to_digit(16)?;
    let low = char::from(*digits.get(1)?).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> PathRules {
        let prefixes = |list: &[&str]| list.iter().map(|text| Prefix::new(text).unwrap()).collect();
        PathRules {
            protected: prefixes(&["/app", "/admin/"]),
            public: prefixes(&["/app/public"]),
            passive: prefixes(&["/poll"]),
            logout: prefixes(&["/logout"]),
            expired: prefixes(&["/refresh"]),
        }
    }

    #[test]
    fn q9_prefixes_cover_whole_segments() {
        let protected = |path: &str| rules().facts(path.as_bytes()).protected;
        for path in ["/app", "/app/", "/app/x", "/admin", "/admin/x", "/app/publicx", "/app/x/public"] {
            assert!(protected(path), "{path}");
        }
        for path in ["/", "/apple", "/App", "/x/app", "/app/public", "/app/public/x", "/poll"] {
            assert!(!protected(path), "{path}");
        }
        assert!(rules().facts(b"/poll/1").passive && rules().facts(b"/logout").logout && rules().facts(b"/refresh/").expired);
        assert!(Prefix::new("/").unwrap().covers(b"/anything") && Prefix::new("/").unwrap().covers(b"/"));
    }

    #[test]
    fn q9_ambiguous_spellings_open_nothing() {
        let ambiguous = [
            "/app/public/../x",
            "/app/public/%2e%2e/x",
            "/app/public/%2E./x",
            "/app/public%2fx",
            "/app/public%5cx",
            "/app/public\\x",
            "/app//public",
            "//app/public",
            "/app/./public",
            "/app/public/.",
            "/app/public/..",
            "/app/public;x",
            "/app/public/..;/x",
            "/app/publi%63",
            "/poll/%252e%252e/x",
            "/poll/é",
            "/poll/%3bx",
            "/poll/%0a",
            "/poll/%7e",
            "/app/public/%c0%ae%c0%ae/x",
            "/poll/%ff",
        ];
        for path in ambiguous {
            assert_eq!(spelling(path.as_bytes()), Spelling::Ambiguous, "{path}");
            let facts = rules().facts(path.as_bytes());
            assert_eq!(facts, PathFacts { protected: true, ..PathFacts::default() }, "{path}");
        }
        assert!(!PathRules { protected: vec![], ..rules() }.facts(b"/poll/../x").protected);
    }

    #[test]
    fn q9_bad_escapes_are_bad_and_honest_ones_plain() {
        for path in ["/a%00", "/%zz", "/a%2", "/a%", "/%%20"] {
            assert_eq!(spelling(path.as_bytes()), Spelling::Bad, "{path}");
        }
        for path in ["/", "/a/b/", "/caf%C3%A9", "/a%20b", "/a:b@c!$&'()*+,=", "/.well-known/x", "/a..b", "/...", "/%5Bx%5D"] {
            assert_eq!(spelling(path.as_bytes()), Spelling::Plain, "{path}");
        }
    }

    #[test]
    fn prefixes_from_settings_are_plain_paths() {
        for text in ["", "app", "/a b", "/a/../b", "/a?b", "/a*", "//a", "/%61"] {
            assert_eq!(Prefix::new(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_never_opens_what_decodes_elsewhere(path in "[/%.;a-c0-9\\\\]{0,30}") {
            let facts = rules().facts(path.as_bytes());
            if spelling(path.as_bytes()) != Spelling::Plain {
                prop_assert!(!facts.passive && facts.protected);
            }
        }
    }
}
