//! What was seen, judged: which clocks disagree, who ends the session, and what heals it. Pure, so that every case is a line of a
//! table.

use super::seen::{CookieClock, Policy, Renewal, Seen, Threshold, Tried};
use crate::session::time::Span;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A clock that disagrees with another.
    Clock,
    /// No clock, but a session is lost or stolen by it.
    Danger,
    Note,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Token,
    Cookie,
    Renewal,
    Timer,
    Policy,
    /// Attributes, caches and what else is no clock.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub grade: Grade,
    pub part: Part,
    pub what: String,
    /// What heals it; empty for what needs no healing.
    pub remedy: String,
}

/// A setting of slidecar, and why it has this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub name: &'static str,
    pub value: String,
    pub why: String,
}

/// One after the other, the clocks that end a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    pub part: Part,
    pub after_ms: u64,
}

pub fn findings(seen: &Seen) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(token(seen));
    all.extend(cookie(seen));
    all.extend(renewal(seen));
    all.extend(timer(seen));
    all.extend(policy(seen));
    all.extend(dangers(seen));
    all.extend(notes(seen).into_iter().map(|what| Finding { grade: Grade::Note, part: Part::Other, what, remedy: String::new() }));
    all
}

/// Whether everything that was seen follows one clock.
pub fn is_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.grade == Grade::Note)
}

/// Who would end the session when, if nothing renewed it; the first first.
pub fn ends(seen: &Seen) -> Vec<End> {
    let mut ends = vec![End { part: Part::Token, after_ms: seen.token.span.as_millis() }];
    if let CookieClock::Lives(clock) = &seen.cookie {
        ends.push(End { part: Part::Cookie, after_ms: clock.span.as_millis() });
    }
    ends.extend(seen.timer().map(|timer| End { part: Part::Timer, after_ms: timer.as_millis() }));
    // Where two are one, the token is the one that is meant.
    ends.sort_by_key(|end| (end.after_ms.div_ceil(60_000), end.part));
    ends
}

/// When a session that nobody touches is over on the server's side: its token or its cookie.
pub fn server_end(seen: &Seen) -> (Part, Span) {
    match &seen.cookie {
        CookieClock::Lives(cookie) if cookie.span < seen.token.span && !close(cookie.span, seen.token.span) => (Part::Cookie, cookie.span),
        _ => (Part::Token, seen.token.span),
    }
}

/// Whether the window of renewal opens before the session is over; `None` if that was not seen.
pub fn slides(seen: &Seen) -> Option<bool> {
    let (_, end) = server_end(seen);
    let opens = |threshold: Span| seen.token.span.minus(threshold);
    match seen.threshold() {
        Threshold::Always => Some(true),
        Threshold::Never => Some(false),
        Threshold::Is(threshold) => Some(opens(threshold) < end),
        Threshold::Between(Some(renewed), _) if opens(renewed) < end => Some(true),
        // It opens later than this.
        Threshold::Between(_, Some(kept)) if opens(kept) >= end => Some(false),
        Threshold::Between(..) => None,
    }
}

/// The settings that make one clock of them.
pub fn settings(seen: &Seen) -> Vec<Setting> {
    let set = |name, value: String, why: &str| Setting { name, value, why: why.to_owned() };
    let (ttl, buffer, why) = suggested_ttl(seen);
    let mut all = vec![set("SESSION_COOKIE_NAME", seen.cookie_name.clone(), "the application's own")];
    if let Some(algorithm) = seen.algorithm.as_deref().filter(|algorithm| *algorithm != "HS256") {
        all.push(set("JWT_ALGORITHM", algorithm.to_owned(), "the application's own"));
    }
    all.push(set("JWT_EXPIRES_IN", ttl.to_string(), &why));
    all.push(set("SESSION_REFRESH_THRESHOLD", ttl.divided_by(2).to_string(), "who is away for less is still in"));
    all.push(set("SESSION_TIMEOUT_BUFFER", buffer.to_string(), "grace of the browser's timer"));
    all
}

/// TTL and buffer. slidecar changes no script, so a timer that asks nobody has to be met where it is.
fn suggested_ttl(seen: &Seen) -> (Span, Span, String) {
    const BUFFER: Span = Span::from_secs(300);
    if let Some(timer) = seen.own_timer().filter(|timer| timer.name.is_some() && !seen.asks_policy) {
        let buffer = BUFFER.min(Span::from_secs(timer.span.as_secs() / 10)).max(Span::from_secs(1));
        let ttl = timer.span.minus(buffer);
        return (ttl, buffer, format!("and the buffer: {}, the page's timer", short(timer.span)));
    }
    match &seen.policy {
        Some(policy) => (policy.ttl(), policy.timeout().map_or(BUFFER, |timeout| timeout.minus(policy.ttl())), "as published".to_owned()),
        None => (Span::from_secs(7200), BUFFER, "how long you want it to be".to_owned()),
    }
}

