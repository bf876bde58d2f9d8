//! Clocks, drawn on one axis for a terminal: those of a policy here, those that were seen in `doctor`.

use crate::session::policy::{Class, SessionPolicy};
use crate::session::time::Span;
use std::fmt::Write as _;

/// Columns of the axis of a policy.
const WIDTH: usize = 60;

/// The picture of one class, every line ended.
#[must_use]
pub fn draw(policy: &SessionPolicy, class: Class) -> String {
    let clocks = policy.clocks(class);
    let timeout = clocks.ttl.plus(policy.buffer());
    let axis = Axis { end: timeout, width: WIDTH };
    let opens = clocks.ttl.minus(clocks.threshold);
    let mut out = String::new();
    let mut row = |label: &str, bar: String, words: String| {
        let line = format!("  {label:<16} {bar}  {words}");
        let _ = writeln!(out, "{}", line.trim_end()); // Writing to a String cannot fail.
    };

    row("token", axis.bar(Span::ZERO, clocks.ttl, '='), format!("exp after {}", clocks.ttl));
    row("cookie", axis.bar(Span::ZERO, clocks.ttl, '='), "Max-Age from exp".to_owned());
    row("renewal window", axis.bar(opens, clocks.ttl, '#'), format!("from {opens} on, a request of a person renews"));
    row("idle: promised", axis.bar(Span::ZERO, clocks.threshold, '-'), format!("away for {} and still in", clocks.threshold));
    row("idle: at most", axis.bar(clocks.threshold, clocks.ttl, '.'), format!("out after {} without a request", clocks.ttl));
    row("heartbeat", axis.ticks(clocks.heartbeat), format!("every {} while a person is at work", clocks.heartbeat));
    row("browser timer", axis.bar(Span::ZERO, timeout, '-'), format!("gives up after {timeout} without an answer"));
    row("", axis.scale(&[opens, clocks.ttl]), String::new());
    let cap = match policy.absolute() {
        Some(absolute) => format!("{absolute} after the login, however active"),
        None => "off: an active session never ends".to_owned(),
    };
    let _ = writeln!(out, "  {:<16} {cap}", "absolute cap");
    out
}

pub(super) struct Axis {
    /// What the last column stands for.
    pub end: Span,
    /// In columns.
    pub width: usize,
}

impl Axis {
    fn column(&self, at: Span) -> usize {
        let column = Span::from_millis(self.width as u64).scaled(at, self.end);
        usize::try_from(column.as_millis()).unwrap_or(self.width).min(self.width)
    }

    /// What goes beyond the end is torn off there: `>`.
    pub(super) fn bar(&self, from: Span, to: Span, fill: char) -> String {
        let is_torn = to > self.end;
        let from = self.column(from).min(self.width.saturating_sub(usize::from(is_torn)));
        let to = self.column(to).max((from + 1).min(self.width));
        let mut bar: String = std::iter::repeat_n(' ', from).chain(std::iter::repeat_n(fill, to - from)).collect();
        bar.push_str(&" ".repeat(self.width - to));
        if is_torn {
            bar.pop();
            bar.push('>');
        }
        format!("|{bar}|")
    }

    /// A mark for each heartbeat; where they are too many to tell apart, a line.
    fn ticks(&self, every: Span) -> String {
        let mut bar = vec![' '; self.width];
        let count = self.end.as_millis() / every.as_millis().max(1);
        for n in 1..=count.min(10 * self.width as u64) {
            let column = self.column(Span::from_millis(every.as_millis().saturating_mul(n)));
            if let Some(cell) = bar.get_mut(column.saturating_sub(1)) {
                *cell = '\'';
            }
        }
        format!("|{}|", bar.into_iter().collect::<String>())
    }

    pub(super) fn scale(&self, marks: &[Span]) -> String {
        let mut line = vec![' '; self.width + 2];
        line[0] = '0';
        for mark in marks {
            let text = mark.to_string();
            let end = (self.column(*mark) + 1).min(self.width + 2);
            let start = end.saturating_sub(text.len());
            let is_free = line[start.saturating_sub(1)..end].iter().all(|cell| *cell == ' ');
            if start > 1 && is_free {
                line.splice(start..end, text.chars());
            }
        }
        line.into_iter().collect::<String>().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::policy::PolicySettings;

    fn policy(ttl: u64, threshold: u64, heartbeat: u64) -> SessionPolicy {
        let s = Span::from_secs;
        let settings = PolicySettings {
            ttl: s(ttl),
            demo_ttl: None,
            threshold: Some(s(threshold)),
            heartbeat: Some(s(heartbeat)),
            buffer: s(300),
            absolute: None,
        };
        SessionPolicy::new(settings).unwrap()
    }

    #[test]
    fn the_timeline_of_the_origin() {
        let expected = [
            "  token            |=========================================================   |  exp after 2h",
            "  cookie           |=========================================================   |  Max-Age from exp",
            "  renewal window   |                            #############################   |  from 1h on, a request of a person renews",
            "  idle: promised   |----------------------------                                |  away for 1h and still in",
            "  idle: at most    |                            .............................   |  out after 2h without a request",
            "  heartbeat        |   '    '    '    '    '   '    '    '    '    '   '    '   |  every 10m while a person is at work",
            "  browser timer    |------------------------------------------------------------|  gives up after 125m without an answer",
            "                   0                          1h                           2h",
            "  absolute cap     off: an active session never ends",
            "",
        ]
        .join("\n");
        assert_eq!(draw(&policy(7200, 3600, 600), Class::Standard), expected);
    }

    #[test]
    fn any_policy_can_be_drawn() {
        for (ttl, threshold, heartbeat) in [(2, 1, 0), (7200, 1, 0), (7200, 7199, 1), (20 * 86_400, 60, 1), (40, 20, 3)] {
            let heartbeat = Span::from_millis(heartbeat * 1000 + 1);
            let settings = PolicySettings {
                ttl: Span::from_secs(ttl),
                demo_ttl: None,
                threshold: Some(Span::from_secs(threshold)),
                heartbeat: Some(heartbeat.min(Span::from_millis(999))),
                buffer: Span::from_secs(300),
                absolute: Some(Span::from_secs(ttl)),
            };
            let drawn = draw(&SessionPolicy::new(settings).unwrap(), Class::Standard);
            assert!(drawn.lines().filter(|line| line.contains('|')).all(|line| line.find("|  ").is_some()), "{drawn}");
        }
    }
}
