//! The one policy from which every clock is derived. A `SessionPolicy` that exists is one that holds (rule S2).

use super::time::Span;
use serde::Serialize;

/// Browsers keep timers in a signed 32-bit number of milliseconds; a longer one fires at once.
const LONGEST_BROWSER_TIMER: Span = Span::from_millis(i32::MAX as u64);
const SHORTEST_TTL: Span = Span::from_secs(2);
const DEFAULT_HEARTBEAT: Span = Span::from_secs(600);
/// WCAG 2.2.1 asks for 20 s of warning; the warning takes a quarter of the TTL at most.
const SHORTEST_TTL_TO_WARN_IN: Span = Span::from_secs(80);

/// What an operator sets; `None` stands for a default that follows from the others.
#[derive(Clone, Copy, Debug)]
pub struct PolicySettings {
    /// `JWT_EXPIRES_IN`
    pub ttl: Span,
    /// `JWT_DEMO_EXPIRES_IN`; default: the TTL.
    pub demo_ttl: Option<Span>,
    /// `SESSION_REFRESH_THRESHOLD`; default: half of the TTL.
    pub threshold: Option<Span>,
    /// `SESSION_HEARTBEAT_INTERVAL`; default: 10 min, or half of the threshold if that is smaller.
    pub heartbeat: Option<Span>,
    /// `SESSION_TIMEOUT_BUFFER`
    pub buffer: Span,
    /// `SESSION_ABSOLUTE_TIMEOUT`
    pub absolute: Option<Span>,
}

/// Which TTL a token gets. Renewal never changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Standard,
    Demo,
}

/// The clocks of one class, in the words of the specification: TTL, R and H.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    pub ttl: Span,
    /// R: renew when less than this remains. The honest promise to an idle person is R, not the TTL.
    pub threshold: Span,
    pub heartbeat: Span,
}

/// All clocks, checked against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    standard: Clocks,
    demo: Clocks,
    buffer: Span,
    absolute: Option<Span>,
    version: String,
}

/// What the browser is told: exactly these four numbers, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicPolicy {
    pub access_token_ttl_ms: u64,
    pub heartbeat_interval_ms: u64,
    pub session_timeout_ms: u64,
    pub refresh_threshold_ms: u64,
}

/// A contradiction between settings: the setting to change, its value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProblem {
    pub setting: &'static str,
    pub value: Span,
    pub remedy: String,
}

impl SessionPolicy {
    /// Derives the defaults and checks every rule; answers all contradictions at once.
    pub fn new(settings: PolicySettings) -> Result<Self, Vec<PolicyProblem>> {
        let ttl = settings.ttl;
        let threshold = settings.threshold.unwrap_or(ttl.divided_by(2));
        let heartbeat = settings.heartbeat.unwrap_or(DEFAULT_HEARTBEAT.min(threshold.divided_by(2)));
        let standard = Clocks { ttl, threshold, heartbeat };
        let demo_ttl = settings.demo_ttl.unwrap_or(ttl);
        let demo_threshold = if demo_ttl == ttl { threshold } else { threshold.scaled(demo_ttl, ttl) };
        let demo = Clocks { ttl: demo_ttl, threshold: demo_threshold, heartbeat: heartbeat.min(demo_threshold.divided_by(2)) };
        // A demo class without clocks of its own is the standard class to the last number.
        let demo = if demo_ttl == ttl { standard } else { demo };

        let problems = contradictions(&standard, &demo, settings.buffer, settings.absolute);
        if !problems.is_empty() {
            return Err(problems);
        }
        let version = version_of(&standard, &demo, settings.buffer, settings.absolute);
        Ok(Self { standard, demo, buffer: settings.buffer, absolute: settings.absolute, version })
    }

    #[must_use]
    pub const fn clocks(&self, class: Class) -> &Clocks {
        match class {
            Class::Standard => &self.standard,
            Class::Demo => &self.demo,
        }
    }

    /// Grace of the browser timer beyond the TTL.
    #[must_use]
    pub const fn buffer(&self) -> Span {
        self.buffer
    }

    /// A: no session outlives this, however active.
    #[must_use]
    pub const fn absolute(&self) -> Option<Span> {
        self.absolute
    }

    /// A short hash of all clocks: replicas that differ are seen at once.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    #[must_use]
    pub fn public(&self, class: Class) -> PublicPolicy {
        let clocks = self.clocks(class);
        PublicPolicy {
            access_token_ttl_ms: clocks.ttl.as_millis(),
            heartbeat_interval_ms: clocks.heartbeat.as_millis(),
            session_timeout_ms: clocks.ttl.plus(self.buffer).as_millis(),
            refresh_threshold_ms: clocks.threshold.as_millis(),
        }
    }

