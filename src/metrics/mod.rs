//! Numbers for Prometheus. The words are those of `session::outcome`, so that a counter, a log line and the documents
//! mean the same.

mod routes;

use crate::session::outcome::{EventKind, Outcome};
use crate::session::policy::{Class, SessionPolicy};
use crate::session::time::{Span, UnixSeconds};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use routes::Routes;
use std::collections::HashMap;
use std::time::Duration;

/// Seconds. A sidecar adds tenths of a millisecond; a backend takes what it takes.
const BUCKETS: [f64; 16] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Every number that the process counts.
pub struct Metrics {
    registry: Registry,
    decisions: HashMap<Outcome, IntCounter>,
    renewals: IntCounterVec,
    routes: Routes,
    span_routes: Routes,
    spans_dropped: IntCounter,
    signatures: IntCounter,
    events: HashMap<EventKind, IntCounter>,
    /// By the first digit of the status.
    requests: [Histogram; 5],
    upstream: Histogram,
    errors: IntCounterVec,
    connections: IntGauge,
    streams: IntGauge,
    streams_outliving_session: IntGauge,
    renewals_paused: IntGauge,
    generation: IntGauge,
    policy: IntGaugeVec,
    clocks: GaugeVec,
    /// Without a value where there is no key before the present one.
    key_expires: IntGaugeVec,
    reloads: [IntCounter; 2],
    ended_sessions: IntGaugeVec,
    without_room: IntCounter,
    store: Store,
    pages: IntCounterVec,
}

/// Without values where there is no store.
struct Store {
    connected: IntGaugeVec,
    silence: IntGaugeVec,
    blind: IntGaugeVec,
}