fn clock(part: Part, what: String, remedy: impl Into<String>) -> Finding {
    Finding { grade: Grade::Clock, part, what, remedy: remedy.into() }
}

fn token(seen: &Seen) -> Option<Finding> {
    let token = seen.token.span;
    let ttl = "JWT_EXPIRES_IN: tokens that outlive it are cut to it, at the login and on the first request of older ones.";
    if let Some(policy) = seen.policy.as_ref().filter(|policy| !close(policy.ttl(), token)) {
        let what = format!("The token lives {}, but {} promises {}.", short(token), policy.path, short(policy.ttl()));
        let remedy = if seen.has_slidecar {
            "slidecar is in front, but does not hold it to the policy: is SLIDECAR_MODE=observe, or is its key not the application's?"
        } else {
            ttl
        };
        return Some(clock(Part::Token, what, remedy));
    }
    let others = other_ends(seen);
    let follows = seen.policy.is_some() || others.iter().any(|(_, span)| close(*span, token));
    let named: Vec<String> = others.iter().map(|(name, span)| format!("{name} {}", short(*span))).collect();
    (!follows && !others.is_empty()).then(|| {
        let stolen = if others.iter().all(|(_, span)| *span < token) {
            format!(" Nobody sees it through, but a stolen copy works for {}.", short(token))
        } else {
            String::new()
        };
        clock(Part::Token, format!("The token lives {}, and no other clock follows it: {}.{stolen}", short(token), named.join(", ")), ttl)
    })
}

/// The lifetimes that ought to be the token's. A timer has a grace beyond it.
fn other_ends(seen: &Seen) -> Vec<(&'static str, Span)> {
    let mut others = Vec::new();
    if let CookieClock::Lives(cookie) = &seen.cookie {
        others.push(("the cookie", cookie.span));
    }
    if let Some(timer) = seen.own_timer().filter(|timer| timer.name.is_some()) {
        let in_grace = fits(timer.span, seen.token.span);
        others.push(("the browser timer", if in_grace { seen.token.span } else { timer.span }));
    }
    others
}

fn cookie(seen: &Seen) -> Option<Finding> {
    let CookieClock::Lives(cookie) = &seen.cookie else { return None };
    let (cookie, token) = (cookie.span, seen.token.span);
    if close(cookie, token) {
        return None;
    }
    let what = if cookie < token {
        format!("The browser drops the cookie after {}, whatever the token says: that is the end of the session.", short(cookie))
    } else {
        format!("The browser keeps the cookie for {}, but after {} the token in it is dead.", short(cookie), short(token))
    };
    Some(clock(Part::Cookie, what, "none to set: slidecar writes Max-Age from the token's exp, on logins and renewals."))
}

fn renewal(seen: &Seen) -> Option<Finding> {
    let (part, end) = server_end(seen);
    let token = seen.token.span;
    let remedy = "SESSION_REFRESH_THRESHOLD: half of the lifetime, so that whoever works is renewed and whoever pauses for less stays in.";
    let by = if part == Part::Cookie { "cookie" } else { "token" };
    if seen.renewal.tried == Tried::Refused {
        let what = "The application accepts its own token, but none that is signed anew with the same key: it remembers tokens.";
        let remedy = "none: behind slidecar it would refuse every renewed token too. It has to stop comparing tokens first.";
        return Some(clock(Part::Renewal, what.to_owned(), remedy));
    }
    if let Some((published, threshold)) = seen.policy.as_ref().and_then(Policy::threshold).zip(exact(seen))
        && !close(published, threshold)
    {
        let what = format!("It renews when less than {} remains, but the policy says {}.", short(threshold), short(published));
        return Some(clock(Part::Renewal, what, remedy));
    }
    if let Some(policy) = &seen.policy
        && let (Some(heartbeat), Some(threshold)) = (policy.heartbeat(), policy.threshold())
        && heartbeat >= threshold
    {
        let what =
            format!("A heartbeat every {} can miss the window of renewal, which is {} long.", short(heartbeat), short(threshold));
        return Some(clock(Part::Renewal, what, "SESSION_HEARTBEAT_INTERVAL: at most half of SESSION_REFRESH_THRESHOLD."));
    }
    let opens = |threshold: Span| short(token.minus(threshold));
    match seen.threshold() {
        Threshold::Never => {
            let what = format!("Nothing renews, however little remains: whoever works is out after {} all the same.", short(end));
            Some(clock(Part::Renewal, what, remedy))
        }
        Threshold::Is(threshold) if slides(seen) == Some(false) => {
            let what = format!(
                "It renews in the last {} only, which begin {} after the login. The {by} is gone after {}, so nobody is ever renewed.",
                short(threshold),
                opens(threshold),
                short(end)
            );
            Some(clock(Part::Renewal, what, remedy))
        }
        Threshold::Is(threshold) if threshold < end.divided_by(10) => {
            let what = format!(
                "It renews in the last {} only: whoever pauses for longer than that at the end of the {} is out, although at work.",
                short(threshold),
                short(end)
            );
            Some(clock(Part::Renewal, what, remedy))
        }
        Threshold::Between(_, Some(kept)) if slides(seen) == Some(false) => {
            let what = format!(
                "With {} left it does not renew yet, and the {by} is gone after {}: nobody is ever renewed.",
                short(kept),
                short(end)
            );
            Some(clock(Part::Renewal, what, remedy))
        }
        _ => None,
    }
}

