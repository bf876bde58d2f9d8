//! A request target: what its path opens, and where a login may send back to. A second line is read as settings.
#![no_main]

use http::HeaderValue;
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode;
use slidecar::session::login::LoginUrl;
use slidecar::session::paths::{PathFacts, PathRules, Prefix, Spelling, spelling};
use slidecar_fuzz::{paths, shown};
use std::sync::LazyLock;
use url::Url;

static RULES: LazyLock<PathRules> = LazyLock::new(|| paths("/"));
static LOGIN: LazyLock<LoginUrl> = LazyLock::new(|| LoginUrl::new("/login?next={return}").unwrap());
static BASE: LazyLock<Url> = LazyLock::new(|| Url::parse("https://app.example/some/page").unwrap());

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (target, setting) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    if let Ok(setting) = std::str::from_utf8(setting) {
        settings(setting);
    }
    // Raw bytes must do no harm; a request's path is what `http` lets through.
    let _ = (spelling(target), RULES.facts(target), LOGIN.location(true, target, Some(target)));
    let Ok(target) = PathAndQuery::try_from(target) else { return };
    let (path, query) = (target.path().as_bytes(), target.query().map(str::as_bytes));

    let facts = RULES.facts(path);
    let opens = !facts.protected || facts.passive || facts.logout || facts.expired;
    if opens {
        assert_eq!(spelling(path), Spelling::Plain);
    }
    if spelling(path) == Spelling::Plain && path.starts_with(b"/") {
        // A browser finds nothing to change in it but letters that it would escape.
        let url = BASE.join(target.path()).unwrap();
        let decoded = |text: &[u8]| percent_decode(text).collect::<Vec<u8>>();
        assert_eq!(url.origin(), BASE.origin());
        assert_eq!(decoded(url.path().as_bytes()), decoded(path), "{}", shown(path));
        // However a server reads it, it is the same path.
        for reading in readings(path) {
            let under = |prefix: &[u8]| reading.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
            let expected = PathFacts {
                protected: !under(b"/app/public"),
                passive: under(b"/poll"),
                logout: under(b"/logout"),
                expired: under(b"/app/refresh"),
                bad: false,
            };
            assert_eq!(facts, expected, "{} -> {}", shown(path), shown(&reading));
        }
    }
    back(path, query);
});

/// As lenient servers read a path: escapes undone once or twice, parameters dropped, other slashes, dots resolved.
fn readings(path: &[u8]) -> Vec<Vec<u8>> {
    let once: Vec<u8> = percent_decode(path).collect();
    let twice: Vec<u8> = percent_decode(&once).collect();
    [path.to_vec(), once, twice].iter().map(|path| resolved(path)).collect()
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let slashed: Vec<u8> = path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    let mut segments: Vec<&[u8]> = Vec::new();
    let is_directory = slashed.ends_with(b"/");
    for segment in slashed.split(|&byte| byte == b'/') {
        match segment.split(|&byte| byte == b';').next().unwrap() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let mut out = [b"/", segments.join(&b"/"[..]).as_slice()].concat();
    if is_directory && out.len() > 1 {
        out.push(b'/');
    }
    out
}

/// The return address stays on this origin, when it is resolved as a browser resolves it.
fn back(path: &[u8], query: Option<&[u8]>) {
    for is_get in [true, false] {
        let location = LOGIN.location(is_get, path, query);
        assert!(HeaderValue::from_str(&location).is_ok() && location.bytes().all(|byte| byte.is_ascii_graphic()));
        let (_, back) = location.split_once("next=").unwrap();
        assert!(!back.contains(['/', '&', '#', ':', '?']));
        let back: Vec<u8> = percent_decode(back.as_bytes()).collect();
        let back = String::from_utf8(back).unwrap();
        assert!(is_get || back == "/");
        assert_eq!(BASE.join(&back).unwrap().origin(), BASE.origin(), "{back:?}");
    }
}

fn settings(text: &str) {
    if let Some(prefix) = Prefix::new(text) {
        assert!(prefix.covers(text.as_bytes()) || text.ends_with('/'));
        assert!(!prefix.covers(b"") || text.bytes().all(|byte| byte == b'/'));
    }
    if let Some(login) = LoginUrl::new(text) {
        let location = login.location(true, b"/app", Some(b"a=b"));
        assert!(HeaderValue::from_str(&location).is_ok());
        if text.starts_with('/') {
            assert!(BASE.join(&location).is_ok_and(|url| url.origin() == BASE.origin()), "{location}");
            assert!(login.path().is_some());
        }
    }
}