    /// The longest life of any token: how long a tombstone has to be remembered.
    #[must_use]
    pub fn longest_ttl(&self) -> Span {
        self.standard.ttl.max(self.demo.ttl)
    }

    /// What holds, but deserves a second look.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let half = self.standard.threshold.divided_by(2);
        if self.standard.heartbeat > half {
            warnings.push(format!(
                "SESSION_HEARTBEAT_INTERVAL={} is more than half of SESSION_REFRESH_THRESHOLD={}: one lost heartbeat can end the session; {half} or less is safe",
                self.standard.heartbeat, self.standard.threshold
            ));
        }
        if self.absolute.is_none() {
            warnings
                .push("SESSION_ABSOLUTE_TIMEOUT is not set: an active session never ends; OWASP advises a limit, such as 12h".to_owned());
        }
        if self.standard.ttl.min(self.demo.ttl) < SHORTEST_TTL_TO_WARN_IN {
            warnings.push(format!(
                "a session of {} is too short to warn a person 20 s before it ends (WCAG 2.2.1); 80s or more leaves room",
                self.standard.ttl.min(self.demo.ttl)
            ));
        }
        warnings
    }
}

fn contradictions(standard: &Clocks, demo: &Clocks, buffer: Span, absolute: Option<Span>) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    let mut problem = |setting, value, remedy: String| problems.push(PolicyProblem { setting, value, remedy });
    let classes = [("JWT_EXPIRES_IN", standard), ("JWT_DEMO_EXPIRES_IN", demo)];
    let classes = if standard == demo { &classes[..1] } else { &classes[..] };

    for (ttl_name, clocks) in classes {
        let ttl = clocks.ttl;
        if ttl < SHORTEST_TTL {
            problem(ttl_name, ttl, format!("a token has to live for {SHORTEST_TTL} at least"));
            continue; // Whatever follows would only repeat this.
        }
        if clocks.threshold == Span::ZERO {
            problem("SESSION_REFRESH_THRESHOLD", clocks.threshold, "must be above zero, or nothing is ever renewed".to_owned());
            continue;
        }
        if clocks.threshold >= ttl {
            problem(
                "SESSION_REFRESH_THRESHOLD",
                clocks.threshold,
                format!("must be shorter than {ttl_name}={ttl}; half of it ({}) is a good value", ttl.divided_by(2)),
            );
        }
        if clocks.heartbeat == Span::ZERO || clocks.heartbeat >= clocks.threshold {
            problem(
                "SESSION_HEARTBEAT_INTERVAL",
                clocks.heartbeat,
                format!("must be above zero and shorter than SESSION_REFRESH_THRESHOLD={} (with {ttl_name}={ttl})", clocks.threshold),
            );
        }
        if absolute.is_some_and(|absolute| absolute < ttl) {
            problem(
                "SESSION_ABSOLUTE_TIMEOUT",
                absolute.unwrap_or(Span::ZERO),
                format!("must be at least {ttl_name}={ttl}: no session may end before its own token"),
            );
        }
        if ttl.plus(buffer) > LONGEST_BROWSER_TIMER {
            problem(
                ttl_name,
                ttl,
                format!(
                    "together with SESSION_TIMEOUT_BUFFER={buffer} longer than a browser timer can run (about 24 days 20 h); shorten one"
                ),
            );
        }
    }
    if buffer == Span::ZERO {
        problem("SESSION_TIMEOUT_BUFFER", buffer, "must be above zero".to_owned());
    }
    problems
}

