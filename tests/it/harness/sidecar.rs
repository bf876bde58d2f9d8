//! slidecar in this process, with a clock that the test moves.

use super::Client;
use super::tokens::{NOW, SECRET};
use slidecar::app::{App, Reloader};
use slidecar::clock::Clock;
use slidecar::config::{self, Config};
use slidecar::session::time::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// For those who may revoke.
pub const ADMIN_TOKEN: (&str, &str) = ("SLIDECAR_ADMIN_TOKEN", "a token that nobody guesses");

/// Stands still until it is moved. Replicas of one test share it.
#[derive(Clone)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
    /// The next reading panics: the way to a fault in the middle of a request.
    breaks: Arc<AtomicBool>,
}

impl ManualClock {
    fn new() -> Self {
        Self { millis: Arc::new(AtomicI64::new(NOW * 1000)), breaks: Arc::default() }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        assert!(!self.breaks.swap(false, Ordering::SeqCst), "a fault that a test asked for");
        UnixMillis::new(self.millis.load(Ordering::SeqCst))
    }
}

pub struct Sidecar {
    settings: Vec<(String, String)>,
    pub address: String,
    pub admin: String,
    clock: ManualClock,
    reloader: Reloader,
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

    /// Another one with the same settings, which shares the clock and, if they name one, the store.
    pub async fn replica_like(&self, backend: &str) -> Self {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.replica(backend, &settings).await
    }

    /// On a socket that listens already.
    pub async fn listening(backend: &str, listener: TcpListener, settings: &[(&str, &str)]) -> Self {
        let clock = ManualClock::new();
        let config = config(backend, settings);
        Self::run(App::with_listener(&config, listener, Arc::new(clock.clone())).await.expect("a free port"), clock, settings)
    }

    async fn start(backend: &str, settings: &[(&str, &str)], clock: ManualClock) -> Self {
        let config = config(backend, settings);
        Self::run(App::build(&config, Arc::new(clock.clone())).await.expect("free ports"), clock, settings)
    }

    fn run(app: App, clock: ManualClock, settings: &[(&str, &str)]) -> Self {
        let (address, admin) = (app.address().expect("bound").to_string(), app.admin_address().expect("bound").to_string());
        let reloader = app.reloader();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { settings, address, admin, clock, reloader, stop: Some(stop), running }
    }

    pub async fn client(&self) -> Client {
        Client::to(&self.address).await
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, path: &str, cookies: &str) -> super::Answer {
        self.client().await.get(path, cookies).await
    }

    /// The same GET on eight connections at once.
    pub async fn burst(&self, cookies: &str) -> Vec<super::Answer> {
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = self.client().await;
            client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\n\r\n")).await;
            clients.push(client);
        }
        let mut answers = Vec::new();
        for client in &mut clients {
            answers.push(client.answer("GET").await);
        }
        answers
    }

    /// `POST /revocations` by who may.
    pub async fn revoke(&self, order: &str) -> super::Answer {
        let mut client = Client::to(&self.admin).await;
        let length = order.len();
        let token = ADMIN_TOKEN.1;
        client
            .send(format!(
                "POST /revocations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{order}"
            ))
            .await;
        client.answer("POST").await
    }

    pub async fn ready(&self) -> super::Answer {
        Client::to(&self.admin).await.request("GET", "/readyz?verbose", &[]).await
    }

    /// What Prometheus would scrape.
    pub async fn metrics(&self) -> String {
        Client::to(&self.admin).await.request("GET", "/metrics", &[]).await.text()
    }

    /// Moves the clock; returns its new reading in seconds.
    pub fn pass(&self, seconds: i64) -> i64 {
        (self.clock.millis.fetch_add(seconds * 1000, Ordering::SeqCst) + seconds * 1000) / 1000
    }

    pub fn pass_millis(&self, millis: i64) {
        self.clock.millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// The next request's handling panics.
    pub fn panic_once(&self) {
        self.clock.breaks.store(true, Ordering::SeqCst);
    }

    /// As SIGHUP would.
    pub fn reload(&self) {
        self.reloader.reload();
    }

    /// As SIGTERM would.
    pub fn stop(&mut self) {
        self.stop.take();
    }

    pub async fn stopped(self) {
        self.running.await.expect("a clean end");
    }
}

fn config(backend: &str, settings: &[(&str, &str)]) -> Config {
    // A backend that is more than an address says its scheme itself.
    let upstream = if backend.contains("://") || backend.starts_with("unix:") { backend.to_owned() } else { format!("http://{backend}") };
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
        // The test's own thread; those that are about several say so.
        ("SLIDECAR_WORKERS", "1"),
    ];
    let mut vars: HashMap<String, String> =
        defaults.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    // A dash takes a default away.
    vars.retain(|_, value| value != "-");
    config::load(&vars).unwrap_or_else(|rejected| panic!("{rejected:#?}"))
}
