//! Durations that a page's scripts hold hard-coded. A script is only read, never run: what is found is a guess from names, and
//! says so.

use crate::session::time::Span;

/// Sensible ends of a session: what is shorter is an animation, what is longer a cache.
const SHORTEST: u64 = 10_000;
const LONGEST: u64 = 31 * 86_400_000;
/// How far around a number its meaning is looked for.
const NEAR: usize = 160;

/// Whose timer it is…
const SUBJECTS: [&str; 9] = ["session", "idle", "inactiv", "login", "signin", "signout", "logout", "keepalive", "loggedin"];
/// …what it does…
const ENDS: [&str; 9] = ["timeout", "timer", "expir", "lifetime", "maxage", "limit", "logout", "signout", "duration"];
/// …and what else a session has that is counted in time.
const OTHERS: [&str; 13] = [
    "heartbeat",
    "interval",
    "poll",
    "refresh",
    "threshold",
    "warn",
    "buffer",
    "grace",
    "debounce",
    "retry",
    "request",
    "connect",
    "token",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    pub span: Span,
    /// `None` where no name tells what the number is, only what stands around it.
    pub name: Option<String>,
}

/// All that look like the end of a session by a timer of the browser, in order.
pub fn find(script: &str) -> Vec<Constant> {
    let mut found: Vec<Constant> = Vec::new();
    let mut at = 0;
    let bytes = script.as_bytes();
    while at < bytes.len() {
        let begins = bytes[at].is_ascii_digit() && (at == 0 || !is_word(bytes[at - 1]) && bytes[at - 1] != b'.');
        if !begins {
            at += 1;
            continue;
        }
        // Of what is computed from something else, this is but a part.
        let is_part = script[..at].trim_end().ends_with(['*', '/', '+', '-', '%']);
        let (value, end) = product(bytes, at);
        let value = value.filter(|_| !is_part);
        if let Some(constant) = value.and_then(|value| meaning(script, at, end, value))
            && !found.contains(&constant)
        {
            found.push(constant);
        }
        at = end.max(at + 1);
    }
    found
}

/// `65 * 60 * 1000`, `65*6e4`, `3_900_000`, `39e5`: the value, and where it ends.
fn product(bytes: &[u8], start: usize) -> (Option<f64>, usize) {
    let (mut value, mut end) = number(bytes, start);
    loop {
        let sign = skip_blanks(bytes, end);
        if bytes.get(sign) != Some(&b'*') {
            return (value, end);
        }
        let next = skip_blanks(bytes, sign + 1);
        if !bytes.get(next).is_some_and(u8::is_ascii_digit) {
            // Times something that has no number here.
            return (None, end);
        }
        let (factor, after) = number(bytes, next);
        value = value.zip(factor).map(|(value, factor)| value * factor);
        end = after;
    }
}

fn number(bytes: &[u8], start: usize) -> (Option<f64>, usize) {
    let length = bytes[start..].iter().take_while(|byte| is_word(**byte) || **byte == b'.').count();
    let text: String = bytes[start..start + length].iter().filter(|byte| **byte != b'_').map(|byte| char::from(*byte)).collect();
    // What Rust reads besides (inf, nan) begins with no digit.
    (text.parse().ok(), start + length)
}

fn meaning(script: &str, start: usize, end: usize, value: f64) -> Option<Constant> {
    let before = &script[floor(script, start.saturating_sub(NEAR))..start];
    let statement = before.rfind([';', '{', '}', ',', '\n']).map_or(before, |cut| &before[cut + 1..]);
    // The last name of the statement that says whose timer it is; words of the language say nothing.
    let name = words(statement).filter(|word| is_timer(word)).last();
    if let Some(name) = name {
        return Some(Constant { span: span(value * unit(name))?, name: Some(name.chars().take(40).collect()) });
    }
    if words(statement).any(|word| is_one_of(word, &OTHERS)) {
        return None;
    }
    // Names are lost when scripts are made small, but what is called keeps its name.
    let around = &script[floor(script, start.saturating_sub(NEAR))..floor(script, (end + NEAR / 2).min(script.len()))];
    let ends_a_session = |word: &str| is_one_of(word, &["logout", "signout", "sessionexpired", "sessiontimeout", "autologout"]);
    let is_delay = before.trim_end().ends_with(',') && script[end..].trim_start().starts_with(')') && before.contains("setTimeout");
    let is_compared = before.trim_end().ends_with(['>', '<']) || before.trim_end().ends_with(">=");
    let is_alone = words(around).any(ends_a_session) && (is_delay || is_compared);
    is_alone.then(|| span(value).map(|span| Constant { span, name: None })).flatten()
}

