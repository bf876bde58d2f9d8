//! A whole request and its answer through the rules: way in, then way out. The first byte chooses the rules; then lines:
//! `GET /path?query`, and `name: value` for fields of both heads and for what surrounds them (`later`, `status`, `ended`,
//! `superseded`, `learned`, `own`). `<json>` in a cookie is a token with that payload.
#![no_main]

use http::HeaderValue;
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use slidecar::session::attributes::Attributes;
use slidecar::session::cache::CacheFacts;
use slidecar::session::companion::Companion;
use slidecar::session::cookie::{self, Cookies};
use slidecar::session::decide::{Forward, RequestFacts, Verdict, decide};
use slidecar::session::family::{Family, Subject};
use slidecar::session::keys::DirectSigner;
use slidecar::session::outcome::Outcome;
use slidecar::session::set_cookie::{Lifetime, SetCookie};
use slidecar::session::settle::{ResponseFacts, Settlement, settle};
use slidecar::session::signs::{Method, Signs};
use slidecar::session::time::{Span, UnixMillis, UnixSeconds};
use slidecar::session::token::{Dead, NotOurs, Reading, SessionToken, read};
use slidecar::memory::VerifiedTokens;
use slidecar::session::{Ended, Ending, Forgetful, Rules, Surroundings};
use slidecar_fuzz::{SECRET, at, blanked, is_signed_by, lasting_attributes, parts, rules, shown, with_tokens};
use std::sync::Arc;

/// What the input says, before any of it is read.
#[derive(Default)]
struct Scene {
    method: Method,
    path: String,
    query: Option<String>,
    cookies: Vec<Vec<u8>>,
    set_cookies: Vec<Vec<u8>>,
    cache_control: Vec<Vec<u8>>,
    targeted: Vec<Vec<u8>>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    secure: bool,
    own: bool,
    clears: bool,
    status: u16,
    later: i64,
    ended: Memory,
    learned: Option<Companion>,
}

#[derive(Default)]
struct Memory {
    ending: Option<Ending>,
    superseded: bool,
}

impl Ended for Memory {
    fn ended(&self, _: &Family, _: Option<&Subject>, _: Option<UnixSeconds>, _: UnixMillis) -> Option<Ending> {
        self.ending
    }

    fn superseded(&self, _: &Family, _: UnixMillis) -> bool {
        self.superseded
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let rules = rules(*choice);
    let Some(scene) = Scene::read(text) else { return };
    let around = Surroundings { ended: &scene.ended, verified: &Forgetful, signer: &DirectSigner, learned: scene.learned.as_ref() };

    let cookies = cookie::join(scene.cookies.iter().map(Vec::as_slice));
    let field = |name: &str| scene.fields.iter().find(|(own, _)| own == name.as_bytes()).map(|(_, value)| value.as_slice());
    let signs = Signs {
        method: scene.method,
        session_passive: field("session-passive"),
        purpose: field("purpose"),
        accept: field("accept"),
        authorization: field("authorization"),
        fetch_mode: field("sec-fetch-mode"),
        has_requested_with: field("x-requested-with").is_some(),
        is_upgrade: field("upgrade").is_some(),
    };
    let query = scene.query.as_deref().map(str::as_bytes);
    let request = RequestFacts { cookies: &cookies, path: scene.path.as_bytes(), query, secure: scene.secure, signs };
    let verdict = decide(rules, &around, &request, at(0));
    let known = VerifiedTokens::default();
    for what in ["to be remembered", "remembered"] {
        let again = decide(rules, &Surroundings { verified: &known.under(1), ..around }, &request, at(0));
        assert_eq!(format!("{again:?}"), format!("{verdict:?}"), "{what}");
    }
    way_in(rules, &scene, &cookies, &verdict);

    let lines: Vec<&[u8]> = scene.set_cookies.iter().map(Vec::as_slice).collect();
    let cache_control: Vec<&[u8]> = scene.cache_control.iter().map(Vec::as_slice).collect();
    let targeted: Vec<&[u8]> = scene.targeted.iter().map(Vec::as_slice).collect();
    let cache = CacheFacts {
        cache_control: &cache_control,
        targeted: &targeted,
        expires: field("expires"),
        has_last_modified: field("last-modified").is_some(),
    };
    let answer = ResponseFacts { request_path: scene.path.as_bytes(), status: scene.status, own: scene.own, set_cookies: &lines, cache, clears_cookies: scene.clears };
    let now = at(scene.later);
    let settlement = settle(rules, &around, &verdict, &answer, now);
    way_out(rules, &scene, &verdict, &settlement, now);
    assert_eq!(settle(rules, &around, &verdict, &answer, now), settlement, "the same moment gives the same answer");
});

