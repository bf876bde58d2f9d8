//! Any settings: `NAME=value` in lines, names of the table or a number that counts through it.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use slidecar::config::table::ALL;
use slidecar::config::{Config, load};
use slidecar::session::duration;
use slidecar::session::policy::Class;
use slidecar::session::set_cookie::SetCookie;
use slidecar::session::time::Span;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

/// Around every secret: no text for people may hold it.
const MARK: &str = "Zq7#kX";

/// What the files of `NAME_FILE` hold: a fuzzer must not choose what is read.
static FILES: LazyLock<[PathBuf; 4]> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("slidecar-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let secret = format!("{MARK} of at least thirty-two bytes {MARK}\n");
    [file("secret", secret.as_bytes()), file("empty", b""), file("binary", &[0xff; 40]), folder.join("missing")]
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut vars = HashMap::new();
    for line in text.lines().take(40) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = match name.parse::<usize>() {
            Ok(number) => ALL[number % ALL.len()].name,
            Err(_) => name,
        };
        durations(value);
        // Names are compared with all others for hints, which takes its time for names of kilobytes.
        if name.len() > 60 {
            continue;
        }
        // PEM texts have lines of their own.
        let value = value.replace('|', "\n");
        let value = if name.ends_with("_FILE") {
            FILES[value.len() % FILES.len()].display().to_string()
        } else if ALL.iter().any(|about| about.secret && about.name == name) {
            hidden(&value)
        } else {
            value
        };
        // No variable holds a zero byte.
        if !value.contains('\0') && !name.contains('\0') {
            vars.insert(name.to_owned(), value);
        }
    }
    let tells = |text: &str| text.contains(MARK) && !data.windows(MARK.len()).any(|window| window == MARK.as_bytes());
    match load(&vars) {
        Ok(config) => {
            assert!(!tells(&format!("{config:?}")));
            assert!(!config.warnings.iter().any(|text| tells(text)));
            assert!(!config.entries.iter().any(|entry| entry.shown.as_deref().is_some_and(tells)));
            holds(&config);
        }
        Err(rejected) => {
            assert!(!rejected.problems.is_empty());
            for problem in &rejected.problems {
                assert!(!tells(&problem.to_string()) && !tells(&format!("{problem:?}")), "{problem}");
                assert!(!problem.remedy.is_empty() && !problem.setting.is_empty());
            }
            assert!(!rejected.unknown.iter().any(|text| tells(text)));
        }
    }
});

fn hidden(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{MARK}{value}{MARK}") }
}

/// What was accepted keeps what the settings promise to each other.
fn holds(config: &Config) {
    let rules = &config.rules;
    for class in [Class::Standard, Class::Demo] {
        let clocks = rules.policy.clocks(class);
        assert!(Span::ZERO < clocks.heartbeat && clocks.heartbeat < clocks.threshold && clocks.threshold < clocks.ttl);
        assert!(rules.policy.absolute().is_none_or(|absolute| absolute >= clocks.ttl));
        let public = rules.policy.public(class);
        assert!(public.session_timeout_ms <= i32::MAX.unsigned_abs().into(), "longer than a browser's timer");
    }
    for secure in [true, false] {
        let line = rules.cookie.attributes_for(secure).line(&rules.cookie.name, b"x", Some(Span::from_secs(5)));
        assert!(HeaderValue::from_bytes(&line).is_ok());
        let line = SetCookie::parse(&line).unwrap();
        assert_eq!(line.name(), rules.cookie.name.as_bytes());
        assert_eq!(line.attribute("max-age"), Some(&b"5"[..]));
        if rules.cookie.name.to_ascii_lowercase().starts_with("__host-") {
            assert!(
                line.attribute("secure").is_some()
                    && line.attribute("path") == Some(b"/")
                    && line.attribute("domain").is_none_or(<[u8]>::is_empty)
            );
        }
    }
    if let Some(login) = &rules.login {
        assert!(HeaderValue::from_str(&login.location(true, b"/app", None)).is_ok());
    }
    assert!(config.ends.listen != config.ends.admin_listen || config.ends.listen.port() == 0);
    assert!(config.workers > 0);
}

/// Exact, or refused.
fn durations(text: &str) {
    let Ok(span) = duration::parse(text) else { return };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u128 = match &text[digits.len()..] {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        unit => panic!("{unit}"),
    };
    assert_eq!(digits.parse::<u128>().unwrap() * unit, u128::from(span.as_millis()), "{text}");
    assert_eq!(duration::parse(&span.to_string()), Ok(span));
}
