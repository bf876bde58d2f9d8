//! A pod: slidecar's rules with a memory and a clock of their own, beside a backend that knows one key.

use super::backend::{COOKIE, KEY_IDS, SECRETS};
use super::plan::{DAY, MINUTE, Millis, SECOND, SKEW, Setting};
use super::rng::Rng;
use crate::harness::NOW;
use slidecar::memory::{Memory, VerifiedTokens};
use slidecar::session::attributes::Attributes;
use slidecar::session::keys::{Algorithm, Key, KeyRing, Secret};
use slidecar::session::paths::{PathRules, Prefix};
use slidecar::session::time::{Span, UnixMillis, UnixSeconds};
use slidecar::session::token::{ClaimRule, TokenRules};
use slidecar::session::{CookieRules, Rules};
use std::rc::Rc;

pub const PAGE: &str = "/app/desk";
pub const POLL: &str = "/app/poll";
pub const LOGIN: &str = "/app/login";
pub const LOGOUT: &str = "/app/logout";

/// From start to stop of one process. Requests hold the one they began with, as a process that drains holds them.
pub struct Process {
    /// Unique in the world: what one process remembers, the next one does not.
    pub id: usize,
    pub rules: Rules,
    pub memory: Memory,
    pub verified: VerifiedTokens,
    pub key: usize,
    skew: Millis,
}

pub struct Replica {
    pub process: Rc<Process>,
    skew: Millis,
    pub backend_skew: Millis,
    /// How much later than the first replica this one gets a change.
    lag: Millis,
}

impl Process {
    pub fn clock(&self, now: Millis) -> UnixMillis {
        UnixMillis::new(NOW * SECOND + now + self.skew)
    }
}

impl Replica {
    pub fn new(setting: &Setting, index: usize, rng: &mut Rng) -> Self {
        let skew = rng.between(-SKEW, SKEW + 1);
        let lag = i64::try_from(index).expect("few replicas") * rng.between(MINUTE, 40 * MINUTE);
        let process = Rc::new(Process::start(setting, index, 0, 0, skew));
        Self { process, skew, backend_skew: rng.between(-SKEW, SKEW + 1), lag }
    }

    /// What the backend's clock shows, in whole seconds.
    pub fn backend_clock(&self, now: Millis) -> i64 {
        (NOW * SECOND + now + self.backend_skew).div_euclid(SECOND)
    }

    /// When this replica gets what the fleet is given at some time.
    pub fn turn(&self, change: Millis) -> Millis {
        change + self.lag
    }

    /// Another process in the place of this one, with what is in force by now.
    pub fn restart(&mut self, setting: &Setting, id: usize, now: Millis) {
        let is_past = |change: Option<Millis>| usize::from(change.is_some_and(|change| self.turn(change) <= now));
        let (policy, key) = (is_past(setting.policy_change), is_past(setting.rotation));
        self.process = Rc::new(Process::start(setting, id, policy, key, self.skew));
    }
}

impl Process {
    fn start(setting: &Setting, id: usize, policy: usize, key: usize, skew: Millis) -> Self {
        Self { id, rules: rules(setting, policy, key), memory: Memory::default(), verified: VerifiedTokens::default(), key, skew }
    }
}

fn rules(setting: &Setting, policy: usize, active: usize) -> Rules {
    let prefix = |path| vec![Prefix::new(path).expect("a path")];
    let attributes = setting.told.then(|| Attributes::from_text(setting.attributes.as_bytes()));
    Rules {
        policy: setting.policies[policy].clone(),
        keys: keys(setting, active),
        token: TokenRules { demo: Some(ClaimRule::Equal("role".to_owned(), "demo".to_owned())), iat: setting.iat, ..TokenRules::default() },
        cookie: CookieRules::new(COOKIE.to_owned(), attributes, setting.persistence, None),
        paths: PathRules {
            protected: if setting.protects { prefix(PAGE) } else { Vec::new() },
            passive: prefix(POLL),
            logout: prefix(LOGOUT),
            ..PathRules::default()
        },
        login: None,
    }
}

/// Before its turn a replica already verifies with the key to come, after it for long enough with the one that went.
fn keys(setting: &Setting, active: usize) -> KeyRing {
    let key = |which: usize| {
        let id = setting.key_ids.then(|| KEY_IDS[which].to_owned());
        Key::hmac(Algorithm::Hs256, &Secret::new(SECRETS[which].as_bytes().to_vec()), id).expect("a good key")
    };
    let until =
        |rotation: Millis| UnixSeconds::new(NOW).plus(Span::from_millis(u64::try_from(rotation + 4 * DAY).expect("after the start")));
    KeyRing::new(key(active), setting.rotation.map(|rotation| (key(1 - active), until(rotation))))
}
