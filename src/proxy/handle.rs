//! The life of a request, in order. See the crate's front page for the same in prose.

use super::AnswerBody;
use super::error::{ProxyError, respond};
use super::facts::{self, ResponseFields};
use super::finish::finish;
use super::gate::{self, GateLimits};
use super::prepare::{self, prepare};
use super::report::Reporter;
use super::streams::{StreamMode, Streams};
use super::tunnel::{self, Terms};
use crate::clock::{Clock, Stopwatch};
use crate::endpoints::{Call, Endpoint, EndpointSettings};
use crate::headers::{list, remove_hop_by_hop};
use crate::memory::{Memory, OnlyKnown, SignatureMemo, VerifiedTokens};
use crate::metrics::Metrics;
use crate::session::decide::{Forward, Verdict, decide};
use crate::session::family::Family;
use crate::session::misnamed::misnamed;
use crate::session::outcome::{Dead, Outcome};
use crate::session::settle::settle;
use crate::session::time::{Span, UnixMillis};
use crate::session::{Rules, Surroundings};
use crate::telemetry::{AccessLog, Line, RequestId};
use crate::upstream::{Upstream, UpstreamError};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, request, response};
use hyper::body::Incoming;
use std::any::Any;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often open streams are looked at: a session's end is seen this late at most.
const STREAMS_EVERY: Duration = Duration::from_millis(250);

/// Everything that a request needs. Each worker has one of its own, so that workers wait for each other as little as may be.
pub struct Proxy {
    process: Arc<Process>,
    upstream: Upstream,
    verified: VerifiedTokens,
}

/// What all workers share.
struct Process {
    settings: ProxySettings,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    log: Arc<AccessLog>,
    memory: Memory,
    signatures: SignatureMemo,
    streams: Arc<Streams>,
    reporter: Reporter,
    /// As every answer to a session says it.
    policy_version: HeaderValue,
    /// Tells this process's requests from another's.
    instance: u32,
    requests: AtomicU64,
    /// A token of some request verified: the key is the backend's.
    has_verified: AtomicBool,
}

/// What the settings say of requests.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    pub rules: Arc<Rules>,
    pub mode: Mode,
    pub endpoints: EndpointSettings,
    pub gate: GateLimits,
    pub streams: StreamMode,
    /// How long a tunnel may be silent; `None` is for ever.
    pub tunnel_idle: Option<Span>,
}

/// `SLIDECAR_MODE`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Enforce,
    /// Everything passes as it came; only log and counters say what would have been done.
    Observe,
}

/// What the connection says about the client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'a> {
    pub is_https: bool,
    /// What has to be kept for as long as a tunnel of this connection lives: its slot among the connections.
    pub hold: Option<&'a Arc<dyn Any + Send + Sync>>,
}

impl Proxy {
    #[must_use]
    pub fn new(settings: ProxySettings, upstream: Upstream, clock: Arc<dyn Clock>, metrics: Arc<Metrics>, log: Arc<AccessLog>) -> Self {
        // Not for secrets: the library's random numbers for those take 50 ms to begin with.
        let instance = (RandomState::new().hash_one(0) >> 32) as u32;
        let streams = Arc::new(Streams::new(settings.streams, settings.rules.policy.buffer()));
        let policy_version = HeaderValue::from_str(settings.rules.policy.version());
        let process = Process {
            policy_version: policy_version.unwrap_or_else(|_| HeaderValue::from_static("")),
            settings,
            clock,
            metrics,
            log,
            memory: Memory::default(),
            signatures: SignatureMemo::default(),
            streams,
            reporter: Reporter::default(),
            instance,
            requests: AtomicU64::new(0),
            has_verified: AtomicBool::new(false),
        };
        Self { process: Arc::new(process), upstream, verified: VerifiedTokens::default() }
    }

    /// The same for another worker, with connections and a memory of verified tokens of its own.
    #[must_use]
    pub fn for_another_worker(&self, upstream: Upstream) -> Self {
        Self { process: Arc::clone(&self.process), upstream, verified: VerifiedTokens::default() }
    }

    /// Looks after the open streams of all workers, for ever.
    pub async fn watch_streams(self: Arc<Self>) {
        let process = &self.process;
        loop {
            tokio::time::sleep(STREAMS_EVERY).await;
            let outliving = if process.streams.is_empty() { 0 } else { process.streams.sweep(&process.memory, process.clock.now()) };
            process.metrics.streams_outliving_session(outliving);
        }
    }

    /// Says goodbye to every open stream.
    pub fn end_streams(&self) {
        self.process.streams.end_all();
    }

