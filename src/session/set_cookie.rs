//! The backend's `Set-Cookie` lines, edited as bytes: only `Max-Age` and `Expires` ever change (rule K1, K2).
//!
//! Parsing and printing again would lose what the printer does not know: `Priority`, `Partitioned`, case and order.

use super::time::{Span, UnixMillis, UnixSeconds};
use std::ops::Range;

/// Browsers cut every lifetime to 400 days (RFC 6265bis §5.5).
pub const LONGEST_MAX_AGE: u64 = 34_560_000;

/// One line and where its parts stand.
#[derive(Clone, Debug)]
pub struct SetCookie<'a> {
    text: &'a [u8],
    name: Range<usize>,
    value: Range<usize>,
    attributes: Vec<Attribute>,
}

#[derive(Clone, Debug)]
struct Attribute {
    /// From the separating `;` to the end.
    whole: Range<usize>,
    name: Range<usize>,
    value: Range<usize>,
}

/// How long a line lets the cookie live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the browser is closed: neither `Max-Age` nor `Expires`.
    Browser,
    /// Until this moment; one that has come deletes the cookie.
    Until(UnixMillis),
}

impl<'a> SetCookie<'a> {
    /// `None` for a line without `=` in its first part, which no browser stores under a name.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut attributes = Vec::new();
        let mut parts = spans_between(text, b';');
        let pair = parts.next()?;
        let equals = text[pair.clone()].iter().position(|&byte| byte == b'=')?.saturating_add(pair.start);
        let name = trimmed(text, pair.start..equals);
        let value = trimmed(text, equals.saturating_add(1)..pair.end);
        for part in parts {
            let equals = text[part.clone()].iter().position(|&byte| byte == b'=').map(|at| at.saturating_add(part.start));
            attributes.push(Attribute {
                whole: part.start.saturating_sub(1)..part.end,
                name: trimmed(text, part.start..equals.unwrap_or(part.end)),
                value: trimmed(text, equals.map_or(part.end, |equals| equals.saturating_add(1))..part.end),
            });
        }
        Some(Self { text, name, value, attributes })
    }

    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        &self.text[self.name.clone()]
    }

    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        &self.text[self.value.clone()]
    }

    /// The last attribute of this name decides, as in browsers; names are case-insensitive.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a [u8]> {
        let last = self.attributes.iter().rfind(|attribute| self.is(attribute, name))?;
        Some(&self.text[last.value.clone()])
    }

    /// Everything but the pair and the lifetime, as the backend wrote it: name and value of each attribute.
    pub fn identity(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let lasting = self.attributes.iter().filter(|attribute| !self.is(attribute, "max-age") && !self.is(attribute, "expires"));
        lasting
            .map(|attribute| (&self.text[attribute.name.clone()], &self.text[attribute.value.clone()]))
            .filter(|(name, _)| !name.is_empty())
    }

    /// RFC 6265bis §5.5: `Max-Age` wins over `Expires`; values that are none are ignored.
    #[must_use]
    pub fn lifetime(&self, now: UnixMillis) -> Lifetime {
        let last_good = |name: &str, read: &dyn Fn(&[u8]) -> Option<UnixMillis>| {
            let named = self.attributes.iter().rev().filter(|attribute| self.is(attribute, name));
            named.map(|attribute| &self.text[attribute.value.clone()]).find_map(read)
        };
        last_good("max-age", &|value| max_age(value).map(|age| age.map_or(now, |age| now.plus(age))))
            .or_else(|| last_good("expires", &|value| http_date(value).map(UnixSeconds::millis)))
            .map_or(Lifetime::Browser, Lifetime::Until)
    }

    /// Whether the line deletes the cookie: no value, or a lifetime that is over.
    #[must_use]
    pub fn is_deletion(&self, now: UnixMillis) -> bool {
        self.value.is_empty() || matches!(self.lifetime(now), Lifetime::Until(end) if end <= now)
    }

    /// The line with this `Max-Age` in whole seconds, at least 1, and without `Expires`.
    #[must_use]
    pub fn with_max_age(&self, age: Span) -> Vec<u8> {
        self.rewritten(self.value(), Some(age))
    }

    /// The line with another value, and with this `Max-Age` if one is given.
    #[must_use]
    pub fn rewritten(&self, value: &[u8], age: Option<Span>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len().saturating_add(24));
        out.extend_from_slice(&self.text[..self.value.start]);
        out.extend_from_slice(value);
        let mut at = self.value.end;
        let Some(age) = age else {
            out.extend_from_slice(&self.text[at..]);
            return out;
        };
        let age = age.as_secs().clamp(1, LONGEST_MAX_AGE).to_string();
        // The new lifetime stands where the last Max-Age stood, else where the first Expires stood, else at the end.
        let place = self.attributes.iter().rposition(|attribute| self.is(attribute, "max-age"));
        let place = place.or_else(|| self.attributes.iter().position(|attribute| self.is(attribute, "expires")));
        for (index, attribute) in self.attributes.iter().enumerate() {
            let is_max_age = self.is(attribute, "max-age");
            if !is_max_age && !self.is(attribute, "expires") {
                continue;
            }
            out.extend_from_slice(&self.text[at..attribute.whole.start]);
            at = attribute.whole.end;
            if place == Some(index) {
                if is_max_age && !attribute.value.is_empty() {
                    out.extend_from_slice(&self.text[attribute.whole.start..attribute.value.start]);
                } else {
                    out.extend_from_slice(b"; Max-Age=");
                }
                out.extend_from_slice(age.as_bytes());
            }
        }
        out.extend_from_slice(&self.text[at..]);
        if place.is_none() {
            out.extend_from_slice(b"; Max-Age=");
            out.extend_from_slice(age.as_bytes());
        }
        out
    }

    fn is(&self, attribute: &Attribute, name: &str) -> bool {
        self.text[attribute.name.clone()].eq_ignore_ascii_case(name.as_bytes())
    }
}

