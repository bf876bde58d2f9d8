//! What people read, at 80 columns, and what programs read (`docs/doctor.md` describes it).

use super::seen::{CookieClock, Policy, Seen, Threshold, Tried};
use super::verdict::{
    End, Finding, Grade, Part, Setting, close, ends, findings, is_healthy, is_ignored, server_end, settings, short, slides,
};
use crate::cli::timeline::Axis;
use crate::session::time::Span;
use serde_json::{Value, json};
use std::fmt::Write as _;

const COLUMNS: usize = 79;
const AXIS: usize = 50;

/// Everything there is to say.
pub struct Report<'a> {
    seen: &'a Seen,
    findings: Vec<Finding>,
    ends: Vec<End>,
    settings: Vec<Setting>,
}

impl<'a> Report<'a> {
    pub fn of(seen: &'a Seen) -> Self {
        Self { seen, findings: findings(seen), ends: ends(seen), settings: settings(seen) }
    }

    pub fn is_healthy(&self) -> bool {
        is_healthy(&self.findings)
    }

    fn disagrees(&self, part: Part) -> bool {
        self.findings.iter().any(|finding| finding.grade == Grade::Clock && finding.part == part)
    }

    /// Every line ended. Writing to a String cannot fail.
    pub fn text(&self) -> String {
        let seen = self.seen;
        let mut out = String::new();
        let algorithm = seen.algorithm.as_deref().unwrap_or("-");
        let _ = writeln!(out, "{}", seen.url);
        let front = if seen.has_slidecar { ", slidecar in front" } else { "" };
        let _ = writeln!(out, "cookie {}, {algorithm}, session {}{front}\n", seen.cookie_name, seen.family);
        out.push_str(&self.table());
        out.push('\n');
        out.push_str(&self.timeline());
        out.push('\n');
        wrap(&mut out, "", &self.story());
        for (number, finding) in self.findings.iter().filter(|finding| finding.grade != Grade::Note).enumerate() {
            let label = match finding.grade {
                Grade::Danger => "danger",
                _ => part_name(finding.part),
            };
            out.push('\n');
            wrap(&mut out, "   ", &format!("{}. {label}: {}", number + 1, finding.what));
            wrap(&mut out, "      ", &format!("   -> {}", finding.remedy));
        }
        let notes: Vec<_> = self.findings.iter().filter(|finding| finding.grade == Grade::Note).collect();
        if !notes.is_empty() {
            out.push_str("\nNotes\n");
            for note in notes {
                wrap(&mut out, "    ", &format!("  - {}", note.what));
            }
        }
        out.push('\n');
        out.push_str(&self.advice());
        out
    }

    fn table(&self) -> String {
        let seen = self.seen;
        let mut out = String::new();
        // With nothing to compare it with, a token agrees with nobody.
        let is_alone = self.ends.len() == 1 && seen.policy.is_none();
        let mut row = |part: Part, value: String, how: String, is_known: bool| {
            let verdict = match (self.disagrees(part), is_known) {
                (false, true) if is_alone => "alone",
                (true, _) => "DISAGREES",
                (false, true) if part == Part::Policy => "published",
                (false, true) => "agrees",
                (false, false) => "not seen",
            };
            let how = cut(&how, 35);
            let _ = writeln!(out, "  {:<14} {value:>15}  {how:<35} {verdict}", part_name(part));
        };
        row(Part::Token, short(seen.token.span), seen.token.how.clone(), true);
        match &seen.cookie {
            CookieClock::Lives(clock) => row(Part::Cookie, short(clock.span), clock.how.clone(), true),
            CookieClock::Browser(how) => row(Part::Cookie, "-".to_owned(), how.clone(), true),
            CookieClock::Unseen => row(Part::Cookie, "?".to_owned(), "no answer set it".to_owned(), false),
        }
        let (value, is_known) = match seen.threshold() {
            Threshold::Is(threshold) => (format!("last {}", short(threshold)), true),
            Threshold::Always => ("each answer".to_owned(), true),
            Threshold::Never => ("never".to_owned(), true),
            Threshold::Between(None, None) => ("?".to_owned(), false),
            Threshold::Between(Some(from), None) => (format!(">= {}", short(from)), false),
            Threshold::Between(None, Some(to)) => (format!("< {}", short(to)), false),
            Threshold::Between(Some(from), Some(to)) => (format!("{} - {}", short(from), short(to)), true),
        };
        let requests = seen.renewal.requests;
        let how = match seen.renewal.tried {
            Tried::Looked => match seen.policy.as_ref().and_then(Policy::threshold) {
                Some(threshold) => format!("one look; published: last {}", short(threshold)),
                None => "one look".to_owned(),
            },
            Tried::Watched => format!("watched, {requests} requests"),
            Tried::Probed => format!("tried with {requests} tokens"),
            Tried::Refused => "re-signed tokens are refused".to_owned(),
        };
        row(Part::Renewal, value, how, is_known);
        let published = seen.policy.as_ref().and_then(|policy| Some((policy.timeout()?, &policy.path)));
        match (seen.own_timer(), published) {
            (Some(timer), _) => {
                let name = timer.name.as_deref().unwrap_or("a number");
                row(Part::Timer, short(timer.span), format!("{name} in {}", timer.file), true);
            }
            (None, Some((timeout, _))) => row(Part::Timer, short(timeout), "as the policy says".to_owned(), true),
            (None, None) => row(Part::Timer, "?".to_owned(), "none found in the page".to_owned(), false),
        }
        match &seen.policy {
            Some(policy) => row(Part::Policy, short(policy.ttl()), format!("GET {}", policy.path), true),
            None => {
                let _ = writeln!(out, "  {:<14} {:>15}  none is published", part_name(Part::Policy), "-");
            }
        }
        out
    }

