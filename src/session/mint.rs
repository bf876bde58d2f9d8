//! Re-signing: the new token is the old one with the bytes of `exp` replaced (rule M1–M3).
//!
//! Splice, read again, compare, sign. A pure function of the old token and the second, so that replicas which renew
//! at once give the same bytes, no lock is needed, and a lost answer harms nobody.

use super::Rules;
use super::family::Family;
use super::json::Object;
use super::keys::{DirectSigner, Key, KeyRole, Signer};
use super::time::{UnixMillis, UnixSeconds};
use super::token::{IatMode, MAX_COOKIE_BYTES, SessionToken};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::ops::Range;

/// A token that we signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    pub text: Vec<u8>,
    pub exp: UnixSeconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// A cap is set and the token does not say when the session began (rule M2).
    NoOrigin,
    /// `name=value` would exceed what browsers keep (rule M5).
    TooLong,
    /// The spliced bytes do not read back as meant, or the key does not sign.
    Failed,
}

/// The `exp` that a renewal at `now` would give: `min(now + TTL, origin + A)`; never earlier than the session's own
/// end, except to shorten a token that outlives the policy.
pub fn renewed_exp(rules: &Rules, token: &SessionToken, now: UnixMillis) -> Result<UnixSeconds, MintError> {
    let ttl = rules.policy.clocks(token.class).ttl;
    let fresh = now.second().plus(ttl);
    let fresh = match (rules.policy.absolute(), token.cap()) {
        (None, _) => fresh,
        (Some(_), Some(cap)) => fresh.min(cap),
        (Some(_), None) => return Err(MintError::NoOrigin),
    };
    Ok(if token.outlives(ttl, now) { fresh } else { fresh.max(token.effective_exp()) })
}

/// Signs the token anew, with the active key and this `exp`.
pub fn mint(rules: &Rules, signer: &dyn Signer, token: &SessionToken, exp: UnixSeconds, now: UnixMillis) -> Result<Minted, MintError> {
    let (header, payload) = token.decoded().ok_or(MintError::Failed)?;
    let payload = match rules.token.iat {
        IatMode::Keep => replaced(&payload, &[("exp", exp)], None),
        // The origin stays what it was: `iat` is copied to `orig_iat` before it moves, once.
        IatMode::Bump => {
            let claims = Object::parse(&payload).map_err(|_| MintError::Failed)?;
            let says = |name: &str| claims.get(name).is_some_and(|value| value.raw() != b"null");
            let mut changes = vec![("exp", exp)];
            let mut added = None;
            if says("iat") {
                changes.push(("iat", now.second()));
                let origin = token.origin.filter(|_| !says("auth_time") && !says("orig_iat")).map(|origin| ("orig_iat", origin));
                // A null is no origin, but a second member of its name would make two tokens of one.
                if claims.get("orig_iat").is_some() { changes.extend(origin) } else { added = origin }
            }
            replaced(&payload, &changes, added)
        }
    }
    .ok_or(MintError::Failed)?;
    let header = match token.key {
        KeyRole::Active => header,
        KeyRole::Previous => rekeyed(rules, &header).ok_or(MintError::Failed)?,
    };
    let text = signed(&header, &payload, rules.keys.active(), &token.family, signer)?;
    if rules.cookie.name.len().saturating_add(1).saturating_add(text.len()) > MAX_COOKIE_BYTES {
        return Err(MintError::TooLong);
    }
    Ok(Minted { text, exp })
}

/// The token as it would be, had these of its dates been so many seconds later (or earlier): what a backend is asked with that
/// shall say when it renews. The rules renew by [`mint`] alone.
pub fn moved(text: &[u8], dates: &[&str], by: i64, key: &Key) -> Result<Vec<u8>, MintError> {
    let mut segments = text.split(|&byte| byte == b'.').map(|segment| URL_SAFE_NO_PAD.decode(segment).ok());
    let (Some(Some(header)), Some(Some(payload))) = (segments.next(), segments.next()) else { return Err(MintError::Failed) };
    let claims = Object::parse(&payload).map_err(|_| MintError::Failed)?;
    let there = dates.iter().filter_map(|name| Some((*name, claims.get(name)?.as_floor()?)));
    let changes: Vec<_> = there.map(|(name, date)| (name, UnixSeconds::new(date.saturating_add(by)))).collect();
    let payload = replaced(&payload, &changes, None).ok_or(MintError::Failed)?;
    signed(&header, &payload, key, &Family::of(&claims, None), &DirectSigner)
}