/// `Some(None)` for a lifetime that is over at once, `None` for what browsers ignore (RFC 6265bis §5.6.2).
fn max_age(value: &[u8]) -> Option<Option<Span>> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than fit are a very long time, which the cap of 400 days shortens anyway.
    let seconds = std::str::from_utf8(digits).ok()?.parse().unwrap_or(LONGEST_MAX_AGE);
    Some((!negative && seconds > 0).then(|| Span::from_secs(seconds.min(LONGEST_MAX_AGE))))
}

/// The lenient date of RFC 6265bis §5.1.1, which knows every form that servers ever wrote.
#[must_use]
pub fn http_date(value: &[u8]) -> Option<UnixSeconds> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in value.split(|&byte| is_date_delimiter(byte)).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = clock_time(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = leading_digits(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = leading_digits(token, 2, 4)
        {
            year = Some(match found {
                70..=99 => found.saturating_add(1900),
                0..=69 => found.saturating_add(2000),
                _ => found,
            });
        }
    }
    let ((hour, minute, second), day, month, year) = (time?, day?, month?, year?);
    let valid = (1..=days_in(month, year)).contains(&day) && year >= 1601 && hour <= 23 && minute <= 59 && second <= 59;
    let in_day = hour.saturating_mul(3600).saturating_add(minute.saturating_mul(60)).saturating_add(second);
    valid.then(|| UnixSeconds::new(days_since_epoch(year, month, day).saturating_mul(86_400).saturating_add(in_day)))
}

const fn is_date_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// A number of `least` to `most` digits at the start, followed by no further digit.
fn leading_digits(token: &[u8], least: usize, most: usize) -> Option<i64> {
    let digits = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(least..=most).contains(&digits) {
        return None;
    }
    std::str::from_utf8(&token[..digits]).ok()?.parse().ok()
}

fn clock_time(token: &[u8]) -> Option<(i64, i64, i64)> {
    let mut fields = token.splitn(3, |&byte| byte == b':');
    let (hour, minute, second) = (fields.next()?, fields.next()?, fields.next()?);
    let exactly = |field: &[u8]| leading_digits(field, 1, 2).filter(|_| field.len() <= 2 && field.iter().all(u8::is_ascii_digit));
    Some((exactly(hour)?, exactly(minute)?, leading_digits(second, 1, 2)?))
}

fn month_of(token: &[u8]) -> Option<i64> {
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let head = token.get(..3)?;
    let index = months.iter().position(|month| head.eq_ignore_ascii_case(month.as_bytes()))?;
    i64::try_from(index).ok()?.checked_add(1)
}

fn days_in(month: i64, year: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, for years of four digits.
#[expect(clippy::arithmetic_side_effects, reason = "four-digit years and checked days cannot overflow an i64")]
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last, which makes month lengths regular.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn spans_between(text: &[u8], separator: u8) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0_usize;
    text.split(move |&byte| byte == separator).map(move |part| {
        let span = start..start.saturating_add(part.len());
        start = span.end.saturating_add(1);
        span
    })
}

