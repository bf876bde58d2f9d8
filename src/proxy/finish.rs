//! The way out: the settlement on the response's head.

use crate::headers::retain;
use crate::session::settle::{SessionClock, Settlement};
use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const SESSION_EXPIRES_IN: HeaderName = HeaderName::from_static("session-expires-in");
const SESSION_POLICY_VERSION: HeaderName = HeaderName::from_static("session-policy-version");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Room for two numbers of 20 digits, and the words around them.
const LONGEST_TIMING: usize = 64;

/// Writes what was settled. Every `Set-Cookie` line that is not C's keeps its bytes, its order and its own line (P3).
pub fn finish(headers: &mut HeaderMap, settlement: &Settlement, policy_version: &HeaderValue) {
    if settlement.lines.iter().any(Option::is_some) || !settlement.added.is_empty() {
        write_lines(headers, settlement);
    }
    if settlement.uncacheable {
        retain(headers, |name, _| ![header::EXPIRES, SURROGATE_CONTROL, CDN_CACHE_CONTROL].contains(name));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, private"));
    }
    if let Some(clock) = &settlement.clock {
        tell(headers, clock, policy_version);
    }
}

/// Ours first, then the backend's: curl forgets a deletion that another line follows.
fn write_lines(headers: &mut HeaderMap, settlement: &Settlement) {
    let backend: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    let added = settlement.added.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
    let settled = backend.into_iter().zip(&settlement.lines).map(|(old, new)| {
        let new = new.as_ref().and_then(|new| HeaderValue::from_bytes(new).ok());
        new.unwrap_or(old)
    });
    // `insert` keeps the field's place among the others; the lines follow it.
    let mut all = added.chain(settled);
    if let Some(first) = all.next() {
        headers.insert(header::SET_COOKIE, first);
    }
    for line in all {
        headers.append(header::SET_COOKIE, line);
    }
}

/// Rule E3: so that a page can follow the clock of any of its responses.
fn tell(headers: &mut HeaderMap, clock: &SessionClock, policy_version: &HeaderValue) {
    headers.reserve(3);
    headers.insert(SESSION_EXPIRES_IN, HeaderValue::from(clock.remaining.as_secs()));
    headers.insert(SESSION_POLICY_VERSION, policy_version.clone());
    let mut timing = BytesMut::with_capacity(LONGEST_TIMING);
    timing.extend_from_slice(b"session;dur=");
    timing.extend_from_slice(itoa::Buffer::new().format(clock.remaining.as_millis()).as_bytes());
    timing.extend_from_slice(b";desc=\"");
    timing.extend_from_slice(itoa::Buffer::new().format(clock.now.get()).as_bytes());
    timing.extend_from_slice(b"\"");
    if let Ok(timing) = HeaderValue::from_maybe_shared(timing.freeze()) {
        headers.append(SERVER_TIMING, timing);
    }
}
