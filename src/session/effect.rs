//! What a decision leaves to be remembered: the shell carries it out.

use super::companion::Companion;
use super::family::{Family, Subject};
use super::time::{Span, UnixMillis, UnixSeconds};

/// How much longer than a token a tombstone lives: late answers and other clocks.
pub const TOMBSTONE_GRACE: Span = Span::from_secs(600);

/// What the process, and the store if there is one, should remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The family is logged out; no token of it can live longer than `until`.
    End { family: Family, subject: Option<Subject>, until: UnixMillis },
    /// Another session of the same person took this one's place: no late answer may renew it.
    Supersede(Family),
    /// A new login took a logged-out family up again; what was said of its end before says nothing until then.
    Reopen { family: Family, until: UnixMillis },
    /// The browser, or the backend in its place, gets a token of this family that ends then.
    Renew { family: Family, exp: UnixSeconds },
    /// How the backend sets C.
    Learn(Companion),
}
