//! Applications as they come from their registries. Chainlit: an HS256 session in the cookie `access_token`, nothing
//! that renews it, and a socket. The real slidecar stands before it, by the system's clock.
//!
//! `tests/published/install` brings it.

use crate::harness::{Answer, Browser, Client, Process, bare, expiry, issued, next_second, now, now_millis, shape, sleep_until};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::sleep;

const SECRET: &str = "the published application's secret";
const COOKIE: &str = "access_token";
const TTL: i64 = 6;
/// Due after one second, over after six.
const SETTINGS: [(&str, &str); 7] = [
    ("SESSION_COOKIE_NAME", COOKIE),
    ("JWT_SECRET", SECRET),
    ("JWT_EXPIRES_IN", "6s"),
    ("SESSION_REFRESH_THRESHOLD", "5s"),
    ("SESSION_HEARTBEAT_INTERVAL", "1s"),
    ("SESSION_TIMEOUT_BUFFER", "1s"),
    ("SESSION_PASSIVE_PATHS", "/ws"),
];
const SOCKET: &str = "/ws/socket.io/?EIO=4&transport=websocket";

#[tokio::test]
async fn q6_chainlit_keeps_those_at_work_and_only_those() {
    let stage = Stage::set();
    tokio::join!(
        without_slidecar_work_ends_at_the_ttl(&stage),
        work_outlives_the_ttl(&stage),
        a_pause_within_the_ttl_is_forgiven(&stage),
        idleness_ends_by_the_ttl(&stage),
    );
}

async fn without_slidecar_work_ends_at_the_ttl(stage: &Stage) {
    let mut user = User::at(&stage.backend);
    let login = user.log_in_as("ada").await;
    let token = login.cookie(COOKIE);
    assert_eq!((expiry(token) - issued(token), max_age(&login)), (TTL, Some(TTL)));

    let end = expiry(token) * 1000;
    let asked = user.work_for(TTL + 1).await;
    for visit in &asked {
        // Between the two it may fall either way.
        assert!(visit.answered > end || visit.is_in, "the application lets nobody out early: {visit:?}, exp {end}");
        assert!(visit.asked < end || !visit.is_in, "the sickness is there: {visit:?}, exp {end}");
    }
    assert!(asked.iter().any(|visit| visit.is_in) && asked.iter().any(|visit| !visit.is_in));
}

async fn work_outlives_the_ttl(stage: &Stage) {
    let direct = User::at(&stage.backend).log_in_as("grace").await;
    let mut user = User::at(&stage.front);
    let login = user.log_in_as("grace").await;
    let first = login.cookie(COOKIE).to_owned();
    assert_eq!(shape(&first), shape(direct.cookie(COOKIE)), "only the times differ from a token that came directly");
    assert_eq!(character(&login), character(&direct));

    let asked = user.work_for(2 * TTL + 1).await;
    assert!(asked.iter().all(|visit| visit.is_in), "{asked:#?}");
    assert!(now() > issued(&first) + 2 * TTL, "beyond twice the TTL");
    for renewal in asked.iter().filter_map(|visit| visit.renewal.as_ref()) {
        let token = renewal.cookie(COOKIE);
        assert_eq!((shape(token), issued(token)), (shape(&first), issued(&first)), "only exp differs");
        assert_eq!(character(renewal), character(&login), "a renewed cookie replaces the application's");
    }
    assert_eq!(stage.who_by(&stage.backend, &first).await, None, "the first token is over, its session is not");
}

async fn a_pause_within_the_ttl_is_forgiven(stage: &Stage) {
    let mut user = User::at(&stage.front);
    let token = user.log_in_as("joan").await.cookie(COOKIE).to_owned();
    sleep_until(expiry(&token) * 1000 - 1500).await;
    let back = user.get("/user").await;
    assert_eq!(who(&back), Some("joan".to_owned()));
    assert!(expiry(back.cookie(COOKIE)) > expiry(&token), "renewed");
}