fn signed(header: &[u8], payload: &[u8], key: &Key, family: &Family, signer: &dyn Signer) -> Result<Vec<u8>, MintError> {
    let length = header.len().saturating_add(payload.len()).saturating_mul(4).div_euclid(3);
    let mut text = String::with_capacity(length.saturating_add(128));
    URL_SAFE_NO_PAD.encode_string(header, &mut text);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut text);
    let signature = signer.sign(key, family, text.as_bytes()).map_err(|_| MintError::Failed)?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut text);
    Ok(text.into_bytes())
}

/// The payload with the values of these claims replaced by dates and one claim appended; `None` unless all else is equal.
fn replaced(payload: &[u8], changes: &[(&str, UnixSeconds)], added: Option<(&str, UnixSeconds)>) -> Option<Vec<u8>> {
    let before = Object::parse(payload).ok()?;
    let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for (name, date) in changes {
        edits.push((before.span(name)?, date.get().to_string().into_bytes()));
    }
    if let Some((name, date)) = added {
        let close = before.close();
        edits.push((close..close, format!(",\"{name}\":{}", date.get()).into_bytes()));
    }
    let spliced = splice(payload, edits);
    let changed: Vec<_> = changes.iter().map(|(name, _)| *name).collect();
    same_but(&before, &spliced, &changed, added.map(|(name, _)| name)).then_some(spliced)
}

/// The header with `alg` and `kid` of the active key.
fn rekeyed(rules: &Rules, header: &[u8]) -> Option<Vec<u8>> {
    let key = rules.keys.active();
    let before = Object::parse(header).ok()?;
    let mut edits = vec![(before.span("alg")?, json_string(key.algorithm().name())?)];
    let mut changed = vec!["alg"];
    let mut added = None;
    match (before.span("kid"), key.id()) {
        (Some(span), Some(id)) => {
            edits.push((span, json_string(id)?));
            changed.push("kid");
        }
        (None, Some(id)) => {
            let close = before.close();
            edits.push((close..close, [b",\"kid\":".as_slice(), &json_string(id)?].concat()));
            added = Some("kid");
        }
        // An active key without a name fits every `kid`, so the old one may stay.
        (_, None) => {}
    }
    let spliced = splice(header, edits);
    same_but(&before, &spliced, &changed, added).then_some(spliced)
}

fn json_string(text: &str) -> Option<Vec<u8>> {
    serde_json::to_vec(text).ok()
}

