//! What all workers share, and what is done with it for a request: the rules are asked, and what they answer is carried out.

use super::AnswerBody;
use super::error::REASONS;
use super::facts::{self, ResponseFields};
use super::finish::finish;
use super::gate::GateLimits;
use super::report::Reporter;
use super::streams::{Registration, StreamMode, Streams};
use crate::clock::{self, Clock};
use crate::endpoints::{Call, Endpoint, EndpointSettings};
use crate::live::{Generation, Live};
use crate::memory::{Memory, OnlyKnown, SignatureMemo};
use crate::metrics::Metrics;
use crate::rewrite::{self, Injected};
use crate::session::decide::Verdict;
use crate::session::family::Family;
use crate::session::outcome::{Dead, Outcome};
use crate::session::settle::settle;
use crate::session::time::{Span, UnixMillis};
use crate::session::token::SessionToken;
use crate::session::{Ended as _, Surroundings};
use crate::telemetry::AccessLog;
use crate::traces::{Ended, Span as TraceSpan, Traces};
use crate::upstream::Download;
use http::{Request, Response, StatusCode, Uri, request, response};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often open streams are looked at: a session's end is seen this late at most.
const STREAMS_EVERY: Duration = Duration::from_millis(250);

pub struct Process {
    pub settings: ProxySettings,
    pub live: Arc<Live>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub log: Arc<AccessLog>,
    /// `None`: nobody collects spans.
    pub traces: Option<Traces>,
    pub memory: Arc<Memory>,
    pub signatures: SignatureMemo,
    pub streams: Arc<Streams>,
    pub reporter: Reporter,
    /// Tells this process's requests from another's.
    pub instance: u32,
    pub requests: AtomicU64,
    /// The last generation under which a token of some request verified: its key is the backend's.
    pub has_verified: AtomicU64,
}

/// What the settings say of requests.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    pub mode: Mode,
    pub endpoints: EndpointSettings,
    pub gate: GateLimits,
    pub streams: StreamMode,
    pub client: ClientMode,
    /// How long a tunnel may be silent; `None` is for ever.
    pub tunnel_idle: Option<Span>,
}

/// `SESSION_CLIENT`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientMode {
    #[default]
    Off,
    /// It is put into the backend's pages.
    Inject,
}

/// `SLIDECAR_MODE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Enforce,
    /// Everything passes as it came; only log and counters say what would have been done.
    Observe,
}

/// What a request has to do with: the rules that it began with, and what they ask of the shell.
#[derive(Clone, Copy)]
pub struct Under<'a> {
    pub generation: &'a Generation,
    pub around: Surroundings<'a>,
}

/// What the log line and the span say of a request, gathered on its way.
#[derive(Default)]
pub struct Said {
    pub span: Option<Box<TraceSpan>>,
    /// As the browser spoke.
    pub is_https: bool,
    pub outcome: Option<Outcome>,
    pub family: Option<Family>,
    /// Of the rules that it was judged by.
    pub generation: u64,
    pub error: Option<&'static str>,
}

impl Said {
    pub fn hear(&mut self, verdict: &Verdict, generation: u64) {
        self.generation = generation;
        self.outcome = Some(verdict.outcome);
        self.family = verdict.session.as_ref().map(|live| live.token.family);
    }
}

impl Process {
    pub fn new(
        settings: ProxySettings,
        live: Arc<Live>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        log: Arc<AccessLog>,
        traces: Option<Traces>,
        memory: Arc<Memory>,
    ) -> Self {
        // Not for secrets: the library's random numbers for those take 50 ms to begin with.
        let instance = (RandomState::new().hash_one(0) >> 32) as u32;
        let streams = Arc::new(Streams::new(settings.streams));
        metrics.expect_failures(&REASONS);
        Self {
            settings,
            live,
            clock,
            reporter: Reporter::new(Arc::clone(&metrics)),
            metrics,
            log,
            traces,
            memory,
            signatures: SignatureMemo::default(),
            streams,
            instance,
            requests: AtomicU64::new(0),
            has_verified: AtomicU64::new(0),
        }
    }

    /// Looks after the open streams of all workers, for ever.
    pub async fn watch_streams(&self) {
        loop {
            tokio::time::sleep(STREAMS_EVERY).await;
            let buffer = self.live.current().rules.policy.buffer();
            let renewal = |family: &Family| self.memory.renewal(family);
            let outliving = if self.streams.is_empty() { 0 } else { self.streams.sweep(&*self.memory, renewal, buffer, self.clock.now()) };
            self.metrics.streams(self.streams.count(), outliving);
            self.metrics.renewals_paused(self.memory.is_paused(self.clock.now()));
        }
    }

