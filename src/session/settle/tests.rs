//! What a browser is told to remember of an end, and for how long.

use super::*;
use crate::session::decide::{Forward, RequestFacts, decide};
use crate::session::family::Family;
use crate::session::keys::{DirectSigner, Key, Signer, SigningFailed};
use crate::session::outcome::Renewed;
use crate::session::signs::{Method, Signs};
use crate::session::testing::{NOW, Nobody, Setup, at};
use crate::session::{Forgetful, Surroundings};

/// The answer to a request with these cookies, `later` than [`NOW`].
fn settled(setup: &Setup, cookies: &str, line: &str, later: i64) -> Settlement {
    settled_by(&DirectSigner, setup, cookies, line, later)
}

fn settled_by(signer: &dyn Signer, setup: &Setup, cookies: &str, line: &str, later: i64) -> Settlement {
    let around = Surroundings { ended: &Nobody, verified: &Forgetful, signer, learned: None };
    let signs = Signs { method: Method::Get, ..Signs::default() };
    let request = RequestFacts { cookies: cookies.as_bytes(), path: b"/", query: None, secure: false, signs };
    let verdict = decide(&setup.rules, &around, &request, at(later));
    let lines = [line.as_bytes()];
    let facts = ResponseFacts {
        request_path: b"/",
        status: 200,
        own: false,
        set_cookies: &lines,
        cache: CacheFacts::default(),
        clears_cookies: false,
    };
    settle(&setup.rules, &around, &verdict, &facts, at(later))
}

fn tombstone_age(settlement: &Settlement) -> i64 {
    let lines = settlement.added.iter().map(|line| std::str::from_utf8(line).unwrap());
    let line = lines.into_iter().find(|line| line.starts_with("session_x=")).unwrap();
    line.split("; ").find_map(|part| part.strip_prefix("Max-Age=")).unwrap().parse().unwrap()
}

/// A token of the time before slidecar may come back for as long as it lives, not only for one TTL.
#[test]
fn l1_a_tombstone_lives_as_long_as_the_token_it_names() {
    let setup = Setup::new();
    let week = 7 * 86_400;
    let old = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + week));
    let young = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 60));
    let other = setup.token(&format!(r#"{{"sub":"b","iat":{NOW},"exp":{}}}"#, NOW + 7200));
    for (token, age) in [(&old, week + 600), (&young, 7200 + 600)] {
        let cookies = format!("session={token}");
        let logout = settled(&setup, &cookies, "session=; Path=/; Max-Age=0", 0);
        assert_eq!(tombstone_age(&logout), age);
        let until = at(age);
        assert!(logout.effects.iter().any(|effect| matches!(effect, Effect::End { until: end, .. } if *end == until)));
        assert_eq!(tombstone_age(&settled(&setup, &cookies, &format!("session={other}; Path=/"), 0)), age);
    }
}

/// No random bytes, a broken key: whoever is in stays in with what they have.
#[test]
fn p2_a_signature_that_cannot_be_made_leaves_the_request_alone() {
    struct Broken;
    impl Signer for Broken {
        fn sign(&self, _: &Key, _: &Family, _: &[u8]) -> Result<Vec<u8>, SigningFailed> {
            Err(SigningFailed)
        }
    }
    let setup = Setup::new();
    let token = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 7200));
    let due = settled_by(&Broken, &setup, &format!("session={token}"), "other=1", 7195);
    assert_eq!((due.outcome, due.added.len(), due.lines), (Outcome::Kept(Kept::SignFailed), 0, vec![None]));
    let again = settled_by(&Broken, &setup, &format!("session={token}"), &format!("session={token}; Path=/; Max-Age=9"), 7000);
    assert_eq!(again.lines, [Some(format!("session={token}; Path=/; Max-Age=200").into_bytes())]);
    let week = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 604_800));
    let login = settled_by(&Broken, &setup, "", &format!("session={week}; Path=/; Max-Age=9"), 0);
    assert_eq!(login.lines, [Some(format!("session={week}; Path=/; Max-Age=604800").into_bytes())], "as long as it lives");
}

