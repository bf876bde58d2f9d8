//! The runbook of `docs/rotation.md`, with real programs: two pods, each an application that knows one key and slidecar before
//! it, and people who are at work all the while. `tests/legacy/install` brings the application.

use crate::harness::{Answer, Browser, Client, Process, is_signed_by, issued, kubelet::Mount, now, signal, token_by};
use crate::legacy::SLIDING_EXPRESS as EXPRESS;
use serde_json::Value;
use slidecar::clock::Stopwatch;
use slidecar::session::time::Span;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const OLD: &str = "the key that everybody has signed with so far";
const NEW: &str = "the key that everybody is going to sign with";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const TTL: i64 = 2 * 3600;
const CROWD: usize = 20;

/// Nothing comes due by itself, so that whatever is renewed is renewed for its key. The application says `SameSite=Lax`, so
/// that sessions carry a companion, which is sealed by the same keys and has to outlive them as well.
const SETTINGS: [(&str, &str); 3] =
    [("JWT_EXPIRES_IN", "2h"), ("SESSION_COOKIE_ATTRIBUTES", "Path=/; HttpOnly; SameSite=Strict"), ("SLIDECAR_DRAIN", "1s")];

/// What one pod runs with.
#[derive(Clone, Copy)]
struct Keys {
    /// The only one that the application knows.
    app: &'static str,
    active: &'static str,
    previous: Option<&'static str>,
}

const BEFORE: Keys = Keys { app: OLD, active: OLD, previous: None };
const VERIFY_ONLY: Keys = Keys { app: OLD, active: OLD, previous: Some(NEW) };
const SWAPPED: Keys = Keys { app: NEW, active: NEW, previous: Some(OLD) };
const AFTER: Keys = Keys { app: NEW, active: NEW, previous: None };

/// The order matters, and so does that slidecar signs by the key of its own application. Each case is two pods as they may
/// stand beside each other, and somebody with a session from before who asks the first, the second and the first again.
#[tokio::test]
async fn q7_the_order_of_a_rotation_matters() {
    let apps = [OLD, NEW].map(|key| (key, EXPRESS.start_with(&[("PORT", "0"), ("JWT_SECRET", key)])));
    let ahead = Keys { app: OLD, ..SWAPPED };
    for (case, first, second, expected) in [
        ("one pod is swapped after both learned to verify", SWAPPED, VERIFY_ONLY, [200, 200, 200]),
        ("one pod is swapped and the other never heard of the key", SWAPPED, BEFORE, [200, 401, 200]),
        ("the old key is gone before the session was re-signed", AFTER, SWAPPED, [401, 200, 200]),
        ("slidecar signs by the new key before its application knows it", ahead, VERIFY_ONLY, [401, 200, 401]),
    ] {
        let pods = [first, second].map(|keys| {
            let (_, (_, backend)) = apps.iter().find(|(key, _)| *key == keys.app).unwrap();
            slidecar_before(backend, &keys.settings())
        });
        let session = token_by(OLD, HEADER, &format!(r#"{{"sub":"ada","role":"admin","iat":{},"exp":{}}}"#, now(), now() + TTL));
        let mut cookies = format!("session={session}");
        let mut seen = Vec::new();
        for (_, front) in [&pods[0], &pods[1], &pods[0]] {
            let answer = Client::to(front).await.get("/account", &cookies).await;
            seen.push(answer.status);
            if let Some(line) = answer.cookie_lines("session").first() {
                cookies = line.split(';').next().unwrap().to_owned();
            }
        }
        assert_eq!(seen, expected, "{case}");
    }
}

/// As Kubernetes rolls a deployment: a new pod comes, traffic goes there, the old one is asked to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q7_nobody_is_logged_out_by_a_rotation_that_replaces_the_pods() {
    Drill::begin(Way::NewPods).await.run().await;
}

/// slidecar takes the keys up from files; only the application has to be restarted, and its pod leaves the service for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q7_nobody_is_logged_out_by_a_rotation_in_files() {
    Drill::begin(Way::Files).await.run().await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    NewPods,
    Files,
}

struct Drill {
    way: Way,
    service: Arc<Service>,
    pods: [Pod; 2],
    crowd: Crowd,
}

