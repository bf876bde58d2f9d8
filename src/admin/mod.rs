//! The admin port: health, metrics, a page for people with what it shows as JSON (`status`), the kubelet's way to the backend
//! (`probe`), and the one thing that can be changed: sessions can be revoked (`revocations`). It is for kubelets and operators,
//! never for users.
//!
//! `/livez` says that the process answers; `/readyz` that it should get traffic, which does not depend on the backend,
//! for that has a readiness of its own; `/startupz` that it has begun. `/readyz?verbose` names what is not ready.

mod probe;
mod revocations;
mod status;

use crate::clock::Stopwatch;
use crate::drain::{Drain, Stage};
use crate::memory::Kind;
use crate::memory::store::Link;
use crate::proxy::{Mode, Process};
use crate::session::Ended as _;
use crate::upstream::Upstream;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Probes are quick and few; whoever is slow here is no probe.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What there is to tell.
#[derive(Clone)]
pub struct Admin {
    pub drain: Drain,
    pub process: Arc<Process>,
    /// To the store, if there is one.
    pub link: Option<Arc<Link>>,
    /// For probes of the backend.
    pub upstream: Arc<Upstream>,
    /// Its address, for people.
    pub upstream_shown: String,
    /// Since the start.
    pub begun: Stopwatch,
}

/// Whatever the page is given by people's requests, it runs nothing but its own script, and calls nobody but this port.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                           img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Admin {
    /// Serves for ever; the caller ends it last, so that probes are answered to the end.
    pub async fn serve(self, listener: TcpListener) -> Infallible {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(event = "admin_accept_failed", error = %error);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async {
                    Ok::<_, Infallible>(match request.uri().path() {
                        "/revocations" => revocations::answer(&admin, request).await,
                        "/probe/upstream" if matches!(*request.method(), Method::GET | Method::HEAD) => {
                            let (status, text) = probe::relay(&admin.upstream, request).await;
                            plain(status, Full::from(text))
                        }
                        _ => admin.answer(&request),
                    })
                });
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = serving.await {
                    tracing::debug!(event = "admin_connection_ended", error = %error);
                }
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let is_verbose =
            request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")));
        let text = |status: StatusCode, text: &'static str| (status, Full::from(text));
        let (status, body) = match request.uri().path() {
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n"),
            "/livez" | "/startupz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => {
                let (is_ready, report) = self.readiness();
                let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let short = if is_ready { "ok\n" } else { "not ready\n" };
                (status, if is_verbose { Full::from(report) } else { Full::from(short) })
            }
            "/metrics" => (StatusCode::OK, Full::from(self.numbers())),
            "/status" => (StatusCode::OK, Full::from(status::describe(self))),
            "/" => text(StatusCode::OK, include_str!("page.html")),
            _ => text(
                StatusCode::NOT_FOUND,
                "not found; there are /, /livez, /readyz, /startupz, /metrics, /status, /probe/upstream and /revocations\n",
            ),
        };
        let mut response = plain(status, body);
        let headers = response.headers_mut();
        match request.uri().path() {
            "/status" => drop(headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))),
            "/" => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
                headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
            }
            _ => {}
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn numbers(&self) -> String {
        let process = &*self.process;
        for (name, kind) in [("logged_out", Kind::Ended), ("family", Kind::Revoked), ("subject", Kind::Subject)] {
            process.metrics.ended_sessions(name, process.memory.count(kind, process.clock.now()));
        }
        process.metrics.without_room(process.memory.take_without_room());
        if let Some(link) = &self.link {
            process.metrics.store(link.is_connected(), link.silence(), link.is_blind());
        }
        process.metrics.render()
    }

    /// Whether traffic should come, and a line for each thing that decides it or that an operator should know.
    fn readiness(&self) -> (bool, String) {
        let is_serving = self.drain.stage() == Stage::Serving;
        let mut report = String::from(if is_serving { "[+] serving\n" } else { "[-] stopping: asked to by a signal\n" });
        let process = &*self.process;
        let generation = process.live.current().number;
        match process.live.complaint() {
            None => report += &format!("[+] settings: generation {generation}\n"),
            // It still serves as well as before.
            Some(complaint) => {
                report += &format!("[!] settings: generation {generation} goes on, for the changed files were refused: {complaint}\n")
            }
        }
        if process.memory.is_paused(process.clock.now()) {
            report += "[!] renewals: paused, for the backend refuses renewed tokens (renewed_tokens_rejected)\n";
        }
        // In observe mode nothing is refused for want of the store.
        let is_blind = process.settings.mode == Mode::Enforce && self.link.as_ref().is_some_and(|link| link.is_blind());
        if let Some(link) = &self.link {
            let sign = if is_blind {
                '-'
            } else if link.is_connected() {
                '+'
            } else {
                '!'
            };
            report += &format!("[{sign}] store: {}\n", link.describe());
        }
        let is_ready = is_serving && !is_blind;
        report += if is_ready { "ready\n" } else { "not ready\n" };
        (is_ready, report)
    }
}

fn plain(status: StatusCode, body: Full<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
