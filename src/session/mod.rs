//! THE RULES. Bytes, values and `now` go in, decisions come out.
//!
//! What lives here: everything that decides about a session. What deliberately does not: any clock, socket, lock,
//! environment variable or HTTP library. A rule that needs one of those to be tested is in the wrong place.
//!
//! In reading order: [`time`] and [`duration`] → [`policy`] (the clocks) → [`keys`], [`json`], [`token`], [`family`]
//! (who is it) → [`mint`] (the same, later) → [`cookie`], [`set_cookie`], [`attributes`], [`companion`] (what the
//! browser keeps) → [`paths`], [`signs`], [`login`], [`cache`] (what the messages say) → [`decide`] (way in) and
//! [`settle`] (way out), with [`outcome`], the closed vocabulary that logs and metrics share, and
//! [`effect`], what is to be remembered. [`breaker`] says when to renew no more; [`inspect`] is for people.
#![deny(clippy::arithmetic_side_effects)]

pub mod attributes;
pub mod breaker;
pub mod cache;
pub mod companion;
pub mod cookie;
pub mod decide;
mod disguise;
pub mod duration;
pub mod effect;
pub mod family;
pub mod hash;
pub mod inspect;
pub mod json;
pub mod keys;
pub mod login;
pub mod mint;
pub mod misnamed;
pub mod outcome;
pub mod paths;
pub mod policy;
pub mod set_cookie;
pub mod settle;
pub mod signs;
pub mod time;
pub mod token;

#[cfg(test)]
pub(crate) mod testing;

use attributes::Attributes;
use companion::Companion;
use family::{Family, Subject};
use std::sync::Arc;
use time::{Span, UnixMillis, UnixSeconds};
use token::SessionToken;

/// Everything an operator set that the rules follow: one consistent set, used from a request's head to its answer.
#[derive(Debug)]
pub struct Rules {
    pub policy: policy::SessionPolicy,
    pub keys: keys::KeyRing,
    pub token: token::TokenRules,
    pub cookie: CookieRules,
    pub paths: paths::PathRules,
    pub login: Option<login::LoginUrl>,
}

/// The session cookie.
#[derive(Clone, Debug)]
pub struct CookieRules {
    /// C
    pub name: String,
    pub persistence: Persistence,
    /// The longest lifetime left to a C whose token states none.
    pub fallback: Option<Span>,
    companion: String,
    tombstones: String,
    plain: Attributes,
    secure: Attributes,
}

/// `SESSION_COOKIE_PERSISTENCE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// A C that the backend set without any lifetime stays a browser-session cookie.
    #[default]
    Follow,
    /// It gets a Max-Age too.
    Always,
}

impl CookieRules {
    /// `attributes` are those of a renewed C whose own are unknown; `None` for the default, which follows the request's
    /// scheme.
    #[must_use]
    pub fn new(name: String, attributes: Option<Attributes>, persistence: Persistence, fallback: Option<Span>) -> Self {
        let attributes_for = |secure| attributes.clone().unwrap_or_else(|| Attributes::default_for(secure));
        Self {
            companion: format!("{name}_s"),
            tombstones: format!("{name}_x"),
            plain: attributes_for(false),
            secure: attributes_for(true),
            name,
            persistence,
            fallback,
        }
    }

    /// The companion that carries C's attributes.
    #[must_use]
    pub fn companion_name(&self) -> &str {
        &self.companion
    }

    /// The companion that carries what was logged out.
    #[must_use]
    pub fn tombstones_name(&self) -> &str {
        &self.tombstones
    }

    #[must_use]
    pub const fn attributes_for(&self, secure: bool) -> &Attributes {
        if secure { &self.secure } else { &self.plain }
    }
}

/// What this process and its peers know to be over.
pub trait Ended: Send + Sync {
    fn ended(&self, family: &Family, subject: Option<&Subject>, origin: Option<UnixSeconds>, now: UnixMillis) -> Option<Ending>;

    /// Whether another session of the same person took this one's place after `since`, when a request came that still
    /// carried it: it is served, but its late answer must not put its cookie back.
    fn superseded(&self, family: &Family, since: UnixMillis) -> bool;

    /// What peers know has not been heard for so long that nobody may be let in on it (rule R4).
    fn is_blind(&self) -> bool {
        false
    }

    /// The backend refuses renewed tokens: make none (rule O4).
    fn is_paused(&self, _now: UnixMillis) -> bool {
        false
    }
}

/// Why a session that its token would let live is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    LoggedOut,
    Revoked,
}

/// Tokens whose signatures and claims were checked before, under these very rules. It may forget any of them at any time.
pub trait Verified: Send + Sync {
    /// The token of this very text.
    fn find(&self, text: &[u8]) -> Option<Arc<SessionToken>>;

    fn remember(&self, token: &Arc<SessionToken>);
}

/// Remembers nothing: every token is checked anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Verified for Forgetful {
    fn find(&self, _: &[u8]) -> Option<Arc<SessionToken>> {
        None
    }

    fn remember(&self, _: &Arc<SessionToken>) {}
}

/// What the rules ask of the shell, besides bytes and `now`.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub ended: &'a dyn Ended,
    pub verified: &'a dyn Verified,
    pub signer: &'a dyn keys::Signer,
    /// How this process last saw the backend set C.
    pub learned: Option<&'a Companion>,
}