impl Drill {
    async fn begin(way: Way) -> Self {
        let other = std::thread::spawn(move || Pod::start(BEFORE, way));
        let pods = [Pod::start(BEFORE, way), other.join().unwrap()];
        let service = Arc::new(Service { pods: pods.each_ref().map(|pod| Mutex::new(Some(Arc::clone(&pod.place)))) });
        let mut crowd = Crowd { service: Arc::clone(&service), people: Vec::new(), is_over: Arc::default() };
        crowd.log_in(CROWD).await;
        Self { way, service, pods, crowd }
    }

    async fn run(mut self) {
        self.take_up(VERIFY_ONLY).await;
        self.crowd.log_in(2).await;
        assert!(self.crowd.tokens().iter().all(|token| is_signed_by(OLD, token)), "nobody signs by the new key yet");

        self.take_up(SWAPPED).await;
        self.crowd.log_in(2).await;
        // Only one key is left in the end, so everybody's token has to be re-signed by then. In production this is what the
        // wait of one TTL is for: whoever asked within it has a new token, and whoever did not has none that is still valid.
        // Here everybody asks, and the counter that an operator would watch says the same.
        self.crowd.asks_again().await;
        assert!(self.crowd.tokens().iter().all(|token| is_signed_by(NEW, token)), "whoever asks gets the new key");
        let rekeyed = self.rekeyed().await;
        assert!(rekeyed > 0);
        self.crowd.asks_again().await;
        assert_eq!(self.rekeyed().await, rekeyed, "nothing is left to be re-signed");

        self.take_up(AFTER).await;
        self.crowd.log_in(2).await;
        self.crowd.goes_home().await;
        self.pods.iter().for_each(Pod::assert_is_content);
    }

    /// One pod after the other, so that each stands beside one of the step before while everybody asks both.
    async fn take_up(&mut self, keys: Keys) {
        let mut ending = Vec::new();
        for number in 0..2 {
            match self.way {
                Way::NewPods => {
                    let old = std::mem::replace(&mut self.pods[number], Pod::start(keys, self.way));
                    self.service.put(number, Some(&self.pods[number].place));
                    // Requests are under way there, and some may be about to connect.
                    signal(old.sidecar.id(), "-TERM");
                    ending.push(old);
                }
                Way::Files if keys.app == self.pods[number].place.key => self.pods[number].reload(keys).await,
                Way::Files => {
                    // Between its two changes the pod would hand its application tokens of a key that is not known there.
                    self.service.take_out(number).await;
                    self.pods[number].reload(keys).await;
                    self.pods[number].restart_app(keys);
                    self.service.put(number, Some(&self.pods[number].place));
                }
            }
            self.crowd.asks_again().await;
        }
        for mut old in ending {
            assert_eq!(old.sidecar.ended().await, Some(0));
            old.assert_is_content();
        }
    }

    /// What the runbook says to look at.
    async fn rekeyed(&self) -> u64 {
        const COUNTER: &str = r#"slidecar_session_decisions_total{decision="renewed",reason="rekey"} "#;
        let mut sum = 0;
        for pod in &self.pods {
            let metrics = Client::to(&pod.admin).await.request("GET", "/metrics", &[]).await.text();
            sum += metrics.lines().find_map(|line| line.strip_prefix(COUNTER)).unwrap().parse::<u64>().unwrap();
        }
        sum
    }
}

struct Pod {
    app: Process,
    /// Where the application listens.
    backend: String,
    sidecar: Process,
    admin: String,
    place: Arc<Place>,
    /// Where slidecar reads its keys, unless they are in its environment.
    mount: Option<Mount>,
    generation: u64,
}

/// What the service knows of a pod.
struct Place {
    front: String,
    /// The one of its application.
    key: &'static str,
}

impl Keys {
    fn settings(self) -> Vec<(&'static str, String)> {
        let previous = self.previous.map(|key| [("JWT_PREVIOUS_SECRET", key.to_owned()), ("JWT_PREVIOUS_UNTIL", until())]);
        [("JWT_SECRET", self.active.to_owned())].into_iter().chain(previous.into_iter().flatten()).collect()
    }

    fn write(self, mount: &Mount) {
        let until = until();
        let previous = self.previous.map(|key| [("previous", key), ("until", until.as_str())]);
        mount.swap(&[("secret", self.active)].into_iter().chain(previous.into_iter().flatten()).collect::<Vec<_>>());
    }
}

