//! The line that every request leaves behind. It is written on the hot path, so it is put together by hand into a buffer
//! that many requests share, and reaches the log a moment later.

use super::LogFormat;
use crate::session::family::Family;
use crate::session::outcome::Outcome;
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::Notify;

/// How long a line may wait for others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Bytes that wait; more are written at once.
const MOST_BYTES: usize = 32 * 1024;

/// What a line says. No token, cookie, secret, subject or query string is among it.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub now: UnixMillis,
    pub id: RequestId,
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    pub status: u16,
    pub outcome: Option<Outcome>,
    pub family: Option<Family>,
    pub error: Option<&'static str>,
    /// Nothing was done; the line says what would have been.
    pub observed: bool,
    pub took: Span,
}

/// Unlike any other of this process, and hardly like one of another.
#[derive(Clone, Copy, Debug)]
pub struct RequestId {
    pub instance: u32,
    pub number: u64,
}

/// Lines on their way to standard output.
#[derive(Debug)]
pub struct AccessLog {
    /// `None`: nobody wants to know.
    format: Option<LogFormat>,
    waiting: Mutex<Waiting>,
    has_begun: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The second that was written last, for the next line is hardly ever of another.
    second: Option<(UnixSeconds, String)>,
}

impl AccessLog {
    #[must_use]
    pub fn new(format: Option<LogFormat>) -> Self {
        Self { format, waiting: Mutex::default(), has_begun: Notify::new() }
    }

    pub fn write(&self, line: &Line<'_>) {
        let Some(format) = self.format else { return };
        let mut waiting = self.lock();
        let Waiting { lines, second } = &mut *waiting;
        let is_first = lines.is_empty();
        let now = line.now.second();
        let second = match second {
            Some((known, text)) if *known == now => text,
            other => &mut other.insert((now, date(now))).1,
        };
        match format {
            LogFormat::Json => line.write_json(second, lines),
            LogFormat::Text => line.write_text(second, lines),
        }
        if lines.len() >= MOST_BYTES {
            let full = std::mem::take(lines);
            drop(waiting);
            print(&full);
        } else if is_first {
            drop(waiting);
            self.has_begun.notify_one();
        }
    }

    /// Prints what waits, now and then, for ever.
    pub async fn run(&self) {
        loop {
            self.has_begun.notified().await;
            tokio::time::sleep(LONGEST_WAIT).await;
            self.flush();
        }
    }

