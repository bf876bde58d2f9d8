//! Any claims, signed as a backend signs them, then read, minted and read again. The first byte chooses the rules, the
//! second the key and the header, the third how much later the token is minted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slidecar::session::Rules;
use slidecar::session::keys::DirectSigner;
use slidecar::session::mint::{MintError, Minted, mint, renewed_exp};
use slidecar::session::time::{Span, UnixMillis, UnixSeconds};
use slidecar::session::token::{Dead, IatMode, Reading, SessionToken, read};
use std::sync::Arc;
use slidecar_fuzz::{FOREIGN_SECRET, HEADER, NOW, OLD_SECRET, SECRET, at, is_signed_by, members, opened, rules, shown, sign};

fuzz_target!(|data: &[u8]| {
    let [choice, how, later, payload @ ..] = data else { return };
    let rules = rules(*choice);
    let secret = match how % 3 {
        0 => SECRET,
        1 => OLD_SECRET,
        _ => FOREIGN_SECRET,
    };
    let header = match how / 3 % 4 {
        0 => HEADER,
        1 => r#"{"typ":"JWT","alg":"HS256","kid":"old","x":1.0}"#,
        2 => r#"{"alg":"HS256","kid":"new"}"#,
        _ => r#"{ "alg" : "HS256" }"#,
    };
    let text = sign(secret, header.as_bytes(), payload);
    let token = match read(rules, &text, at(0)) {
        Reading::Session(token) | Reading::Dead(Dead::Expired(token)) => Arc::unwrap_or_clone(token),
        Reading::NotOurs(_) | Reading::Dead(_) => return,
    };
    assert_ne!(secret, FOREIGN_SECRET, "no key signed this");
    let now = at(i64::from(*later) * 30);
    let Ok(exp) = renewed_exp(rules, &token, now) else { return };
    let latest = now.second().plus(Span::from_secs(slidecar_fuzz::TTL));
    assert!(exp <= latest.max(token.effective_exp()) && token.cap().is_none_or(|cap| exp <= cap));
    let minted = match mint(rules, &DirectSigner, &token, exp, now) {
        Ok(minted) => minted,
        Err(MintError::TooLong) => return,
        Err(why) => panic!("{why:?}: {}", shown(payload)),
    };
    assert_eq!(mint(rules, &DirectSigner, &token, exp, now).unwrap(), minted, "the same moment gives the same bytes");
    assert!(is_signed_by(&[SECRET], &minted.text) && minted.exp == exp);
    assert!(minted.text.len() + rules.cookie.name.len() < 4096);
    same_but_for_dates(rules, payload, &minted, token.origin.map_or(0, UnixSeconds::get), now);
    reads_as_the_same_session(rules, &token, &minted.text, exp.get(), now);
});

fn same_but_for_dates(rules: &Rules, payload: &[u8], minted: &Minted, origin: i64, now: UnixMillis) {
    let exp = minted.exp.get();
    let (_, after) = opened(&minted.text);
    let (Some(old), Some(new)) = (members(payload), members(&after)) else {
        panic!("no object: {} {}", shown(payload), shown(&after));
    };
    let mut expected = Vec::new();
    let mut at = 0;
    let says = |name: &str| old.iter().any(|(own, place)| own == name && &payload[place.clone()] != b"null");
    let bumps = rules.token.iat == IatMode::Bump && says("iat");
    let keeps_origin = bumps && !says("auth_time") && !says("orig_iat");
    let adds_origin = keeps_origin && !old.iter().any(|(name, _)| name == "orig_iat");
    for (name, place) in &old {
        let date = match name.as_str() {
            "exp" => exp,
            "iat" if bumps => now.second().get(),
            "orig_iat" if keeps_origin => origin,
            _ => continue,
        };
        expected.extend_from_slice(&payload[at..place.start]);
        expected.extend_from_slice(date.to_string().as_bytes());
        at = place.end;
    }
    expected.extend_from_slice(&payload[at..]);
    if adds_origin {
        // What a bumped `iat` no longer tells.
        let close = expected.iter().rposition(|&byte| byte == b'}').unwrap();
        expected.splice(close..close, format!(",\"orig_iat\":{origin}").into_bytes());
    }
    assert_eq!(new.len(), old.len() + usize::from(adds_origin));
    assert!(after == expected, "{}\n{}", shown(payload), shown(&after));
}

fn reads_as_the_same_session(rules: &Rules, token: &SessionToken, minted: &[u8], exp: i64, now: UnixMillis) {
    match read(rules, minted, now) {
        Reading::Session(again) | Reading::Dead(Dead::Expired(again)) => {
            assert_eq!(again.exp.get(), exp);
            assert_eq!((again.family, again.subject, again.class, again.origin), (token.family, token.subject, token.class, token.origin));
            assert!(again.exp > now.second() || exp <= now.second().get() || token.exp.get() <= NOW);
        }
        other => panic!("{other:?}: {}", shown(minted)),
    }
}
