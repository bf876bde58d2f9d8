//! The commonest mistake of an installation: `SESSION_COOKIE_NAME` is not the name that the backend uses. Nothing breaks then,
//! and nothing works; but a cookie of another name that holds a session token gives it away.

use super::Rules;
use super::cookie::Cookies;
use super::time::UnixMillis;
use super::token::{Reading, looks_like_jwt, read};

/// Tokens that are looked at per request.
const MOST_LOOKS: usize = 4;

/// The name of a cookie that is not C and holds a session token of our key.
#[must_use]
pub fn misnamed<'a>(rules: &Rules, cookies: &'a [u8], now: UnixMillis) -> Option<&'a [u8]> {
    let parsed = Cookies::parse(cookies);
    let others = parsed.all().filter(|(name, value)| *name != rules.cookie.name.as_bytes() && looks_like_jwt(value));
    others.take(MOST_LOOKS).find(|(_, value)| matches!(read(rules, value, now), Reading::Session(_))).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::{NOW, OTHER_SECRET, Setup, at, token_of};

    #[test]
    fn a_session_under_another_name_is_noticed() {
        let setup = Setup::new();
        let claims = format!(r#"{{"sub":"a","exp":{}}}"#, NOW + 9);
        let (ours, foreign) = (setup.token(&claims), token_of(OTHER_SECRET, r#"{"alg":"HS256"}"#, &claims));
        let name = |cookies: &str| misnamed(&setup.rules, cookies.as_bytes(), at(0)).map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(name(&format!("a=1; token={ours}; b=2")).as_deref(), Some("token"));
        assert_eq!(name(&format!("id={foreign}; token={ours}")).as_deref(), Some("token"));
        for cookies in
            ["", "a=1", &format!("id={foreign}"), &format!("session={ours}"), &format!("{}t={ours}", format!("id={foreign}; ").repeat(4))]
        {
            assert_eq!(name(cookies), None, "{cookies}");
        }
    }
}
