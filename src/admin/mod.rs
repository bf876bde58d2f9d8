//! The admin port: health, metrics, and the one thing that can be changed: sessions can be revoked (`revocations`). It is for
//! kubelets and operators, never for users.
//!
//! `/livez` says that the process answers; `/readyz` that it should get traffic, which does not depend on the backend,
//! for that has a readiness of its own; `/startupz` that it has begun. `/readyz?verbose` names what is not ready.

mod revocations;

use crate::clock::Clock;
use crate::drain::{Drain, Stage};
use crate::live::Live;
use crate::memory::store::Link;
use crate::memory::{Kind, Memory};
use crate::metrics::Metrics;
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
    pub metrics: Arc<Metrics>,
    pub live: Arc<Live>,
    pub memory: Arc<Memory>,
    /// To the store, if there is one.
    pub link: Option<Arc<Link>>,
    pub clock: Arc<dyn Clock>,
    /// Nothing is refused for want of the store.
    pub is_observing: bool,
}

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
            _ => text(StatusCode::NOT_FOUND, "not found; there are /livez, /readyz, /startupz, /metrics and /revocations\n"),
        };
        let mut response = plain(status, body);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn numbers(&self) -> String {
        for (name, kind) in [("logged_out", Kind::Ended), ("family", Kind::Revoked), ("subject", Kind::Subject)] {
            self.metrics.ended_sessions(name, self.memory.count(kind, self.clock.now()));
        }
        self.metrics.without_room(self.memory.take_without_room());
        if let Some(link) = &self.link {
            self.metrics.store_connected(link.is_connected());
        }
        self.metrics.render()
    }

    /// Whether traffic should come, and a line for each thing that decides it or that an operator should know.
    fn readiness(&self) -> (bool, String) {
        let is_serving = self.drain.stage() == Stage::Serving;
        let mut report = String::from(if is_serving { "[+] serving\n" } else { "[-] stopping: asked to by a signal\n" });
        let generation = self.live.current().number;
        match self.live.complaint() {
            None => report += &format!("[+] settings: generation {generation}\n"),
            // It still serves as well as before.
            Some(complaint) => {
                report += &format!("[!] settings: generation {generation} goes on, for the changed files were refused: {complaint}\n")
            }
        }
        let is_blind = !self.is_observing && self.link.as_ref().is_some_and(|link| link.is_blind());
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