fn trimmed(text: &[u8], span: Range<usize>) -> Range<usize> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let part = &text[span.clone()];
    let front = part.iter().take_while(|byte| blank(byte)).count();
    let back = part.iter().skip(front).rev().take_while(|byte| blank(byte)).count();
    span.start.saturating_add(front)..span.end.saturating_sub(back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-21 00:00:00 UTC
    const NOW: UnixMillis = UnixMillis::new(1_795_219_200_000);

    fn line(text: &str) -> SetCookie<'_> {
        SetCookie::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn k1_k2_only_the_lifetime_changes() {
        let table = [
            ("s=1; Max-Age=10; Path=/", "s=1; Max-Age=77; Path=/"),
            ("s=1", "s=1; Max-Age=77"),
            ("s=1; Path=/; HttpOnly", "s=1; Path=/; HttpOnly; Max-Age=77"),
            ("s=1; Expires=Sat, 21 Nov 2026 01:00:00 GMT; Secure", "s=1; Max-Age=77; Secure"),
            ("s=1; max-age=10; expires=Sat, 21 Nov 2026 01:00:00 GMT; Priority=High", "s=1; max-age=77; Priority=High"),
            ("s=1; Expires=x; Foo=Bar; Max-Age=1; MAX-AGE=2", "s=1; Foo=Bar; MAX-AGE=77"),
            ("s=1;Max-Age=10;Path=/app;SameSite=None;Partitioned", "s=1;Max-Age=77;Path=/app;SameSite=None;Partitioned"),
            ("s=1; Max-Age; Path=/", "s=1; Max-Age=77; Path=/"),
            ("s = 1 ; Path=/ ", "s = 1 ; Path=/ ; Max-Age=77"),
        ];
        for (before, after) in table {
            assert_eq!(String::from_utf8(line(before).with_max_age(Span::from_secs(77))).unwrap(), after);
        }
    }

    #[test]
    fn k2_max_age_is_whole_seconds_within_bounds() {
        let with = |span| String::from_utf8(line("s=1").with_max_age(span)).unwrap();
        assert_eq!(with(Span::from_millis(1999)), "s=1; Max-Age=1");
        assert_eq!(with(Span::ZERO), "s=1; Max-Age=1");
        assert_eq!(with(Span::from_secs(99_999_999)), "s=1; Max-Age=34560000");
    }

    #[test]
    fn k5_deletions_are_recognised() {
        let deletions = [
            "s=; Path=/",
            "s=; Max-Age=30; Expires=Sat, 21 Nov 2026 01:00:00 GMT",
            "s=x; Max-Age=0",
            "s=x; max-age=-5",
            "s=deleted; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "s=x; Expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "s=x; Expires=Thu Jan  1 00:00:00 1970",
            "s=x; Expires=Sat, 21 Nov 2026 00:00:00 GMT",
            "s=x; Max-Age=60; Max-Age=0",
        ];
        for text in deletions {
            assert!(line(text).is_deletion(NOW), "{text}");
        }
        let live = [
            "s=x",
            "s=x; Max-Age=1",
            "s=x; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "s=x; Max-Age=\"0\"",
            "s=x; Max-Age=99999999999999999999999",
            "s=x; Expires=Sat, 21 Nov 2026 00:00:01 GMT",
            "s=x; Expires=Wed, 31 Dec 9999 23:59:59 GMT",
            "s=x; Expires=0",
            "s=x; Expires=never",
        ];
        for text in live {
            assert!(!line(text).is_deletion(NOW), "{text}");
        }
    }

    #[test]
    fn lifetimes_are_read_as_browsers_read_them() {
        let table = [
            ("s=x", Lifetime::Browser),
            ("s=x; Expires=gone", Lifetime::Browser),
            ("s=x; Max-Age=5", Lifetime::Until(NOW.plus(Span::from_secs(5)))),
            ("s=x; Max-Age=abc; Expires=Sat, 21 Nov 2026 00:01:00 GMT", Lifetime::Until(NOW.plus(Span::from_secs(60)))),
            ("s=x; Expires=Sat, 21-Nov-26 00:01:00 GMT", Lifetime::Until(NOW.plus(Span::from_secs(60)))),
            ("s=x; Expires=Tue, 29 Feb 2028 00:00:00 GMT", Lifetime::Until(UnixMillis::new(1_835_395_200_000))),
            ("s=x; Expires=Tue, 29 Feb 2027 00:00:00 GMT", Lifetime::Browser),
        ];
        for (text, expected) in table {
            assert_eq!(line(text).lifetime(NOW), expected, "{text}");
        }
    }

    #[test]
    fn attributes_are_found_whatever_their_case() {
        let cookie = line("s=v; PATH=/app; secure; SameSite=None; path=/last; Max-Age=1;");
        assert_eq!(cookie.attribute("path"), Some(&b"/last"[..]));
        assert_eq!(cookie.attribute("Secure"), Some(&b""[..]));
        assert_eq!(cookie.attribute("domain"), None);
        let identity: Vec<_> = cookie.identity().map(|(name, _)| name).collect();
        assert_eq!(identity, [&b"PATH"[..], b"secure", b"SameSite", b"path"]);
    }

    #[test]
    fn a_line_without_a_pair_is_no_cookie() {
        assert!(SetCookie::parse(b"novalue; Path=/").is_none());
        assert!(SetCookie::parse(b"").is_none());
        assert_eq!(line("=x").name(), b"");
    }

    /// Days before the epoch of a month's end are where calendars differ.
    #[test]
    fn k5_dates_are_read_as_browsers_read_them() {
        let table = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 01-Jan-70 00:00:01 GMT", Some(1)),
            ("31 Dec 99 23:59:59", Some(946_684_799)),
            ("1 Jan 00 0:0:0", Some(946_684_800)),
            ("29 Feb 2000 00:00:00", Some(951_782_400)),
            ("29 Feb 2024 00:00:00", Some(1_709_164_800)),
            ("29 Feb 2100 00:00:00", None),
            ("29 Feb 2023 00:00:00", None),
            ("28 Feb 2023 00:00:00", Some(1_677_542_400)),
            ("30 Apr 2023 00:00:00", Some(1_682_812_800)),
            ("31 Apr 2023 00:00:00", None),
            ("31 Jan 2023 00:00:00", Some(1_675_123_200)),
            ("32 Jan 2023 00:00:00", None),
            ("1 Mar 1900 00:00:00", Some(-2_203_891_200)),
            ("31 Dec 9999 23:59:59", Some(253_402_300_799)),
            ("1 Jan 1601 00:00:00", Some(-11_644_473_600)),
            ("01 Jan 1600 00:00:00", None),
            ("01 Jan 2030 24:00:00", None),
            ("01 Jan 2030 1a:00:00", None),
            ("01 Jan 2030 100:00:00", None),
            ("Jan 2030 00:00:00", None),
        ];
        for (text, seconds) in table {
            assert_eq!(http_date(text.as_bytes()), seconds.map(UnixSeconds::new), "{text}");
        }
        assert_eq!((max_age(b"0"), max_age(b"-5"), max_age(b"1")), (Some(None), Some(None), Some(Some(Span::from_secs(1)))));
        assert_eq!(line(" name = v; Path=/").name(), b"name");
    }

    proptest! {
        #[test]
        fn never_panics(text in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(cookie) = SetCookie::parse(&text) {
                let _ = cookie.lifetime(NOW);
                let _ = cookie.with_max_age(Span::from_secs(5));
            }
        }

        #[test]
        fn dates_never_panic(text in "[0-9A-Za-z:, -]{0,40}") {
            let _ = http_date(text.as_bytes());
        }

        /// K1: take the lifetime out of both lines and what is left is the same, byte for byte.
        #[test]
        fn k1_all_other_bytes_survive(
            value in "[!-:<-~]{0,30}",
            attributes in prop::collection::vec(prop_oneof![
                Just("Path=/".to_owned()), Just(" HttpOnly".to_owned()), Just(" max-age=5".to_owned()), Just("Max-Age=9".to_owned()),
                Just(" Expires=Thu, 01 Jan 1970 00:00:00 GMT".to_owned()), "[ -:<-~]{0,20}",
            ], 0..8),
        ) {
            let text = std::iter::once(format!("s={value}")).chain(attributes).collect::<Vec<_>>().join(";");
            let cookie = line(&text);
            let after = cookie.with_max_age(Span::from_secs(3600));
            let edited = SetCookie::parse(&after).unwrap();
            prop_assert_eq!(edited.lifetime(NOW), Lifetime::Until(NOW.plus(Span::from_secs(3600))));
            prop_assert_eq!(edited.value(), cookie.value());
            let others = |cookie: &SetCookie<'_>| -> Vec<Vec<u8>> {
                cookie.attributes.iter().filter(|a| !cookie.is(a, "max-age") && !cookie.is(a, "expires"))
                    .map(|a| cookie.text[a.whole.clone()].to_vec()).collect()
            };
            prop_assert_eq!(others(&edited), others(&cookie));
        }
    }
}
