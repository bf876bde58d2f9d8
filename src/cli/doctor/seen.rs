//! What was seen of a system, as values: the verdict and both reports are made of this alone.

use super::jar::Attributes;
use crate::session::time::Span;
use serde::Deserialize;

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub url: String,
    pub is_https: bool,
    /// slidecar stands in front of it.
    pub has_slidecar: bool,
    /// Name of the session cookie.
    pub cookie_name: String,
    pub algorithm: Option<String>,
    /// The first digits of the family, as logs show it.
    pub family: String,
    pub token: Clock,
    /// It is that of a cookie which may have been renewed since its `iat`.
    pub is_given: bool,
    /// What a login says of the clocks was seen, so a renewal's word does not replace it.
    pub has_login: bool,
    pub cookie: CookieClock,
    pub renewal: Renewal,
    pub timers: Vec<Timer>,
    pub policy: Option<Policy>,
    /// The page's scripts ask for the policy: what they hold hard-coded is for when there is none.
    pub asks_policy: bool,
    /// Attributes of the session cookie, where an answer set it.
    pub attributes: Option<Attributes>,
    /// Answers that set the session cookie and may be stored by a shared cache: what was asked, and its Cache-Control.
    pub shared: Vec<(String, Option<String>)>,
    /// What slidecar's status endpoint says of a session that the application accepts: why it is none.
    pub unknown_to_slidecar: Option<String>,
    /// How long tokens live that a renewal signs, where that was seen.
    pub renewed_life: Option<Span>,
    /// How long a renewal lets the cookie live, where that is not its token's life.
    pub renewed_cookie: Option<Span>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// A length of time and how it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    pub span: Span,
    pub how: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CookieClock {
    /// No answer set it.
    #[default]
    Unseen,
    /// It ends with the browser.
    Browser(String),
    Lives(Clock),
}

/// When the application renews, as far as that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// The most that remained when an answer renewed.
    pub renewed_at: Option<Span>,
    /// The least that remained when an answer did not.
    pub kept_at: Option<Span>,
    pub tried: Tried,
    /// Requests that were made to find out.
    pub requests: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tried {
    /// With the session as it is.
    #[default]
    Looked,
    Watched,
    /// With tokens of every remaining lifetime.
    Probed,
    /// The application accepts the session, but no token that was signed anew with its key.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub span: Span,
    /// What it is called, if it has a name.
    pub name: Option<String>,
    /// The script's path.
    pub file: String,
}

/// What `GET …/session-policy` answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[serde(skip)]
    pub path: String,
    pub access_token_ttl_ms: u64,
    pub heartbeat_interval_ms: Option<u64>,
    pub session_timeout_ms: Option<u64>,
    pub refresh_threshold_ms: Option<u64>,
}

/// What is known of the point of renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Renewed when less than this remains.
    Is(Span),
    /// Each answer renews.
    Always,
    /// However little remains.
    Never,
    Between(Option<Span>, Option<Span>),
}

impl Renewal {
    /// `life` is the token's.
    pub fn threshold(&self, life: Span) -> Threshold {
        match (self.renewed_at, self.kept_at) {
            // A few seconds pass before the first question.
            (Some(renewed), _) if renewed.plus(Span::from_secs(5)) >= life => Threshold::Always,
            (Some(renewed), Some(kept)) if kept.minus(renewed) <= Span::from_secs(1) => Threshold::Is(rounder(renewed, kept)),
            (None, Some(_)) if self.tried == Tried::Probed => Threshold::Never,
            (renewed, kept) => Threshold::Between(renewed, kept),
        }
    }
}

impl Policy {
    pub const fn ttl(&self) -> Span {
        Span::from_millis(self.access_token_ttl_ms)
    }

    pub fn timeout(&self) -> Option<Span> {
        self.session_timeout_ms.map(Span::from_millis)
    }

    pub fn threshold(&self) -> Option<Span> {
        self.refresh_threshold_ms.map(Span::from_millis)
    }

    pub fn heartbeat(&self) -> Option<Span> {
        self.heartbeat_interval_ms.map(Span::from_millis)
    }
}

impl Seen {
    /// The timer that ends the session in the browser first, if it follows no policy.
    pub fn own_timer(&self) -> Option<&Timer> {
        let follows = self.asks_policy && self.policy.as_ref().is_some_and(|policy| policy.timeout().is_some());
        // A name is worth more than a guess.
        let named = self.timers.iter().filter(|timer| timer.name.is_some()).min_by_key(|timer| timer.span);
        named.or_else(|| self.timers.iter().min_by_key(|timer| timer.span)).filter(|_| !follows)
    }

    /// When the browser gives up, by its own timer or by the policy that it is told.
    pub fn timer(&self) -> Option<Span> {
        self.own_timer().map(|timer| timer.span).or_else(|| self.policy.as_ref().and_then(Policy::timeout))
    }

    pub fn threshold(&self) -> Threshold {
        self.renewal.threshold(self.token.span)
    }
}

/// Of two neighbouring seconds the one that a person would write into a setting.
fn rounder(one: Span, other: Span) -> Span {
    let roundness = |span: &Span| [86_400, 3600, 60, 10].into_iter().find(|unit| span.as_secs().is_multiple_of(*unit)).unwrap_or(1);
    if roundness(&other) > roundness(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_the_threshold_is_what_a_person_would_have_written() {
        let s = Span::from_secs;
        let threshold = |renewed: Option<u64>, kept: Option<u64>, tried| {
            Renewal { renewed_at: renewed.map(s), kept_at: kept.map(s), tried, requests: 1 }.threshold(s(7200))
        };
        let table = [
            (Some(300), Some(301), Tried::Probed, Threshold::Is(s(300))),
            (Some(299), Some(300), Tried::Probed, Threshold::Is(s(300))),
            (Some(297), Some(298), Tried::Probed, Threshold::Is(s(297))),
            (Some(7199), None, Tried::Looked, Threshold::Always),
            (None, Some(2), Tried::Probed, Threshold::Never),
            (None, Some(2), Tried::Looked, Threshold::Between(None, Some(s(2)))),
            (Some(200), Some(400), Tried::Probed, Threshold::Between(Some(s(200)), Some(s(400)))),
        ];
        for (renewed, kept, tried, expected) in table {
            assert_eq!(threshold(renewed, kept, tried), expected);
        }
    }
}