fn splice(text: &[u8], mut edits: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(text.len().saturating_add(32));
    let mut at = 0;
    for (span, new) in edits {
        out.extend_from_slice(&text[at..span.start]);
        out.extend_from_slice(&new);
        at = span.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Whether `after` reads as the same members in the same order, all values byte for byte but the changed ones.
fn same_but(before: &Object<'_>, after: &[u8], changed: &[&str], added: Option<&str>) -> bool {
    let Ok(after) = Object::parse(after) else {
        return false;
    };
    let mut new = after.members();
    let kept = before.members().all(|(name, value)| {
        new.next().is_some_and(|(new_name, new_value)| {
            name == new_name && (value == new_value || changed.iter().any(|changed| changed.as_bytes() == name))
        })
    });
    let rest: Vec<_> = new.map(|(name, _)| name).collect();
    let expected: Vec<_> = added.iter().map(|name| name.as_bytes()).collect();
    kept && rest == expected && !after.has_duplicates()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::DirectSigner;
    use crate::session::policy::Class;
    use crate::session::testing::{NOW, Setup, at};
    use crate::session::time::Span;
    use crate::session::token::{Reading, read};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn session(setup: &Setup, claims: &str) -> SessionToken {
        match read(&setup.rules, setup.token(claims).as_bytes(), at(0)) {
            Reading::Session(token) => Arc::unwrap_or_clone(token),
            other => panic!("{claims}: {other:?}"),
        }
    }

    fn payload_after(setup: &Setup, claims: &str, exp: i64) -> String {
        let token = session(setup, claims);
        let minted = mint(&setup.rules, &DirectSigner, &token, UnixSeconds::new(exp), at(5)).unwrap();
        let payload = minted.text.split(|byte| *byte == b'.').nth(1).unwrap();
        String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    #[test]
    fn m1_all_other_bytes_stay() {
        let setup = Setup::new();
        let exp = NOW + 100;
        let before = format!(
            r#" {{ "n":12345678901234567890123, "f":1.10,"e":1e2 ,"z":-0, "exp" : {exp}.0 , "s":"\u00e9\/ \"exp\":1", "o":{{"exp":1,"a":[1, 2]}}, "big":9007199254740993 }}"#
        );
        let after = payload_after(&setup, &before, 2_000_000_000);
        assert_eq!(after, before.replace(&format!("{exp}.0"), "2000000000"));
    }

    #[test]
    fn m1_bump_moves_iat_and_keeps_the_origin_once() {
        let mut setup = Setup::new();
        setup.rules.token.iat = IatMode::Bump;
        let five = NOW + 5;
        let after = payload_after(&setup, &format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 100), 2_000_000_000);
        assert_eq!(after, format!(r#"{{"iat":{five},"exp":2000000000,"orig_iat":{NOW}}}"#));
        for origin in ["auth_time", "orig_iat"] {
            let claims = |iat: i64, exp: i64| format!(r#"{{"{origin}":7,"iat":{iat},"exp":{exp}}}"#);
            assert_eq!(payload_after(&setup, &claims(NOW, NOW + 100), 2_000_000_000), claims(five, 2_000_000_000));
        }
        let without = payload_after(&setup, &format!(r#"{{"sub":"a","exp":{}}}"#, NOW + 100), 2_000_000_000);
        assert_eq!(without, r#"{"sub":"a","exp":2000000000}"#);
    }

    #[test]
    fn m1_a_bumped_iat_leaves_its_origin_in_the_place_of_a_null() {
        let mut setup = Setup::new();
        setup.rules.token.iat = IatMode::Bump;
        let claims = |iat: i64, exp: i64, origin: &str| format!(r#"{{"orig_iat":{origin},"iat":{iat},"exp":{exp}}}"#);
        let after = payload_after(&setup, &claims(NOW, NOW + 100, "null"), 2_000_000_000);
        assert_eq!(after, claims(NOW + 5, 2_000_000_000, &NOW.to_string()));
    }

    #[test]
    fn m1_a_new_key_changes_only_alg_and_kid() {
        let claims = format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 100);
        let rekeyed = |active_id: Option<&str>, header: &str| {
            let setup = Setup::rotating(active_id);
            let old = setup.token_by_previous(header, &claims);
            let Reading::Session(token) = read(&setup.rules, old.as_bytes(), at(0)) else { panic!("{header}") };
            let minted = mint(&setup.rules, &DirectSigner, &token, token.exp, at(0)).unwrap();
            let text = String::from_utf8(minted.text).unwrap();
            let Reading::Session(again) = read(&setup.rules, text.as_bytes(), at(0)) else { panic!("{text}") };
            let ((header, payload), (_, before)) = (again.decoded().unwrap(), token.decoded().unwrap());
            assert_eq!((again.key, payload), (KeyRole::Active, before));
            String::from_utf8(header).unwrap()
        };
        assert_eq!(rekeyed(None, r#"{"typ":"JWT","alg":"HS256"}"#), r#"{"typ":"JWT","alg":"HS256"}"#);
        assert_eq!(rekeyed(Some("new"), r#"{"alg":"HS256","kid":"old","x":1.0}"#), r#"{"alg":"HS256","kid":"new","x":1.0}"#);
        assert_eq!(rekeyed(Some("new"), r#"{"alg":"HS256"}"#), r#"{"alg":"HS256","kid":"new"}"#);
    }

    #[test]
    fn m2_exp_is_now_plus_ttl_but_never_beyond_the_cap_nor_back() {
        let mut setup = Setup::new();
        let exp =
            |setup: &Setup, claims: &str, later: i64| renewed_exp(&setup.rules, &session(setup, claims), at(later)).map(UnixSeconds::get);
        let fresh = format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 7200);
        assert_eq!(exp(&setup, &fresh, 100), Ok(NOW + 7300));
        // A clock that steps back takes nothing away; a token that outlives the policy is shortened.
        assert_eq!(exp(&setup, &fresh, -50), Ok(NOW + 7200));
        assert_eq!(exp(&setup, &format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 604_800), 0), Ok(NOW + 7200));
        setup.cap(Span::from_secs(10_000));
        assert_eq!(exp(&setup, &fresh, 5000), Ok(NOW + 10_000));
        assert_eq!(exp(&setup, &format!(r#"{{"auth_time":{},"iat":{NOW},"exp":{}}}"#, NOW - 5000, NOW + 100), 50), Ok(NOW + 5000));
        assert_eq!(exp(&setup, &format!(r#"{{"sub":"a","exp":{}}}"#, NOW + 100), 0).unwrap_err(), MintError::NoOrigin);
    }

    #[test]
    fn c_a_probe_differs_from_its_token_in_the_dates_that_were_meant_alone() {
        let setup = Setup::new();
        let claims = |iat: i64, nbf: i64, exp: i64| format!(r#"{{"sub":"a","iat":{iat},"x":1.0,"nbf":{nbf},"exp":{exp}}}"#);
        let token = setup.token(&claims(NOW, NOW, NOW + 7200));
        let probe = |dates: &[&str], by: i64| {
            let text = moved(token.as_bytes(), dates, by, setup.rules.keys.active()).unwrap();
            let Reading::Session(read) = read(&setup.rules, &text, at(0)) else { panic!("it verifies") };
            String::from_utf8(read.decoded().unwrap().1).unwrap()
        };
        assert_eq!(probe(&["exp", "iat", "nbf", "auth_time"], -7000), claims(NOW - 7000, NOW - 7000, NOW + 200));
        assert_eq!(probe(&["exp"], -100), claims(NOW, NOW, NOW + 7100));
        assert_eq!(moved(b"no.token", &["exp"], 1, setup.rules.keys.active()), Err(MintError::Failed));
    }

    #[test]
    fn m5_a_cookie_that_browsers_would_drop_is_not_made() {
        let setup = Setup::new();
        // Just fits; a longer exp of the same digits fits too, one more digit does not.
        let claims = |fill: usize| format!(r#"{{"iat":{NOW},"exp":{},"x":"{}"}}"#, NOW + 100, "x".repeat(fill));
        let fill = (2900..3100).take_while(|fill| setup.token(&claims(*fill)).len() + "session=".len() <= MAX_COOKIE_BYTES).last().unwrap();
        let token = session(&setup, &claims(fill));
        assert!(mint(&setup.rules, &DirectSigner, &token, UnixSeconds::new(9_999_999_999), at(0)).is_ok());
        assert_eq!(mint(&setup.rules, &DirectSigner, &token, UnixSeconds::new(99_999_999_999_999), at(0)), Err(MintError::TooLong));
    }

    proptest! {
        /// M1, M3: for any claims, only the bytes of `exp` differ, the same input gives the same bytes, and the class stays.
        #[test]
        fn m1_m3_splicing_is_exact_and_deterministic(
            before in prop::collection::vec(("[a-d]{1,4}", any_value()), 0..5),
            after in prop::collection::vec(("[e-h]{5,6}", any_value()), 0..5),
            exp in NOW + 1..NOW + 7000,
            new in NOW + 1..4_000_000_000_i64,
        ) {
            let members = |list: &[(String, String)], salt: &str| -> Vec<String> {
                list.iter().enumerate().map(|(n, (name, value))| format!("\"{name}{salt}{n}\":{value}")).collect()
            };
            let with = |exp: i64| {
                let all = [members(&before, "_"), vec![format!("\"exp\":{exp}")], members(&after, "-")].concat();
                format!("{{{}}}", all.join(","))
            };
            let setup = Setup::new();
            prop_assume!(setup.token(&with(exp)).len() < 4000);
            prop_assert_eq!(payload_after(&setup, &with(exp), new), with(new));
            let token = session(&setup, &with(exp));
            let mint = || mint(&setup.rules, &DirectSigner, &token, UnixSeconds::new(new), at(0)).unwrap();
            prop_assert_eq!(mint(), mint());
            prop_assert_eq!(token.class, Class::Standard);
        }
    }

    fn any_value() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("null".to_owned()),
            any::<i128>().prop_map(|number| number.to_string()),
            "-?[1-9][0-9]{0,5}\\.[0-9]{1,8}([eE][+-]?[0-9]{1,2})?",
            ".{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            Just(r#"{"exp":1,"nested":[{"exp":2}]}"#.to_owned()),
        ]
    }
}
