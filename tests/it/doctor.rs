//! `slidecar doctor`: the program, as an operator would call it, before applications that know nothing of it.
#![expect(clippy::panic, reason = "a test that cannot go on says why")]

use crate::harness::{Authority, Backend, Process, Reply, bare, claims, expiry, issued, now, token, token_by};
use crate::legacy::SLIDING_EXPRESS;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const SECRET: &str = "the legacy application's secret, sealed long ago";
const PASSWORD: &str = "lovelace";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const HOUR: u64 = 3_600_000;

type Settings = &'static [(&'static str, &'static str)];

/// What an operator has at hand.
struct Desk {
    folder: TempDir,
}

/// What the program said and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: TempDir::new().expect("a folder") };
        desk.put("key", &format!("{SECRET}\n"));
        desk.put("login", &format!("user=ada&password={PASSWORD}\n"));
        desk
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// With a login, at the account.
    fn examine(&self, url: &str, arguments: &[&str]) -> Said {
        let login = self.path("login");
        let all = [&["--login", "POST", "/login", "--data-file", &login, "--probe", "/account"], arguments].concat();
        self.doctor(url, &all)
    }

    fn doctor(&self, url: &str, arguments: &[&str]) -> Said {
        self.doctor_reading("", url, arguments)
    }

    /// What holds for every call is held here: lines fit a terminal, and nothing is told that opens a session.
    fn doctor_reading(&self, input: &str, url: &str, arguments: &[&str]) -> Said {
        let mut command = bare(env!("CARGO_BIN_EXE_slidecar"));
        command.arg("doctor").arg(url).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads or has ended");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let said = Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        for secret in [SECRET, PASSWORD, "eyJ"] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "{secret} in {}{}", said.out, said.err);
        }
        if !arguments.contains(&"--json") {
            assert!(said.out.lines().all(|line| line.chars().count() < 80), "{}", said.out);
        }
        said
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}{}", self.out, self.err))
    }

    /// Which clocks disagree, and what else is dangerous.
    fn disagreeing(&self) -> Vec<String> {
        let report = self.json();
        let findings = report["findings"].as_array().expect("a list").iter().filter(|finding| finding["grade"] != "note");
        findings.map(|finding| finding["part"].as_str().expect("a word").to_owned()).collect()
    }

    fn notes(&self) -> String {
        let report = self.json();
        let notes = report["findings"].as_array().expect("a list").iter().filter(|finding| finding["grade"] == "note");
        notes.map(|finding| finding["what"].as_str().expect("words").to_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// The sick application of the origin: 7 d, 1 h, 5 min, 65 min. Also returns its URL and where it listens.
fn express(front_end: &str) -> (Process, String, String) {
    let (process, address) = SLIDING_EXPRESS.start_with(&[("PORT", "0"), ("JWT_SECRET", SECRET), ("FRONT_END", front_end)]);
    let url = format!("http://{address}/");
    (process, url, address)
}

fn slidecar_before(backend: &str, settings: &[(&str, &str)]) -> (Process, String) {
    let settings: Vec<_> = settings.iter().copied().chain([("JWT_SECRET", SECRET)]).collect();
    let (process, address) = Process::slidecar(backend, &settings);
    (process, format!("http://{address}/"))
}

fn session(life: i64) -> String {
    token_by(SECRET, HEADER, &format!(r#"{{"sub":"ada","sid":"1","iat":{},"exp":{}}}"#, now(), now() + life))
}

/// The token of the session cookie that a request carries.
fn carried(request: &str) -> Option<&str> {
    request.split_once("session=").map(|(_, rest)| rest.split([';', '\r']).next().unwrap_or_default())
}

fn page(script: &str) -> Reply {
    Reply::with("200 OK", &[("Content-Type", "text/html")], &format!("<!doctype html><script>{script}</script>"))
}

#[test]
fn c_doctor_names_exactly_the_four_clocks_of_the_sick_express() {
    let (desk, (_app, url, _)) = (Desk::new(), express("session.js"));
    let key = desk.path("key");
    let said = desk.examine(&url, &["--key-file", &key, "--json"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(said.disagreeing(), ["token", "cookie", "renewal", "timer"]);
    let report = said.json();
    let clocks = &report["clocks"];
    assert_eq!(clocks["token"]["ms"], 7 * 24 * HOUR);
    assert_eq!((&clocks["cookie"]["kind"], &clocks["cookie"]["ms"]), (&json!("lifetime"), &json!(HOUR)));
    assert_eq!((&clocks["renewal"]["kind"], &clocks["renewal"]["ms"]), (&json!("below"), &json!(HOUR / 12)));
    assert!(clocks["renewal"]["requests"].as_u64().is_some_and(|count| count < 30), "{clocks}");
    let timer =
        json!({ "kind": "script", "ms": HOUR / 60 * 65, "name": "SESSION_TIMEOUT_MS", "source": "/session.js", "certainty": "likely" });
    assert_eq!(clocks["timer"], timer);
    let ends: Vec<_> = report["ends"].as_array().expect("a list").iter().map(|end| end["part"].as_str().expect("a word")).collect();
    assert_eq!(ends, ["cookie", "timer", "token"], "who ends the session, one after the other");

    let said = desk.examine(&url, &["--key-file", &key]);
    assert_eq!((said.code, said.err.as_str()), (Some(1), ""));
    for words in [
        "4 clocks disagree",
        "Whoever is at work is out after 1h all the same, by the cookie.",
        "last 5m",
        "from 6d 23h 55m",
        "JWT_EXPIRES_IN=1h",
        "SESSION_REFRESH_THRESHOLD=30m",
        "SESSION_TIMEOUT_BUFFER=5m",
    ] {
        assert!(said.out.contains(words), "{words} is missing in\n{}", said.out);
    }
    assert_eq!(said.out.matches("DISAGREES").count(), 4, "{}", said.out);
}

/// What programs rely on: no name vanishes (`docs/doctor.md`).
#[test]
fn c_doctor_keeps_the_shape_of_its_json() {
    let (desk, (_app, url, _)) = (Desk::new(), express("session.js"));
    let report = desk.examine(&url, &["--json"]).json();
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");
    let shape = [
        ("", "clocks cookie ends findings policy settings slidecar slides token url verdict version"),
        ("/cookie", "attributes name"),
        ("/cookie/attributes", "domain httpOnly path sameSite secure"),
        ("/token", "algorithm family"),
        ("/clocks", "cookie renewal timer token"),
        ("/clocks/token", "ms source"),
        ("/clocks/cookie", "kind ms source"),
        ("/clocks/renewal", "kind ms notRenewedAtMs renewedAtMs requests source"),
        ("/clocks/timer", "certainty kind ms name source"),
        ("/ends/0", "afterMs part"),
        ("/findings/0", "grade part remedy what"),
        ("/settings/0", "name value why"),
    ];
    for (place, expected) in shape {
        assert_eq!(names(report.pointer(place).expect("there")), expected, "{place}");
    }
    assert_eq!((&report["version"], &report["verdict"], &report["policy"]), (&json!(1), &json!("disagree"), &Value::Null));
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).expect("the guide");
    for name in shape.iter().flat_map(|(_, names)| names.split(' ')) {
        assert!(guide.contains(&format!("`{name}`")), "docs/doctor.md says nothing of {name}");
    }
}

#[test]
fn c_doctor_finds_one_clock_behind_slidecar() {
    let desk = Desk::new();
    let key = desk.path("key");
    // A script that asks follows any policy; one that knows 65 minutes is met there.
    let healed: [(&str, Settings, u64); 2] = [
        ("session-by-policy.js", &[("JWT_EXPIRES_IN", "2h"), ("SESSION_REFRESH_THRESHOLD", "1h")], 2 * HOUR),
        ("session.js", &[("JWT_EXPIRES_IN", "1h"), ("SESSION_REFRESH_THRESHOLD", "30m"), ("SESSION_TIMEOUT_BUFFER", "5m")], HOUR),
    ];
    for (front_end, settings, ttl) in healed {
        let (_app, bare, address) = express(front_end);
        assert_eq!(desk.examine(&bare, &["--key-file", &key, "--json"]).disagreeing().len(), 4, "{front_end} alone");
        let (_sidecar, url) = slidecar_before(&address, settings);
        let said = desk.examine(&url, &["--key-file", &key, "--json"]);
        assert_eq!((said.code, said.disagreeing()), (Some(0), vec![]), "{}{}", said.out, said.err);
        let report = said.json();
        assert_eq!((&report["verdict"], &report["slidecar"], &report["slides"]), (&json!("agree"), &json!(true), &json!(true)));
        let clocks = &report["clocks"];
        let spans: Vec<_> =
            ["token", "cookie", "renewal", "timer"].iter().map(|clock| clocks[*clock]["ms"].as_u64().expect("a number")).collect();
        let expected = [ttl, ttl, ttl / 2, ttl + HOUR / 12];
        // A second may pass between a token and its cookie.
        assert!(spans.iter().zip(expected).all(|(span, expected)| span.abs_diff(expected) <= 2000), "{spans:?}");
        assert!(desk.examine(&url, &["--key-file", &key]).out.contains("All clocks agree."));
    }
    // The number in the page is a second clock where the policy is another.
    let (_app, _, address) = express("session.js");
    let (_sidecar, url) = slidecar_before(&address, &[("JWT_EXPIRES_IN", "2h")]);
    assert_eq!(desk.examine(&url, &["--key-file", &key, "--json"]).disagreeing(), ["timer"]);
}

#[test]
fn c_doctor_sees_slidecar_that_only_observes() {
    let (desk, (_app, _, address)) = (Desk::new(), express("session-by-policy.js"));
    let (_sidecar, url) = slidecar_before(&address, &[("SLIDECAR_MODE", "observe")]);
    let said = desk.examine(&url, &["--key-file", &desk.path("key")]);
    assert!(said.code == Some(1) && said.out.contains("SLIDECAR_MODE=enforce") && said.out.contains("promises 2h"), "{}", said.out);
}

#[test]
fn c_doctor_says_what_one_look_cannot_tell() {
    let (desk, (_app, url, address)) = (Desk::new(), express("session.js"));
    let said = desk.examine(&url, &["--json"]);
    assert_eq!(said.disagreeing(), ["token", "cookie", "timer"]);
    let report = said.json();
    assert_eq!((&report["clocks"]["renewal"]["kind"], &report["slides"]), (&json!("unknown"), &Value::Null));
    assert!(said.notes().contains("not seen to renew with 7d left; it does later than that, if ever."), "{}", said.notes());

    // A cookie alone says nothing of its lifetime; the key brings a renewal that does.
    let cookie = desk.put("cookie", &format!("Cookie: theme=dark; session={}\n", session(7 * 86_400)));
    let said = desk.doctor(&format!("{url}account"), &["--cookie-file", &cookie, "--json"]);
    assert_eq!((said.code, &said.json()["clocks"]["cookie"]["kind"]), (Some(0), &json!("unseen")), "{}", said.out);
    assert!(said.notes().contains("No answer set the cookie"), "{}", said.notes());
    let said = desk.doctor(&url, &["--cookie-file", &cookie, "--key-file", &desk.path("key"), "--json"]);
    assert_eq!(said.disagreeing(), ["token", "cookie", "renewal", "timer"]);

    // A session from before the installation is cut to the policy on the first request, which is no renewal.
    let (_sidecar, url) = slidecar_before(&address, &[("JWT_EXPIRES_IN", "1h")]);
    let said = desk.doctor(&url, &["--cookie-file", &cookie, "--key-file", &desk.path("key"), "--json"]);
    assert_eq!((said.code, &said.json()["clocks"]["renewal"]["ms"]), (Some(0), &json!(HOUR / 2)), "{}", said.out);
    // One that was renewed keeps its iat: its age says nothing of the policy.
    let renewed =
        format!("session={}", token_by(SECRET, HEADER, &format!(r#"{{"sub":"ada","iat":{},"exp":{}}}"#, now() - 9000, now() + 3000)));
    let said = desk.doctor_reading(&renewed, &url, &["--cookie-file", "-", "--json"]);
    assert_eq!((said.code, &said.json()["clocks"]["token"]["ms"]), (Some(0), &json!(HOUR)), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_needs_a_session_that_is_a_jwt() {
    let desk = Desk::new();
    let backend = Backend::start(|request| match request {
        login if login.starts_with("POST /sid") => Reply::with("200 OK", &[("Set-Cookie", "sid=s%3Aabc.def; HttpOnly")], ""),
        login if login.starts_with("POST /two") => {
            let (one, two) = (format!("access={}", session(60)), format!("refresh={}", session(600)));
            Reply::with("200 OK", &[("Set-Cookie", &one), ("Set-Cookie", &two)], "")
        }
        _ if request.starts_with("POST") => Reply::with("403 Forbidden", &[], "wrong"),
        open if open.starts_with("GET /open") => Reply::ok(),
        _ => Reply::with("401 Unauthorized", &[], ""),
    })
    .await;
    let url = format!("http://{}/", backend.address);
    let foreign = format!("session={}", token("{\"iat\":1,\"exp\":99999999999}"));
    let dead = format!("session={}", session(-5));
    let endless = format!("session={}", token_by(SECRET, HEADER, "{\"sub\":\"a\"}"));
    let login = desk.path("login");
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--cookie", "sid=s%3Aabc.def; a=b"], 65, "no cookie that was given holds a JWT (there are: sid, a)"),
        (&["--login", "POST", "/sid"], 65, "POST /sid answered 200 and set no cookie that holds a JWT (there are: sid)"),
        (&["--login", "POST", "/no?password=lovelace", "--data-file", &login], 65, "POST /no answered 403"),
        (&["--login", "POST", "/two"], 64, "several cookies hold a JWT (access, refresh); say which is the session's: --name access"),
        (&["--cookie", &foreign], 65, "/ answers 401 with the session as without it"),
        (&["--cookie", &dead], 65, "ago; give a live session"),
        (&["--cookie", &endless], 65, "the token in session has no exp"),
        (&["--cookie", &foreign, "--key-file", &desk.path("key"), "--probe", "/open"], 64, "this key did not sign the session's token"),
    ];
    for (arguments, code, words) in cases {
        let said = desk.doctor(&url, arguments);
        assert!(said.code == Some(code) && said.err.contains(words) && said.out.is_empty(), "{words}: {:?} {}", said.code, said.err);
    }
}

#[test]
fn c_doctor_refuses_what_it_cannot_use() {
    let desk = Desk::new();
    let (empty, key) = (desk.put("empty", ""), desk.path("key"));
    let cases: [(&str, &[&str], &str); 14] = [
        ("http://127.0.0.1:1/", &[], "there is no session to examine: give --cookie-file"),
        ("app.example", &["--cookie", "a=b"], "such as https://app.example/"),
        ("ftp://app.example/", &["--cookie", "a=b"], "such as https://app.example/"),
        ("http://ada:lovelace@127.0.0.1:1/", &["--cookie", "a=b"], "leave user and password out"),
        ("http://127.0.0.1:1/", &["--cookie", "no-name"], "write it as name=value"),
        ("http://127.0.0.1:1/", &["--cookie-file", &empty], "is empty"),
        ("http://127.0.0.1:1/", &["--cookie-file", "/nowhere"], "cannot be read"),
        ("http://127.0.0.1:1/", &["--cookie", "a=b", "--probe", "//evil.example/"], "--probe: write a path of the same host"),
        ("http://127.0.0.1:1/", &["--cookie", "a=b", "--header", "no-colon"], "--header: write name: value"),
        ("http://127.0.0.1:1/", &["--cookie", "a=b", "--header", "Cookie: lovelace"], "give cookies with --cookie-file"),
        ("http://127.0.0.1:1/", &["--cookie", "a=b", "--ca", &key], "holds no certificate"),
        ("http://127.0.0.1:1/", &["--cookie-file", "-", "--key-file", "-"], "only one of the files can be standard input"),
        ("http://127.0.0.1:1/", &["--cookie", "a=b", "--watch", "soon"], "such as 2h or 90m"),
        ("http://127.0.0.1:1/", &["--login", "POST"], "2 values required"),
    ];
    for (url, arguments, words) in cases {
        let said = desk.doctor(url, arguments);
        assert!(said.code == Some(64) && said.err.contains(words), "{words}: {:?} {}", said.code, said.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_tells_who_cannot_be_reached() {
    let desk = Desk::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let said = desk.doctor(&format!("http://{closed}/?secret=lovelace"), &["--cookie", "a=b"]);
    assert!(said.code == Some(69) && said.err.contains("Connection refused"), "{:?} {}", said.code, said.err);

    let gate = Arc::new(tokio::sync::Notify::new());
    let silent = Backend::start(move |_| Reply::ok().held_by(&gate)).await;
    let said = desk.doctor(&format!("http://{}/", silent.address), &["--cookie", "a=b", "--timeout", "200ms"]);
    assert!(said.code == Some(69) && said.err.contains("no whole answer within 200ms; --timeout"), "{:?} {}", said.code, said.err);
    let said = desk.doctor(&format!("https://{}/", silent.address), &["--cookie", "a=b", "--timeout", "200ms"]);
    assert_eq!(said.code, Some(69), "{}", said.err);
}

/// Whatever leads elsewhere: no request goes there, so no cookie does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_sends_the_cookie_to_one_origin_alone() {
    let (desk, elsewhere) = (Desk::new(), Backend::saying("200 OK", &[], "hello").await);
    let there = format!("http://{}/", elsewhere.address);
    let home = there.clone();
    let backend = Backend::start(move |request| {
        let to = |status: &str| Reply::with(status, &[("Location", &home)], "");
        let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=600", session(600));
        match request.split(' ').nth(1).unwrap_or_default() {
            "/login" => Reply::with("303 See Other", &[("Location", &home), ("Set-Cookie", &cookie)], ""),
            "/page" => Reply::with("200 OK", &[("Content-Type", "text/html")], &format!("<script src='{home}x.js'></script>")),
            "/in" => Reply::with("302 Found", &[("Location", "/page")], ""),
            "/auth/session-policy" => to("302 Found"),
            "/members" if request.contains("session=") => Reply::ok(),
            _ => to("302 Found"),
        }
    })
    .await;
    let url = |path: &str| format!("http://{}{path}", backend.address);
    let said = desk.doctor(&url("/in"), &["--login", "POST", "/login", "--probe", "/members", "--key-file", &desk.path("key"), "--json"]);
    assert_eq!(said.disagreeing(), ["renewal"], "{}", said.err);
    assert!(said.notes().contains("Not looked into: 1 script of other origins."), "{}", said.notes());
    let cookie = desk.put("cookie", &format!("session={}", session(600)));
    let said = desk.doctor(&url("/away"), &["--cookie-file", &cookie]);
    assert!(said.code == Some(65) && said.err.contains(there.trim_end_matches('/')), "{:?} {}", said.code, said.err);
    let said = desk.doctor(&url("/away"), &["--cookie-file", &cookie, "--probe", "/members", "--json"]);
    assert!(said.code == Some(0) && said.notes().contains("which is another origin and was not asked"), "{}", said.out);
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_finds_the_dangers_of_a_cookie_over_tls() {
    let desk = Desk::new();
    let backend = Backend::start(|request| {
        let cookie = format!("session={}; Path=/; Max-Age=7200; Domain=localhost", session(7200));
        match request.split(' ').nth(1).unwrap_or_default() {
            "/login" => Reply::with("200 OK", &[("Set-Cookie", &cookie), ("Cache-Control", "public, max-age=60")], ""),
            "/" => page(""),
            _ if request.contains("session=") => Reply::ok(),
            _ => Reply::with("401 Unauthorized", &[], ""),
        }
    })
    .await;
    let (authority, other) = (Authority::new(), Authority::new());
    let pair = authority.issue();
    let tls = [("SLIDECAR_TLS_CERT", pair.chain.as_str()), ("SLIDECAR_TLS_KEY", &pair.key), ("SLIDECAR_MODE", "observe")];
    let (_sidecar, url) = slidecar_before(&backend.address, &tls);
    let url = url.replace("http:", "https:");
    let arguments = |ca: &str| desk.examine(&url, &["--ca", &desk.put("ca", ca), "--json"]);
    let said = arguments(&authority.pem());
    assert_eq!((said.code, said.disagreeing()), (Some(1), vec!["other".to_owned(); 3]), "{}{}", said.out, said.err);
    for words in
        ["POST /login sets the session cookie and may be stored by a shared cache (Cache-Control: public", "no Secure", "no HttpOnly"]
    {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(said.notes().contains("no SameSite") && said.notes().contains("Domain=localhost"), "{}", said.notes());
    let said = arguments(&other.pem());
    assert!(said.code == Some(69) && said.err.contains("; --ca FILE names"), "{:?} {}", said.code, said.err);
}

/// A legacy application that compares tokens would refuse what slidecar signs, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_finds_an_application_that_remembers_tokens() {
    let (desk, known) = (Desk::new(), session(7200));
    let cookie = format!("session={known}");
    let backend = Backend::start(move |request| match carried(request) {
        Some(token) if token == known => Reply::ok(),
        _ => Reply::with("401 Unauthorized", &[], ""),
    })
    .await;
    let said = desk.doctor(
        &format!("http://{}/", backend.address),
        &["--cookie-file", &desk.put("cookie", &cookie), "--key-file", &desk.path("key"), "--json"],
    );
    assert_eq!((said.disagreeing(), &said.json()["clocks"]["renewal"]["source"]), (vec!["renewal".to_owned()], &json!("refused")));
    assert!(said.out.contains("it remembers tokens"), "{}", said.out);
}

/// Probes are made by the server's clock, which may be another; and with `iat` as old as the login that they stand for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_probes_by_the_clock_of_the_server() {
    const AHEAD: i64 = 5400;
    const LIFE: i64 = 7200;
    let desk = Desk::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let backend = Backend::start(move |request| {
        let now = now() + AHEAD;
        let date = jiff::Timestamp::from_second(now).expect("a moment").strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let token = token_by(SECRET, HEADER, &format!(r#"{{"sub":"ada","iat":{now},"nbf":{now},"exp":{}}}"#, now + LIFE));
        let cookie = format!("session={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LIFE}");
        let date = ("Date", date.as_str());
        if request.starts_with("POST") {
            return Reply::with("200 OK", &[date, ("Set-Cookie", &cookie)], "");
        }
        match carried(request) {
            Some(token) if expiry(token) > now => {
                record.lock().expect("no other panics").push((
                    expiry(token),
                    issued(token),
                    claims(token)["nbf"].as_i64().expect("a date"),
                ));
                // `<=` and whole seconds, as many write it.
                if expiry(token) - now <= 1800 {
                    Reply::with("200 OK", &[date, ("Set-Cookie", &cookie)], "")
                } else {
                    Reply::with("200 OK", &[date], "")
                }
            }
            _ => Reply::with("401 Unauthorized", &[date], ""),
        }
    })
    .await;
    let said = desk.examine(&format!("http://{}/", backend.address), &["--key-file", &desk.path("key"), "--json"]);
    assert_eq!((said.code, said.disagreeing()), (Some(0), vec![]), "{}{}", said.out, said.err);
    // A clock that is another is known by its `Date`, in whole seconds.
    let found = said.json()["clocks"]["renewal"]["ms"].as_i64().expect("a number");
    assert!((1_799_000..=1_801_000).contains(&found), "{found}");
    assert!(said.notes().contains("clock is 90m ahead of"), "{}", said.notes());
    let seen = seen.lock().expect("no other panics");
    assert!(seen.len() > 10 && seen.iter().all(|(exp, iat, nbf)| exp - iat == LIFE && iat == nbf), "{seen:?}");
}

/// Even without the key, and although the login's second is the renewal's. The renewed cookie has a clock of its own here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_sees_that_each_answer_renews() {
    let desk = Desk::new();
    let backend = Backend::start(|request| {
        let age = if request.starts_with("POST") { 7200 } else { 1200 };
        let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}", session(7200));
        if request.starts_with("POST") || carried(request).is_some() {
            return Reply::with("200 OK", &[("Set-Cookie", &cookie)], "");
        }
        Reply::with("401 Unauthorized", &[], "")
    })
    .await;
    let said = desk.examine(&format!("http://{}/", backend.address), &["--json"]);
    assert_eq!(
        (said.disagreeing(), &said.json()["clocks"]["renewal"]["kind"]),
        (vec!["cookie".to_owned()], &json!("always")),
        "{}",
        said.out
    );
    assert!(said.out.contains("a renewal's lives 20m"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_watches_until_an_answer_renews() {
    let desk = Desk::new();
    let asked = AtomicUsize::new(0);
    let backend = Backend::start(move |request| {
        if carried(request).is_none() {
            return Reply::with("401 Unauthorized", &[], "");
        }
        // The look, the page and two endpoints come before the watch.
        let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=7200", session(7200));
        let renews = request.starts_with("GET /account") && asked.fetch_add(1, Ordering::SeqCst) == 2;
        if renews { Reply::with("200 OK", &[("Set-Cookie", &cookie)], "") } else { Reply::ok() }
    })
    .await;
    let cookie = format!("session={}", token_by(SECRET, HEADER, &format!(r#"{{"iat":{},"exp":{}}}"#, now() - 3600, now() + 3600)));
    let said = desk.doctor_reading(
        &cookie,
        &format!("http://{}/", backend.address),
        &["--cookie-file", "-", "--probe", "/account", "--watch", "30s", "--json"],
    );
    let report = said.json();
    let renewal = &report["clocks"]["renewal"];
    assert_eq!((said.code, &renewal["source"], &report["slides"]), (Some(0), &json!("watch"), &json!(true)), "{}", said.out);
    let (renewed, kept) = (renewal["renewedAtMs"].as_u64().expect("seen"), renewal["notRenewedAtMs"].as_u64().expect("seen"));
    assert!(renewed < kept && kept <= HOUR && renewed + 10_000 > HOUR, "{renewal}");
    assert_eq!(report["clocks"]["cookie"]["ms"], 2 * HOUR);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_doctor_signs_by_the_algorithm_of_the_token() {
    let desk = Desk::new();
    let private = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256.pem")).expect("a key");
    let pem = private.clone();
    let signed = move |exp: i64| {
        let key = jsonwebtoken::EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key");
        let claims = json!({ "sub": "ada", "iat": exp - 7200, "exp": exp });
        jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256), &claims, &key).expect("signed")
    };
    let mint = signed.clone();
    let backend = Backend::start(move |request| match carried(request) {
        Some(token) if expiry(token) > now() => {
            let cookie = format!("session={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=7200", mint(now() + 7200));
            if expiry(token) - now() < 3600 { Reply::with("200 OK", &[("Set-Cookie", &cookie)], "") } else { Reply::ok() }
        }
        _ => Reply::with("401 Unauthorized", &[], ""),
    })
    .await;
    let url = format!("http://{}/", backend.address);
    let cookie = desk.put("cookie", &format!("session={}", signed(now() + 7200)));
    let said = desk.doctor(&url, &["--cookie-file", &cookie, "--key-file", &desk.put("pem", &private), "--json"]);
    assert_eq!((said.code, &said.json()["clocks"]["renewal"]["ms"]), (Some(0), &json!(HOUR)), "{}{}", said.out, said.err);
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256-public.pem");
    let said = desk.doctor(&url, &["--cookie-file", &cookie, "--key-file", public, "--json"]);
    assert!(said.code == Some(0) && said.notes().contains("holds a public key"), "{}{}", said.out, said.err);
    let said = desk.doctor(&url, &["--cookie-file", &cookie, "--key-file", &desk.path("key")]);
    assert!(said.code == Some(64) && said.err.contains("--key-file: holds no PEM of a private key"), "{}", said.err);
}
