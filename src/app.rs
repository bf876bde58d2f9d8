//! Wiring: bind, serve, drain. Listeners and shutdown come from outside, so that tests use any port.

use crate::clock::Clock;
use crate::config::Config;
use crate::drain::{Drain, Stage, reached};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::server::{Certificates, ServerSettings};
use crate::upstream::Upstream;
use crate::{admin, server};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A bound program that does not serve yet.
pub struct App {
    listener: TcpListener,
    admin_listener: TcpListener,
    proxy: Arc<Proxy>,
    metrics: Arc<Metrics>,
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
        let listener = bind("SLIDECAR_LISTEN", config.ends.listen).await?;
        Self::with_listener(config, listener, clock).await
    }

    /// Takes a listener that is bound already; binds the admin port.
    pub async fn with_listener(config: &Config, listener: TcpListener, clock: Arc<dyn Clock>) -> Result<Self, BindError> {
        let admin_listener = bind("SLIDECAR_ADMIN_LISTEN", config.ends.admin_listen).await?;
        let upstream = Upstream::new(config.limits.upstream.clone());
        let metrics = Arc::new(Metrics::default());
        let proxy = Proxy::new(config.proxy.clone(), upstream, clock, Arc::clone(&metrics));
        Ok(Self {
            listener,
            admin_listener,
            proxy: Arc::new(proxy),
            metrics,
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
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let drain = Drain::default();
        let admin = tokio::spawn(admin::serve(self.admin_listener, drain.clone(), self.metrics));
        let watching = self.certificates.clone().map(|certificates| tokio::spawn(certificates.watch()));
        let streams = tokio::spawn(Arc::clone(&self.proxy).watch_streams());
        let limit = self.settings.drain;
        let stopping = async {
            shutdown.await;
            tracing::info!(event = "stopping", at_most_ms = limit.as_millis(), detail = "a second signal stops at once");
            drain.run(limit).await;
            std::future::pending().await
        };
        let mut ending = drain.watch();
        let proxy = Arc::clone(&self.proxy);
        let farewell = tokio::spawn(async move {
            reached(&mut ending, Stage::Ending).await;
            proxy.end_streams();
        });
        tokio::select! {
            () = server::serve(self.listener, self.proxy, self.settings, self.certificates, drain.clone()) => {}
            () = stopping => {}
        }
        for task in [streams, farewell] {
            task.abort();
        }
        admin.abort();
        if let Some(watching) = watching {
            watching.abort();
        }
        tracing::info!(event = "stopped");
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|cause| BindError { setting, address, cause })
}
