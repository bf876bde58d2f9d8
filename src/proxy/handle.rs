//! The life of a request, in order. See the crate's front page for the same in prose.

use super::AnswerBody;
use super::error::{ProxyError, respond};
use super::facts;
use super::gate;
use super::prepare::{self, prepare};
use super::process::{Mode, Process, Said, Under};
use super::tunnel::{self, Terms};
use crate::clock::Stopwatch;
use crate::headers::{list, remove_hop_by_hop};
use crate::memory::VerifiedTokens;
use crate::session::Surroundings;
use crate::session::decide::{Forward, decide};
use crate::session::misnamed::misnamed;
use crate::session::outcome::Outcome;
use crate::session::time::Span;
use crate::telemetry::{Line, RequestId};
use crate::upstream::{Upstream, UpstreamError};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Everything that a request needs. Each worker has one of its own, so that workers wait for each other as little as may be.
pub struct Proxy {
    process: Arc<Process>,
    upstream: Upstream,
    verified: VerifiedTokens,
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
    pub fn new(process: Arc<Process>, upstream: Upstream) -> Self {
        Self { process, upstream, verified: VerifiedTokens::default() }
    }

    /// Answers one request. Never fails: an error is an answer too.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer<'_>) -> Response<AnswerBody> {
        let watch = Stopwatch::start();
        let process = &*self.process;
        let id = RequestId { instance: process.instance, number: process.requests.fetch_add(1, Ordering::Relaxed) };
        let (method, uri) = (request.method().clone(), request.uri().clone());

        let mut said = Said { span: process.begin_span(&request), is_https: peer.is_https, ..Said::default() };
        let response = match self.pass(request, &uri, peer, &mut said).await {
            Ok(response) => response,
            Err(error) => {
                said.error = Some(error.reason());
                process.metrics.failed(error.reason());
                respond(&error, &id)
            }
        };
        process.count(&said, uri.path());
        let took = watch.exact();
        process.metrics.answered(response.status().as_u16(), took);
        process.end_span(&mut said, uri.path(), response.status(), took);
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
            took: Span::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
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
        said.is_https = facts.secure;
        // 4 now, 5 decide
        let now = process.clock.now();
        let (generation, learned) = (process.live.current(), process.memory.learned());
        let (verified, signer) = (self.verified.under(generation.number), process.signatures.under(generation.number));
        let around = Surroundings { ended: &*process.memory, verified: &verified, signer: &signer, learned: learned.as_ref() };
        let under = Under { generation: &generation, around };
        let mut verdict = process.with_signatures(&under, |around| decide(&generation.rules, around, &facts, now)).await;
        said.hear(&verdict, generation.number);
        process.reporter.report(&verdict.events, now);
        process.memory.apply(&verdict.effects, now);
        if verdict.outcome == Outcome::Anonymous
            && !process.has_verified_under(generation.number)
            && process.reporter.may_look(now)
            && let Some(name) = misnamed(&generation.rules, &cookies, now)
        {
            process.reporter.misnamed(name, now);
        }
        if let Some(live) = &verdict.session {
            process.streams.extend(&live.token.family, live.token.effective_exp().millis());
        }
        if let Some(endpoint) = endpoint {
            // Only the backend's answers declare a logout by their path; ours say what they are.
            verdict.path.logout = false;
            return Ok(process.answer(endpoint, &head, &verdict, &under, now, said).await);
        }
        // 6 prepare
        let injects = process.injects_into(&head);
        let upgrade = tunnel::asked_for(&head);
        match process.settings.mode {
            Mode::Enforce => {
                if let Some(answer) = refuse(&verdict.forward)? {
                    return Ok(answer);
                }
                prepare(&mut head.headers, &verdict.forward, upgrade.as_ref());
                if injects {
                    prepare::ask_for_plain(&mut head.headers);
                }
                if let Some(span) = &said.span {
                    prepare::pass_on(&mut head.headers, span);
                }
            }
            Mode::Observe => prepare::connect(&mut head.headers, upgrade.as_ref()),
        }
        if head.version == Version::HTTP_2 {
            prepare::join_crumbs(&mut head.headers);
        }
        // 7 upstream
        let client = head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let asked = Stopwatch::start();
        let mut response = self.upstream.send(Request::from_parts(head, body)).await.map_err(ProxyError::Upstream)?;
        process.metrics.backend_answered(asked.exact());
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
        process.settle(&mut head, uri, &verdict, &under, false, said).await;
        let token = verdict.session.as_ref().map(|live| &*live.token);
        if let (Some(backend), Some(client)) = (backend, client) {
            let protocol = upgrade.unwrap_or_else(|| HeaderValue::from_static("websocket"));
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            head.headers.insert(header::UPGRADE, protocol);
            let terms = Terms { registration: process.enter_stream(token), idle: process.settings.tunnel_idle, hold: peer.hold.cloned() };
            tokio::spawn(tunnel::run(client, backend, terms));
        }
        let body = if facts::is_event_stream(&head.headers) {
            AnswerBody::Events(body, Box::new(process.enter_stream(token)))
        } else if injects {
            process.inject(&mut head, body, &under)
        } else {
            AnswerBody::Backend(body)
        };
        Ok(Response::from_parts(head, body))
    }
}

/// Whether the body is coded by what is taken off the head with the framing: the client could not read it. Nobody asked for
/// such a coding, for `TE` went on as `trailers` only. What is no coding at all is passed on, as any client ignores it.
fn is_compressed_on_the_way(headers: &HeaderMap) -> bool {
    const CODINGS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter().flat_map(list);
    codings.any(|coding| CODINGS.iter().any(|known| coding.eq_ignore_ascii_case(known)))
}

/// The verdicts that end here.
fn refuse(forward: &Forward) -> Result<Option<Response<AnswerBody>>, ProxyError> {
    match forward {
        Forward::AsItCame | Forward::Cookies(_) => Ok(None),
        Forward::BadPath => Err(ProxyError::BadPath),
        Forward::Unavailable => Err(ProxyError::StoreLost),
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
