//! Numbers for Prometheus. The words are those of `session::outcome`, so that a counter, a log line and the documents
//! mean the same.

use crate::session::outcome::Outcome;
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Routes told apart; more than an operator would read, few enough for any store of metrics.
const MOST_ROUTES: usize = 50;
const METADATA: Metadata<'static> = Metadata::new("slidecar", Level::INFO, None);

/// Every number that the process counts.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    decisions: HashMap<Outcome, Counter>,
    routes: Mutex<HashMap<String, Counter>>,
    signatures: Counter,
    streams_outliving_session: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        recorder.describe_counter(
            "slidecar_session_decisions_total".into(),
            None,
            "Requests by what was decided about their session, and why".into(),
        );
        recorder.describe_counter(
            "slidecar_renewals_total".into(),
            None,
            "Renewals by the route whose answer carried them: what keeps sessions alive".into(),
        );
        recorder.describe_counter(
            "slidecar_signatures_total".into(),
            None,
            "Signatures made; a burst of one session's requests shares one".into(),
        );
        let signatures = recorder.register_counter(&Key::from_name("slidecar_signatures_total"), &METADATA);
        signatures.increment(0);
        recorder.describe_gauge(
            "slidecar_streams_outliving_session".into(),
            None,
            "WebSockets and event streams that are open though their session is over".into(),
        );
        let streams_outliving_session = recorder.register_gauge(&Key::from_name("slidecar_streams_outliving_session"), &METADATA);
        streams_outliving_session.set(0.0);
        let decisions = Outcome::all().into_iter().map(|outcome| {
            let labels = vec![Label::new("decision", outcome.decision()), Label::new("reason", outcome.reason())];
            let counter = recorder.register_counter(&Key::from_parts("slidecar_session_decisions_total", labels), &METADATA);
            // Present from the start, so that a rate over it has a beginning.
            counter.increment(0);
            (outcome, counter)
        });
        Self {
            decisions: decisions.collect(),
            routes: Mutex::default(),
            signatures,
            streams_outliving_session,
            handle: recorder.handle(),
            recorder,
        }
    }
}

impl Metrics {
    pub fn decided(&self, outcome: Outcome) {
        if let Some(counter) = self.decisions.get(&outcome) {
            counter.increment(1);
        }
    }

    /// Counts a renewal for the route of this path.
    pub fn renewed(&self, path: &str) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut route = route_of(path);
        if !routes.contains_key(&route) && routes.len() >= MOST_ROUTES {
            route = "other".to_owned();
        }
        let counter = routes.entry(route).or_insert_with_key(|route| {
            let labels = vec![Label::new("route", route.clone())];
            self.recorder.register_counter(&Key::from_parts("slidecar_renewals_total", labels), &METADATA)
        });
        counter.increment(1);
    }

    /// How many signatures were made since the start.
    pub fn signatures(&self, made: u64) {
        self.signatures.absolute(made);
    }

    pub fn streams_outliving_session(&self, count: usize) {
        self.streams_outliving_session.set(u32::try_from(count).map_or(f64::MAX, f64::from));
    }

    /// The Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
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