    /// What the rules come to. They are asked twice where they want a signature that takes long: with what is known, and
    /// again when it was made; between the two, the worker serves others.
    pub async fn with_signatures<T>(&self, under: &Under<'_>, ask: impl Fn(&Surroundings<'_>) -> T) -> T {
        let rules = &under.generation.rules;
        if !rules.keys.active().is_slow() {
            return ask(&under.around);
        }
        let signatures = self.signatures.under(under.generation.number);
        let known = OnlyKnown::of(signatures);
        let answer = ask(&Surroundings { signer: &known, ..under.around });
        match known.missing() {
            None => answer,
            Some(missing) => {
                signatures.make(rules, missing).await;
                ask(&under.around)
            }
        }
    }

    pub async fn answer(
        &self,
        endpoint: Endpoint,
        head: &request::Parts,
        verdict: &Verdict,
        under: &Under<'_>,
        now: UnixMillis,
        said: &mut Said,
    ) -> Response<AnswerBody> {
        let call = Call { head, rules: &under.generation.rules, verdict, now };
        let (mut head, body) = self.settings.endpoints.answer(endpoint, &call).into_parts();
        // A call that was refused is no sign of a person.
        let own = !(endpoint.is_activity() && head.status.is_success());
        self.settle(&mut head, &call.head.uri, verdict, under, own, said).await;
        Response::from_parts(head, AnswerBody::own(body))
    }

    /// `own`: the answer is ours and says nothing about the session.
    pub async fn settle(&self, head: &mut response::Parts, uri: &Uri, verdict: &Verdict, under: &Under<'_>, own: bool, said: &mut Said) {
        let now = self.clock.now();
        let fields = ResponseFields::of(head);
        let facts = fields.facts(uri.path().as_bytes(), own);
        let settlement = self.with_signatures(under, |around| settle(&under.generation.rules, around, verdict, &facts, now)).await;
        self.memory.apply(&settlement.effects, now);
        self.reporter.report(&settlement.events, now);
        if let Some(live) = verdict.session.as_ref().filter(|_| !own)
            && let Some(pause) = self.memory.answered(&live.token.family, live.seen_exp(), head.status == StatusCode::UNAUTHORIZED, now)
        {
            self.reporter.paused(&pause);
        }
        // By our renewal or by the backend's own; another session's end is not this one's.
        if let (Some(live), Some(clock)) = (&verdict.session, &settlement.clock)
            && !matches!(settlement.outcome, Outcome::Logout(_))
        {
            let ends = now.plus(clock.remaining);
            if ends > live.token.effective_exp().millis() {
                self.streams.extend(&live.token.family, ends);
                self.memory.renewed(&live.token.family, ends, now);
            }
        }
        said.outcome = Some(settlement.outcome);
        if self.settings.mode == Mode::Enforce {
            finish(&mut head.headers, &settlement, &under.generation.policy_version);
        }
    }

    /// A stream opens, with a session or without; peers should tell of the session's renewals.
    pub fn enter_stream(&self, token: Option<&SessionToken>) -> Registration {
        if let Some(token) = token.filter(|_| self.settings.streams == StreamMode::Close) {
            self.memory.watch(&token.family, token.effective_exp().millis());
        }
        self.streams.enter(token)
    }

    /// Whether this request's answer may be a page that gets the browser client.
    pub fn injects_into(&self, head: &request::Parts) -> bool {
        self.settings.client == ClientMode::Inject && self.settings.mode == Mode::Enforce && facts::shows_page(head)
    }

    /// Puts the browser client into a page, if this is one and that can be done safely.
    pub fn inject(&self, head: &mut response::Parts, body: Download, under: &Under<'_>) -> AnswerBody {
        let script = self.settings.endpoints.client_path(&under.generation.rules.policy);
        match rewrite::plan(head.status, &head.headers, &script) {
            None => AnswerBody::Backend(body),
            Some(Err(left)) => {
                self.metrics.page(left.word());
                AnswerBody::Backend(body)
            }
            Some(Ok(injection)) => {
                self.metrics.page("injected");
                rewrite::changed(&mut head.headers);
                AnswerBody::Page(Box::new(Injected::new(body, injection.element, injection.encoding)))
            }
        }
    }

    pub fn has_verified_under(&self, generation: u64) -> bool {
        self.has_verified.load(Ordering::Relaxed) == generation
    }

    /// A request came in; `None` where nobody wants its span.
    pub fn begin_span<B>(&self, request: &Request<B>) -> Option<Box<TraceSpan>> {
        self.traces.as_ref().map(|traces| traces.begin(request, clock::exact()))
    }

    pub fn end_span(&self, said: &mut Said, path: &str, status: StatusCode, took: Duration) {
        let Some(span) = said.span.take() else { return };
        let route = self.metrics.span_route(path, status.as_u16());
        span.end(&Ended {
            status: status.as_u16(),
            route: route.as_deref(),
            is_https: said.is_https,
            outcome: said.outcome,
            error: said.error,
            observed: self.settings.mode == Mode::Observe,
            took,
        });
    }

    pub fn count(&self, said: &Said, path: &str) {
        if said.family.is_some() && !self.has_verified_under(said.generation) {
            self.has_verified.store(said.generation, Ordering::Relaxed);
        }
        if let Some(outcome) = said.outcome {
            self.metrics.decided(outcome);
            self.metrics.signed(self.signatures.take_made());
            if outcome == Outcome::Stripped(Dead::Unverified) && !self.has_verified_under(said.generation) {
                self.reporter.unverified(self.clock.now());
            }
            if matches!(outcome, Outcome::Renewed(_)) {
                self.metrics.renewed(path);
            }
        }
    }
}