/// A client connection that is open; it is none any more when this is dropped.
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
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
        let new = Maker(&registry);
        let decisions =
            new.counters("session_decisions_total", "Requests by what was decided about their session, and why", &["decision", "reason"])?;
        let renewals =
            new.counters("renewals_total", "Renewals by the route whose answer carried them: what keeps sessions alive", &["route"])?;
        let signatures = new.counter("signatures_total", "Signatures made; a burst of one session's requests shares one")?;
        let events =
            new.counters("events_total", "What an operator should hear of, also where the log kept silent about repetitions", &["event"])?;
        let requests = new.histograms("request_duration_seconds", "From a request's head to its answer's head", &["status"])?;
        let upstream =
            new.histograms("upstream_duration_seconds", "From the request as it was sent to the head of the backend's answer", &[])?;
        let errors =
            new.counters("errors_total", "Answers that slidecar gave because there was none of the backend to pass on", &["reason"])?;
        let connections = new.gauge("connections", "Client connections that are open, those that became tunnels among them")?;
        let streams = new.gauge("streams", "WebSockets and event streams that are open")?;
        let streams_outliving_session =
            new.gauge("streams_outliving_session", "WebSockets and event streams that are open though their session is over")?;
        let renewals_paused = new.gauge("renewals_paused", "1 while nothing is renewed because the backend refused renewed tokens")?;
        let generation = new.gauge("generation", "Which set of keys, clocks and certificate is in use; the first is 1")?;
        let policy = new.gauges("policy_info", "The policy in use, by its version: replicas that differ are seen at once", &["version"])?;
        let clocks = new.registered(GaugeVec::new(Maker::options("policy_seconds", "The clocks in use"), &["class", "clock"])?)?;
        let key_expires = new.gauges("key_expires_timestamp_seconds", "When the previous key of a rotation ends to verify", &["key"])?;
        let reloads = new.counters("reloads_total", "Changed files that were taken up, or refused", &["result"])?;
        let ended_sessions =
            new.gauges("ended_sessions", "What is remembered as over: families logged out or revoked, and whole subjects", &["by"])?;
        let without_room = new.counter("ended_sessions_dropped_total", "Ends that found no room (SLIDECAR_MAX_REVOCATIONS)")?;
        let store = Store {
            connected: new.gauges("store_connected", "Whether the shared store is there", &["store"])?,
            silence: new.gauges("store_silence_seconds", "Since the shared store was last heard", &["store"])?,
            blind: new.gauges("store_blind", "1 while sessions are refused because the store is lost for too long", &["store"])?,
        };
        let pages =
            new.counters("pages_total", "Pages that got the browser client, and those that were left alone, by the reason", &["result"])?;
        let spans_dropped = new.counter("spans_dropped_total", "Spans that did not get to the collector")?;
        new.gauges("build_info", "The program, by its version", &["version"])?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;

        let decision = |outcome: Outcome| Ok((outcome, decisions.get_metric_with_label_values(&[outcome.decision(), outcome.reason()])?));
        let event = |kind: &EventKind| Ok((*kind, events.get_metric_with_label_values(&[kind.word()])?));
        let class = |status| requests.get_metric_with_label_values(&[status]);
        Ok(Self {
            decisions: Outcome::all().into_iter().map(decision).collect::<Result<_, prometheus::Error>>()?,
            renewals,
            routes: Routes::default(),
            span_routes: Routes::default(),
            spans_dropped,
            signatures,
            events: EventKind::ALL.iter().map(event).collect::<Result<_, prometheus::Error>>()?,
            requests: [class("1xx")?, class("2xx")?, class("3xx")?, class("4xx")?, class("5xx")?],
            upstream: upstream.get_metric_with_label_values::<&str>(&[])?,
            errors,
            connections,
            streams,
            streams_outliving_session,
            renewals_paused,
            generation,
            policy,
            clocks,
            key_expires,
            reloads: [reloads.get_metric_with_label_values(&["failed"])?, reloads.get_metric_with_label_values(&["ok"])?],
            ended_sessions,
            without_room,
            store,
            pages,
            registry,
        })
    }

    pub fn decided(&self, outcome: Outcome) {
        if let Some(counter) = self.decisions.get(&outcome) {
            counter.inc();
        }
    }

    /// Counts a renewal for the route of this path.
    pub fn renewed(&self, path: &str) {
        self.renewals.with_label_values(&[&self.routes.of(path)]).inc();
    }

    /// The route that the span of a request has in its name, if there is one; the answer's status tells whether it is one.
    #[must_use]
    pub fn span_route(&self, path: &str, status: u16) -> Option<String> {
        self.span_routes.find(path, status < 400)
    }

    /// Counts spans that did not get to the collector.
    #[must_use]
    pub fn spans_dropped(&self) -> IntCounter {
        self.spans_dropped.clone()
    }

    /// So many signatures more were made.
    pub fn signed(&self, count: u64) {
        self.signatures.inc_by(count);
    }

    pub fn event(&self, kind: EventKind) {
        if let Some(counter) = self.events.get(&kind) {
            counter.inc();
        }
    }

    /// A request was answered, with this status, so long after its head was there.
    pub fn answered(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[class].observe(took.as_secs_f64());
    }

    /// The backend began to answer so long after it was asked.
    pub fn backend_answered(&self, took: Duration) {
        self.upstream.observe(took.as_secs_f64());
    }

    /// Words that [`failed`](Self::failed) will be called with, so that they are there from the beginning.
    pub fn expect_failures(&self, reasons: &[&str]) {
        for reason in reasons {
            self.errors.with_label_values(&[reason]);
        }
    }

    /// An answer was ours because the backend had none.
    pub fn failed(&self, reason: &str) {
        self.errors.with_label_values(&[reason]).inc();
    }

    #[must_use]
    pub fn open_connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// So many streams are open, and so many of them beyond their session.
    pub fn streams(&self, open: usize, outliving_session: usize) {
        self.streams.set(number(open));
        self.streams_outliving_session.set(number(outliving_session));
    }

    pub fn renewals_paused(&self, is_paused: bool) {
        self.renewals_paused.set(i64::from(is_paused));
    }

    /// These keys and clocks hold from now on. `previous_until` is when the key before the present one ends to verify.
    pub fn took_up(&self, generation: u64, policy: &SessionPolicy, previous_until: Option<UnixSeconds>) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.policy.reset();
        self.policy.with_label_values(&[policy.version()]).set(1);
        self.clocks.reset();
        for (class, word) in [(Class::Standard, "standard"), (Class::Demo, "demo")] {
            let clocks = policy.clocks(class);
            let set = |clock: &str, span: Span| self.clocks.with_label_values(&[word, clock]).set(span.to_std().as_secs_f64());
            set("ttl", clocks.ttl);
            set("threshold", clocks.threshold);
            set("heartbeat", clocks.heartbeat);
            set("buffer", policy.buffer());
            if let Some(absolute) = policy.absolute() {
                set("absolute", absolute);
            }
        }
        self.key_expires.reset();
        if let Some(until) = previous_until {
            self.key_expires.with_label_values(&["previous"]).set(until.get());
        }
    }

    /// Files had changed, and were taken up or not.
    pub fn reloaded(&self, well: bool) {
        self.reloads[usize::from(well)].inc();
    }

    /// So many are remembered as over, for this reason.
    pub fn ended_sessions(&self, by: &str, count: usize) {
        self.ended_sessions.with_label_values(&[by]).set(number(count));
    }

    pub fn without_room(&self, count: u64) {
        self.without_room.inc_by(count);
    }

    /// `silence`: since it was last heard; `None` if it never was.
    pub fn store(&self, is_connected: bool, silence: Option<Span>, is_blind: bool) {
        const STORE: [&str; 1] = ["redis"];
        self.store.connected.with_label_values(&STORE).set(i64::from(is_connected));
        self.store.blind.with_label_values(&STORE).set(i64::from(is_blind));
        if let Some(silence) = silence {
            self.store.silence.with_label_values(&STORE).set(seconds(silence));
        }
    }

    /// What became of a page.
    pub fn page(&self, result: &str) {
        self.pages.with_label_values(&[result]).inc();
    }

    /// Every counter of decisions that has counted, with its words.
    pub fn decisions(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.decisions.iter().map(|(outcome, counter)| (*outcome, counter.get())).filter(|(_, count)| *count > 0)
    }

    /// Renewals by route, the most first.
    #[must_use]
    pub fn renewals(&self) -> Vec<(String, u64)> {
        let families = self.renewals.collect();
        let counted = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric).map(|metric| {
            let route = metric.get_label().first().map(|label| label.value().to_owned()).unwrap_or_default();
            let route_total = self.renewals.with_label_values(&[&route]).get();
            (route, route_total)
        });
        let mut counted: Vec<_> = counted.collect();
        counted.sort_by(|(a, most), (b, least)| least.cmp(most).then_with(|| a.cmp(b)));
        counted
    }

    /// The Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        // Names and labels were checked when they were registered.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// Makes numbers that are registered.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn options(name: &str, help: &str) -> Opts {
        Opts::new(name, help).namespace("slidecar")
    }

    fn registered<T: Collector + Clone + 'static>(&self, number: T) -> Result<T, prometheus::Error> {
        self.0.register(Box::new(number.clone()))?;
        Ok(number)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.registered(IntCounter::with_opts(Self::options(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.registered(IntCounterVec::new(Self::options(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.registered(IntGauge::with_opts(Self::options(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.registered(IntGaugeVec::new(Self::options(name, help), labels)?)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::from(Self::options(name, help)).buckets(BUCKETS.to_vec());
        self.registered(HistogramVec::new(options, labels)?)
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(span: Span) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_every_outcome_and_event_has_a_counter_from_the_start() {
        let metrics = Metrics::default();
        let text = metrics.render();
        let counters = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(counters("slidecar_session_decisions_total{"), Outcome::all().len());
        assert_eq!(counters("slidecar_events_total{"), EventKind::ALL.len());
        metrics.decided(Outcome::Anonymous);
        assert!(metrics.render().contains("slidecar_session_decisions_total{decision=\"anonymous\",reason=\"no_cookie\"} 1"));
        assert_eq!(metrics.decisions().collect::<Vec<_>>(), [(Outcome::Anonymous, 1)]);
    }

    #[test]
    fn o1_what_keeps_sessions_alive_is_named_by_its_route() {
        let metrics = Metrics::default();
        for path in ["/poll", "/users/1", "/users/2", "/poll", "/poll"] {
            metrics.renewed(path);
        }
        assert_eq!(metrics.renewals(), [("/poll".to_owned(), 3), ("/users/:id".to_owned(), 2)]);
    }
}