    pub fn flush(&self) {
        let mut waiting = self.lock();
        let lines = std::mem::take(&mut waiting.lines);
        drop(waiting);
        print(&lines);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn print(lines: &[u8]) {
    if !lines.is_empty() {
        let _ = std::io::stdout().lock().write_all(lines); // A log that nobody reads must not stop the requests.
    }
}

impl Line<'_> {
    fn write_json(&self, second: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"timestamp":""#);
        out.extend_from_slice(second.as_bytes());
        self.write_millis(out);
        out.extend_from_slice(br#"","level":"INFO","event":"request","id":""#);
        self.id.write(out);
        member(out, r#"","method":"#, self.method);
        member(out, r#","path":"#, self.path);
        number(out, r#","status":"#, self.status.into());
        if let Some(outcome) = self.outcome {
            member(out, r#","decision":"#, outcome.decision());
            member(out, r#","reason":"#, outcome.reason());
        }
        if let Some(family) = self.family {
            out.extend_from_slice(br#","family":""#);
            write_hex(family.prefix(), out);
            out.push(b'"');
        }
        if let Some(error) = self.error {
            member(out, r#","error":"#, error);
        }
        if self.observed {
            out.extend_from_slice(br#","observed":true"#);
        }
        number(out, r#","ms":"#, self.took.as_millis());
        out.extend_from_slice(b"}\n");
    }

    fn write_text(&self, second: &str, out: &mut Vec<u8>) {
        let Self { id, method, path, status, .. } = self;
        out.extend_from_slice(second.as_bytes());
        self.write_millis(out);
        let _ = write!(out, "  INFO event=\"request\" id=\"{id}\" method=\"{method}\" path={path:?} status={status}");
        if let Some(outcome) = self.outcome {
            let _ = write!(out, " decision=\"{}\" reason=\"{}\"", outcome.decision(), outcome.reason());
        }
        if let Some(family) = self.family {
            let _ = write!(out, " family=\"{:08x}\"", family.prefix());
        }
        if let Some(error) = self.error {
            let _ = write!(out, " error=\"{error}\"");
        }
        if self.observed {
            let _ = write!(out, " observed=true");
        }
        let _ = writeln!(out, " ms={}", self.took.as_millis());
    }

    /// The rest of the timestamp.
    fn write_millis(&self, out: &mut Vec<u8>) {
        let millis = self.now.get().rem_euclid(1000).unsigned_abs();
        out.push(b'.');
        out.extend([100, 10, 1].map(|place| decimal(millis / place)));
        out.push(b'Z');
    }
}

impl RequestId {
    fn write(self, out: &mut Vec<u8>) {
        write_hex(self.instance, out);
        out.push(b'-');
        out.extend_from_slice(itoa::Buffer::new().format(self.number).as_bytes());
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{}", self.instance, self.number)
    }
}

/// RFC 3339, up to the second.
fn date(second: UnixSeconds) -> String {
    let since_epoch = Duration::from_secs(second.get().max(0).unsigned_abs());
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string();
    text.trim_end_matches('Z').to_owned()
}

fn decimal(number: u64) -> u8 {
    b"0123456789"[usize::try_from(number % 10).unwrap_or_default()]
}

/// Eight digits.
fn write_hex(number: u32, out: &mut Vec<u8>) {
    out.extend((0..8).rev().map(|place| b"0123456789abcdef"[(number >> (4 * place) & 15) as usize]));
}

fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(name.as_bytes());
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let _ = serde_json::to_writer(out, text); // A string into memory.
    }
}

fn number(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::outcome::Kept;

    fn line() -> Line<'static> {
        Line {
            now: UnixMillis::new(1_795_219_200_042),
            id: RequestId { instance: 0xab, number: 31 },
            method: "GET",
            path: "/a\"b",
            status: 200,
            outcome: Some(Outcome::Kept(Kept::NotDue)),
            family: Some(Family::from_id([7; 16])),
            error: None,
            observed: false,
            took: Span::from_millis(3),
        }
    }

    #[test]
    fn o2_a_line_is_json_that_says_what_was_decided() {
        let mut out = Vec::new();
        line().write_json("2026-11-21T00:00:00", &mut out);
        let expected = concat!(
            r#"{"timestamp":"2026-11-21T00:00:00.042Z","level":"INFO","event":"request","id":"000000ab-31","method":"GET","path":"/a\"b","#,
            r#""status":200,"decision":"kept","reason":"not_due","family":"07070707","ms":3}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        Line { outcome: None, family: None, error: Some("bad_path"), observed: true, ..line() }.write_json("2026-11-21T00:00:00", &mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((json["error"].as_str(), json["observed"].as_bool(), json.get("family")), (Some("bad_path"), Some(true), None));
    }

    #[test]
    fn o2_a_line_says_when() {
        assert_eq!(date(line().now.second()), "2026-11-21T00:00:00");
        assert_eq!(date(UnixSeconds::new(-5)), "1970-01-01T00:00:00");
        let mut out = Vec::new();
        Line { now: UnixMillis::new(7), ..line() }.write_millis(&mut out);
        assert_eq!(out, b".007Z");
    }

    #[test]
    fn o2_the_same_as_text() {
        let mut out = Vec::new();
        line().write_text("2026-11-21T00:00:00", &mut out);
        let expected = concat!(
            r#"2026-11-21T00:00:00.042Z  INFO event="request" id="000000ab-31" method="GET" path="/a\"b" status=200"#,
            r#" decision="kept" reason="not_due" family="07070707" ms=3"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
