//! Numbers for Prometheus. The words are those of `session::outcome`, so that a counter, a log line and the documents
//! mean the same.

use crate::session::outcome::Outcome;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Routes told apart; more than an operator would read, few enough for any store of metrics.
const MOST_ROUTES: usize = 50;

/// Every number that the process counts.
pub struct Metrics {
    registry: Registry,
    decisions: HashMap<Outcome, IntCounter>,
    renewals: IntCounterVec,
    routes: Mutex<HashSet<String>>,
    signatures: IntCounter,
    streams_outliving_session: IntGauge,
    generation: IntGauge,
    reloads: [IntCounter; 2],
    ended_sessions: IntGaugeVec,
    without_room: IntCounter,
    /// Without a value where there is no store.
    store_connected: IntGaugeVec,
    pages: IntCounterVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new().expect("names and labels that are right")
    }
}

impl Metrics {
    /// All numbers that are known by name, at zero, so that a rate over them has a beginning.
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let decisions = IntCounterVec::new(
            Opts::new("slidecar_session_decisions_total", "Requests by what was decided about their session, and why"),
            &["decision", "reason"],
        )?;
        let renewals = IntCounterVec::new(
            Opts::new("slidecar_renewals_total", "Renewals by the route whose answer carried them: what keeps sessions alive"),
            &["route"],
        )?;
        let signatures = IntCounter::new("slidecar_signatures_total", "Signatures made; a burst of one session's requests shares one")?;
        let streams_outliving_session =
            IntGauge::new("slidecar_streams_outliving_session", "WebSockets and event streams that are open though their session is over")?;
        let generation = IntGauge::new("slidecar_generation", "Which set of keys, clocks and certificate is in use; the first is 1")?;
        let reloads = IntCounterVec::new(Opts::new("slidecar_reloads_total", "Changed files that were taken up, or refused"), &["result"])?;
        registry.register(Box::new(generation.clone()))?;
        registry.register(Box::new(reloads.clone()))?;
        let reloads = [reloads.get_metric_with_label_values(&["failed"])?, reloads.get_metric_with_label_values(&["ok"])?];
        let ended_sessions = IntGaugeVec::new(
            Opts::new("slidecar_ended_sessions", "What is remembered as over: families logged out or revoked, and whole subjects"),
            &["by"],
        )?;
        let without_room = IntCounter::new("slidecar_ended_sessions_dropped_total", "Ends that found no room (SLIDECAR_MAX_REVOCATIONS)")?;
        let store_connected = IntGaugeVec::new(Opts::new("slidecar_store_connected", "Whether the shared store is there"), &["store"])?;
        let pages = IntCounterVec::new(
            Opts::new("slidecar_pages_total", "Pages that got the browser client, and those that were left alone, by the reason"),
            &["result"],
        )?;
        registry.register(Box::new(pages.clone()))?;
        registry.register(Box::new(ended_sessions.clone()))?;
        registry.register(Box::new(without_room.clone()))?;
        registry.register(Box::new(store_connected.clone()))?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(renewals.clone()))?;
        registry.register(Box::new(signatures.clone()))?;
        registry.register(Box::new(streams_outliving_session.clone()))?;
        let counter = |outcome: Outcome| Ok((outcome, decisions.get_metric_with_label_values(&[outcome.decision(), outcome.reason()])?));
        let decisions = Outcome::all().into_iter().map(counter).collect::<Result<_, prometheus::Error>>()?;
        Ok(Self {
            registry,
            decisions,
            renewals,
            routes: Mutex::default(),
            signatures,
            streams_outliving_session,
            generation,
            reloads,
            ended_sessions,
            without_room,
            store_connected,
            pages,
        })
    }

    pub fn decided(&self, outcome: Outcome) {
        if let Some(counter) = self.decisions.get(&outcome) {
            counter.inc();
        }
    }

    /// Counts a renewal for the route of this path.
    pub fn renewed(&self, path: &str) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut route = route_of(path);
        if !routes.contains(&route) {
            if routes.len() >= MOST_ROUTES {
                route = "other".to_owned();
            } else {
                routes.insert(route.clone());
            }
        }
        drop(routes);
        if let Ok(counter) = self.renewals.get_metric_with_label_values(&[route]) {
            counter.inc();
        }
    }

    /// So many signatures more were made.
    pub fn signed(&self, count: u64) {
        self.signatures.inc_by(count);
    }

    pub fn streams_outliving_session(&self, count: usize) {
        self.streams_outliving_session.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn generation(&self, number: u64) {
        self.generation.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Files had changed, and were taken up or not.
    pub fn reloaded(&self, well: bool) {
        self.reloads[usize::from(well)].inc();
    }

    /// So many are remembered as over, for this reason.
    pub fn ended_sessions(&self, by: &str, count: usize) {
        self.ended_sessions.with_label_values(&[by]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn without_room(&self, count: u64) {
        self.without_room.inc_by(count);
    }

    pub fn store_connected(&self, is_connected: bool) {
        self.store_connected.with_label_values(&["redis"]).set(i64::from(is_connected));
    }

    /// What became of a page.
    pub fn page(&self, result: &str) {
        self.pages.with_label_values(&[result]).inc();
    }

    /// The Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        // Names and labels were checked when they were registered.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// A path with what looks like an identifier taken out: `/users/17/edit` → `/users/:id/edit`, at most four segments.
fn route_of(path: &str) -> String {
    let segments = path.split('/').skip(1).take(4).map(|segment| {
        let is_id = segment.len() > 24 || segment.bytes().any(|byte| byte.is_ascii_digit()) || !segment.bytes().all(is_word);
        if is_id { ":id" } else { segment }
    });
    format!("/{}", segments.collect::<Vec<_>>().join("/"))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_routes_are_few_and_hold_no_identifiers() {
        let table = [
            ("/", "/"),
            ("/users/17/edit", "/users/:id/edit"),
            ("/a/b/c/d/e/f", "/a/b/c/d"),
            ("/reset/abcdefghijklmnopqrstuvwxyz", "/reset/:id"),
            ("/x/caf%C3%A9", "/x/:id"),
            ("/x/\"\n", "/x/:id"),
        ];
        for (path, route) in table {
            assert_eq!(route_of(path), route);
        }
        let metrics = Metrics::default();
        for n in 0..26 * 26_u8 as usize {
            let letters = [b'a' + u8::try_from(n / 26).unwrap(), b'a' + u8::try_from(n % 26).unwrap()];
            metrics.renewed(&format!("/{}", String::from_utf8_lossy(&letters)));
        }
        let text = metrics.render();
        assert_eq!(text.lines().filter(|line| line.starts_with("slidecar_renewals_total{")).count(), MOST_ROUTES + 1);
        assert!(text.contains("slidecar_renewals_total{route=\"other\"} 626"), "{text}");
    }

    #[test]
    fn o1_every_outcome_has_a_counter_from_the_start() {
        let metrics = Metrics::default();
        let text = metrics.render();
        let counters = text.lines().filter(|line| line.starts_with("slidecar_session_decisions_total{")).count();
        assert_eq!(counters, Outcome::all().len());
        metrics.decided(Outcome::Anonymous);
        assert!(metrics.render().contains("slidecar_session_decisions_total{decision=\"anonymous\",reason=\"no_cookie\"} 1"));
    }
}