fn way_in(rules: &Rules, scene: &Scene, cookies: &[u8], verdict: &Verdict) {
    let name = rules.cookie.name.as_bytes();
    let (companion, tombstones) = (rules.cookie.companion_name(), rules.cookie.tombstones_name());
    let forwarded = match &verdict.forward {
        Forward::AsItCame => cookies,
        Forward::Cookies(cookies) => cookies,
        Forward::ToLogin(address) => {
            assert!(HeaderValue::from_str(address).is_ok() && verdict.session.is_none());
            return;
        }
        Forward::Unauthorized(outcome) => {
            assert!(matches!(outcome, Outcome::Refused(_)) && verdict.session.is_none());
            return;
        }
        Forward::BadPath => return,
        Forward::Unavailable => panic!("there is no store"),
    };
    assert!(HeaderValue::from_bytes(forwarded).is_ok(), "{}", shown(forwarded));
    let is_c = |own: &Option<&[u8]>| *own == Some(name);
    let is_ours = |own: &Option<&[u8]>| *own == Some(companion.as_bytes()) || *own == Some(tombstones.as_bytes());
    assert!(!parts(forwarded).any(|(name, _)| is_ours(&name)), "{}", shown(forwarded));
    let others = |text: &[u8]| -> Vec<Vec<u8>> {
        parts(text)
            .filter(|(name, _)| !is_c(name) && !is_ours(name))
            .map(|(_, part)| blanked(part).to_vec())
            .filter(|part| !part.is_empty())
            .collect()
    };
    assert_eq!(others(forwarded), others(cookies), "other people's cookies");

    let came: Vec<_> = Cookies::parse(cookies).named(name).map(|(_, value)| value.to_vec()).collect();
    let values: Vec<_> = Cookies::parse(forwarded).named(name).map(|(_, value)| value).collect();
    let mut saw_expired = false;
    for value in &values {
        match read(rules, value, at(0)) {
            // Another text than came is one that we minted for the same session.
            Reading::Session(token) => {
                let live = verdict.session.as_ref().expect("a session that is not over");
                assert!(token.family == live.token.family && scene.ended.ending.is_none());
                assert!(came.iter().any(|came| came == value) || is_signed_by(&[SECRET], value));
            }
            Reading::Dead(Dead::Expired(_)) => {
                saw_expired = true;
                assert!(verdict.path.expired && scene.ended.ending.is_none() && verdict.session.is_none());
            }
            Reading::Dead(why) => panic!("{why:?} goes on: {}", shown(value)),
            Reading::NotOurs(_) => assert!(verdict.session.is_none(), "beside a session: {}", shown(value)),
        }
    }
    assert!(verdict.session.is_none() || values.len() == 1, "{}", shown(forwarded));
    assert!(!verdict.path.protected || verdict.session.is_some() || saw_expired, "a protected path without a session");
}

fn way_out(rules: &Rules, scene: &Scene, verdict: &Verdict, settlement: &Settlement, now: UnixMillis) {
    let name = rules.cookie.name.as_bytes();
    let mut has_own = false;
    assert_eq!(settlement.lines.len(), scene.set_cookies.len());
    for (line, replaced) in scene.set_cookies.iter().zip(&settlement.lines) {
        let first = line.split(|&byte| byte == b';').next().unwrap();
        let is_c = first.iter().position(|&byte| byte == b'=').is_some_and(|equals| blanked(&first[..equals]) == name);
        has_own |= is_c;
        let Some(replaced) = replaced else { continue };
        assert!(is_c, "no business of ours: {}", shown(line));
        assert!(HeaderValue::from_bytes(replaced).is_ok(), "{}", shown(replaced));
        assert_eq!(lasting_attributes(replaced), lasting_attributes(line), "{}", shown(replaced));
        let (before, after) = (SetCookie::parse(line).unwrap(), SetCookie::parse(replaced).unwrap());
        assert_eq!(before.name(), after.name());
        assert!(!before.is_deletion(now) && !after.value().is_empty(), "a deletion stays one: {}", shown(line));
        no_longer_than_its_token(rules, &after, now);
        if after.value() != before.value() {
            same_session_later(rules, before.value(), &after, now);
        }
    }

    let mut added = Vec::new();
    for line in &settlement.added {
        assert!(HeaderValue::from_bytes(line).is_ok(), "{}", shown(line));
        let cookie = SetCookie::parse(line).unwrap();
        assert!(!added.contains(&cookie.name().to_vec()), "twice: {}", shown(line));
        added.push(cookie.name().to_vec());
        nothing_slipped_in(rules, scene, &cookie);
        if cookie.name() == name {
            let live = verdict.session.as_ref().expect("a session to renew");
            assert!(!has_own && !scene.own && scene.ended.ending.is_none() && !scene.ended.superseded);
            assert!(matches!(settlement.outcome, Outcome::Renewed(_)));
            assert!(!matches!(scene.status, 101 | 401 | 407 | 500..));
            no_longer_than_its_token(rules, &cookie, now);
            same_session_later(rules, live.token.text(), &cookie, now);
        } else {
            let own = [rules.cookie.companion_name(), rules.cookie.tombstones_name()];
            assert!(own.iter().any(|own| own.as_bytes() == cookie.name()), "{}", shown(line));
            assert!(cookie.attribute("httponly").is_some(), "never for scripts: {}", shown(line));
        }
    }
    assert!(settlement.uncacheable || (!has_own && added.is_empty()), "a person's cookie in a shared cache");
    if let Some(clock) = settlement.clock {
        assert!(clock.now == now && clock.remaining > Span::ZERO);
    }
}