fn timer(seen: &Seen) -> Option<Finding> {
    let token = seen.token.span;
    let (_, server) = server_end(seen);
    let Some(own) = seen.own_timer() else {
        let policy = seen.policy.as_ref()?;
        let timeout = policy.timeout().filter(|timeout| timeout.plus(Span::from_secs(1)) < policy.ttl())?;
        let what = format!("The policy tells browsers to give up after {}, but the token lives {}.", short(timeout), short(policy.ttl()));
        return Some(clock(Part::Timer, what, "SESSION_TIMEOUT_BUFFER: slidecar's sessionTimeoutMs is JWT_EXPIRES_IN plus this."));
    };
    let published = seen.policy.as_ref().and_then(Policy::timeout);
    let is_one_clock = published.map_or_else(|| fits(own.span, token), |published| close(own.span, published));
    if is_one_clock {
        return None;
    }
    let mut what = match (published, own.span < token) {
        (Some(published), _) => format!("The page gives up after {}, but the policy says {}, and the page does not ask.", short(own.span), short(published)),
        (None, true) => format!("The page gives up after {}, although the token goes on to {}.", short(own.span), short(token)),
        (None, false) => format!("The page believes in a session for {}, but the token ends after {}.", short(own.span), short(token)),
    };
    if server < own.span && !close(server, own.span) && own.span < token {
        what += &format!(" Between {} and {} it shows a session that is gone.", short(server), short(own.span));
    }
    let remedy = if seen.asks_policy {
        "GET /auth/session-policy: the page asks for it already and holds this number because nobody answers. slidecar does."
    } else {
        "GET /auth/session-policy: let the page ask instead of knowing (SESSION_CLIENT=inject brings a client that does). Or leave the page and choose JWT_EXPIRES_IN and SESSION_TIMEOUT_BUFFER so that they add up to its number."
    };
    Some(clock(Part::Timer, what, remedy))
}

fn policy(seen: &Seen) -> Option<Finding> {
    let why = seen.unknown_to_slidecar.as_ref()?;
    let what = format!("slidecar says that this is no session ({why}), but the application accepts it.");
    Some(clock(Part::Policy, what, "JWT_SECRET (or the key pair) and SESSION_COOKIE_NAME: they must be the application's."))
}

fn dangers(seen: &Seen) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut danger =
        |what: String, remedy: &str| all.push(Finding { grade: Grade::Danger, part: Part::Other, what, remedy: remedy.to_owned() });
    for (asked, control) in &seen.shared {
        let control = control.as_ref().map_or("no Cache-Control".to_owned(), |control| format!("Cache-Control: {control}"));
        danger(
            format!("The answer to {asked} sets the session cookie and may be stored by a shared cache ({control}): others would get this session."),
            "none to set: slidecar sends such answers with Cache-Control: no-store, private.",
        );
    }
    let Some(cookie) = &seen.attributes else { return all };
    let name = &seen.cookie_name;
    if seen.is_https && !cookie.secure {
        danger("The cookie has no Secure: the browser sends it over plain http too.".to_owned(), "the application's; slidecar keeps its attributes.");
    }
    if !cookie.http_only {
        danger("The cookie has no HttpOnly: every script of the page can read it.".to_owned(), "the application's; slidecar keeps its attributes.");
    }
    if cookie.same_site.as_deref().is_some_and(|value| value.eq_ignore_ascii_case("none")) && !cookie.secure {
        danger("SameSite=None without Secure: browsers refuse the cookie.".to_owned(), "the application's; slidecar keeps its attributes.");
    }
    let is_bound = cookie.secure && cookie.path.as_deref() == Some("/") && cookie.domain.is_none();
    if name.starts_with("__Host-") && !is_bound || name.starts_with("__Secure-") && !cookie.secure {
        danger(
            format!("{name}: browsers refuse a cookie of this name without Secure (and __Host- without Path=/ or with a Domain)."),
            "the application's; slidecar keeps its attributes.",
        );
    }
    all
}