/// One TTL after the last token that the old key signs, which is now or a minute from now.
fn until() -> String {
    jiff::Timestamp::from_second(now() + TTL + 60).unwrap().to_string()
}

impl Pod {
    fn start(keys: Keys, way: Way) -> Self {
        let (port, mount, settings) = match way {
            Way::NewPods => (0, None, keys.settings()),
            Way::Files => {
                let mount = Mount::with(&[]);
                keys.write(&mount);
                let files = [("JWT_SECRET_FILE", "secret"), ("JWT_PREVIOUS_SECRET_FILE", "previous"), ("JWT_PREVIOUS_UNTIL_FILE", "until")];
                let settings = files.map(|(name, file)| (name, format!("{}/{file}", mount.path())));
                (port_to_come_back_to(), Some(mount), settings.to_vec())
            }
        };
        let (app, backend) = EXPRESS.start_with(&[("PORT", &port.to_string()), ("JWT_SECRET", keys.app)]);
        let (sidecar, front) = slidecar_before(&backend, &settings);
        let listening = events(&sidecar).into_iter().find(|line| line["event"] == "listening").unwrap();
        let admin = listening["admin"].as_str().unwrap().to_owned();
        Self { app, backend, sidecar, admin, place: Arc::new(Place { front, key: keys.app }), mount, generation: 1 }
    }

    async fn reload(&mut self, keys: Keys) {
        keys.write(self.mount.as_ref().unwrap());
        self.generation += 1;
        let is_it = |line: &Value| line["event"] == "reloaded" && line["generation"] == self.generation;
        until_true("reloaded", || events(&self.sidecar).iter().any(is_it)).await;
    }

    fn restart_app(&mut self, keys: Keys) {
        self.app.kill();
        let port = self.backend.rsplit(':').next().unwrap();
        (self.app, _) = EXPRESS.start_with(&[("PORT", port), ("JWT_SECRET", keys.app)]);
        self.place = Arc::new(Place { front: self.place.front.clone(), key: keys.app });
    }

    /// Every token and every companion that it saw was by a key that it knew.
    fn assert_is_content(&self) {
        for line in events(&self.sidecar) {
            assert!(!matches!(line["event"].as_str(), Some("session_token_unverified" | "companion_rejected")), "{line}");
        }
    }
}

fn slidecar_before(backend: &str, settings: &[(&str, String)]) -> (Process, String) {
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    Process::slidecar(backend, &settings.chain(SETTINGS).collect::<Vec<_>>())
}