    fn timeline(&self) -> String {
        let seen = self.seen;
        let axis = Axis { end: self.axis_end(), width: AXIS };
        let mut out = String::new();
        let mut row = |part: Part, bar: String, words: &str| {
            let first = self.ends.first().is_some_and(|end| end.part == part) && slides(seen) == Some(false);
            let words = if first { format!("{words}  ends first") } else { words.to_owned() };
            let line = format!("  {:<7} {bar} {words}", bar_name(part));
            let _ = writeln!(out, "{}", line.trim_end());
        };
        let zero = Span::ZERO;
        row(Part::Token, axis.bar(zero, seen.token.span, '='), &short(seen.token.span));
        if let CookieClock::Lives(cookie) = &seen.cookie {
            // The second that passes between the two is no column.
            let until = if close(cookie.span, seen.token.span) { seen.token.span } else { cookie.span };
            row(Part::Cookie, axis.bar(zero, until, '='), &short(cookie.span));
        }
        let opens = match seen.threshold() {
            Threshold::Is(threshold) => Some(seen.token.span.minus(threshold)),
            Threshold::Always => Some(zero),
            _ => None,
        };
        if let Some(opens) = opens {
            row(Part::Renewal, axis.bar(opens, seen.token.span, '#'), &format!("from {}", short(opens)));
        }
        if let Some(timer) = seen.timer() {
            row(Part::Timer, axis.bar(zero, timer, '-'), &short(timer));
        }
        let marks: Vec<_> = self.ends.iter().map(|end| Span::from_millis(end.after_ms)).filter(|mark| *mark <= axis.end).collect();
        let _ = writeln!(out, "          {}", axis.scale(&marks));
        out
    }

    /// A week would make an hour invisible: the axis ends where the next clock is several times as far away.
    fn axis_end(&self) -> Span {
        let mut end = Span::from_millis(self.ends.first().map_or(1, |end| end.after_ms));
        for next in &self.ends {
            if next.after_ms <= end.as_millis().saturating_mul(4) {
                end = Span::from_millis(next.after_ms.max(end.as_millis()));
            }
        }
        let is_torn = self.ends.iter().any(|next| next.after_ms > end.as_millis());
        if is_torn { end.plus(end.divided_by(5)) } else { end }
    }

    /// Who ends the session when.
    fn story(&self) -> String {
        let seen = self.seen;
        let (part, end) = server_end(seen);
        let by = |end: &End| format!("the {} after {}", part_name(end.part), short(Span::from_millis(end.after_ms)));
        let rest: Vec<_> = self.ends.iter().filter(|other| other.part != part && other.after_ms > end.as_millis()).map(by).collect();
        let next = match &rest[..] {
            [] => String::new(),
            _ if self.is_healthy() => String::new(),
            rest => format!(" Mend that alone and the next one ends it: {}.", rest.join(", ")),
        };
        let idle = seen
            .timer()
            .filter(|timer| *timer < end)
            .map_or_else(String::new, |timer| format!(" Whoever is away is out after {}, by the browser timer.", short(timer)));
        match (slides(seen), seen.threshold()) {
            (Some(true), Threshold::Is(threshold)) => format!(
                "Whoever is at work stays in. Whoever is away for less than {} is still in, and after {} is out.{idle}",
                short(end.minus(seen.token.span.minus(threshold))),
                short(end)
            ),
            (Some(true), _) => format!("Whoever is at work stays in; whoever is away is out after {}.{idle}", short(end)),
            (Some(false), _) => {
                format!("Whoever is at work is out after {} all the same, by the {}.{next}{idle}", short(end), part_name(part))
            }
            (None, _) => {
                format!("Unless something renews it, the session ends after {}, by the {}.{next}{idle}", short(end), part_name(part))
            }
        }
    }

