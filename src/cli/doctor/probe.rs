//! When does the application renew? A look at one answer tells little; with the key, the session's own token is signed anew as
//! it would be had the login been earlier, and the application shows which of those it renews.

use super::client::{Answer, Client, Unreachable};
use super::jar::{Jar, Sighting};
use super::seen::{Renewal, Tried};
use crate::clock::{Clock as _, Stopwatch, SystemClock};
use crate::session::inspect::inspect;
use crate::session::keys::{Key, Secret};
use crate::session::mint::moved;
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use http::StatusCode;
use url::Url;

/// The dates that move together when a login is thought to be earlier.
const DATES: [&str; 5] = ["exp", "iat", "nbf", "auth_time", "orig_iat"];
/// Remaining seconds at which whoever renews at all does: 30 s leave time for a slow network.
const LATE: [u64; 3] = [30, 5, 2];
/// Between two requests of a watch, at most and at least.
const WATCH: (Span, Span) = (Span::from_secs(30), Span::from_secs(1));

/// Asks one place as the session would.
pub struct Probe<'a> {
    pub client: &'a Client,
    pub place: &'a Url,
    pub cookie: &'a str,
    /// How the place answers the session.
    pub with: StatusCode,
}

/// The session's token, which probes are made of.
pub struct Original<'a> {
    pub token: &'a Secret,
    pub exp: UnixSeconds,
    pub life: Span,
    pub key: &'a Key,
    /// How far the server's clock is ahead, in milliseconds.
    pub ahead: i64,
}

enum Heard {
    Renewed,
    Kept,
    /// Treated as no session.
    Refused,
    /// The application has other things to do (429, 5xx), or has changed its mind.
    Disturbed(StatusCode),
}

/// What came out, and what a renewal looks like.
pub struct Found {
    pub renewal: Renewal,
    pub sighting: Option<Sighting>,
    pub note: Option<String>,
}

impl Probe<'_> {
    /// Halves the token's life until the second is found below which answers renew.
    pub async fn bisect(&self, jar: &Jar, original: &Original<'_>) -> Result<Found, Unreachable> {
        let mut found = Found { renewal: Renewal { tried: Tried::Probed, ..Renewal::default() }, sighting: None, note: None };
        // One that fits by chance is the session's own token, which says nothing of others.
        let life = original.life.as_secs().saturating_sub(1);
        let life = if Self::now(original).plus(Span::from_secs(life)) == original.exp { life.saturating_sub(1) } else { life };
        let mut dates = &DATES[..];
        match self.tell(jar, original, dates, life, &mut found).await? {
            Heard::Refused => found.renewal.tried = Tried::Refused,
            Heard::Disturbed(status) => found.note = Some(disturbed(status)),
            Heard::Renewed | Heard::Kept => {}
        }
        if found.renewal.renewed_at.is_some() || found.renewal.kept_at.is_none() {
            return Ok(found);
        }
        for remaining in LATE.into_iter().filter(|late| *late < life) {
            let mut heard = self.tell(jar, original, dates, remaining, &mut found).await?;
            if matches!(heard, Heard::Refused) && dates.len() > 1 {
                // Some applications refuse tokens from before a moment: a change of the password, a start.
                dates = &DATES[..1];
                heard = self.tell(jar, original, dates, remaining, &mut found).await?;
            }
            match heard {
                Heard::Kept => {}
                Heard::Renewed => break,
                Heard::Refused => {
                    found.note = Some(format!("A token with {remaining}s left is refused, so nothing is known of what happens later."));
                    break;
                }
                Heard::Disturbed(status) => {
                    found.note = Some(disturbed(status));
                    break;
                }
            }
        }
        while let (Some(renewed), Some(kept)) = (found.renewal.renewed_at, found.renewal.kept_at) {
            let (low, high) = (renewed.as_secs(), kept.as_secs());
            if high <= low.saturating_add(1) {
                break;
            }
            match self.tell(jar, original, dates, low.midpoint(high), &mut found).await? {
                Heard::Renewed | Heard::Kept => {}
                Heard::Refused => {
                    found.note = Some("Some of the probes were refused; the threshold lies in the range that is shown.".to_owned());
                    break;
                }
                Heard::Disturbed(status) => {
                    found.note = Some(disturbed(status));
                    break;
                }
            }
        }
        Ok(found)
    }

    fn now(original: &Original<'_>) -> UnixSeconds {
        UnixMillis::new(SystemClock.now().get().saturating_add(original.ahead)).second()
    }

    async fn tell(
        &self,
        jar: &Jar,
        original: &Original<'_>,
        dates: &[&str],
        remaining: u64,
        found: &mut Found,
    ) -> Result<Heard, Unreachable> {
        let exp = Self::now(original).plus(Span::from_secs(remaining));
        let by = exp.get().saturating_sub(original.exp.get());
        // A token that read back once is spliced again.
        let Ok(token) = moved(original.token.expose(), dates, by, original.key) else { return Ok(Heard::Refused) };
        let ask = self.client.get(self.place, jar.field_with(Some((self.cookie, &token))));
        let answer = self.client.send(ask).await?;
        found.renewal.requests += 1;
        if let Some(sighting) = renewal_in(&answer, self.cookie, exp) {
            found.renewal.renewed_at = Some(Span::from_secs(remaining));
            found.sighting.get_or_insert(sighting);
            return Ok(Heard::Renewed);
        }
        Ok(match answer.status {
            status if status == self.with => {
                found.renewal.kept_at = Some(Span::from_secs(remaining));
                Heard::Kept
            }
            status if status.as_u16() == 429 || status.is_server_error() => Heard::Disturbed(status),
            _ => Heard::Refused,
        })
    }

    /// Goes on asking, as a person at work would, and keeps what comes.
    pub async fn watch(
        &self,
        jar: &mut Jar,
        mut exp: UnixSeconds,
        ahead: i64,
        renewal: &mut Renewal,
        time: Span,
    ) -> Result<Option<Sighting>, Unreachable> {
        let pause = time.divided_by(20).clamp(WATCH.1, WATCH.0);
        eprintln!("slidecar: asking every {pause} for {time}; what is seen is told then");
        let watch = Stopwatch::start();
        renewal.tried = Tried::Watched;
        while watch.elapsed() < time {
            tokio::time::sleep(pause.to_std()).await;
            let remaining = UnixMillis::new(SystemClock.now().get().saturating_add(ahead)).until(exp);
            let answer = self.client.send(self.client.get(self.place, jar.field())).await?;
            renewal.requests += 1;
            if let Some(sighting) = renewal_in(&answer, self.cookie, exp) {
                renewal.renewed_at = Some(remaining);
                return Ok(Some(sighting));
            }
            if answer.status == self.with {
                renewal.kept_at = Some(remaining);
            }
            jar.keep(&answer);
            // The same token in a new cookie is no renewal, but what it says may have changed.
            let now = answer.at;
            exp = jar.value(self.cookie).and_then(|value| inspect(value.expose(), None, now).ok()?.expires).unwrap_or(exp);
        }
        Ok(None)
    }
}

/// What an answer renews: a cookie with a later end. The same token again is none.
pub fn renewal_in(answer: &Answer, cookie: &str, exp: UnixSeconds) -> Option<Sighting> {
    let sighting = Sighting::of(answer, cookie)?;
    let new = inspect(sighting.value.expose(), None, answer.at).ok()?.expires?;
    (new > exp).then_some(sighting)
}

fn disturbed(status: StatusCode) -> String {
    format!("The application answered {} while it was asked, so the search was ended early.", status.as_u16())
}