/// Without the thousands that tell of a request.
fn events(process: &Process) -> Vec<Value> {
    process
        .said()
        .lines()
        .filter(|line| !line.contains(r#""event":"request""#))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Below those that the system gives to whoever asks for any, so that nobody takes it while the application restarts.
fn port_to_come_back_to() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = usize::try_from(std::process::id()).unwrap() * 8;
    let mut candidates = (0..1000).map(|_| 10_000 + (first + NEXT.fetch_add(1, Relaxed)) % 20_000);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find_map(|port| u16::try_from(port).ok().filter(is_free)).unwrap()
}

async fn until_true(what: &str, mut is_so: impl FnMut() -> bool) {
    let watch = Stopwatch::start();
    while !is_so() {
        assert!(watch.elapsed() < Span::from_secs(30), "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Knows where the pods are, as a Service of Kubernetes does; `None` is one that is not ready.
struct Service {
    pods: [Mutex<Option<Arc<Place>>>; 2],
}

impl Service {
    fn put(&self, number: usize, place: Option<&Arc<Place>>) -> Option<Arc<Place>> {
        std::mem::replace(&mut *self.pods[number].lock().unwrap(), place.cloned())
    }

    /// Ends when nothing is under way there any more.
    async fn take_out(&self, number: usize) {
        let place = self.put(number, None).unwrap();
        // The pod and we hold one each, every request one more.
        until_true("idle", || Arc::strong_count(&place) == 2).await;
    }

    /// Of this pod, or of the other while this one is away; also returns the key of the application that answered. Only a
    /// connection that cannot be made is tried again.
    async fn ask(&self, number: usize, method: &str, request: &str) -> (Answer, &'static str) {
        let watch = Stopwatch::start();
        while watch.elapsed() < Span::from_secs(30) {
            for number in [number, 1 - number] {
                let Some(place) = self.pods[number].lock().unwrap().clone() else { continue };
                if let Ok(stream) = TcpStream::connect(&place.front).await {
                    let mut client = Client::over(stream);
                    client.send(request).await;
                    return (client.answer(method).await, place.key);
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("nobody listens");
    }
}

/// People at work, each with a browser.
struct Crowd {
    service: Arc<Service>,
    people: Vec<(Arc<Person>, JoinHandle<()>)>,
    is_over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Person {
    turns: AtomicUsize,
    /// What the browser holds.
    token: Mutex<String>,
}

impl Crowd {
    /// So many more, by turns through either pod.
    async fn log_in(&mut self, count: usize) {
        const FORM: &str = "user=ada&password=lovelace";
        const FIELDS: &str = "Host: app.example\r\nContent-Type: application/x-www-form-urlencoded";
        for number in 0..count {
            let request = format!("POST /login HTTP/1.1\r\n{FIELDS}\r\nContent-Length: {}\r\n\r\n{FORM}", FORM.len());
            let (answer, key) = self.service.ask(number % 2, "POST", &request).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let token = answer.cookie("session").to_owned();
            assert!(is_signed_by(key, &token));
            let mut browser = Browser::default();
            browser.keep("/login", &answer);
            let begun = issued(&token);
            let person = Arc::new(Person { turns: AtomicUsize::new(0), token: Mutex::new(token) });
            let work = Arc::clone(&person).work(Arc::clone(&self.service), browser, begun, Arc::clone(&self.is_over));
            self.people.push((person, tokio::spawn(work)));
        }
    }

    /// Returns when everybody has begun and ended a turn since.
    async fn asks_again(&mut self) {
        // One turn may be under way.
        let enough: Vec<_> = self.people.iter().map(|(person, _)| person.turns.load(Relaxed) + 2).collect();
        for ((person, work), enough) in self.people.iter_mut().zip(enough) {
            until_true("an answer", || person.turns.load(Relaxed) >= enough || work.is_finished()).await;
            if work.is_finished() {
                work.await.expect("nobody is let down");
            }
        }
    }

    fn tokens(&self) -> Vec<String> {
        self.people.iter().map(|(person, _)| person.token.lock().unwrap().clone()).collect()
    }

    async fn goes_home(&mut self) {
        self.asks_again().await;
        self.is_over.store(true, Relaxed);
        for (_, work) in self.people.drain(..) {
            work.await.expect("nobody is let down");
        }
    }
}

impl Person {
    /// Asks both pods at once, again and again, as a page and what it loads would. The answers come in either order.
    async fn work(self: Arc<Self>, service: Arc<Service>, mut browser: Browser, begun: i64, is_over: Arc<AtomicBool>) {
        while !is_over.load(Relaxed) {
            let cookies = browser.cookies("/account");
            let request = format!("GET /account HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\n\r\n");
            let (one, other) = tokio::join!(service.ask(0, "GET", &request), service.ask(1, "GET", &request));
            let turn = self.turns.load(Relaxed);
            for (answer, key) in if turn.is_multiple_of(2) { [one, other] } else { [other, one] } {
                assert_eq!(answer.status, 200, "a session of {begun} is out: {}", answer.text());
                let seen = answer.json();
                assert_eq!((seen["sub"].as_str(), seen["iat"].as_i64()), (Some("ada"), Some(begun)), "the same session as ever");
                let accepted = seen["cookies"].as_str().and_then(|cookies| cookies.strip_prefix("session=")).unwrap();
                assert!(is_signed_by(key, accepted), "its application knows one key");
                let renewed = answer.cookie_lines("session");
                assert!(renewed.iter().all(|line| line.contains("SameSite=Lax")), "as the application set it: {renewed:?}");
                browser.keep("/account", &answer);
            }
            browser.named("session")[0].value().clone_into(&mut self.token.lock().unwrap());
            self.turns.store(turn + 1, Relaxed);
            // People think; and twenty that do not leave nothing of a small machine to the programs.
            sleep(Duration::from_millis(150)).await;
        }
    }
}