async fn idleness_ends_by_the_ttl(stage: &Stage) {
    let mut user = User::at(&stage.front);
    let token = user.log_in_as("kurt").await.cookie(COOKIE).to_owned();
    sleep_until(expiry(&token) * 1000).await;
    assert_eq!(user.cookies(), "", "the browser has let the cookie go");
    assert_eq!(who(&user.get("/user").await), None);
    let late = get(&stage.front, "/user", &format!("{COOKIE}={token}")).await;
    assert_eq!((who(&late), late.field("set-cookie")), (None, None), "neither does a kept one open, nor come back to life");
}

#[tokio::test]
async fn l1_chainlit_logout_is_the_end_until_the_next_login() {
    let stage = Stage::set();
    let (_running, replica) = Process::slidecar(&stage.backend, &SETTINGS);
    let mut user = User::at(&stage.front);
    // Two logins of one user within a second give one token.
    next_second().await;
    let token = user.log_in_as("ada").await.cookie(COOKIE).to_owned();
    assert_eq!(stage.who_by(&replica, &token).await, Some("ada".to_owned()), "replicas share the key");

    let logout = user.post("/logout", "").await;
    assert_eq!((logout.status, max_age(&logout)), (200, Some(0)));
    let companion = format!("{COOKIE}_x");
    let tombstone = format!("{companion}={}", logout.cookie(&companion));
    assert_eq!(user.cookies(), tombstone, "of the session nothing is left but the memory of its end");
    assert_eq!(who(&user.get("/user").await), None, "logged out");

    assert_eq!(stage.who_by(&stage.front, &token).await, None, "this process remembers");
    let elsewhere = get(&replica, "/user", &format!("{COOKIE}={token}; {tombstone}")).await;
    assert_eq!(who(&elsewhere), None, "the browser tells every other");
    assert_eq!(stage.who_by(&stage.backend, &token).await, Some("ada".to_owned()), "the application itself remembers nothing");

    next_second().await;
    user.log_in_as("ada").await;
    assert_eq!(who(&user.get("/user").await), Some("ada".to_owned()), "a new login");
}