    /// What to do next.
    fn advice(&self) -> String {
        let mut out = String::new();
        let count = self.findings.iter().filter(|finding| finding.grade == Grade::Clock).count();
        if self.is_healthy() {
            let unseen = slides(self.seen).is_none() || self.seen.cookie == CookieClock::Unseen;
            let words = if unseen { "Nothing that was seen disagrees; see the notes for what was not." } else { "All clocks agree." };
            let _ = writeln!(out, "{words}");
            return out;
        }
        let words = match count {
            0 => "The clocks agree, but see the danger above.".to_owned(),
            1 => "1 clock disagrees.".to_owned(),
            count => format!("{count} clocks disagree."),
        };
        let how = if is_ignored(self.seen) {
            "slidecar is there, but what it publishes does not happen:"
        } else if self.seen.has_slidecar {
            "These settings of slidecar make them one:"
        } else {
            "With slidecar in front and these settings, the token's exp is the only one:"
        };
        wrap(&mut out, "", &format!("{words} {how}"));
        out.push('\n');
        for setting in &self.settings {
            let line = format!("    {:<34} # {}", format!("{}={}", setting.name, setting.value), setting.why);
            let _ = writeln!(out, "{line}");
        }
        let secret = if self.seen.algorithm.as_deref().is_some_and(|name| name.starts_with("HS")) {
            "JWT_SECRET_FILE"
        } else {
            "JWT_PRIVATE_KEY_FILE"
        };
        if !is_ignored(self.seen) {
            let _ = writeln!(out, "    {:<34} # the application's signing key", format!("{secret}=/run/secrets/jwt"));
        }
        out.push('\n');
        let observe = if self.seen.has_slidecar { "" } else { " (SLIDECAR_MODE=observe changes nothing yet and logs what it would do.)" };
        wrap(&mut out, "", &format!("Then run slidecar doctor again, against slidecar's address.{observe}"));
        out
    }

    /// The shape is a promise: names stay, new ones may come.
    pub fn json(&self) -> Value {
        let seen = self.seen;
        let millis = Span::as_millis;
        let cookie = match &seen.cookie {
            CookieClock::Lives(clock) => json!({ "kind": "lifetime", "ms": millis(clock.span), "source": clock.how }),
            CookieClock::Browser(how) => json!({ "kind": "browser", "ms": null, "source": how }),
            CookieClock::Unseen => json!({ "kind": "unseen", "ms": null, "source": null }),
        };
        let (kind, ms) = match seen.threshold() {
            Threshold::Is(threshold) => ("below", Some(millis(threshold))),
            Threshold::Always => ("always", None),
            Threshold::Never => ("never", None),
            Threshold::Between(..) => ("unknown", None),
        };
        let renewal = json!({
            "kind": kind,
            "ms": ms,
            "renewedAtMs": seen.renewal.renewed_at.map(millis),
            "notRenewedAtMs": seen.renewal.kept_at.map(millis),
            "source": match seen.renewal.tried {
                Tried::Looked => "look",
                Tried::Watched => "watch",
                Tried::Probed => "probes",
                Tried::Refused => "refused",
            },
            "requests": seen.renewal.requests,
        });
        let timer = match (seen.own_timer(), seen.timer()) {
            (Some(timer), _) => json!({
                "kind": "script",
                "ms": millis(timer.span),
                "name": timer.name,
                "source": timer.file,
                "certainty": if timer.name.is_some() { "likely" } else { "guess" },
            }),
            (None, Some(timeout)) => {
                json!({ "kind": "policy", "ms": millis(timeout), "name": null, "source": seen.policy.as_ref().map(|policy| &policy.path), "certainty": "published" })
            }
            (None, None) => json!({ "kind": "unseen", "ms": null, "name": null, "source": null, "certainty": null }),
        };
        let policy = seen.policy.as_ref().map(|policy| {
            json!({
                "path": policy.path,
                "accessTokenTtlMs": policy.access_token_ttl_ms,
                "heartbeatIntervalMs": policy.heartbeat_interval_ms,
                "sessionTimeoutMs": policy.session_timeout_ms,
                "refreshThresholdMs": policy.refresh_threshold_ms,
            })
        });
        json!({
            "version": 1,
            "url": seen.url,
            "verdict": if self.is_healthy() { "agree" } else { "disagree" },
            "slidecar": seen.has_slidecar,
            "cookie": { "name": seen.cookie_name, "attributes": seen.attributes },
            "token": { "algorithm": seen.algorithm, "family": seen.family },
            "clocks": {
                "token": { "ms": millis(seen.token.span), "source": seen.token.how },
                "cookie": cookie,
                "renewal": renewal,
                "timer": timer,
            },
            "policy": policy,
            "slides": slides(seen),
            "ends": self.ends,
            "findings": self.findings,
            "settings": self.settings,
        })
    }
}

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Token => "token",
        Part::Cookie => "cookie",
        Part::Renewal => "renewal",
        Part::Timer => "browser timer",
        Part::Policy => "policy",
        Part::Other => "other",
    }
}

const fn bar_name(part: Part) -> &'static str {
    match part {
        Part::Timer => "timer",
        part => part_name(part),
    }
}

/// The end of a path says more than its beginning.
fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let half = width.saturating_sub(1) / 2;
    let (head, tail): (String, String) = (text.chars().take(half).collect(), text.chars().skip(length - half).collect());
    format!("{head}~{tail}")
}

/// Breaks between words; further lines begin with the indent.
fn wrap(out: &mut String, indent: &str, text: &str) {
    let mut line = String::new();
    let lead: String = text.chars().take_while(|letter| *letter == ' ').collect();
    line.push_str(&lead);
    for word in text.split_whitespace() {
        let is_empty = line.trim().is_empty();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(out, "{line}");
            line = indent.to_owned();
        } else if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
