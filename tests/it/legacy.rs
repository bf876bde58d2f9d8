//! Applications that know nothing of slidecar: Express with jsonwebtoken, Flask with PyJWT. The real program stands
//! before them, by the system's clock, and their own verifiers have the last word on every token.
//!
//! `tests/legacy/install` brings their packages.
#![expect(clippy::panic, reason = "a test that cannot go on says why")]

use crate::harness::{Answer, Client, Process, bare, claims, expiry, issued, next_second, now, now_millis, payload, shape, token_by};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use slidecar::clock::Stopwatch;
use slidecar::session::time::Span;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

const SECRET: &str = "the legacy application's secret, sealed long ago";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const WEEK: i64 = 7 * 24 * 3600;
const MIB: usize = 1 << 20;

/// The five settings of the origin.
const POLICY: Settings = &[
    ("JWT_EXPIRES_IN", "2h"),
    ("JWT_DEMO_EXPIRES_IN", "2h"),
    ("SESSION_REFRESH_THRESHOLD", "1h"),
    ("SESSION_HEARTBEAT_INTERVAL", "10m"),
    ("SESSION_TIMEOUT_BUFFER", "5m"),
];
const TTL: i64 = 2 * 3600;

/// The same in seconds, for what has to be waited for: due after one second, over after six.
const SHORT_POLICY: Settings = &[
    ("JWT_EXPIRES_IN", "6s"),
    ("SESSION_REFRESH_THRESHOLD", "5s"),
    ("SESSION_HEARTBEAT_INTERVAL", "1s"),
    ("SESSION_TIMEOUT_BUFFER", "1s"),
];
const SHORT_TTL: i64 = 6;

const EXPRESS: App = App {
    runtime: "node",
    program: "express/app.js",
    // Its own five minutes would hide slidecar's renewal under the short policy.
    settings: &[("REFRESH_THRESHOLD_SECONDS", "0")],
    stamp: "express/node_modules/.installed",
    attributes: &["httponly", "path=/", "samesite=lax"],
};
/// As it is run in production: it renews by itself in the last five minutes.
pub const SLIDING_EXPRESS: App = App { settings: &[], ..EXPRESS };
const FLASK: App = App {
    runtime: ".venv/bin/python",
    program: "flask/app.py",
    settings: &[],
    stamp: ".venv/.installed",
    attributes: &["httponly", "path=/"],
};

/// What holds for every application, as tests of its own module.
macro_rules! healed {
    ($app:expr) => {
        #[tokio::test]
        async fn k3_seven_day_token_is_clamped_to_the_policy() {
            super::seven_day_token_is_clamped(&$app).await;
        }

        #[tokio::test]
        async fn m3_old_and_new_token_are_accepted_and_an_active_user_outlives_the_first() {
            super::active_user_outlives_the_first_token(&$app).await;
        }

        #[tokio::test]
        async fn l1_logout_ends_the_old_token_and_l3_a_new_login_works() {
            super::logout_is_the_end_until_the_next_login(&$app).await;
        }
    };
}

mod express {
    healed!(super::EXPRESS);
}

mod flask {
    healed!(super::FLASK);
}

async fn seven_day_token_is_clamped(app: &App) {
    let stage = Stage::set(app, POLICY);
    let direct = Browser::at(&stage.backend).log_in().await;
    assert_eq!(direct.max_age("session"), Some(3600), "the sickness is there");
    assert_eq!(expiry(direct.cookie("session")) - issued(direct.cookie("session")), WEEK, "the sickness is there");

    let mut browser = Browser::at(&stage.front);
    let login = browser.log_in().await;
    assert_sets_a_session_of(TTL, &login, browser.asked);
    let token = login.cookie("session");
    let sealed = claims(token);
    assert!((browser.asked..=now()).contains(&issued(token)), "iat is the application's");
    assert_eq!(shape(token), shape(direct.cookie("session")), "only the times differ from a token that came directly");
    assert_eq!(login.attributes("session"), app.attributes);

    let account = browser.get("/account").await;
    assert_eq!(account.status, 200);
    for claim in ["sub", "role", "iat", "exp"] {
        assert_eq!(account.json()[claim], sealed[claim], "the application's verifier reads {claim}");
    }
    assert_eq!(account.json()["cookies"], format!("session={token}"), "companions are for slidecar alone");
    assert!(account.cookie_lines("session").is_empty(), "nothing is due yet");

    let event = stage.sidecar.line_with("session_ttl_mismatch").await;
    assert!((WEEK - 2..=WEEK).contains(&event["token_seconds"].as_i64().expect("a number")), "{event}");
    assert_eq!(event["policy_seconds"], TTL);
    let said = stage.sidecar.said();
    assert!(!said.contains(token) && !said.contains(SECRET), "no log line holds a token or the secret");
}