    /// Answers one request. Never fails: an error is an answer too.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer<'_>) -> Response<AnswerBody> {
        let watch = Stopwatch::start();
        let process = &*self.process;
        let id = RequestId { instance: process.instance, number: process.requests.fetch_add(1, Ordering::Relaxed) };
        let (method, uri) = (request.method().clone(), request.uri().clone());

        let mut said = Said::default();
        let response = match self.pass(request, &uri, peer, &mut said).await {
            Ok(response) => response,
            Err(error) => {
                said.error = Some(error.reason());
                respond(&error, &id)
            }
        };
        process.count(&said, uri.path());
        process.log.write(&Line {
            now: process.clock.now(),
            id,
            method: method.as_str(),
            path: uri.path(),
            status: response.status().as_u16(),
            outcome: said.outcome,
            family: said.family,
            error: said.error,
            observed: process.settings.mode == Mode::Observe,
            took: watch.elapsed(),
        });
        response
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        uri: &Uri,
        peer: Peer<'_>,
        said: &mut Said,
    ) -> Result<Response<AnswerBody>, ProxyError> {
        let process = &*self.process;
        // 1 gate
        gate::check(&process.settings.gate, &request).map_err(ProxyError::Message)?;
        let (mut head, body) = request.into_parts();
        // 2 own endpoint?
        let endpoint = process.settings.endpoints.find(uri.path());
        // 3 facts
        let cookies = facts::cookies(&head.headers);
        let facts = facts::of_request(&head, &cookies, peer.is_https);
        // 4 now, 5 decide
        let now = process.clock.now();
        let learned = process.memory.learned();
        let around =
            Surroundings { ended: &process.memory, verified: &self.verified, signer: &process.signatures, learned: learned.as_ref() };
        let mut verdict = process.with_signatures(&around, |around| decide(&process.settings.rules, around, &facts, now)).await;
        said.hear(&verdict);
        process.reporter.report(&verdict.events, now);
        process.memory.apply(&verdict.effects, now);
        if verdict.outcome == Outcome::Anonymous
            && !process.has_verified.load(Ordering::Relaxed)
            && process.reporter.may_look(now)
            && let Some(name) = misnamed(&process.settings.rules, &cookies, now)
        {
            process.reporter.misnamed(name, now);
        }
        if let Some(live) = &verdict.session {
            process.streams.extend(&live.token.family, live.token.effective_exp().millis());
        }
        if let Some(endpoint) = endpoint {
            // Only the backend's answers declare a logout by their path; ours say what they are.
            verdict.path.logout = false;
            return Ok(process.answer(endpoint, &head, &verdict, &around, now, said).await);
        }
        // 6 prepare
        let upgrade = tunnel::asked_for(&head);
        match process.settings.mode {
            Mode::Enforce => {
                if let Some(answer) = refuse(&verdict.forward)? {
                    return Ok(answer);
                }
                prepare(&mut head.headers, &verdict.forward, upgrade.as_ref());
            }
            Mode::Observe => prepare::connect(&mut head.headers, upgrade.as_ref()),
        }
        if head.version == Version::HTTP_2 {
            prepare::join_crumbs(&mut head.headers);
        }
        // 7 upstream
        let client = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let mut response = self.upstream.send(Request::from_parts(head, body)).await.map_err(ProxyError::Upstream)?;
        let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_tunnel && !(upgrade.is_some() && tunnel::is_granted(response.headers())) {
            return Err(ProxyError::Upstream(UpstreamError::Broken));
        }
        let backend = is_tunnel.then(|| hyper::upgrade::on(&mut response));
        let (mut head, body) = response.into_parts();
        if is_compressed_on_the_way(&head.headers) {
            return Err(ProxyError::Upstream(UpstreamError::Broken));
        }
        // A response with both framings was read as chunked; a length that contradicts it must not go on. Nor may one of
        // an answer that has no body by its status (RFC 9110 §8.6).
        let has_length = !head.headers.contains_key(header::TRANSFER_ENCODING) && head.status != StatusCode::NO_CONTENT;
        remove_hop_by_hop(&mut head.headers, |name| has_length || *name != header::CONTENT_LENGTH);
        // 8 settle, 9 finish
        process.settle(&mut head, uri, &verdict, &around, false, said).await;
        let token = verdict.session.as_ref().map(|live| &*live.token);
        if let (Some(backend), Some(client)) = (backend, client) {
            let protocol = upgrade.unwrap_or_else(|| HeaderValue::from_static("websocket"));
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            head.headers.insert(header::UPGRADE, protocol);
            let terms = Terms { registration: process.streams.enter(token), idle: process.settings.tunnel_idle, hold: peer.hold.cloned() };
            tokio::spawn(tunnel::run(client, backend, terms));
        }
        let body = if facts::is_event_stream(&head.headers) {
            AnswerBody::Events(body, Box::new(process.streams.enter(token)))
        } else {
            AnswerBody::Backend(body)
        };
        Ok(Response::from_parts(head, body))
    }
}