fn notes(seen: &Seen) -> Vec<String> {
    let mut notes = Vec::new();
    match (&seen.attributes, &seen.cookie) {
        (Some(cookie), _) => {
            if !seen.is_https && !cookie.secure {
                notes.push("The cookie has no Secure. Over http it cannot have; behind TLS it must.".to_owned());
            }
            if cookie.same_site.is_none() {
                notes.push("The cookie has no SameSite; browsers take Lax, some older ones None.".to_owned());
            }
            if let Some(domain) = &cookie.domain {
                notes.push(format!("The cookie has Domain={domain}: every host below it gets the session."));
            }
        }
        (None, CookieClock::Unseen) => {
            notes.push("No answer set the cookie, so its lifetime and attributes are unknown: --login or --key-file shows them.".to_owned());
        }
        (None, _) => {}
    }
    if let CookieClock::Browser(_) = &seen.cookie {
        notes.push("The cookie has no lifetime: it ends with the browser, else with the token.".to_owned());
    }
    if let Some(life) = seen.renewed_life.filter(|life| !close(*life, seen.token.span)) {
        notes.push(format!("A renewal signs for {}, a login for {}.", short(life), short(seen.token.span)));
    }
    if let Some(words) = unsure(&seen.renewal, seen) {
        notes.push(words);
    }
    if seen.own_timer().is_some_and(|timer| timer.name.is_none()) {
        notes.push("The browser timer is a guess: a number near a logout in a script that was only read.".to_owned());
    }
    notes.extend(seen.notes.iter().cloned());
    notes
}

/// What a look cannot tell about renewals.
fn unsure(renewal: &Renewal, seen: &Seen) -> Option<String> {
    let Threshold::Between(renewed, kept) = seen.threshold() else { return None };
    let seen_so_far = match (renewed, kept) {
        (Some(renewed), Some(kept)) => format!("It renews with {} left, and not yet with {}.", short(renewed), short(kept)),
        (Some(renewed), None) => format!("It renewed with {} left; it may do so earlier.", short(renewed)),
        (None, Some(kept)) => format!("It was not seen to renew with {} left; it does later than that, if ever.", short(kept)),
        (None, None) if renewal.tried == Tried::Refused => return None,
        (None, None) => "When it renews was not seen.".to_owned(),
    };
    let advice = if renewal.tried == Tried::Probed { "" } else { " --key-file finds the second, --watch waits for it." };
    Some(seen_so_far + advice)
}

fn exact(seen: &Seen) -> Option<Span> {
    match seen.threshold() {
        Threshold::Is(threshold) => Some(threshold),
        _ => None,
    }
}

/// One clock, read twice: a few seconds pass between a token and its cookie, and some round to minutes.
fn close(one: Span, other: Span) -> bool {
    let tolerance = one.max(other).divided_by(50).clamp(Span::from_secs(2), Span::from_secs(60));
    one.max(other).minus(one.min(other)) <= tolerance
}

/// A timer may run a little longer than the token, never shorter.
fn fits(timer: Span, token: Span) -> bool {
    close(timer, token) || (timer > token && timer <= token.plus(token.divided_by(4).max(Span::from_secs(600)).min(Span::from_secs(3600))))
}

/// As people say it: `2h`, `65m`, `6d 23h 55m`.
pub fn short(span: Span) -> String {
    let seconds = span.as_secs();
    // What was measured is a second off here and there; nobody configures 59m 59s.
    let seconds = if seconds > 300 && seconds % 60 == 59 { seconds + 1 } else { seconds };
    let plain = Span::from_secs(seconds);
    if seconds == 0 || plain.to_string().len() <= 4 {
        return if span.as_millis() < 1000 { span.to_string() } else { plain.to_string() };
    }
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}
