//! Routes that are told apart in numbers: few enough for any store of metrics, and none that names a person.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// More than an operator would read.
const MOST_ROUTES: usize = 50;

/// The routes that were seen.
#[derive(Debug, Default)]
pub struct Routes(Mutex<HashSet<String>>);

impl Routes {
    /// The route of a path; `other` where there are too many.
    pub fn of(&self, path: &str) -> String {
        self.find(path, true).unwrap_or_else(|| "other".to_owned())
    }

    /// The route of a path, if it is one of those that were seen, or there is room for it and it is one to remember: whoever tries
    /// what there might be on a site would fill the room with what there is not.
    pub fn find(&self, path: &str, is_real: bool) -> Option<String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let route = route_of(path);
        if !seen.contains(&route) {
            if !is_real || seen.len() >= MOST_ROUTES {
                return None;
            }
            seen.insert(route.clone());
        }
        Some(route)
    }
}

/// A path with what looks like an identifier taken out: `/users/17/edit` → `/users/:id/edit`, at most four segments.
fn route_of(path: &str) -> String {
    let segments = path.split('/').skip(1).take(4).map(|segment| {
        let is_id = segment.len() > 24 || segment.bytes().any(|byte| byte.is_ascii_digit()) || !segment.bytes().all(is_word);
        if is_id { ":id" } else { segment }
    });
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_routes_are_few_and_hold_no_identifiers() {
        let table = [
            ("/", "/"),
            ("/users/17/edit", "/users/:id/edit"),
            ("/a/b/c/d/e/f", "/a/b/c/d"),
            ("/reset/abcdefghijklmnopqrstuvwxyz", "/reset/:id"),
            ("/x/caf%C3%A9", "/x/:id"),
            ("/x/\"\n", "/x/:id"),
        ];
        for (path, route) in table {
            assert_eq!(route_of(path), route);
        }
        let routes = Routes::default();
        let names = (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').map(move |b| format!("/{}{}", char::from(a), char::from(b))));
        let seen: HashSet<_> = names.map(|name| routes.of(&name)).collect();
        assert!(seen.len() == MOST_ROUTES + 1 && seen.contains("other") && seen.contains("/aa"), "{seen:?}");
        assert_eq!(routes.of("/aa"), "/aa");
        let routes = Routes::default();
        assert_eq!(routes.find("/wp-admin", false), None);
        assert_eq!(routes.find("/shop", true).as_deref(), Some("/shop"));
        assert_eq!(routes.find("/shop", false).as_deref(), Some("/shop"));
    }
}
