//! Sessions that an operator ends, in one process.

use crate::harness::{ADMIN_TOKEN, Backend, Client, NOW, Process, Reply, Sidecar, family, token};
use crate::streams::{accepting, open};
use std::time::Duration;

const SETTINGS: &[(&str, &str)] = &[ADMIN_TOKEN, ("SESSION_PROTECTED_PATHS", "/private")];

fn session(sub: &str, sid: &str, iat: i64) -> String {
    format!("session={}", token(&format!(r#"{{"sub":"{sub}","sid":"{sid}","iat":{iat},"exp":{}}}"#, NOW + 7200)))
}

async fn status(sidecar: &Sidecar, cookies: &str) -> u16 {
    sidecar.get("/private", cookies).await.status
}

#[tokio::test]
async fn r2_a_family_ends_with_the_next_request_and_no_other_does() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, SETTINGS).await;
    let (one, two) = (session("ada", "1", NOW), session("ada", "2", NOW));
    for cookies in [&one, &two] {
        // The second time from memory.
        assert_eq!((status(&sidecar, cookies).await, status(&sidecar, cookies).await), (200, 200));
    }
    let answer = sidecar.revoke(&format!(r#"{{"family":"{}"}}"#, family(one.trim_start_matches("session=")))).await;
    assert_eq!(answer.status, 204);
    assert_eq!((status(&sidecar, &one).await, status(&sidecar, &two).await), (401, 200));
    // Elsewhere it goes on as anonymous, and the backend shows its own login.
    assert_eq!(sidecar.get("/", &one).await.status, 200);
    assert!(!backend.requests().last().unwrap().contains("Cookie"));
    assert!(sidecar.metrics().await.contains("slidecar_ended_sessions{by=\"family\"} 1\n"));
}

#[tokio::test]
async fn r2_a_subject_ends_as_far_as_it_began_before() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, SETTINGS).await;
    let (old, new, bob) = (session("ada", "1", NOW - 10), session("ada", "2", NOW + 10), session("bob", "3", NOW - 10));
    let nobody_knows_when = format!("session={}", token(&format!(r#"{{"sub":"ada","sid":"4","exp":{}}}"#, NOW + 7200)));
    assert_eq!(sidecar.revoke(r#"{"subject":"ada"}"#).await.status, 204);
    let all = [&old, &new, &bob, &nobody_knows_when];
    for (cookies, expected) in all.into_iter().zip([401, 200, 200, 401]) {
        assert_eq!(status(&sidecar, cookies).await, expected, "{cookies}");
    }
    assert_eq!(sidecar.revoke(&format!(r#"{{"subject":"bob","before":{}}}"#, NOW - 11)).await.status, 204);
    assert_eq!(status(&sidecar, &bob).await, 200);
    assert_eq!(sidecar.revoke(&format!(r#"{{"subject":"bob","before":{}}}"#, NOW - 10)).await.status, 204);
    assert_eq!(status(&sidecar, &bob).await, 401);
}

/// Of tokens that do not say when they began: those of that time are over, and by the time that none of them can live, others
/// are let in.
#[tokio::test]
async fn r2_a_subject_without_dates_is_not_locked_out_for_ever() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, SETTINGS).await;
    let undated = |exp: i64| format!("session={}", token(&format!(r#"{{"sub":"ada","sid":"4","exp":{exp}}}"#)));
    assert_eq!(sidecar.revoke(r#"{"subject":"ada"}"#).await.status, 204);
    assert_eq!(status(&sidecar, &undated(NOW + 7200)).await, 401);
    sidecar.pass(7200 + 601);
    assert_eq!(status(&sidecar, &undated(NOW + 14_000)).await, 200);
}

/// Whoever was logged out everywhere can log in again, in the next second.
#[tokio::test]
async fn r2_a_login_after_a_revocation_lives() {
    let new = session("ada", "2", NOW + 5);
    let line = format!("{new}; Path=/; Max-Age=60");
    let backend = Backend::start(move |_| Reply::with("200 OK", &[("Set-Cookie", &line)], "hello")).await;
    let sidecar = Sidecar::before(&backend.address, SETTINGS).await;
    assert_eq!(sidecar.revoke(r#"{"subject":"ada"}"#).await.status, 204);
    sidecar.pass(5);
    let login = sidecar.get("/login", "").await;
    assert!(login.cookie_lines("session")[0].contains("Max-Age=7195"), "{login:?}");
    // A late answer of a session that is over would be told no end.
    assert_eq!(login.field("session-expires-in"), Some("7195"));
    assert!(sidecar.metrics().await.contains("slidecar_session_decisions_total{decision=\"login\",reason=\"new\"} 1\n"));
    assert_eq!(status(&sidecar, &session("ada", "2", NOW + 5)).await, 200);
}

#[tokio::test]
async fn e5_only_who_has_the_token_may_revoke_and_what_is_asked_must_be_clear() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, SETTINGS).await;
    let ask = async |sidecar: &Sidecar, method: &str, fields: &str, body: &str| {
        let mut client = Client::to(&sidecar.admin).await;
        let length = body.len();
        client.send(format!("{method} /revocations HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}")).await;
        client.answer(method).await
    };
    let right = format!("Authorization: Bearer {}\r\n", ADMIN_TOKEN.1);
    let order = r#"{"subject":"ada"}"#;
    let wrong = ["", "Authorization: Bearer\r\n", "Authorization: Bearer x\r\n", "Authorization: Basic YTph\r\n"];
    for fields in wrong.into_iter().chain([&*format!("Authorization: Bearer {}x\r\n", ADMIN_TOKEN.1), &right.replace("Bearer", "Basic")]) {
        let answer = ask(&sidecar, "POST", fields, order).await;
        assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some("Bearer realm=\"slidecar\"")), "{fields}");
    }
    let bad = [
        "",
        "{}",
        "[]",
        "ada",
        r#"{"subject":""}"#,
        r#"{"subject":"*","all":true}"#,
        r#"{"subject":"ada","family":"00000000000000000000000000000000"}"#,
        r#"{"family":"1234"}"#,
        r#"{"family":"0000000000000000000000000000000g"}"#,
        r#"{"family":"00000000000000000000000000000000","before":1}"#,
        r#"{"subject":"ada","before":"yesterday"}"#,
        r#"{"subject":"ada","before":1795219200000}"#,
    ];
    for body in bad {
        assert_eq!(ask(&sidecar, "POST", &right, body).await.status, 400, "{body}");
    }
    assert_eq!(ask(&sidecar, "POST", &right, &format!(r#"{{"subject":"{}"}}"#, "a".repeat(20_000))).await.status, 413);
    assert_eq!(ask(&sidecar, "PUT", &right, order).await.status, 405);
    assert_eq!(ask(&sidecar, "GET", &right, "").await.status, 405);
    assert_eq!(status(&sidecar, &session("ada", "1", NOW)).await, 200, "none of these ended anything");
    assert_eq!(ask(&sidecar, "POST", &right, order).await.status, 204);

    let closed = Sidecar::before(&backend.address, &[]).await;
    let answer = ask(&closed, "POST", &right, order).await;
    assert!(answer.status == 403 && answer.text().contains("SLIDECAR_ADMIN_TOKEN"), "{answer:?}");
    // Clients of the application cannot reach it.
    assert_eq!(sidecar.client().await.request("POST", "/revocations", &[]).await.text(), "hello");
}

#[tokio::test]
async fn w2_a_revocation_closes_the_streams_of_the_session_within_a_second() {
    let backend = Backend::start(accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[ADMIN_TOKEN, ("SESSION_STREAMS", "close")]).await;
    let mut tunnel = open(&sidecar, &session("ada", "1", NOW)).await;
    let mut other = open(&sidecar, &session("bob", "2", NOW)).await;
    assert_eq!(sidecar.revoke(r#"{"subject":"ada"}"#).await.status, 204);
    let end = tokio::time::timeout(Duration::from_secs(1), tunnel.bytes(4)).await.expect("it ends within a second");
    assert_eq!(end, [0x88, end[1], 0x03, 0xf0], "1008");
    assert!(tokio::time::timeout(Duration::from_millis(300), other.rest()).await.is_err());
}

#[tokio::test]
async fn r2_beyond_the_cap_a_logout_still_holds() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let settings = [SETTINGS, &[("SLIDECAR_MAX_REVOCATIONS", "2"), ("SESSION_LOGOUT_PATHS", "/logout")]].concat();
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    for sid in ["1", "2", "3"] {
        sidecar.get("/logout", &session("ada", sid, NOW)).await;
    }
    assert_eq!(status(&sidecar, &session("ada", "3", NOW)).await, 401);
    // The price: her other sessions of that time.
    assert_eq!(status(&sidecar, &session("ada", "4", NOW)).await, 401);
    assert_eq!((status(&sidecar, &session("ada", "5", NOW + 1)).await, status(&sidecar, &session("bob", "6", NOW)).await), (200, 200));
}

/// As an operator would: the program, and the same program with another command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_revoke_ends_sessions_on_a_running_slidecar() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let now = crate::harness::now();
    let cookie = format!("session={}", token(&format!(r#"{{"sub":"ada","sid":"1","iat":{now},"exp":{}}}"#, now + 600)));
    let settings = [SETTINGS, &[("JWT_SECRET", crate::harness::SECRET)]].concat();
    let (process, address) = Process::slidecar(&backend.address, &settings);
    let admin = process.line_with("listening").await["admin"].as_str().unwrap().to_owned();
    let revoke = |token: &str, arguments: &[&str]| {
        let mut command = crate::harness::bare(env!("CARGO_BIN_EXE_slidecar"));
        command.arg("revoke").args(arguments).env("SLIDECAR_ADMIN_LISTEN", &admin).env("SLIDECAR_ADMIN_TOKEN", token);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(Client::to(&address).await.get("/private", &cookie).await.status, 200);
    let (code, said) = revoke("wrong", &["--subject", "ada"]);
    assert!(code == Some(1) && said.contains("answered 401") && !said.contains("wrong"), "{code:?} {said}");
    assert_eq!(revoke("x", &[]).0, Some(64), "clap says what is missing");
    assert_eq!(revoke(ADMIN_TOKEN.1, &["--subject", "ada", "--before", "soon"]).0, Some(64));
    assert_eq!(revoke(ADMIN_TOKEN.1, &["--subject", "ada", "--before", "2020-01-01T00:00:00Z"]), (Some(0), "revoked\n".to_owned()));
    assert_eq!(Client::to(&address).await.get("/private", &cookie).await.status, 200);
    assert_eq!(revoke(ADMIN_TOKEN.1, &["--family", &family(cookie.trim_start_matches("session="))]).0, Some(0));
    assert_eq!(Client::to(&address).await.get("/private", &cookie).await.status, 401);
    assert!(process.line_with("revoked").await["before"].is_i64() && process.said().contains(r#""what":"family""#));
    assert!(!process.said().contains("ada"), "no subject in a log: {}", process.said());
    drop(process);
    assert_eq!(revoke(ADMIN_TOKEN.1, &["--subject", "ada"]).0, Some(69));
}

#[test]
fn c_inspect_tells_a_tokens_clocks_and_the_family_to_revoke() {
    let now = crate::harness::now();
    let text = token(&format!(r#"{{"sub":"ada","sid":"1","iat":{now},"exp":{}}}"#, now + 600));
    let inspect = |secret: Option<&str>, argument: &str| {
        let mut command = crate::harness::bare(env!("CARGO_BIN_EXE_slidecar"));
        command.args(["inspect", argument]).envs(secret.map(|secret| ("JWT_SECRET", secret)));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for argument in [text.as_str(), &format!("session={text}; Path=/")] {
        let (code, said) = inspect(None, argument);
        assert!(code == Some(0) && said.contains(&family(&text)) && said.contains("the environment holds no key"), "{said}");
        assert!((595..=600).any(|left| said.contains(&format!("(in {})", slidecar::session::time::Span::from_secs(left)))), "{said}");
    }
    assert!(inspect(Some(crate::harness::SECRET), &text).1.contains("verifies with the key"));
    let (code, said) = inspect(Some("another secret of at least thirty-two bytes"), &text);
    assert!(code == Some(1) && said.contains("does NOT verify"), "{said}");
    let (code, said) = inspect(None, "hello");
    assert!(code == Some(1) && said.contains("this is no token: a JWT has three parts"), "{said}");
}