fn is_timer(word: &str) -> bool {
    is_one_of(word, &SUBJECTS) && is_one_of(word, &ENDS) && !is_one_of(word, &OTHERS)
}

/// Whether any of these stands in the word, however that is spelled: `SESSION_TIMEOUT_MS`, `sessionTimeoutMs`, `session-timeout`.
fn is_one_of(word: &str, parts: &[&str]) -> bool {
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    parts.iter().any(|part| plain.contains(part))
}

/// Milliseconds, unless the name says otherwise.
fn unit(name: &str) -> f64 {
    let name = name.to_ascii_lowercase();
    if ["seconds", "secs", "sec", "_s"].iter().any(|end| name.ends_with(end)) && !name.ends_with("milliseconds") {
        1000.0
    } else if ["minutes", "mins", "min", "_m"].iter().any(|end| name.ends_with(end)) {
        60_000.0
    } else if name.ends_with("hours") {
        3_600_000.0
    } else {
        1.0
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_$-".contains(letter)).filter(|word| !word.is_empty())
}

fn span(value: f64) -> Option<Span> {
    #[expect(clippy::cast_precision_loss, reason = "both ends are small")]
    let is_sensible = (SHORTEST as f64..=LONGEST as f64).contains(&value) && value.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and between the two ends")]
    is_sensible.then(|| Span::from_millis(value as u64))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The nearest place at or before this one that does not cut a letter.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_900_000;

    #[test]
    fn c_timers_are_found_by_their_names_however_numbers_are_written() {
        let named = [
            "const SESSION_TIMEOUT_MS = 65 * 60 * 1000; // 65 minutes",
            "const SESSION_TIMEOUT_MS: number = 65*6e4",
            "var p={heartbeatIntervalMs:6e5,sessionTimeoutMs:39e5,refreshThresholdMs:18e5}",
            "export const idleTimeout = 3_900_000;",
            "SESSION_TIMEOUT_MINUTES = 65",
            "sessionTimeoutSeconds: 3900,",
            "const SESSION_TIMEOUT_MS = Number(window.TIMEOUT || 3900000);",
            "{\"sessionTimeoutMs\":3900000}",
            "let autoLogoutTimer=39e5",
            "größe = 1; inactivityLimit = 65 * 60 * 1000",
        ];
        for script in named {
            let found = find(script);
            assert!(matches!(&found[..], [Constant { span, name: Some(_) }] if span.as_millis() == HOUR), "{script}: {found:?}");
        }
        let nameless = ["setTimeout(()=>signOut(),39e5)", "if (Date.now() - t >= 65 * 60 * 1000) logout();", "a>39e5&&r.logOut()"];
        for script in nameless {
            assert_eq!(find(script), [Constant { span: Span::from_millis(HOUR), name: None }], "{script}");
        }
    }

    #[test]
    fn c_what_else_is_counted_in_time_is_no_timer_of_a_session() {
        let scripts = [
            "const HEARTBEAT_INTERVAL_MS = 10 * 60 * 1000;",
            "const SESSION_WARNING_MS = 2 * 60 * 1000;",
            "const REFRESH_THRESHOLD_SECONDS = 5 * 60;",
            "accessTokenTtlMs: 60 * 60 * 1000,",
            "const REQUEST_TIMEOUT_MS = 30 * 1000;",
            "setTimeout(() => hideToast(), 39e5)",
            "const SESSION_TIMEOUT_MS = minutes * 60 * 1000;",
            "SESSION_TIMEOUT_MS = 5; session_timeout = 39e50; sessionTimeout = 0x3b8260",
            "setInterval(beat, 10 * 60 * 1000); function logout() {}",
            "const sessions = 3900000;",
        ];
        for script in scripts {
            assert_eq!(find(script), [], "{script}");
        }
    }

    proptest! {
        #[test]
        fn any_script_is_read_to_its_end(script in "(.|session|timeout|=|\\*|[0-9]|é| ){0,60}") {
            find(&script);
        }
    }
}
