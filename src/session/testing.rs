//! What the tables of this folder share: rules with the clocks of the origin, and tokens as a backend would sign them.

use super::attributes::Attributes;
use super::family::{Family, Subject};
use super::keys::{Algorithm, Key, KeyRing, Secret};
use super::paths::PathRules;
use super::policy::{PolicySettings, SessionPolicy};
use super::time::{Span, UnixMillis, UnixSeconds};
use super::token::TokenRules;
use super::{CookieRules, Ended, Ending, Persistence, Rules};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 2026-11-21 00:00:00 UTC, in seconds.
pub const NOW: i64 = 1_795_219_200;
const SECRET: &str = "a secret of at least thirty-two bytes";
pub const OTHER_SECRET: &str = "another one of at least thirty-two bytes";

/// So many seconds after [`NOW`].
pub fn at(later: i64) -> UnixMillis {
    UnixSeconds::new(NOW.saturating_add(later)).millis()
}

/// Nobody was ever logged out.
pub struct Nobody;

impl Ended for Nobody {
    fn ended(&self, _: &Family, _: Option<&Subject>, _: Option<UnixSeconds>, _: UnixMillis) -> Option<Ending> {
        None
    }

    fn superseded(&self, _: &Family, _: UnixMillis) -> bool {
        false
    }
}

pub struct Setup {
    pub rules: Rules,
}

impl Setup {
    /// TTL 2 h, threshold 1 h, no cap, one key.
    pub fn new() -> Self {
        Self::with(KeyRing::new(key(SECRET, None), None))
    }

    /// In a rotation: the previous key, named `old`, verifies for an hour yet.
    pub fn rotating(active_id: Option<&str>) -> Self {
        let until = UnixSeconds::new(NOW).plus(Span::from_secs(3600));
        Self::with(KeyRing::new(key(SECRET, active_id), Some((key(OTHER_SECRET, Some("old")), until))))
    }

    pub fn cap(&mut self, absolute: Span) {
        self.rules.policy = policy(Some(absolute));
    }

    pub fn secret(&self) -> &'static str {
        SECRET
    }

    pub fn token(&self, claims: &str) -> String {
        token_of(SECRET, r#"{"alg":"HS256","typ":"JWT"}"#, claims)
    }

    pub fn token_by_previous(&self, header: &str, claims: &str) -> String {
        token_of(OTHER_SECRET, header, claims)
    }

    fn with(keys: KeyRing) -> Self {
        let cookie = CookieRules::new("session".to_owned(), None, Persistence::Follow, None);
        let rules = Rules { policy: policy(None), keys, token: TokenRules::default(), cookie, paths: PathRules::default(), login: None };
        assert_eq!(*rules.cookie.attributes_for(false), Attributes::default_for(false));
        Self { rules }
    }
}

pub fn token_of(secret: &str, header: &str, claims: &str) -> String {
    sign(secret, header, claims.as_bytes())
}

pub fn sign(secret: &str, header: &str, payload: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{input}.{signature}")
}

fn key(secret: &str, id: Option<&str>) -> Key {
    Key::hmac(Algorithm::Hs256, &Secret::new(secret.as_bytes().to_vec()), id.map(str::to_owned)).unwrap()
}

fn policy(absolute: Option<Span>) -> SessionPolicy {
    let settings = PolicySettings {
        ttl: Span::from_secs(7200),
        demo_ttl: Some(Span::from_secs(1800)),
        threshold: Some(Span::from_secs(3600)),
        heartbeat: None,
        buffer: Span::from_secs(300),
        absolute,
    };
    SessionPolicy::new(settings).unwrap()
}
