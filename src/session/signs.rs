//! What a request's head says about the person behind it: whether it is a sign of one at all (rule Q5), and whether it
//! shows a page (rule Q8). A client can make itself more passive, never less.

use super::paths::PathFacts;

/// The head fields that matter here, as bytes; `None` where a field is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signs<'a> {
    pub method: Method,
    pub session_passive: Option<&'a [u8]>,
    /// `Sec-Purpose` or `Purpose`.
    pub purpose: Option<&'a [u8]>,
    pub accept: Option<&'a [u8]>,
    pub authorization: Option<&'a [u8]>,
    pub fetch_mode: Option<&'a [u8]>,
    pub has_requested_with: bool,
    pub is_upgrade: bool,
}

/// Methods that the rules tell apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Options,
    #[default]
    Other,
}

impl Signs<'_> {
    /// Served, but no sign of a person.
    #[must_use]
    pub fn is_passive(&self, path: &PathFacts) -> bool {
        path.passive
            || self.is_upgrade
            || self.method == Method::Options
            || self.session_passive.is_some_and(|value| value.trim_ascii() == b"1")
            || self.purpose.is_some_and(|value| contains(value, b"prefetch"))
            || self.accept.is_some_and(|value| contains(value, b"text/event-stream"))
            || self.authorization.is_some_and(|value| value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer ")))
    }

    /// A page in the making, which a redirect to the login helps; anything else needs a status it can read.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        match self.fetch_mode {
            Some(mode) => mode.eq_ignore_ascii_case(b"navigate"),
            None => {
                matches!(self.method, Method::Get | Method::Head)
                    && !self.has_requested_with
                    && self.accept.is_some_and(|value| contains(value, b"text/html"))
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    text.windows(part.len()).any(|window| window[0].eq_ignore_ascii_case(first) && window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q5_passive_requests() {
        let get = Signs { method: Method::Get, ..Signs::default() };
        let page = PathFacts::default();
        let table = [
            (get, false),
            (Signs { session_passive: Some(b"1"), ..get }, true),
            (Signs { session_passive: Some(b"0"), ..get }, false),
            (Signs { purpose: Some(b"prefetch;prerender"), ..get }, true),
            (Signs { purpose: Some(b"other"), ..get }, false),
            (Signs { accept: Some(b"text/event-stream"), ..get }, true),
            (Signs { accept: Some(b"text/html, */*"), ..get }, false),
            (Signs { authorization: Some(b"Bearer abc"), ..get }, true),
            (Signs { authorization: Some(b"bearer abc"), ..get }, true),
            (Signs { authorization: Some(b"Basic abc"), ..get }, false),
            (Signs { is_upgrade: true, ..get }, true),
            (Signs { method: Method::Options, ..get }, true),
            (Signs { method: Method::Other, ..get }, false),
        ];
        for (signs, expected) in table {
            assert_eq!(signs.is_passive(&page), expected, "{signs:?}");
        }
        assert!(get.is_passive(&PathFacts { passive: true, ..page }));
    }

    #[test]
    fn q8_navigation_or_fetch() {
        let get = Signs { method: Method::Get, accept: Some(b"text/html,application/xhtml+xml"), ..Signs::default() };
        let table = [
            (get, true),
            (Signs { method: Method::Head, ..get }, true),
            (Signs { method: Method::Other, ..get }, false),
            (Signs { accept: Some(b"*/*"), ..get }, false),
            (Signs { accept: None, ..get }, false),
            (Signs { has_requested_with: true, ..get }, false),
            (Signs { fetch_mode: Some(b"cors"), ..get }, false),
            (Signs { fetch_mode: Some(b"navigate"), method: Method::Other, accept: None, ..get }, true),
        ];
        for (signs, expected) in table {
            assert_eq!(signs.is_navigation(), expected, "{signs:?}");
        }
    }
}
