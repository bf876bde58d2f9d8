//! Any bytes as the session cookie's value. The first byte chooses the rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slidecar::session::token::{Dead, NotOurs, Reading, claimed_exp, looks_like_jwt, read};
use slidecar_fuzz::{HEADER, NOW, OLD_SECRET, SECRET, at, is_signed_by, members, opened, rules, shown};

fuzz_target!(|data: &[u8]| {
    let Some((choice, value)) = data.split_first() else { return };
    let rules = rules(*choice);
    let now = at(0);
    let reading = read(rules, value, now);
    let exp = claimed_exp(value, now);
    if !matches!(reading, Reading::NotOurs(NotOurs::NoJwt)) {
        assert!(looks_like_jwt(value), "{}", shown(value));
    }
    match reading {
        Reading::Session(token) => {
            holds(value);
            assert_eq!(exp, Some(token.exp));
            assert!(token.exp.get() > NOW && token.effective_exp() <= token.exp && token.text() == value);
        }
        Reading::Dead(Dead::Expired(token)) => {
            holds(value);
            assert!(token.effective_exp().get() <= NOW);
        }
        Reading::NotOurs(NotOurs::NoJwt) | Reading::Dead(Dead::Unverified | Dead::TooLong) => {}
        // Whatever else is said of a token was read from one that verifies.
        Reading::NotOurs(_) | Reading::Dead(Dead::NotYetValid) => holds(value),
    }
});

/// What slidecar takes for signed is signed, and another parser reads the same in it.
fn holds(value: &[u8]) {
    assert!(is_signed_by(&[SECRET, OLD_SECRET], value), "{}", shown(value));
    let (header, payload) = opened(value);
    assert!(members(&payload).is_some(), "{}", shown(&payload));
    let header: serde_json::Value =
        serde_json::from_slice(&header).unwrap_or_else(|_| panic!("{HEADER} or the like, not {}", shown(&header)));
    assert!(header["alg"] == "HS256" && header.get("crit").is_none());
}