/// K1: a browser keeps no token that is over, whatever the line said.
fn no_longer_than_its_token(rules: &Rules, cookie: &SetCookie<'_>, now: UnixMillis) {
    if let (Reading::Session(token), Lifetime::Until(end)) = (read(rules, cookie.value(), now), cookie.lifetime(now)) {
        // A whole second at least, for a Max-Age of 0 would delete.
        let latest = token.effective_exp().millis().get().max(now.get() + 1000);
        assert!(end.get() <= latest, "{} > {latest}", end.get());
    }
}

/// M2: what was minted is the same session, within the policy.
fn same_session_later(rules: &Rules, before: &[u8], after: &SetCookie<'_>, now: UnixMillis) {
    let old = session(rules, before, at(0)).or_else(|| session(rules, before, now)).expect("a session to mint from");
    let new = session(rules, after.value(), now).expect("a session that was minted");
    assert_eq!((new.family, new.subject, new.class, new.origin), (old.family, old.subject, old.class, old.origin));
    let latest = now.second().plus(rules.policy.clocks(old.class).ttl);
    assert!(new.exp <= latest.max(old.effective_exp()) && old.cap().is_none_or(|cap| new.exp <= cap));
}

fn session(rules: &Rules, value: &[u8], now: UnixMillis) -> Option<SessionToken> {
    match read(rules, value, now) {
        Reading::Session(token) => Some(Arc::unwrap_or_clone(token)),
        Reading::Dead(Dead::Expired(token)) => Some(Arc::unwrap_or_clone(token)),
        Reading::NotOurs(NotOurs::NoJwt) | Reading::NotOurs(_) | Reading::Dead(_) => None,
    }
}

/// A cookie of ours has no reach that nobody gave it: attributes come from the settings or from the backend.
fn nothing_slipped_in(rules: &Rules, scene: &Scene, cookie: &SetCookie<'_>) {
    let configured = rules.cookie.attributes_for(true);
    let lines: Vec<_> = scene.set_cookies.iter().filter_map(|line| SetCookie::parse(line)).collect();
    // Companions cannot be forged, so what came with the request adds nothing.
    for (name, _) in cookie.identity() {
        let is_ours = [&b"path"[..], b"httponly", b"secure", b"samesite"].iter().any(|known| name.eq_ignore_ascii_case(known));
        let told_by = |attributes: &Attributes| std::str::from_utf8(name).is_ok_and(|name| attributes.get(name).is_some());
        let told = told_by(&configured)
            || scene.learned.as_ref().is_some_and(|learned| {
                told_by(&learned.attributes) || learned.attributes.text().windows(name.len()).any(|text| text == name)
            })
            || lines.iter().any(|line| line.identity().any(|(told, _)| told == name));
        assert!(is_ours || told, "{} of nobody", shown(name));
    }
}

impl Scene {
    /// Only what could have come through the HTTP library: fields that are none are left out.
    fn read(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|&byte| byte == b'\n');
        let first = lines.next()?;
        let blank = first.iter().position(|&byte| byte == b' ')?;
        let target = PathAndQuery::try_from(&first[blank + 1..]).ok()?;
        if !target.path().starts_with('/') {
            return None;
        }
        let mut scene = Self { path: target.path().to_owned(), query: target.query().map(str::to_owned), status: 200, ..Self::default() };
        scene.method = match &first[..blank] {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"OPTIONS" => Method::Options,
            _ => Method::Other,
        };
        for line in lines.take(40) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let value = with_tokens(blanked(&line[colon + 1..]));
            if HeaderValue::from_bytes(&value).is_ok() && value.len() < 20_000 {
                scene.take(&line[..colon], value);
            }
        }
        Some(scene)
    }

    fn take(&mut self, name: &[u8], value: Vec<u8>) {
        let number = || std::str::from_utf8(&value).ok().and_then(|text| text.parse::<u16>().ok());
        match name {
            b"cookie" => self.cookies.push(value),
            b"set-cookie" => self.set_cookies.push(value),
            b"cache-control" => self.cache_control.push(value),
            b"cdn-cache-control" => self.targeted.push(value),
            b"https" => self.secure = true,
            b"own" => self.own = true,
            b"clear-site-data" => self.clears = true,
            b"status" => self.status = number().unwrap_or(200),
            b"later" => self.later = number().map_or(0, i64::from),
            b"superseded" => self.ended.superseded = true,
            b"ended" => self.ended.ending = Some(if value == b"revoked" { Ending::Revoked } else { Ending::LoggedOut }),
            b"learned" => {
                let line = SetCookie::parse(&value).map(|line| Attributes::of(&line, self.path.as_bytes()));
                self.learned = line.map(|attributes| Companion { attributes, persistent: value.len() % 2 == 0 });
            }
            _ => self.fields.push((name.to_vec(), value)),
        }
    }
}
