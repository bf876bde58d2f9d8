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
    if is_ignored(seen) {
        return vec![set("SLIDECAR_MODE", "enforce".to_owned(), "if it was observe")];
    }
    let mut all = vec![set("SESSION_COOKIE_NAME", seen.cookie_name.clone(), "the application's own")];
    if let Some(algorithm) = seen.algorithm.as_deref().filter(|algorithm| *algorithm != "HS256") {
        all.push(set("JWT_ALGORITHM", algorithm.to_owned(), "the application's own"));
    }
    all.push(set("JWT_EXPIRES_IN", ttl.to_string(), &why));
    all.push(set("SESSION_REFRESH_THRESHOLD", ttl.divided_by(2).to_string(), "who is away for less is still in"));
    all.push(set("SESSION_TIMEOUT_BUFFER", buffer.to_string(), "grace of the browser's timer"));
    all
}

/// slidecar is there and publishes clocks that do not happen.
pub fn is_ignored(seen: &Seen) -> bool {
    seen.has_slidecar && seen.policy.as_ref().is_some_and(|policy| !close(policy.ttl(), seen.token.span))
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
            "SLIDECAR_MODE=enforce: slidecar is in front, but only observes. Or its key is not the application's (its log says so)."
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

const COOKIE_REMEDY: &str = "none to set: slidecar writes Max-Age from the token's exp, on logins and renewals.";

fn cookie(seen: &Seen) -> Option<Finding> {
    let CookieClock::Lives(cookie) = &seen.cookie else { return None };
    let (cookie, token) = (cookie.span, seen.token.span);
    if close(cookie, token) {
        let renewed = seen.renewed_cookie?;
        let what = format!("A login's cookie lives as long as its token, but a renewal's lives {}.", short(renewed));
        return Some(clock(Part::Cookie, what, COOKIE_REMEDY));
    }
    let what = if cookie < token {
        format!("The browser drops the cookie after {}, whatever the token says: that is the end of the session.", short(cookie))
    } else {
        format!("The browser keeps the cookie for {}, but after {} the token in it is dead.", short(cookie), short(token))
    };
    Some(clock(Part::Cookie, what, COOKIE_REMEDY))
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
        let what = format!("A heartbeat every {} can miss the window of renewal, which is {} long.", short(heartbeat), short(threshold));
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
        (Some(published), _) => {
            format!("The page gives up after {}, but the policy says {}, and the page does not ask.", short(own.span), short(published))
        }
        (None, true) => format!("The page gives up after {}, although the token goes on to {}.", short(own.span), short(token)),
        (None, false) => format!("The page believes in a session for {}, but the token ends after {}.", short(own.span), short(token)),
    };
    if server < own.span && !close(server, own.span) && own.span < token {
        what += &format!(" Between {} and {} it shows a session that is gone.", short(server), short(own.span));
    }
    let remedy = if seen.asks_policy {
        "GET /auth/session-policy: the page asks for it already and holds this number because nobody answers. slidecar does."
    } else {
        "GET /auth/session-policy: let the script ask there instead of knowing. Or leave it as it is, and choose JWT_EXPIRES_IN and SESSION_TIMEOUT_BUFFER so that they add up to its number."
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
            format!(
                "The answer to {asked} sets the session cookie and may be stored by a shared cache ({control}): others would get this session."
            ),
            "none to set: slidecar sends such answers with Cache-Control: no-store, private.",
        );
    }
    let Some(cookie) = &seen.attributes else { return all };
    let name = &seen.cookie_name;
    if seen.is_https && !cookie.secure {
        danger(
            "The cookie has no Secure: the browser sends it over plain http too.".to_owned(),
            "the application's; slidecar keeps its attributes.",
        );
    }
    if !cookie.http_only {
        danger(
            "The cookie has no HttpOnly: every script of the page can read it.".to_owned(),
            "the application's; slidecar keeps its attributes.",
        );
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
            if !seen.is_https && cookie.secure {
                notes.push("The cookie has Secure, but this page came over http: browsers take it there on localhost only.".to_owned());
            }
            if cookie.same_site.is_none() {
                notes.push("The cookie has no SameSite; browsers take Lax, some older ones None.".to_owned());
            }
            if let Some(domain) = &cookie.domain {
                notes.push(format!("The cookie has Domain={domain}: every host below it gets the session."));
            }
        }
        (None, CookieClock::Unseen) => {
            notes
                .push("No answer set the cookie, so its lifetime and attributes are unknown: --login or --key-file shows them.".to_owned());
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
    if let Some(timer) = seen.own_timer() {
        notes.push(match &timer.name {
            Some(name) => format!("The browser timer is likely, not certain: {name} in {}, which was read and not run.", timer.file),
            None => format!("The browser timer is a guess: a number near a logout in {}, which was read and not run.", timer.file),
        });
        let others: Vec<_> = seen.timers.iter().filter(|other| other.span != timer.span).collect();
        let others: Vec<_> = others.iter().map(|other| format!("{} in {}", short(other.span), other.file)).collect();
        if !others.is_empty() {
            notes.push(format!("Other numbers that may be timers: {}.", others.join(", ")));
        }
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
    let advice = match (renewal.tried, kept) {
        (Tried::Probed, _) => "",
        _ if renewed.is_some() && kept.is_some() => " --key-file finds the threshold to the second.",
        (_, Some(kept)) if kept > Span::from_secs(7200) => " --key-file finds the threshold to the second.",
        _ => " --key-file finds the threshold to the second, --watch waits for a renewal.",
    };
    Some(seen_so_far + advice)
}

fn exact(seen: &Seen) -> Option<Span> {
    match seen.threshold() {
        Threshold::Is(threshold) => Some(threshold),
        _ => None,
    }
}

/// One clock, read twice: a few seconds pass between a token and its cookie, and some round to minutes.
pub fn close(one: Span, other: Span) -> bool {
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
    parts.iter().filter(|(count, _)| *count > 0).take(3).map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::seen::{Clock, Timer};
    use super::*;

    const M: u64 = 60;
    const H: u64 = 3600;
    const D: u64 = 86_400;

    fn s(seconds: u64) -> Span {
        Span::from_secs(seconds)
    }

    /// Token, cookie (0: none was seen), threshold (0: never) and timer (0: none), in seconds, the threshold found by probes.
    fn seen(token: u64, cookie: u64, threshold: u64, timer: u64) -> Seen {
        let how = String::new;
        Seen {
            token: Clock { span: s(token), how: how() },
            cookie: if cookie == 0 { CookieClock::Unseen } else { CookieClock::Lives(Clock { span: s(cookie), how: how() }) },
            renewal: Renewal {
                renewed_at: (threshold > 0).then(|| s(threshold)),
                kept_at: (threshold < token).then(|| s(threshold + 1)),
                tried: Tried::Probed,
                requests: 20,
            },
            timers: if timer == 0 { vec![] } else { vec![Timer { span: s(timer), name: Some("timer".to_owned()), file: how() }] },
            ..Seen::default()
        }
    }

    fn published(mut seen: Seen, ttl: u64, threshold: u64, timeout: u64) -> Seen {
        seen.policy = Some(Policy {
            path: "/auth/session-policy".to_owned(),
            access_token_ttl_ms: ttl * 1000,
            heartbeat_interval_ms: Some(600_000),
            session_timeout_ms: Some(timeout * 1000),
            refresh_threshold_ms: Some(threshold * 1000),
        });
        seen
    }

    fn disagreeing(seen: &Seen) -> Vec<Part> {
        findings(seen).iter().filter(|finding| finding.grade == Grade::Clock).map(|finding| finding.part).collect()
    }

    #[test]
    fn c_the_clocks_that_disagree_are_named_and_no_others() {
        use Part::{Cookie, Renewal, Timer, Token};
        let table: [(&str, Seen, &[Part]); 19] = [
            ("the story", seen(7 * D, H, 5 * M, 65 * M), &[Token, Cookie, Renewal, Timer]),
            ("healed", published(seen(2 * H, 2 * H - 1, H, 0), 2 * H, H, 125 * M), &[]),
            ("healed, with the page's own number", published(seen(H, H, 30 * M, 65 * M), H, 30 * M, 65 * M), &[]),
            ("healed without slidecar", seen(2 * H, 2 * H, H, 125 * M), &[]),
            ("the token mended alone", seen(2 * H, H, 5 * M, 65 * M), &[Token, Cookie, Renewal, Timer]),
            ("token and cookie mended", seen(2 * H, 2 * H, 5 * M, 65 * M), &[Renewal, Timer]),
            ("the timer alone is left", seen(2 * H, 2 * H, H, 65 * M), &[Timer]),
            ("the cookie alone is left", seen(2 * H, H, 90 * M, 125 * M), &[Cookie]),
            ("a cookie that outlives its token", seen(2 * H, 7 * D, H, 125 * M), &[Cookie]),
            ("a cookie of a few seconds less", seen(2 * H, 2 * H - 45, H, 0), &[]),
            ("two clocks, and nobody knows which is meant", seen(2 * H, H, 90 * M, 0), &[Token, Cookie]),
            ("nothing renews", seen(2 * H, 2 * H, 0, 0), &[Renewal]),
            ("each answer renews", seen(2 * H, 2 * H, 2 * H, 0), &[]),
            ("a page that believes too long", seen(2 * H, 2 * H, H, 8 * H), &[Timer]),
            ("a token alone", seen(7 * D, 0, 3 * D, 0), &[]),
            ("the policy says something else", published(seen(7 * D, 7 * D, H, 0), 2 * H, H, 125 * M), &[Token, Renewal]),
            ("the threshold that is published is another", published(seen(2 * H, 2 * H, 5 * M, 0), 2 * H, H, 125 * M), &[Renewal]),
            ("heartbeats miss the window", published(seen(2 * H, 2 * H, 10 * M, 0), 2 * H, 10 * M, 125 * M), &[Renewal]),
            ("browsers are told to give up early", published(seen(2 * H, 2 * H, H, 0), 2 * H, H, 65 * M), &[Timer]),
        ];
        for (what, seen, expected) in table {
            assert_eq!(disagreeing(&seen), expected, "{what}");
            assert_eq!(is_healthy(&findings(&seen)), expected.is_empty(), "{what}");
        }
    }

    #[test]
    fn c_a_number_that_a_page_falls_back_on_counts_where_nobody_answers_alone() {
        let mut asking = seen(2 * H, 2 * H, H, 65 * M);
        asking.asks_policy = true;
        assert_eq!(disagreeing(&asking), [Part::Timer]);
        assert_eq!(disagreeing(&published(asking, 2 * H, H, 125 * M)), []);
    }

    #[test]
    fn c_a_renewal_has_to_follow_its_token_too() {
        let mut renewed = seen(2 * H, 2 * H, H, 125 * M);
        renewed.renewed_cookie = Some(s(H));
        assert_eq!(disagreeing(&renewed), [Part::Cookie]);
    }

    #[test]
    fn c_a_guess_is_no_witness_against_the_token() {
        let mut guessed = seen(7 * D, 0, 3 * D, 65 * M);
        guessed.timers[0].name = None;
        assert_eq!(disagreeing(&guessed), [Part::Timer]);
    }

    #[test]
    fn c_what_was_not_seen_is_not_judged() {
        let looked = |kept: u64| {
            let mut seen = seen(7 * D, H, 0, 0);
            seen.renewal = Renewal { kept_at: Some(s(kept)), ..Renewal::default() };
            (slides(&seen), disagreeing(&seen).contains(&Part::Renewal))
        };
        assert_eq!(looked(7 * D), (None, false), "a fresh token need not be renewed");
        assert_eq!(looked(7 * D - 2 * H), (Some(false), true), "the cookie would be gone by now");
    }

    #[test]
    fn c_what_ends_the_session_is_told_in_its_order() {
        let order = |seen: &Seen| ends(seen).iter().map(|end| (end.part, end.after_ms / 1000)).collect::<Vec<_>>();
        assert_eq!(order(&seen(7 * D, H, 5 * M, 65 * M)), [(Part::Cookie, H), (Part::Timer, 65 * M), (Part::Token, 7 * D)]);
        assert_eq!(order(&seen(2 * H, 2 * H - 1, H, 0)), [(Part::Token, 2 * H), (Part::Cookie, 2 * H - 1)]);
    }

    #[test]
    fn c_the_settings_meet_a_page_that_asks_nobody() {
        let value = |seen: &Seen, name: &str| settings(seen).into_iter().find(|setting| setting.name == name).map(|setting| setting.value);
        let story = seen(7 * D, H, 5 * M, 65 * M);
        let five = ["JWT_EXPIRES_IN", "SESSION_REFRESH_THRESHOLD", "SESSION_TIMEOUT_BUFFER"].map(|name| value(&story, name).unwrap());
        assert_eq!(five, ["1h", "30m", "5m"]);
        let mut asking = story;
        asking.asks_policy = true;
        assert_eq!(value(&asking, "JWT_EXPIRES_IN").as_deref(), Some("2h"));
        asking.algorithm = Some("ES256".to_owned());
        assert_eq!(value(&asking, "JWT_ALGORITHM").as_deref(), Some("ES256"));
    }

    #[test]
    fn c_spans_are_told_as_people_say_them() {
        let table = [
            (7 * D, "7d"),
            (65 * M, "65m"),
            (125 * M, "125m"),
            (7 * D - 5 * M, "6d 23h 55m"),
            (7199, "2h"),
            (90, "90s"),
            (3_605, "1h 5s"),
            (12_345, "3h 25m 45s"),
            (59, "59s"),
        ];
        for (seconds, words) in table {
            assert_eq!(short(s(seconds)), words);
        }
    }
}