impl Process {
    /// What the rules come to. They are asked twice where they want a signature that takes long: with what is known, and
    /// again when it was made; between the two, the worker serves others.
    async fn with_signatures<T>(&self, around: &Surroundings<'_>, ask: impl Fn(&Surroundings<'_>) -> T) -> T {
        let rules = &self.settings.rules;
        if !rules.keys.active().is_slow() {
            return ask(around);
        }
        let known = OnlyKnown::of(&self.signatures);
        let answer = ask(&Surroundings { signer: &known, ..*around });
        match known.missing() {
            None => answer,
            Some(missing) => {
                self.signatures.make(rules, missing).await;
                ask(around)
            }
        }
    }

    async fn answer(
        &self,
        endpoint: Endpoint,
        head: &request::Parts,
        verdict: &Verdict,
        around: &Surroundings<'_>,
        now: UnixMillis,
        said: &mut Said,
    ) -> Response<AnswerBody> {
        let call = Call { head, rules: &self.settings.rules, verdict, now };
        let (mut head, body) = self.settings.endpoints.answer(endpoint, &call).into_parts();
        // A call that was refused is no sign of a person.
        let own = !(endpoint.is_activity() && head.status.is_success());
        self.settle(&mut head, &call.head.uri, verdict, around, own, said).await;
        Response::from_parts(head, AnswerBody::own(body))
    }

    /// `own`: the answer is ours and says nothing about the session.
    async fn settle(
        &self,
        head: &mut response::Parts,
        uri: &Uri,
        verdict: &Verdict,
        around: &Surroundings<'_>,
        own: bool,
        said: &mut Said,
    ) {
        let now = self.clock.now();
        let fields = ResponseFields::of(head);
        let facts = fields.facts(uri.path().as_bytes(), own);
        let settlement = self.with_signatures(around, |around| settle(&self.settings.rules, around, verdict, &facts, now)).await;
        self.memory.apply(&settlement.effects, now);
        self.reporter.report(&settlement.events, now);
        if let (Outcome::Renewed(_), Some(live), Some(clock)) = (settlement.outcome, &verdict.session, &settlement.clock) {
            self.streams.extend(&live.token.family, now.plus(clock.remaining));
        }
        said.outcome = Some(settlement.outcome);
        if self.settings.mode == Mode::Enforce {
            finish(&mut head.headers, &settlement, &self.policy_version);
        }
    }

    fn count(&self, said: &Said, path: &str) {
        if said.family.is_some() {
            self.has_verified.store(true, Ordering::Relaxed);
        }
        if let Some(outcome) = said.outcome {
            self.metrics.decided(outcome);
            self.metrics.signed(self.signatures.take_made());
            if outcome == Outcome::Stripped(Dead::Unverified) && !self.has_verified.load(Ordering::Relaxed) {
                self.reporter.unverified(self.clock.now());
            }
            if matches!(outcome, Outcome::Renewed(_)) {
                self.metrics.renewed(path);
            }
        }
    }
}

/// Whether the body is coded by what is taken off the head with the framing: the client could not read it. Nobody asked for
/// such a coding, for `TE` went on as `trailers` only. What is no coding at all is passed on, as any client ignores it.
fn is_compressed_on_the_way(headers: &HeaderMap) -> bool {
    const CODINGS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter().flat_map(list);
    codings.any(|coding| CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known)))
}

/// What the log line says of a request, gathered on its way.
#[derive(Default)]
struct Said {
    outcome: Option<Outcome>,
    family: Option<Family>,
    error: Option<&'static str>,
}

impl Said {
    fn hear(&mut self, verdict: &Verdict) {
        self.outcome = Some(verdict.outcome);
        self.family = verdict.session.as_ref().map(|live| live.token.family);
    }
}

/// The verdicts that end here.
fn refuse(forward: &Forward) -> Result<Option<Response<AnswerBody>>, ProxyError> {
    match forward {
        Forward::AsItCame | Forward::Cookies(_) => Ok(None),
        Forward::BadPath => Err(ProxyError::BadPath),
        Forward::Unauthorized(outcome) => Err(ProxyError::NoSession(*outcome)),
        Forward::ToLogin(location) => {
            let mut response = Response::new(AnswerBody::own(""));
            *response.status_mut() = StatusCode::SEE_OTHER;
            let headers = response.headers_mut();
            if let Ok(location) = HeaderValue::from_str(location) {
                headers.insert(header::LOCATION, location);
            }
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(Some(response))
        }
    }
}
