//! Wiring: bind, serve, drain. Listeners and shutdown come from outside, so that tests use any port.

mod reload;

use crate::admin::Admin;
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::drain::{Drain, Stage, reached};
use crate::live::Live;
use crate::memory::Memory;
use crate::memory::store::Store;
use crate::metrics::Metrics;
use crate::proxy::{Process, Proxy};
use crate::server::{ServerSettings, Service, Worker};
use crate::session::policy::{Class, SessionPolicy};
use crate::session::time::Span;
use crate::telemetry::AccessLog;
use crate::traces::{Collector, Traces};
use crate::upstream::{Upstream, UpstreamSettings};
use crate::{server, telemetry};
pub use reload::Reloader;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

/// Connections that wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`). One beyond it is not refused: its
/// client tries again a second later. 128, which is usual, is less than what comes at once when a peer is rolled.
const BACKLOG: u32 = 4096;
/// How long the first connection waits for the store.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// How long the last waits for it.
const LAST_WORD: Duration = Duration::from_millis(500);
/// How long the last spans may take to the collector.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// A bound program that does not serve yet.
pub struct App {
    listener: TcpListener,
    admin_listener: TcpListener,
    /// One for each worker.
    proxies: Vec<Arc<Proxy>>,
    process: Arc<Process>,
    settings: ServerSettings,
    upstream: UpstreamSettings,
    reloader: Reloader,
    store: Option<Store>,
    collector: Option<Collector>,
}

/// What works on a thread of its own.
struct Beside {
    /// It is asked to stop when this is dropped.
    stop: oneshot::Sender<()>,
    /// Resolves when it has.
    ended: oneshot::Receiver<()>,
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    pub setting: &'static str,
    pub address: SocketAddr,
    pub cause: std::io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}: cannot listen there: {}; choose an address of this host and a free port", self.setting, self.address, self.cause)
    }
}

impl std::error::Error for BindError {}

impl App {
    /// Binds both ports.
    pub async fn build(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, BindError> {
        let listener = bind("SLIDECAR_LISTEN", config.ends.listen)?;
        Self::with_listener(config, listener, clock).await
    }

    /// Takes a listener that is bound already; binds the admin port.
    pub async fn with_listener(config: &Config, listener: TcpListener, clock: Arc<dyn Clock>) -> Result<Self, BindError> {
        let admin_listener = bind("SLIDECAR_ADMIN_LISTEN", config.ends.admin_listen)?;
        let metrics = Arc::new(Metrics::default());
        let log = Arc::new(AccessLog::new(telemetry::access_lines()));
        // Each worker has connections of its own; together they keep no more idle ones than was said.
        let upstream =
            UpstreamSettings { max_idle: config.limits.upstream.max_idle.div_ceil(config.workers), ..config.limits.upstream.clone() };
        let live = Arc::new(Live::new(config.live_parts()));
        let (outbox, store) = config.store.clone().map(Store::new).unzip();
        let memory = Arc::new(Memory::new(config.max_revocations, outbox));
        let reloader =
            Reloader::new(config.source.clone(), Arc::clone(&live), Arc::clone(&metrics), Arc::clone(&clock), Arc::clone(&memory));
        let (traces, collector) = config.traces.clone().map(|settings| Traces::new(settings, metrics.spans_dropped())).unzip();
        let process = Arc::new(Process::new(config.proxy.clone(), live, clock, metrics, log, traces, memory));
        let proxy = |_| Arc::new(Proxy::new(Arc::clone(&process), Upstream::new(upstream.clone())));
        Ok(Self {
            listener,
            admin_listener,
            proxies: (0..config.workers).map(proxy).collect(),
            process,
            settings: config.limits.server,
            upstream,
            reloader,
            store,
            collector,
        })
    }

    /// Where clients connect, with the port that was given for port 0.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin_listener.local_addr()
    }