#[tokio::test]
async fn t1_w1_chainlit_talks_over_its_socket() {
    let stage = Stage::set();
    let mut user = User::at(&stage.front);
    let token = user.log_in_as("ada").await.cookie(COOKIE).to_owned();
    // The session is due for renewal now, which a handshake cannot bring.
    sleep_until(expiry(&token) * 1000 - 4500).await;
    let mut socket = Socket::open(&stage.front, &user.cookies()).await;
    assert!(socket.hear().await.starts_with(r#"0{"sid":"#), "Engine.IO opens");

    socket.say(r#"40{"sessionId":"s-1","clientType":"webapp","userEnv":"{}"}"#).await;
    let accepted = socket.hear_until(|message| message.starts_with("40")).await;
    assert!(accepted.starts_with(r#"40{"sid":"#), "the application knows who connects: {accepted}");
    socket.say(r#"42["connection_successful"]"#).await;
    let message = r#"{"id":"4a0c3c52-5c1e-4f0e-9d1b-6f2f3f0c7a11","type":"user_message","createdAt":null,"output":"hello"}"#;
    socket.say(&format!(r#"42["client_message",{{"message":{message}}}]"#)).await;
    socket.hear_until(|message| message.contains("You said: hello")).await;

    let visit = user.get("/user").await;
    assert!(!visit.cookie_lines(COOKIE).is_empty(), "the renewal waited for a request that can bring it");
}

#[tokio::test]
async fn q8_chainlit_refuses_a_socket_without_a_session() {
    let stage = Stage::set();
    let other = User::at(&stage.backend).log_in_as("ada").await.cookie(COOKIE).to_owned();
    let forged = other.rsplit_once('.').map(|(signed, _)| format!("{signed}.{}", "A".repeat(43))).expect("a token");
    for cookies in [String::new(), format!("{COOKIE}={forged}")] {
        let mut socket = Socket::open(&stage.front, &cookies).await;
        socket.say(r#"40{"sessionId":"s-2","clientType":"webapp","userEnv":"{}"}"#).await;
        let refused = socket.hear_until(|message| message.starts_with("44")).await;
        assert!(refused.contains("Connection refused"), "{refused}");
    }
}

#[tokio::test]
async fn q5_chainlit_that_polls_instead_of_a_socket_keeps_nobody_in() {
    let stage = Stage::set();
    let mut user = User::at(&stage.front);
    let token = user.log_in_as("ada").await.cookie(COOKIE).to_owned();
    sleep_until(expiry(&token) * 1000 - 4500).await;
    let poll = user.get("/ws/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(poll.status, 200);
    assert!(poll.text().starts_with(r#"0{"sid":"#), "{}", poll.text());
    assert!(poll.cookie_lines(COOKIE).is_empty(), "a passive path");
    assert!(!user.get("/user").await.cookie_lines(COOKIE).is_empty(), "it was due");
}

#[tokio::test]
async fn e1_chainlit_keeps_its_own_paths_beside_the_session_endpoints() {
    let stage = Stage::set();
    let behind = get(&stage.front, "/auth/config", "").await;
    assert_eq!((behind.status, &behind.json()["requireLogin"]), (200, &json!(true)));
    assert_eq!(behind.body, get(&stage.backend, "/auth/config", "").await.body);
    let policy = get(&stage.front, "/auth/session-policy", "").await;
    assert_eq!((policy.status, &policy.json()["accessTokenTtlMs"]), (200, &json!(TTL * 1000)));
}

/// Chainlit and slidecar before it.
struct Stage {
    _chainlit: Chainlit,
    _slidecar: Process,
    /// Where Chainlit listens.
    backend: String,
    /// Where slidecar listens.
    front: String,
}

impl Stage {
    fn set() -> Self {
        let (chainlit, backend) = Chainlit::start();
        let (slidecar, front) = Process::slidecar(&backend, &SETTINGS);
        Self { _chainlit: chainlit, _slidecar: slidecar, backend, front }
    }

    /// Whom this token alone stands for, there.
    async fn who_by(&self, address: &str, token: &str) -> Option<String> {
        who(&get(address, "/user", &format!("{COOKIE}={token}")).await)
    }
}

struct Chainlit {
    _process: Process,
    /// Configuration and whatever else it writes.
    _home: TempDir,
}

impl Chainlit {
    fn start() -> (Self, String) {
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published");
        assert!(published.join(".venv/.installed").exists(), "Chainlit is not installed: run tests/published/install");
        let home = Self::home();
        let address = format!("127.0.0.1:{}", free_port());
        let port = address.rsplit(':').next().expect("a port");
        let mut command = bare(published.join(".venv/bin/chainlit"));
        command.args(["run", "--headless", "--port", port]).arg(published.join("chainlit/app.py"));
        // No byte code beside the application.
        command.env("CHAINLIT_AUTH_SECRET", SECRET).env("CHAINLIT_APP_ROOT", home.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let (process, address) = Process::start(command, |line| line.contains("Your app is available").then(|| address.clone()));
        await_listener(&address, &process);
        (Self { _process: process, _home: home }, address)
    }

    /// A new installation whose only own setting is the lifetime.
    fn home() -> TempDir {
        let home = TempDir::new().expect("a folder");
        let folder: PathBuf = home.path().join(".chainlit");
        let config = format!("[project]\nuser_session_timeout = {TTL}\n[UI]\nname = \"Assistant\"\n[meta]\ngenerated_by = \"2.12.0\"\n");
        std::fs::create_dir(&folder).and_then(|()| std::fs::write(folder.join("config.toml"), config)).expect("writable");
        home
    }
}

/// Chainlit cannot say which port it got, so it is given one; below those that the system hands out to the other tests.
fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    (0..1000)
        .map(|_| std::process::id() * 16 + TRIED.fetch_add(1, Ordering::Relaxed))
        .filter_map(|number| u16::try_from(20_000 + number % 10_000).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// It speaks of its address shortly before it listens there.
fn await_listener(address: &str, process: &Process) {
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("Chainlit does not listen; it said:\n{}", process.said());
}

/// One question who is in, in milliseconds.
#[derive(Debug)]
struct Visit {
    asked: i64,
    answered: i64,
    is_in: bool,
    renewal: Option<Answer>,
}

/// Somebody with a browser.
struct User {
    browser: Browser,
    address: String,
}

impl User {
    fn at(address: &str) -> Self {
        Self { browser: Browser::default(), address: address.to_owned() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        let answer = get(&self.address, path, &self.cookies()).await;
        self.browser.keep(path, &answer);
        answer
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        let (length, cookies) = (form.len().to_string(), self.cookies());
        let mut fields = vec![("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", &length)];
        if !cookies.is_empty() {
            fields.push(("Cookie", &cookies));
        }
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut client = Client::to(&self.address).await;
        client.send(format!("POST {path} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n{form}")).await;
        let answer = client.answer("POST").await;
        self.browser.keep(path, &answer);
        answer
    }

    fn cookies(&self) -> String {
        self.browser.cookies("/")
    }

    async fn log_in_as(&mut self, name: &str) -> Answer {
        let answer = self.post("/login", &format!("username={name}&password=lovelace")).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "success": true })));
        answer
    }

    /// Asks twice a second who is in.
    async fn work_for(&mut self, seconds: i64) -> Vec<Visit> {
        let end = now_millis() + seconds * 1000;
        let mut visits = Vec::new();
        while now_millis() < end {
            let asked = now_millis();
            let answer = self.get("/user").await;
            let (answered, is_in) = (now_millis(), who(&answer).is_some());
            visits.push(Visit { asked, answered, is_in, renewal: (!answer.cookie_lines(COOKIE).is_empty()).then_some(answer) });
            sleep(Duration::from_millis(500)).await;
        }
        visits
    }
}

/// One GET on a connection of its own.
async fn get(address: &str, path: &str, cookies: &str) -> Answer {
    let fields = [("Cookie", cookies)];
    let fields = if cookies.is_empty() { &[][..] } else { &fields };
    Client::to(address).await.request("GET", path, fields).await
}

/// The Max-Age of the one line that sets the session.
fn max_age(answer: &Answer) -> Option<i64> {
    attributes(answer).find_map(|attribute| attribute.strip_prefix("max-age=")?.parse().ok())
}

/// What else stands there, but for the lifetime, in any order.
fn character(answer: &Answer) -> BTreeSet<String> {
    attributes(answer).filter(|attribute| !attribute.starts_with("max-age=") && !attribute.starts_with("expires=")).collect()
}

fn attributes(answer: &Answer) -> impl Iterator<Item = String> {
    let lines = answer.cookie_lines(COOKIE);
    assert_eq!(lines.len(), 1, "one line sets the session: {lines:#?}");
    lines[0].split(';').skip(1).map(|attribute| attribute.trim().to_lowercase()).collect::<Vec<_>>().into_iter()
}

/// What `/user` says.
fn who(answer: &Answer) -> Option<String> {
    match answer.status {
        200 => answer.json()["identifier"].as_str().map(str::to_owned),
        401 => None,
        status => panic!("{status}: {}", answer.text()),
    }
}

/// A WebSocket as far as Socket.IO needs it: whole messages of text.
struct Socket {
    client: Client,
}

impl Socket {
    async fn open(address: &str, cookies: &str) -> Self {
        let mut client = Client::to(address).await;
        let fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Cookie", cookies),
        ];
        let fields = if cookies.is_empty() { &fields[..4] } else { &fields };
        let answer = client.request("GET", SOCKET, fields).await;
        // The key of RFC 6455 and its answer.
        assert_eq!((answer.status, answer.field("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert!(answer.field("set-cookie").is_none(), "a handshake renews nothing");
        Self { client }
    }

    /// Masked by zeros, which changes nothing.
    async fn say(&mut self, text: &str) {
        let length = u16::try_from(text.len()).expect("a short text");
        let mut frame = vec![0x81];
        match u8::try_from(length) {
            Ok(short @ ..126) => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.client.send(frame).await;
    }

    async fn hear(&mut self) -> String {
        let head = self.client.bytes(2).await;
        assert_eq!(head[0], 0x81, "one whole text");
        let length = match head[1] {
            126 => self.client.bytes(2).await.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            length => usize::from(length),
        };
        String::from_utf8(self.client.bytes(length).await).expect("UTF-8")
    }

    /// The first message like this; others may come before it.
    async fn hear_until(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let mut heard = Vec::new();
        let hearing = async {
            loop {
                heard.push(self.hear().await);
                if let Some(message) = heard.last().filter(|message| is_it(message)) {
                    return message.clone();
                }
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(5), hearing).await;
        result.unwrap_or_else(|_| panic!("only this was heard: {heard:#?}"))
    }
}
