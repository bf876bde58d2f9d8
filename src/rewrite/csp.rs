//! Whether a page's Content Security Policy (CSP Level 3) lets a script of its own origin run and call home, and with which
//! nonce. Nothing is ever loosened: where it does not, the page stays as it is.

/// What a script element needs to run under all policies of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    Free,
    Nonce(String),
}

/// What all policies together say; `None` if one of them would stop it.
#[must_use]
pub fn pass<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Pass> {
    let mut nonce: Option<String> = None;
    for policy in fields.flat_map(|field| field.split(',')).map(Policy::parse) {
        if policy.directive("sandbox").is_some_and(|words| !words.iter().any(|word| word.eq_ignore_ascii_case("allow-scripts"))) {
            return None;
        }
        if !policy.first(&["connect-src", "default-src"]).is_none_or(takes_own_origin) {
            return None;
        }
        let Some(sources) = policy.first(&["script-src-elem", "script-src", "default-src"]) else { continue };
        let needed = sources.iter().find_map(|source| nonce_of(source));
        match (needed, &nonce) {
            // One element has one nonce.
            (Some(needed), Some(known)) if needed != known => return None,
            (Some(needed), _) => nonce = Some(needed.to_owned()),
            (None, _) if is_strict_dynamic(sources) || !takes_own_origin(sources) => return None,
            (None, _) => {}
        }
    }
    Some(nonce.map_or(Pass::Free, Pass::Nonce))
}

/// One policy: directives by name, the first of each.
struct Policy<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Policy<'a> {
    fn parse(text: &'a str) -> Self {
        let directive = |text: &'a str| {
            let mut words = text.split_ascii_whitespace();
            Some((words.next()?, words.collect()))
        };
        Self(text.split(';').filter_map(directive).collect())
    }

    fn directive(&self, name: &str) -> Option<&[&'a str]> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, words)| words.as_slice())
    }

    /// The first of these that is there rules.
    fn first(&self, names: &[&str]) -> Option<&[&'a str]> {
        names.iter().find_map(|name| self.directive(name))
    }
}

fn nonce_of(source: &str) -> Option<&str> {
    let inner = source.strip_prefix('\'')?.strip_suffix('\'')?;
    let (word, nonce) = inner.split_at_checked("nonce-".len())?;
    // What could end an attribute is no nonce (CSP: base64 letters).
    let is_base64 = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte));
    (word.eq_ignore_ascii_case("nonce-") && is_base64).then_some(nonce)
}

fn is_strict_dynamic(sources: &[&str]) -> bool {
    sources.iter().any(|source| source.eq_ignore_ascii_case("'strict-dynamic'"))
}

/// As far as can be said without knowing the origin's name.
fn takes_own_origin(sources: &[&str]) -> bool {
    sources.iter().any(|source| source.eq_ignore_ascii_case("'self'") || *source == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b8_a_script_runs_only_where_every_policy_lets_it() {
        let nonce = |text: &str| Some(Pass::Nonce(text.to_owned()));
        let table: [(&[&str], Option<Pass>); 22] = [
            (&[], Some(Pass::Free)),
            (&[""], Some(Pass::Free)),
            (&["img-src 'none'; frame-ancestors 'none'"], Some(Pass::Free)),
            (&["default-src 'self'"], Some(Pass::Free)),
            (&["DEFAULT-SRC 'SELF'"], Some(Pass::Free)),
            (&["default-src *"], Some(Pass::Free)),
            (&["default-src 'none'"], None),
            (&["script-src 'self'; default-src 'none'"], None),
            (&["script-src 'self'; connect-src 'self'; default-src 'none'"], Some(Pass::Free)),
            (&["script-src https://cdn.example"], None),
            (&["script-src 'unsafe-inline'"], None),
            (&["script-src 'sha256-abc='"], None),
            (&["script-src 'nonce-R4nd+/='"], nonce("R4nd+/=")),
            (&["script-src 'self' 'nonce-abc' 'strict-dynamic'"], nonce("abc")),
            (&["script-src 'self' 'strict-dynamic'"], None),
            (&["script-src-elem 'self'; script-src 'none'"], Some(Pass::Free)),
            (&["script-src 'nonce-a', script-src 'self'"], nonce("a")),
            (&["script-src 'nonce-a'", "script-src 'nonce-a'"], nonce("a")),
            (&["script-src 'nonce-a'", "script-src 'nonce-b'"], None),
            (&["sandbox allow-forms"], None),
            (&["sandbox allow-forms allow-scripts allow-same-origin"], Some(Pass::Free)),
            (&["script-src 'nonce-a\"><script>'"], None),
        ];
        for (fields, expected) in table {
            assert_eq!(pass(fields.iter().copied()), expected, "{fields:?}");
        }
    }
}