/// 12 hex digits: enough to tell two policies of one fleet apart, short enough for a header.
fn version_of(standard: &Clocks, demo: &Clocks, buffer: Span, absolute: Option<Span>) -> String {
    let clocks = [
        standard.ttl,
        standard.threshold,
        standard.heartbeat,
        demo.ttl,
        demo.threshold,
        demo.heartbeat,
        buffer,
        absolute.unwrap_or(Span::ZERO),
    ];
    let mut hash = super::hash::Hasher::new("slidecar policy v1");
    for clock in clocks {
        hash.part(&clock.as_millis().to_be_bytes());
    }
    super::hash::hex(&hash.finish()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PolicySettings {
        PolicySettings {
            ttl: Span::from_secs(7200),
            demo_ttl: None,
            threshold: Some(Span::from_secs(3600)),
            heartbeat: Some(Span::from_secs(600)),
            buffer: Span::from_secs(300),
            absolute: None,
        }
    }

    fn names(settings: PolicySettings) -> Vec<&'static str> {
        SessionPolicy::new(settings).unwrap_err().into_iter().map(|p| p.setting).collect()
    }

    #[test]
    fn the_four_public_numbers_of_the_origin() {
        let public = SessionPolicy::new(settings()).unwrap().public(Class::Standard);
        assert_eq!(
            serde_json::to_string(&public).unwrap(),
            r#"{"accessTokenTtlMs":7200000,"heartbeatIntervalMs":600000,"sessionTimeoutMs":7500000,"refreshThresholdMs":3600000}"#
        );
    }

    #[test]
    fn s2_defaults_follow_from_the_ttl() {
        let bare = PolicySettings { threshold: None, heartbeat: None, ..settings() };
        let policy = SessionPolicy::new(bare).unwrap();
        assert_eq!(policy.clocks(Class::Standard).threshold, Span::from_secs(3600));
        assert_eq!(policy.clocks(Class::Standard).heartbeat, Span::from_secs(600));
        let short = PolicySettings { ttl: Span::from_secs(40), ..bare };
        assert_eq!(SessionPolicy::new(short).unwrap().clocks(Class::Standard).heartbeat, Span::from_secs(10));
    }

    #[test]
    fn s2_the_demo_class_has_scaled_clocks() {
        let policy = SessionPolicy::new(PolicySettings { demo_ttl: Some(Span::from_secs(1800)), ..settings() }).unwrap();
        let demo = policy.clocks(Class::Demo);
        assert_eq!((demo.ttl, demo.threshold, demo.heartbeat), (Span::from_secs(1800), Span::from_secs(900), Span::from_secs(450)));
        assert_eq!(policy.clocks(Class::Standard).ttl, Span::from_secs(7200));
    }

    #[test]
    fn s2_every_contradiction_is_named() {
        let base = settings();
        let s = Span::from_secs;
        let table = [
            (PolicySettings { threshold: Some(s(7200)), heartbeat: Some(s(600)), ..base }, vec!["SESSION_REFRESH_THRESHOLD"]),
            (PolicySettings { threshold: Some(Span::ZERO), ..base }, vec!["SESSION_REFRESH_THRESHOLD"]),
            (PolicySettings { heartbeat: Some(s(3600)), ..base }, vec!["SESSION_HEARTBEAT_INTERVAL"]),
            (PolicySettings { heartbeat: Some(Span::ZERO), ..base }, vec!["SESSION_HEARTBEAT_INTERVAL"]),
            (PolicySettings { ttl: s(1), ..base }, vec!["JWT_EXPIRES_IN"]),
            (PolicySettings { ttl: Span::ZERO, ..base }, vec!["JWT_EXPIRES_IN"]),
            (PolicySettings { absolute: Some(s(7199)), ..base }, vec!["SESSION_ABSOLUTE_TIMEOUT"]),
            (PolicySettings { ttl: s(25 * 86_400), ..base }, vec!["JWT_EXPIRES_IN"]),
            (PolicySettings { buffer: Span::ZERO, ..base }, vec!["SESSION_TIMEOUT_BUFFER"]),
            (PolicySettings { demo_ttl: Some(s(1)), ..base }, vec!["JWT_DEMO_EXPIRES_IN"]),
            (
                PolicySettings { threshold: Some(s(9000)), buffer: Span::ZERO, absolute: Some(s(60)), ..base },
                vec!["SESSION_REFRESH_THRESHOLD", "SESSION_ABSOLUTE_TIMEOUT", "SESSION_TIMEOUT_BUFFER"],
            ),
        ];
        for (settings, expected) in table {
            assert_eq!(names(settings), expected, "{settings:?}");
        }
        // The edges hold: one millisecond less than the TTL, the very last browser timer, a cap as long as the TTL.
        let edge = PolicySettings {
            threshold: Some(Span::from_millis(7_199_999)),
            buffer: LONGEST_BROWSER_TIMER.minus(s(7200)),
            absolute: Some(s(7200)),
            ..base
        };
        assert!(SessionPolicy::new(edge).is_ok());
        assert_eq!(names(PolicySettings { buffer: edge.buffer.plus(Span::from_millis(1)), ..edge }), ["JWT_EXPIRES_IN"]);
    }

    #[test]
    fn s8_the_version_follows_every_clock() {
        let base = SessionPolicy::new(settings()).unwrap();
        assert_eq!(base.version(), SessionPolicy::new(settings()).unwrap().version());
        assert_eq!(base.version().len(), 12);
        let other = SessionPolicy::new(PolicySettings { buffer: Span::from_secs(301), ..settings() }).unwrap();
        assert_ne!(base.version(), other.version());
    }
}
