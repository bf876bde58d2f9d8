//! slidecar in this process, with a clock that the test moves.

use super::Client;
use super::tokens::{NOW, SECRET};
use slidecar::app::App;
use slidecar::clock::Clock;
use slidecar::config;
use slidecar::session::time::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Stands still until it is moved. Replicas of one test share it.
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOW * 1000)))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::SeqCst))
    }
}

pub struct Sidecar {
    pub address: String,
    pub admin: String,
    clock: ManualClock,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Sidecar {
    /// In front of the backend, with the policy of the origin (2 h, 1 h, 10 min, 5 min) and these settings besides.
    pub async fn before(backend: &str, settings: &[(&str, &str)]) -> Self {
        Self::start(backend, settings, ManualClock::new()).await
    }

    /// Another one that shares the clock and nothing else.
    pub async fn replica(&self, backend: &str, settings: &[(&str, &str)]) -> Self {
        Self::start(backend, settings, self.clock.clone()).await
    }

    async fn start(backend: &str, settings: &[(&str, &str)], clock: ManualClock) -> Self {
        let upstream = format!("http://{backend}");
        let defaults = [
            ("JWT_SECRET", SECRET),
            ("JWT_EXPIRES_IN", "2h"),
            ("SESSION_REFRESH_THRESHOLD", "1h"),
            ("SESSION_HEARTBEAT_INTERVAL", "10m"),
            ("SESSION_TIMEOUT_BUFFER", "5m"),
            ("SLIDECAR_UPSTREAM", &upstream),
            ("SLIDECAR_LISTEN", "127.0.0.1:0"),
            ("SLIDECAR_ADMIN_LISTEN", "127.0.0.1:0"),
            ("SLIDECAR_DRAIN", "2s"),
        ];
        let vars: HashMap<String, String> =
            defaults.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = config::load(&vars).unwrap_or_else(|rejected| panic!("{rejected:#?}"));
        let app = App::build(&config, Arc::new(clock.clone())).await.expect("free ports");
        let (address, admin) = (app.address().expect("bound").to_string(), app.admin_address().expect("bound").to_string());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { address, admin, clock, stop: Some(stop), running }
    }

    pub async fn client(&self) -> Client {
        Client::to(&self.address).await
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, path: &str, cookies: &str) -> super::Answer {
        self.client().await.get(path, cookies).await
    }

    /// Moves the clock; returns its new reading in seconds.
    pub fn pass(&self, seconds: i64) -> i64 {
        (self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst) + seconds * 1000) / 1000
    }

    pub fn pass_millis(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// As SIGTERM would.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    pub async fn stopped(self) {
        self.running.await.expect("a clean end");
    }
}
