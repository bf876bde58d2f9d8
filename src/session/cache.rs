//! Whether a shared cache may store a response (rule H2): a renewed cookie on such an answer would reach other people.

use super::set_cookie::http_date;
use super::time::UnixMillis;

/// What a response says to caches, field values as bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheFacts<'a> {
    pub cache_control: &'a [&'a [u8]],
    /// `CDN-Cache-Control` and `Surrogate-Control`.
    pub targeted: &'a [&'a [u8]],
    pub expires: Option<&'a [u8]>,
    pub has_last_modified: bool,
}

impl CacheFacts<'_> {
    #[must_use]
    pub fn is_shared_storable(&self, now: UnixMillis) -> bool {
        let says = |name: &str| directives(self.cache_control).any(|(directive, _)| directive.eq_ignore_ascii_case(name.as_bytes()));
        if directives(self.targeted).any(|(name, value)| name.eq_ignore_ascii_case(b"max-age") && is_positive(value)) {
            return true;
        }
        if says("no-store") || says("private") {
            return false;
        }
        let lasts = |name: &str| {
            directives(self.cache_control).any(|(directive, value)| directive.eq_ignore_ascii_case(name.as_bytes()) && is_positive(value))
        };
        says("public")
            || says("s-maxage")
            || says("immutable")
            || lasts("max-age")
            || self.expires.and_then(http_date).is_some_and(|expires| expires > now.second())
            || (self.has_last_modified && self.cache_control.is_empty())
    }
}

/// Name and argument of each directive, quotes removed.
fn directives<'a>(fields: &'a [&'a [u8]]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.iter().flat_map(|field| field.split(|&byte| byte == b',')).map(|directive| {
        let mut halves = directive.splitn(2, |&byte| byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        let value = halves.next().unwrap_or_default().trim_ascii();
        (name, value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

fn is_positive(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit) && value.iter().any(|&digit| digit != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_storable_by_a_shared_cache() {
        let now = UnixMillis::new(1_795_219_200_000);
        let storable = |control: &[&str], targeted: &[&str], expires: Option<&str>, has_last_modified| {
            let control: Vec<_> = control.iter().map(|field| field.as_bytes()).collect();
            let targeted: Vec<_> = targeted.iter().map(|field| field.as_bytes()).collect();
            let expires = expires.map(str::as_bytes);
            CacheFacts { cache_control: &control, targeted: &targeted, expires, has_last_modified }.is_shared_storable(now)
        };
        for control in ["public", "max-age=60", "Max-Age=\"60\"", "s-maxage=1", "s-maxage=0", "immutable", "no-cache, public", "x, PUBLIC"]
        {
            assert!(storable(&[control], &[], None, false), "{control}");
        }
        for control in ["private", "private, max-age=60", "no-store", "no-store, public", "no-cache", "max-age=0", "max-age=x", ""] {
            assert!(!storable(&[control], &[], None, true), "{control}");
        }
        assert!(storable(&["private"], &["max-age=60"], None, false));
        assert!(!storable(&[], &["no-store"], None, false));
        assert!(storable(&[], &[], Some("Sat, 21 Nov 2026 00:00:01 GMT"), false));
        assert!(!storable(&[], &[], Some("Sat, 21 Nov 2026 00:00:00 GMT"), false) && !storable(&[], &[], Some("0"), false));
        assert!(storable(&[], &[], None, true) && !storable(&[], &[], None, false));
    }
}
