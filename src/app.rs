//! Wiring: bind, serve, drain. Listeners and shutdown come from outside, so that tests use any port.

use crate::clock::Clock;
use crate::config::Config;
use crate::drain::{Drain, Stage, reached};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::server::{Certificates, ServerSettings, Service, Worker};
use crate::telemetry::AccessLog;
use crate::upstream::{Upstream, UpstreamSettings};
use crate::{admin, server, telemetry};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`). One beyond it is not refused: its
/// client tries again a second later. 128, which is usual, is less than what comes at once when a peer is rolled.
const BACKLOG: u32 = 4096;

/// A bound program that does not serve yet.
pub struct App {
    listener: TcpListener,
    admin_listener: TcpListener,
    /// One for each worker.
    proxies: Vec<Arc<Proxy>>,
    metrics: Arc<Metrics>,
    log: Arc<AccessLog>,
    settings: ServerSettings,
    certificates: Option<Arc<Certificates>>,
}

/// Takes up what changed in files while the program runs.
#[derive(Clone, Debug)]
pub struct Reloader(Option<Arc<Certificates>>);

impl Reloader {
    /// Reads the files now; what is bad keeps the old and is reported.
    pub fn reload(&self) {
        if let Some(certificates) = &self.0 {
            certificates.reload();
        }
    }
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
        let first = Proxy::new(config.proxy.clone(), Upstream::new(upstream.clone()), clock, Arc::clone(&metrics), Arc::clone(&log));
        let others = (1..config.workers).map(|_| first.for_another_worker(Upstream::new(upstream.clone()))).collect::<Vec<_>>();
        Ok(Self {
            listener,
            admin_listener,
            proxies: std::iter::once(first).chain(others).map(Arc::new).collect(),
            metrics,
            log,
            settings: config.limits.server,
            certificates: config.ends.certificates.clone(),
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
        Reloader(self.certificates.clone())
    }

    /// Serves until `shutdown`, then drains; returns when nothing is in flight, or by the end of the drain.
    /// What runs this is one of the workers; the others get threads of their own.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let drain = Drain::default();
        let workers = self.workers(&drain);
        let Some(proxy) = self.proxies.first() else { return };
        let log = Arc::clone(&self.log);
        let logging = tokio::spawn(async move { log.run().await });
        let admin = tokio::spawn(admin::serve(self.admin_listener, drain.clone(), self.metrics));
        let watching = self.certificates.clone().map(|certificates| tokio::spawn(certificates.watch()));
        let streams = tokio::spawn(Arc::clone(proxy).watch_streams());
        let limit = self.settings.drain;
        let stopping = async {
            shutdown.await;
            tracing::info!(event = "stopping", at_most_ms = limit.as_millis(), detail = "a second signal stops at once");
            drain.run(limit).await;
            std::future::pending().await
        };
        let mut ending = drain.watch();
        let proxy = Arc::clone(proxy);
        let farewell = tokio::spawn(async move {
            reached(&mut ending, Stage::Ending).await;
            proxy.end_streams();
        });
        tokio::select! {
            () = server::serve(self.listener, workers, self.settings.max_connections, drain.clone()) => {}
            () = stopping => {}
        }
        for task in [streams, farewell, logging] {
            task.abort();
        }
        admin.abort();
        if let Some(watching) = watching {
            watching.abort();
        }
        self.log.flush();
        tracing::info!(event = "stopped");
    }

    fn workers(&self, drain: &Drain) -> Vec<Worker> {
        let mut workers = Vec::new();
        for proxy in &self.proxies {
            let is_https = self.certificates.is_some();
            let service = Service { proxy: Arc::clone(proxy), settings: self.settings, drain: drain.clone(), is_https };
            if workers.is_empty() {
                workers.push(Worker::here(service, self.certificates.clone()));
                continue;
            }
            match Worker::elsewhere(service, self.certificates.clone()) {
                Ok(worker) => workers.push(worker),
                Err(error) => tracing::warn!(event = "worker_missing", error = %error, detail = "the others do its work"),
            }
        }
        workers
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