    /// What SIGHUP asks for.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown`, then drains; returns when nothing is in flight, or by the end of the drain.
    /// What runs this is one of the workers; the others get threads of their own.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let drain = Drain::default();
        let workers = self.workers(&drain);
        let process = self.process;
        let link = self.store.as_ref().map(Store::link);
        let admin = Admin {
            drain: drain.clone(),
            process: Arc::clone(&process),
            link: link.clone(),
            upstream: Arc::new(Upstream::new(UpstreamSettings { max_idle: 1, ..self.upstream.clone() })),
            upstream_shown: self.upstream.target.to_string(),
            begun: Stopwatch::start(),
        };
        let limit = self.settings.drain;
        let mut ending = drain.watch();
        let (log, watched, farewell) = (Arc::clone(&process), Arc::clone(&process), Arc::clone(&process));
        let helpers = [
            tokio::spawn(async move { log.log.run().await }),
            tokio::spawn(async move { watched.watch_streams().await }),
            tokio::spawn(self.reloader.watch()),
            tokio::spawn(async move {
                reached(&mut ending, Stage::Ending).await;
                farewell.streams.end_all();
            }),
        ];
        let admin = tokio::spawn(admin.serve(self.admin_listener));
        let _store = self.store.map(|store| {
            let (memory, clock) = (Arc::clone(&process.memory), Arc::clone(&process.clock));
            beside("store", |stopped| async {
                tokio::select! {
                    () = store.run(memory, move || clock.now()) => {}
                    _ = stopped => {}
                }
            })
        });
        let collector = self.collector.map(|collector| beside("spans", |stopped| collector.run(stopped)));
        if let Some(link) = link {
            // Until then, requests would be refused that need not be; a store that is not there must not hold up the start.
            let _ = tokio::time::timeout(FIRST_WORD, link.connected()).await;
        }
        let stopping = async {
            shutdown.await;
            tracing::info!(event = "stopping", at_most_ms = limit.as_millis(), detail = "a second signal stops at once");
            drain.run(limit).await;
            std::future::pending().await
        };
        tokio::select! {
            () = server::serve(self.listener, workers, self.settings.max_connections, drain.clone(), &process.metrics) => {}
            () = stopping => {}
        }
        // What was said last is for the peers too, and what was done last for the collector.
        let last_spans = async {
            if let Some(collector) = collector {
                let _ = tokio::time::timeout(LAST_SPANS, collector.stop()).await;
            }
        };
        let _ = tokio::join!(tokio::time::timeout(LAST_WORD, process.memory.flush()), last_spans);
        // Probes are answered to the end.
        for task in helpers {
            task.abort();
        }
        admin.abort();
        process.log.flush();
        tracing::info!(event = "stopped");
    }

    fn workers(&self, drain: &Drain) -> Vec<Worker> {
        let mut workers = Vec::new();
        for proxy in &self.proxies {
            let live = Arc::clone(&self.process.live);
            let is_https = live.current().tls.is_some();
            let service = Service { proxy: Arc::clone(proxy), live, settings: self.settings, drain: drain.clone(), is_https };
            if workers.is_empty() {
                workers.push(Worker::here(service));
                continue;
            }
            match Worker::elsewhere(service) {
                Ok(worker) => workers.push(worker),
                Err(error) => tracing::warn!(event = "worker_missing", error = %error, detail = "the others do its work"),
            }
        }
        workers
    }
}

/// Runs something on a thread of its own, for its work must not hold up a request. It is handed what resolves when it is to stop.
fn beside<W: Future<Output = ()>>(name: &'static str, work: impl FnOnce(oneshot::Receiver<()>) -> W + Send + 'static) -> Beside {
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let working = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(event = "thread_missing", thread = name, error = %error),
        };
        runtime.block_on(work(stopped));
        runtime.shutdown_background();
        let _ = end.send(()); // Nobody may wait for it any more.
    };
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(working) {
        tracing::error!(event = "thread_missing", thread = name, error = %error);
    }
    Beside { stop, ended }
}

impl Beside {
    /// Asks it to stop, and waits until it has.
    async fn stop(self) {
        drop(self.stop);
        let _ = self.ended.await; // An error: it never ran.
    }
}

fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port whose last connections are still being forgotten may be taken again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|cause| BindError { setting, address, cause })
}

/// Rule S8: one line with every effective clock.
pub fn state_the_clocks(policy: &SessionPolicy) {
    let (standard, demo) = (policy.clocks(Class::Standard), policy.clocks(Class::Demo));
    tracing::info!(
        event = "policy",
        version = policy.version(),
        ttl_ms = standard.ttl.as_millis(),
        refresh_threshold_ms = standard.threshold.as_millis(),
        heartbeat_ms = standard.heartbeat.as_millis(),
        demo_ttl_ms = demo.ttl.as_millis(),
        demo_refresh_threshold_ms = demo.threshold.as_millis(),
        demo_heartbeat_ms = demo.heartbeat.as_millis(),
        timeout_buffer_ms = policy.buffer().as_millis(),
        absolute_timeout_ms = policy.absolute().map(Span::as_millis),
        idle_promise_ms = standard.threshold.as_millis(),
    );
}
