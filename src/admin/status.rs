//! `GET /status`: what runs here, as JSON. The page for people shows the same. No secret is in it, and nobody's name.

use super::Admin;
use crate::drain::Stage;
use crate::live::Stated;
use crate::memory::Kind;
use crate::proxy::Mode;
use crate::session::Ended as _;
use crate::session::policy::{Class, SessionPolicy};
use crate::session::time::{Span, UnixSeconds};
use crate::telemetry::{Recent, recent};
use serde::Serialize;

/// Everything that there is to tell. Times are milliseconds, moments are epoch milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    version: &'static str,
    mode: &'static str,
    /// `serving`, or `stopping`.
    stage: &'static str,
    ready: bool,
    now: i64,
    uptime_ms: u64,
    upstream: &'a str,
    generation: u64,
    /// Why changed files are not taken up.
    complaint: Option<String>,
    policy: Policy<'a>,
    previous_key_until: Option<i64>,
    renewals_paused: bool,
    store: Option<Store>,
    connections: i64,
    streams: usize,
    ended: Ends,
    decisions: Vec<Decision>,
    renewals: Vec<Route>,
    events: Vec<Recent>,
    settings: &'a [Stated],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy<'a> {
    version: &'a str,
    standard: Clocks,
    demo: Clocks,
    absolute_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clocks {
    ttl_ms: u64,
    refresh_threshold_ms: u64,
    heartbeat_interval_ms: u64,
    session_timeout_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    connected: bool,
    blind: bool,
    silence_ms: Option<u64>,
    says: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ends {
    logged_out: usize,
    families: usize,
    subjects: usize,
}

#[derive(Serialize)]
struct Decision {
    decision: &'static str,
    reason: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Route {
    route: String,
    count: u64,
}

/// The JSON.
pub(super) fn describe(admin: &Admin) -> String {
    let process = &*admin.process;
    let (generation, now) = (process.live.current(), process.clock.now());
    let policy = &generation.rules.policy;
    let mut decisions: Vec<_> = process
        .metrics
        .decisions()
        .map(|(outcome, count)| Decision { decision: outcome.decision(), reason: outcome.reason(), count })
        .collect();
    decisions.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (a.decision, a.reason).cmp(&(b.decision, b.reason))));
    let count = |kind| process.memory.count(kind, now);
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        mode: match process.settings.mode {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        },
        stage: if admin.drain.stage() == Stage::Serving { "serving" } else { "stopping" },
        ready: admin.readiness().0,
        now: now.get(),
        uptime_ms: admin.begun.elapsed().as_millis(),
        upstream: &admin.upstream_shown,
        generation: generation.number,
        complaint: process.live.complaint(),
        policy: Policy {
            version: policy.version(),
            standard: Clocks::of(policy, Class::Standard),
            demo: Clocks::of(policy, Class::Demo),
            absolute_ms: policy.absolute().map(Span::as_millis),
        },
        previous_key_until: generation.rules.keys.previous_until().map(UnixSeconds::millis).map(|until| until.get()),
        renewals_paused: process.memory.is_paused(now),
        store: admin.link.as_ref().map(|link| Store {
            connected: link.is_connected(),
            blind: link.is_blind(),
            silence_ms: link.silence().map(Span::as_millis),
            says: link.describe(),
        }),
        connections: process.metrics.connections(),
        streams: process.streams.count(),
        ended: Ends { logged_out: count(Kind::Ended), families: count(Kind::Revoked), subjects: count(Kind::Subject) },
        decisions,
        renewals: process.metrics.renewals().into_iter().map(|(route, count)| Route { route, count }).collect(),
        events: recent(),
        settings: &generation.settings,
    };
    serde_json::to_string(&status).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

impl Clocks {
    fn of(policy: &SessionPolicy, class: Class) -> Self {
        let public = policy.public(class);
        Self {
            ttl_ms: public.access_token_ttl_ms,
            refresh_threshold_ms: public.refresh_threshold_ms,
            heartbeat_interval_ms: public.heartbeat_interval_ms,
            session_timeout_ms: public.session_timeout_ms,
        }
    }
}