/// Legacy code that sends the cookie again sends what it got, which may be the token that was handed off to it.
#[test]
fn k3_a_token_that_was_handed_off_and_comes_back_is_no_login() {
    let setup = Setup::new();
    let around = Surroundings { ended: &Nobody, verified: &Forgetful, signer: &DirectSigner, learned: None };
    let token = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 7200));
    let cookies = format!("session={token}");
    let request = RequestFacts { cookies: cookies.as_bytes(), path: b"/", query: None, secure: false, signs: Signs::default() };
    let verdict = decide(&setup.rules, &around, &request, at(7195));
    let Forward::Cookies(sent) = &verdict.forward else { panic!("{:?}", verdict.forward) };
    let sent = String::from_utf8(sent.clone()).unwrap();
    assert_ne!(sent, cookies, "it was handed off");
    for (value, outcome) in [(&sent, Outcome::Renewed(Renewed::Threshold)), (&cookies, Outcome::Renewed(Renewed::Threshold))] {
        let line = format!("{value}; Path=/; Max-Age=9");
        let lines = [line.as_bytes()];
        let facts = ResponseFacts {
            request_path: b"/",
            status: 200,
            own: false,
            set_cookies: &lines,
            cache: CacheFacts::default(),
            clears_cookies: false,
        };
        let settlement = settle(&setup.rules, &around, &verdict, &facts, at(7196));
        let is_renewal = |effect: &Effect| matches!(effect, Effect::Renew { .. });
        assert_eq!((settlement.outcome, settlement.added.len(), settlement.effects.iter().all(is_renewal)), (outcome, 0, true));
    }
}

#[test]
fn k6_only_a_companion_that_came_can_be_rejected() {
    let setup = Setup::new();
    let token = setup.token(&format!(r#"{{"sub":"a","iat":{NOW},"exp":{}}}"#, NOW + 7200));
    let rejected = |cookies: &str| {
        let around = Surroundings { ended: &Nobody, verified: &Forgetful, signer: &DirectSigner, learned: None };
        let request = RequestFacts { cookies: cookies.as_bytes(), path: b"/", query: None, secure: false, signs: Signs::default() };
        decide(&setup.rules, &around, &request, at(0)).events.contains(&Event::CompanionRejected)
    };
    let login = settled(&setup, "", &format!("session={token}; Path=/app; Max-Age=9"), 0);
    let companion = login.added.iter().map(|line| std::str::from_utf8(line).unwrap()).find(|line| line.starts_with("session_s=")).unwrap();
    let companion = companion.split(';').next().unwrap();
    assert!(!rejected(&format!("session={token}")), "none came");
    assert!(!rejected(&format!("session={token}; {companion}")), "a good one came");
    assert!(rejected(&format!("session={token}; session_s=forged")));
}

/// What has outlived the absolute timeout is for no handler that would begin it anew; only a logout may still see it.
#[test]
fn q8_r1_an_expired_cookie_beyond_the_cap_reaches_logout_handlers_only() {
    let mut setup = Setup::new();
    setup.cap(Span::from_secs(8000));
    let prefix = |path: &str| crate::session::paths::Prefix::new(path).unwrap();
    setup.rules.paths.expired = vec![prefix("/refresh"), prefix("/logout")];
    setup.rules.paths.logout = vec![prefix("/logout")];
    let forwarded = |iat: i64, path: &str| {
        let cookies = format!("session={}", setup.token(&format!(r#"{{"sub":"a","iat":{iat},"exp":{}}}"#, NOW - 10)));
        let around = Surroundings { ended: &Nobody, verified: &Forgetful, signer: &DirectSigner, learned: None };
        let request =
            RequestFacts { cookies: cookies.as_bytes(), path: path.as_bytes(), query: None, secure: false, signs: Signs::default() };
        decide(&setup.rules, &around, &request, at(0)).forward == Forward::AsItCame
    };
    assert_eq!((forwarded(NOW - 7000, "/refresh"), forwarded(NOW - 7000, "/logout"), forwarded(NOW - 7000, "/")), (true, true, false));
    assert_eq!((forwarded(NOW - 9000, "/refresh"), forwarded(NOW - 9000, "/logout")), (false, true));
}
