//! What a browser is told to remember of an end, and for how long.

use super::*;
use crate::session::Surroundings;
use crate::session::decide::{RequestFacts, decide};
use crate::session::keys::{DirectSigner, Key, Signer, SigningFailed};
use crate::session::signs::{Method, Signs};
use crate::session::testing::{NOW, Nobody, Setup, at};

/// The answer to a request with these cookies, `later` than [`NOW`].
fn settled(setup: &Setup, cookies: &str, line: &str, later: i64) -> Settlement {
    settled_by(&DirectSigner, setup, cookies, line, later)
}

fn settled_by(signer: &dyn Signer, setup: &Setup, cookies: &str, line: &str, later: i64) -> Settlement {
    let around = Surroundings { ended: &Nobody, signer, learned: None };
    let signs = Signs { method: Method::Get, ..Signs::default() };
    let request = RequestFacts { cookies: cookies.as_bytes(), path: b"/", query: None, secure: false, signs };
    let verdict = decide(&setup.rules, &around, &request, at(later));
    let lines = [line.as_bytes()];
    let facts = ResponseFacts { status: 200, own: false, set_cookies: &lines, cache: CacheFacts::default(), clears_cookies: false };
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
        fn sign(&self, _: &Key, _: &str) -> Result<String, SigningFailed> {
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