async fn active_user_outlives_the_first_token(app: &App) {
    let stage = Stage::set(app, SHORT_POLICY);
    let mut browser = Browser::at(&stage.front);
    let login = browser.log_in().await;
    assert_sets_a_session_of(SHORT_TTL, &login, browser.asked);
    let first = login.cookie("session").to_owned();

    let renewal = browser.until_renewed().await;
    assert_sets_a_session_of(SHORT_TTL, &renewal, browser.asked);
    let second = renewal.cookie("session");
    assert!(expiry(second) > expiry(&first), "renewed to a later exp");
    assert_eq!(shape(second), shape(&first), "only the times differ");
    assert_eq!(issued(second), issued(&first));
    assert_eq!(renewal.attributes("session"), app.attributes, "a renewed cookie replaces the application's");
    assert_eq!(renewal.field("cache-control"), Some("no-store, private"));

    for token in [&first, second] {
        let answer = get(&stage.backend, "/account", &format!("session={token}")).await;
        assert_eq!((answer.status, &answer.json()["sub"]), (200, &json!("ada")), "the application's own verifier");
    }

    while now() <= expiry(&first) {
        assert_eq!(browser.get("/account").await.status, 200, "at work");
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(get(&stage.backend, "/account", &format!("session={first}")).await.status, 401, "the first token is over");
    assert_eq!(browser.get("/account").await.status, 200, "its session is not");
}

async fn logout_is_the_end_until_the_next_login(app: &App) {
    let stage = Stage::set(app, POLICY);
    let (_running, replica) = slidecar_before(&stage.backend, POLICY);
    let mut browser = Browser::at(&stage.front);
    // Tokens of one user and second differ in nothing, so the second login, if it is as fast, brings the old token back.
    next_second().await;
    let old = format!("session={}", browser.log_in().await.cookie("session"));
    assert_eq!(get(&replica, "/account", &old).await.status, 200, "replicas share the key");

    let logout = browser.post("/logout", "").await;
    assert_eq!(logout.status, 200);
    let tombstone = format!("session_x={}", logout.cookie("session_x"));
    assert_eq!(browser.get("/account").await.status, 401, "logged out");

    let here = get(&stage.front, "/account", &old).await;
    assert_eq!((here.status, &here.json()["cookies"]), (401, &Value::Null), "this process remembers");
    let elsewhere = get(&replica, "/account", &format!("{old}; {tombstone}")).await;
    assert_eq!((elsewhere.status, &elsewhere.json()["cookies"]), (401, &Value::Null), "the browser tells every other");
    assert_eq!(get(&replica, "/account", &old).await.status, 200, "L4: a thief does not");

    browser.log_in().await;
    let account = browser.get("/account").await;
    assert_eq!((account.status, &account.json()["sub"]), (200, &json!("ada")), "a new login");
}

#[tokio::test]
async fn q6_express_token_from_before_the_installation_is_clamped_on_its_first_request() {
    let stage = Stage::set(&EXPRESS, POLICY);
    let before = Browser::at(&stage.backend).log_in().await.cookie("session").to_owned();

    let mut browser = Browser::at(&stage.front).with("session", &before);
    let account = browser.get("/account").await;
    assert_eq!((account.status, account.json()["exp"].as_i64()), (200, Some(expiry(&before))), "the old token still opens");
    assert_sets_a_session_of(TTL, &account, browser.asked);
    let token = account.cookie("session");
    assert_eq!(issued(token), issued(&before));
    assert_eq!(browser.get("/account").await.json()["exp"], expiry(token), "the application accepts the clamped one");
}

#[tokio::test]
async fn q8_express_never_sees_a_forged_or_expired_token() {
    let stage = Stage::set(&EXPRESS, POLICY);
    let good = Browser::at(&stage.front).log_in().await.cookie("session").to_owned();
    let forged = token_by("some other secret, as long as the right one is", HEADER, &payload(&good));
    let expired = token_by(SECRET, HEADER, &format!(r#"{{"sub":"ada","role":"admin","iat":{},"exp":{}}}"#, now() - 60, now() - 1));

    for (dead, what) in [(&forged, "forged"), (&expired, "expired")] {
        let among_others = get(&stage.front, "/account", &format!("theme=dark; session={dead}; lang=de")).await;
        assert_eq!(among_others.status, 401, "{what}");
        assert_eq!(among_others.json()["cookies"], "theme=dark; lang=de", "{what}");
        let alone = get(&stage.front, "/account", &format!("session={dead}")).await;
        assert_eq!((alone.status, &alone.json()["cookies"]), (401, &Value::Null), "{what}");
        assert!(alone.cookie_lines("session").is_empty(), "K7: slidecar deletes no cookie");
    }
    assert_eq!(get(&stage.front, "/account", &format!("session={good}")).await.status, 200, "the one that they were made from");
}

#[tokio::test]
async fn q3_express_gets_a_cookie_that_is_no_jwt_byte_for_byte() {
    let stage = Stage::set(&EXPRESS, POLICY);
    for cookies in ["session=s%3Aabc.def", "a=1;session=s%3Aabc.def ; b=\"x y\"", "session=", "session=.eJw.aAbB.c-_C"] {
        let answer = get(&stage.front, "/account", cookies).await;
        assert_eq!(answer.json()["cookies"], cookies);
        assert!(answer.field("set-cookie").is_none());
    }
}

#[tokio::test]
async fn e1_express_need_not_know_the_session_policy() {
    let stage = Stage::set(&EXPRESS, POLICY);
    let policy = get(&stage.front, "/auth/session-policy", "").await;
    assert_eq!(policy.status, 200);
    let expected = r#"{"accessTokenTtlMs":7200000,"heartbeatIntervalMs":600000,"sessionTimeoutMs":7500000,"refreshThresholdMs":3600000}"#;
    assert_eq!(policy.text(), expected);
    assert_eq!(get(&stage.backend, "/auth/session-policy", "").await.status, 404, "the application has none");
}

#[tokio::test]
async fn k3_express_that_slides_by_itself_stays_within_the_policy() {
    let stage = Stage::set(&SLIDING_EXPRESS, SHORT_POLICY);
    let mut browser = Browser::at(&stage.front);
    let first = browser.log_in().await.cookie("session").to_owned();

    // Under this policy every token is in its last five minutes, so the application signs one of its own for each request.
    let mut last = first.clone();
    while issued(&last) < issued(&first) + 2 {
        let answer = browser.get("/account").await;
        assert_eq!(answer.status, 200);
        assert_sets_a_session_of(SHORT_TTL, &answer, browser.asked);
        last = answer.cookie("session").to_owned();
        sleep(Duration::from_millis(200)).await;
    }
    // K8: this answer renews the session and then deletes it.
    let logout = browser.post("/logout", "").await;
    assert_eq!(logout.cookie_lines("session").len(), 2);
    assert_eq!(browser.get("/account").await.status, 401);
    assert_eq!(get(&stage.front, "/account", &format!("session={last}")).await.status, 401);
}

#[tokio::test]
async fn t1_express_five_megabytes_arrive_as_they_were_sent() {
    let stage = Stage::set(&EXPRESS, POLICY);
    let sent = numbered_blocks(5 * MIB + 7);
    let upload = Client::to(&stage.front).await.upload_all(&sent).await;
    assert_eq!(upload, json!({ "length": sent.len(), "sha256": sha256(&sent) }));

    let download = get(&stage.front, &format!("/download?bytes={}", sent.len()), "").await;
    assert!(download.is_complete);
    assert_eq!((download.body.len(), sha256(&download.body)), (sent.len(), sha256(&sent)));
}

#[tokio::test]
async fn t1_express_large_bodies_are_never_held_whole() {
    const LARGE: usize = 64 * MIB;
    let stage = Stage::set(&EXPRESS, POLICY);
    get(&stage.front, "/", "").await;
    let idle = stage.sidecar.peak_memory();

    let upload = Client::to(&stage.front).await.upload_in_chunks(&numbered_blocks(LARGE)).await;
    assert_eq!(upload["length"], LARGE);

    // A reader that stops after a megabyte stops the application too.
    let mut slow = Client::to(&stage.front).await;
    slow.send(format!("GET /download?bytes={LARGE} HTTP/1.1\r\nHost: app.example\r\n\r\n")).await;
    slow.bytes(MIB).await;
    sleep(Duration::from_millis(500)).await;

    let grown = stage.sidecar.peak_memory().saturating_sub(idle);
    assert!(grown < LARGE / 4, "slidecar grew by {} MiB", grown / MIB);
}

#[tokio::test]
async fn t6_express_that_went_down_is_answered_for_at_once() {
    let mut stage = Stage::set(&EXPRESS, POLICY);
    let mut browser = Browser::at(&stage.front);
    browser.log_in().await;
    stage.app.kill();

    let watch = Stopwatch::start();
    let account = browser.get("/account").await;
    assert!(watch.elapsed() < Span::from_secs(2), "{:?}", watch.elapsed());
    assert_eq!((account.status, account.field("content-type")), (502, Some("application/problem+json")));
    assert_eq!(account.json()["status"], 502);
    assert!(account.cookie_lines("session").is_empty(), "the session has nothing to do with it");
}

type Settings = &'static [(&'static str, &'static str)];

/// A legacy application, and how it sets its cookie.
pub struct App {
    /// A command, or a path below `tests/legacy`.
    runtime: &'static str,
    program: &'static str,
    settings: Settings,
    /// What is there once `tests/legacy/install` is through.
    stamp: &'static str,
    /// Sorted, in lower case, without the lifetime.
    attributes: &'static [&'static str],
}

impl App {
    fn start(&self) -> (Process, String) {
        self.start_with(&[("PORT", "0"), ("JWT_SECRET", SECRET)])
    }

    /// With a port and a key; also returns where it listens.
    pub fn start_with(&self, settings: &[(&str, &str)]) -> (Process, String) {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy");
        assert!(home.join(self.stamp).exists(), "{} is not installed: run tests/legacy/install", self.program);
        let runtime = if self.runtime.contains('/') { home.join(self.runtime) } else { PathBuf::from(self.runtime) };
        let mut command = bare(runtime);
        command.arg(home.join(self.program)).envs(self.settings.iter().copied()).envs(settings.iter().copied());
        let (process, port) = Process::start(command, |line| line.strip_prefix("listening on ").map(str::to_owned));
        (process, format!("127.0.0.1:{port}"))
    }
}

/// An application and slidecar before it.
struct Stage {
    app: Process,
    /// Where the application listens.
    backend: String,
    sidecar: Process,
    /// Where slidecar listens.
    front: String,
}

impl Stage {
    fn set(app: &App, policy: Settings) -> Self {
        let (app, backend) = app.start();
        let (sidecar, front) = slidecar_before(&backend, policy);
        Self { app, backend, sidecar, front }
    }
}

fn slidecar_before(backend: &str, policy: Settings) -> (Process, String) {
    let settings: Vec<_> = policy.iter().copied().chain([("JWT_SECRET", SECRET)]).collect();
    Process::slidecar(backend, &settings)
}

/// A browser as far as cookies go: one host, one path.
struct Browser {
    address: String,
    jar: Vec<Kept>,
    /// When the last request began, in seconds.
    asked: i64,
}

struct Kept {
    name: String,
    value: String,
    /// In milliseconds; `None` while the browser is open.
    until: Option<i64>,
}

impl Browser {
    fn at(address: &str) -> Self {
        Self { address: address.to_owned(), jar: Vec::new(), asked: 0 }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.jar.push(Kept { name: name.to_owned(), value: value.to_owned(), until: None });
        self
    }

    async fn log_in(&mut self) -> Answer {
        let answer = self.post("/login", "user=ada&password=lovelace").await;
        assert_eq!((answer.status, &answer.json()["user"]), (200, &json!("ada")), "{}", answer.text());
        answer
    }

    /// Asks until an answer sets the session cookie.
    async fn until_renewed(&mut self) -> Answer {
        for _ in 0..50 {
            let answer = self.get("/account").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            if !answer.cookie_lines("session").is_empty() {
                return answer;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("nothing was renewed");
    }

    async fn get(&mut self, path: &str) -> Answer {
        let cookies = self.cookies();
        let answer = get(&self.address, path, &cookies).await;
        self.keep(&answer);
        answer
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        let mut client = Client::to(&self.address).await;
        let fields = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}", form.len());
        let cookies = self.cookies();
        let cookies = if cookies.is_empty() { cookies } else { format!("Cookie: {cookies}\r\n") };
        client.send(format!("POST {path} HTTP/1.1\r\nHost: app.example\r\n{cookies}{fields}\r\n\r\n{form}")).await;
        let answer = client.answer("POST").await;
        self.keep(&answer);
        answer
    }

    /// What the next request carries.
    fn cookies(&mut self) -> String {
        self.asked = now();
        let now = now_millis();
        self.jar.retain(|kept| kept.until.is_none_or(|until| until > now));
        self.jar.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect::<Vec<_>>().join("; ")
    }

    /// Max-Age only: it wins over Expires, and a deletion without one (Express) has no value either.
    fn keep(&mut self, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let (name, rest) = line.split_once('=').expect("a pair");
            let value = rest.split(';').next().unwrap_or_default();
            let until = max_age(line).map(|age| now_millis() + age * 1000);
            self.jar.retain(|kept| kept.name != name);
            if !value.is_empty() {
                self.jar.push(Kept { name: name.to_owned(), value: value.to_owned(), until });
            }
        }
    }
}

/// One GET on a connection of its own.
async fn get(address: &str, path: &str, cookies: &str) -> Answer {
    let fields = [("Cookie", cookies)];
    let fields = if cookies.is_empty() { &[][..] } else { &fields };
    Client::to(address).await.request("GET", path, fields).await
}

impl Client {
    async fn upload_all(mut self, body: &[u8]) -> Value {
        self.send(format!("POST /upload HTTP/1.1\r\nHost: app.example\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        self.send(body).await;
        self.answer("POST").await.json()
    }

    async fn upload_in_chunks(mut self, body: &[u8]) -> Value {
        self.send("POST /upload HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for chunk in body.chunks(MIB) {
            self.send(format!("{:x}\r\n", chunk.len())).await;
            self.send(chunk).await;
            self.send("\r\n").await;
        }
        self.send("0\r\n\r\n").await;
        self.answer("POST").await.json()
    }
}

impl Answer {
    /// The Max-Age of the one line that sets this cookie.
    fn max_age(&self, name: &str) -> Option<i64> {
        max_age(self.cookie_lines(name).first()?)
    }

    /// What else stands in that line, sorted and in lower case; the lifetime is left out.
    fn attributes(&self, name: &str) -> Vec<String> {
        let line = self.cookie_lines(name).first().expect("a line").to_lowercase();
        let mut attributes: Vec<_> = line.split(';').skip(1).map(|attribute| attribute.trim().to_owned()).collect();
        attributes.retain(|attribute| !attribute.starts_with("max-age=") && !attribute.starts_with("expires="));
        attributes.sort();
        attributes
    }
}

fn max_age(line: &str) -> Option<i64> {
    let age = line.split(';').find_map(|attribute| attribute.trim().strip_prefix("Max-Age="))?;
    Some(age.parse().expect("whole seconds"))
}

/// Each block begins with its number, so that a lost or repeated one shows in the hash; `/download` sends the same.
fn numbered_blocks(bytes: usize) -> Vec<u8> {
    const BLOCK: usize = 64 * 1024;
    let mut all = Vec::with_capacity(bytes + BLOCK);
    for number in 0..u32::try_from(bytes.div_ceil(BLOCK)).expect("few blocks") {
        let begin = all.len();
        all.resize(begin + BLOCK, u8::try_from(number % 251).expect("a byte"));
        all[begin..begin + 4].copy_from_slice(&number.to_be_bytes());
    }
    all.truncate(bytes);
    all
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Rule K2, K3, M2: one line sets the session to a token that the policy could have made while the answer was awaited,
/// and the cookie ends with it.
fn assert_sets_a_session_of(ttl: i64, answer: &Answer, asked: i64) {
    let (exp, now) = (expiry(answer.cookie("session")), now());
    assert!((asked + ttl..=now + ttl).contains(&exp), "exp is {exp}, asked at {asked}, now {now}");
    let age = answer.max_age("session").expect("a lifetime");
    // Max-Age is cut to whole seconds.
    assert!((exp - now - 1..=exp - asked).contains(&age), "Max-Age is {age}, exp {exp}, asked at {asked}, now {now}");
}
