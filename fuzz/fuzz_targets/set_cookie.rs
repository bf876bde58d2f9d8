//! A Set-Cookie line, rewritten. The first line is the new lifetime and the new value, the second the Set-Cookie line.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use slidecar::session::attributes::Attributes;
use slidecar::session::set_cookie::{LONGEST_MAX_AGE, Lifetime, SetCookie, http_date};
use slidecar::session::time::Span;
use slidecar_fuzz::{at, blanked, lasting_attributes, shown};
use std::time::UNIX_EPOCH;

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|&byte| byte == b'\n') else { return };
    let (first, line) = (&data[..end], &data[end + 1..]);
    let digits: String = first.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| char::from(*byte)).collect();
    let age = Span::from_secs(digits.parse().unwrap_or(u64::MAX));
    let value: Vec<u8> =
        first[digits.len()..].iter().copied().filter(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(byte)).collect();
    let now = at(0);
    dates(line);

    let Some(cookie) = SetCookie::parse(line) else {
        assert!(!line.split(|&byte| byte == b';').next().unwrap().contains(&b'='));
        return;
    };
    let is_field = HeaderValue::from_bytes(line).is_ok();
    let lasting = lasting_attributes(line);
    if cookie.lifetime(now) != Lifetime::Browser {
        assert!(cookie.attribute("max-age").or(cookie.attribute("expires")).is_some());
    }
    assert!(cookie.is_deletion(now) || !cookie.value().is_empty());

    let other = cookie.rewritten(&value, None);
    let attributes = line.iter().position(|&byte| byte == b';').map_or(&b""[..], |at| &line[at..]);
    assert!(other.ends_with(attributes));
    assert_eq!(SetCookie::parse(&other).unwrap().value(), value);

    let seconds = age.as_secs().clamp(1, LONGEST_MAX_AGE);
    for (after, value) in [(cookie.with_max_age(age), cookie.value()), (cookie.rewritten(&value, Some(age)), &value)] {
        let edited = SetCookie::parse(&after).unwrap();
        assert_eq!((edited.name(), edited.value()), (cookie.name(), value));
        assert!(lasting_attributes(&after) == lasting, "{} -> {}", shown(line), shown(&after));
        assert!(edited.identity().eq(cookie.identity()));
        assert_eq!(edited.lifetime(now), Lifetime::Until(now.plus(Span::from_secs(seconds))), "{}", shown(&after));
        assert_eq!(edited.is_deletion(now), value.is_empty());
        assert_eq!(edited.attribute("max-age"), Some(seconds.to_string().as_bytes()));
        assert!(edited.attribute("expires").is_none());
        assert_eq!(edited.with_max_age(age), after, "once is enough");
        assert!(!is_field || HeaderValue::from_bytes(&after).is_ok(), "{}", shown(&after));
    }

    // What a renewed cookie repeats is a line again, and says the same.
    let attributes = Attributes::of(&cookie, b"/app/login");
    let own = attributes.line("session", b"x", Some(age));
    assert!(Attributes::of(&SetCookie::parse(&own).unwrap(), b"/").equivalent(&attributes), "{} -> {}", shown(line), shown(&own));
    assert!(!is_field || HeaderValue::from_bytes(&own).is_ok());
});

/// Where a strict reader sees a date, the lenient one sees the same.
fn dates(line: &[u8]) {
    for part in line.split(|&byte| byte == b';') {
        let text = part.iter().position(|&byte| byte == b'=').map_or(part, |at| &part[at + 1..]);
        let Ok(text) = std::str::from_utf8(blanked(text)) else { continue };
        let ours = http_date(text.as_bytes());
        if let Ok(date) = httpdate::parse_http_date(text) {
            let seconds = i64::try_from(date.duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
            assert_eq!(ours.map(|date| date.get()), Some(seconds), "{text:?}");
        }
    }
}
