//! What happens to a session between a browser and a backend. The clock stands still unless a test moves it.

use crate::harness::{Answer, Backend, NOW, Reply, Sidecar, claims, session_token, token, token_by};
use std::sync::Arc;
use tokio::sync::Notify;

const TTL: i64 = 7200;

/// slidecar before a backend that always says 200, with a session that is due in an hour.
async fn quiet(settings: &[(&str, &str)]) -> (Sidecar, Backend, String) {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, settings).await;
    (sidecar, backend, format!("session={}", session_token(NOW, NOW + TTL)))
}

/// A backend that sets these cookies on every answer.
async fn setting(lines: &[&str]) -> Backend {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    Backend::start(move |_| {
        let fields: Vec<_> = lines.iter().map(|line| ("Set-Cookie", line.as_str())).collect();
        Reply::with("200 OK", &fields, "hello")
    })
    .await
}

fn max_age(answer: &Answer, name: &str) -> Option<i64> {
    let lines = answer.cookie_lines(name);
    assert_eq!(lines.len(), 1, "{:#?}", answer.fields);
    lines[0].split("; ").find_map(|part| part.strip_prefix("Max-Age=")).map(|age| age.parse().expect("a number"))
}

// The way in.

#[tokio::test]
async fn q1_other_cookies_reach_the_backend_byte_for_byte() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let mut client = sidecar.client().await;
    client
        .send(
            format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: z=caf\u{e9}; {session};a=\"x; y\r\n\r\n")
                .chars()
                .map(|c| c as u8)
                .collect::<Vec<_>>(),
        )
        .await;
    assert_eq!(client.answer("GET").await.status, 200);
    assert_eq!(backend.last_cookies().unwrap(), format!("z=caf\u{e9}; {session};a=\"x; y"));
}

#[tokio::test]
async fn q1_several_cookie_fields_are_one() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let dead = token_by("another secret of thirty-two bytes!!", r#"{"alg":"HS256"}"#, "{}");
    sidecar
        .client()
        .await
        .request("GET", "/", &[("Cookie", "a=1"), ("Cookie", &format!("session={dead}; {session}")), ("Cookie", "b=2")])
        .await;
    assert_eq!(backend.last_cookies().unwrap(), format!("a=1; {session}; b=2"));
}

#[tokio::test]
async fn q2_the_first_that_verifies_is_the_session_and_the_others_go() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let expired = session_token(NOW - TTL, NOW - 1);
    for cookies in [format!("session=x; {session}; session={expired}"), format!("session={expired}; {session}; session=s%3Ax")] {
        sidecar.get("/", &cookies).await;
        assert_eq!(backend.last_cookies().unwrap(), session);
    }
}

#[tokio::test]
async fn q2_two_sessions_are_served_but_never_renewed() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let other = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    sidecar.pass(4000);
    let answer = sidecar.get("/", &format!("{session}; session={other}")).await;
    assert!(answer.cookie_lines("session").is_empty());
    assert_eq!(backend.last_cookies().unwrap(), session);
    // The same session twice, in an old and a new token, is one.
    let newer = session_token(NOW, NOW + TTL + 60);
    let answer = sidecar.get("/", &format!("{session}; session={newer}")).await;
    assert_eq!(answer.cookie_lines("session").len(), 1);
}

#[tokio::test]
async fn q3_q8_dead_cookies_go_and_foreign_ones_stay() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let live = session.strip_prefix("session=").unwrap();
    let dead = [
        session_token(NOW - TTL, NOW),
        token_by("another secret of thirty-two bytes!!", r#"{"alg":"HS256"}"#, "{}"),
        token_by(crate::harness::SECRET, r#"{"alg":"none"}"#, "{}"),
        format!("{live}="),
        format!("\"{live}\""),
        live.replacen('e', "%65", 1),
    ];
    for value in &dead {
        let answer = sidecar.get("/", &format!("a=1; session={value}; b=2")).await;
        assert_eq!((answer.status, backend.last_cookies().as_deref()), (200, Some("a=1; b=2")), "{value}");
        sidecar.get("/", &format!("session={value}")).await;
        assert_eq!(backend.last_cookies(), None, "{value}");
        assert_eq!(answer.field("session-expires-in"), None);
    }
    let foreign = [
        "s%3Aabc.def",
        "eyJ1c2VyIjoxfQ.ZzZz.c2ln",
        "",
        "x=y",
        &token(r#"{"sub":"ada"}"#),
        &token(&format!(r#"{{"exp":{},"nonce":"n"}}"#, NOW + 9)),
    ];
    for value in foreign {
        let cookies = format!("a=1; session={value}; b=2");
        sidecar.get("/", &cookies).await;
        assert_eq!(backend.last_cookies().unwrap(), cookies);
    }
}

#[tokio::test]
async fn q4_a_reset_token_is_never_slid() {
    let (sidecar, _backend, _) = quiet(&[("SESSION_TOKEN_CLAIMS", "sub,typ=session")]).await;
    for claims in [r#""sub":"ada","typ":"reset""#, r#""sub":"ada","typ":"session","purpose":"reset""#, r#""typ":"session""#] {
        let value = token(&format!(r#"{{{claims},"iat":{NOW},"exp":{}}}"#, NOW + 900));
        assert!(sidecar.get("/", &format!("session={value}")).await.cookie_lines("session").is_empty(), "{claims}");
    }
    let value = token(&format!(r#"{{"sub":"ada","typ":"session","iat":{NOW},"exp":{}}}"#, NOW + 900));
    assert_eq!(sidecar.get("/", &format!("session={value}")).await.cookie_lines("session").len(), 1);
}

#[tokio::test]
async fn q5_passive_requests_never_slide_and_say_nothing_of_it_upstream() {
    let (sidecar, backend, session) = quiet(&[("SESSION_PASSIVE_PATHS", "/poll")]).await;
    sidecar.pass(4000);
    let passive: [(&str, &str, (&str, &str)); 8] = [
        ("GET", "/", ("Session-Passive", "1")),
        ("GET", "/", ("Sec-Purpose", "prefetch;prerender")),
        ("GET", "/", ("Purpose", "prefetch")),
        ("GET", "/", ("Accept", "text/event-stream")),
        ("GET", "/", ("Authorization", "Bearer x")),
        ("GET", "/poll/1", ("Accept", "*/*")),
        ("OPTIONS", "/", ("Accept", "*/*")),
        ("GET", "/", ("Upgrade", "websocket")),
    ];
    for (method, path, field) in passive {
        let answer = sidecar.client().await.request(method, path, &[("Cookie", &session), field]).await;
        assert!(answer.cookie_lines("session").is_empty(), "{method} {path} {field:?}");
        assert_eq!(answer.field("session-expires-in"), Some("3200"), "{field:?}");
    }
    assert!(!backend.requests()[0].to_ascii_lowercase().contains("session-passive"));
    let active = sidecar.client().await.request("GET", "/", &[("Cookie", &session), ("Authorization", "Basic eDp5")]).await;
    assert_eq!(active.cookie_lines("session").len(), 1);
}

#[tokio::test]
async fn q6_due_begins_where_less_than_the_threshold_remains() {
    let (sidecar, _backend, session) = quiet(&[]).await;
    sidecar.pass(3600);
    assert!(sidecar.get("/", &session).await.cookie_lines("session").is_empty());
    sidecar.pass(1);
    let answer = sidecar.get("/", &session).await;
    let renewed = claims(answer.cookie("session"));
    assert_eq!((renewed["exp"].as_i64(), renewed["iat"].as_i64()), (Some(NOW + 3601 + TTL), Some(NOW)));
    assert_eq!(max_age(&answer, "session"), Some(TTL));
    assert_eq!(answer.field("session-expires-in"), Some("7200"));
}

#[tokio::test]
async fn q6_a_token_that_outlives_the_policy_is_shortened_on_first_sight() {
    let (sidecar, _backend, _) = quiet(&[]).await;
    let week = session_token(NOW, NOW + 604_800);
    let answer = sidecar.get("/", &format!("session={week}")).await;
    assert_eq!(claims(answer.cookie("session"))["exp"].as_i64(), Some(NOW + TTL));
    let tolerated = session_token(NOW, NOW + TTL + 60);
    assert!(sidecar.get("/", &format!("session={tolerated}")).await.cookie_lines("session").is_empty());
}

#[tokio::test]
async fn q7_the_backend_never_sees_a_token_that_dies_under_it() {
    let (sidecar, backend, session) = quiet(&[]).await;
    sidecar.pass(TTL - 30);
    sidecar.get("/", &session).await;
    assert_eq!(backend.last_cookies().unwrap(), session);
    sidecar.pass(1);
    let answer = sidecar.get("/", &format!("a=1; {session}; b=2")).await;
    let sent = backend.last_cookies().unwrap();
    let handed = sent.strip_prefix("a=1; session=").and_then(|rest| rest.strip_suffix("; b=2")).expect("in place");
    assert_eq!(claims(handed)["exp"].as_i64(), Some(NOW + TTL - 29 + TTL));
    assert_eq!(answer.cookie("session"), handed);
}

#[tokio::test]
async fn q8_protected_paths_answer_for_the_backend() {
    let settings = [
        ("SESSION_PROTECTED_PATHS", "/app,/api"),
        ("SESSION_PUBLIC_PATHS", "/app/public"),
        ("SESSION_LOGIN_URL", "/app/login?next={return}"),
    ];
    let (sidecar, backend, session) = quiet(&settings).await;
    let ask = async |method: &str, path: &str, field: (&str, &str)| sidecar.client().await.request(method, path, &[field]).await;

    let page = ask("GET", "/app/x?a=1&b=2", ("Accept", "text/html")).await;
    assert_eq!((page.status, page.field("location")), (303, Some("/app/login?next=%2Fapp%2Fx%3Fa%3D1%26b%3D2")));
    let post = ask("POST", "/app/x", ("Sec-Fetch-Mode", "navigate")).await;
    assert_eq!((post.status, post.field("location")), (303, Some("/app/login?next=%2F")));
    for field in [("Accept", "application/json"), ("Sec-Fetch-Mode", "cors"), ("X-Requested-With", "XMLHttpRequest")] {
        let fetch = ask("GET", "/api/x", field).await;
        assert_eq!((fetch.status, fetch.field("content-type")), (401, Some("application/problem+json")), "{field:?}");
        assert_eq!(fetch.json()["reason"], "no_session");
        assert_eq!(fetch.field("cache-control"), Some("no-store"));
        assert!(fetch.field("www-authenticate").is_some());
    }
    for path in ["/app/../x", "/x/..;/app", "/App%2fx", "//app"] {
        assert_eq!(ask("GET", path, ("Accept", "*/*")).await.status, 401, "{path}");
    }
    let expired = format!("session={}", session_token(NOW - TTL, NOW));
    assert_eq!(sidecar.get("/api/x", &expired).await.json()["reason"], "dead");
    assert_eq!(sidecar.get("/api/x", "session=opaque").await.json()["reason"], "not_ours");
    assert!(backend.requests().is_empty());

    for (path, cookies) in [("/app/public/x", ""), ("/app/login", ""), ("/x", ""), ("/app/x", session.as_str())] {
        assert_eq!(sidecar.get(path, cookies).await.status, 200, "{path}");
    }
    assert_eq!(sidecar.get("/x%00", "").await.status, 400);
    assert_eq!(sidecar.get("/x%zz", "").await.status, 400);
}

#[tokio::test]
async fn q8_without_a_login_address_a_navigation_gets_401() {
    let (sidecar, _backend, _) = quiet(&[("SESSION_PROTECTED_PATHS", "/")]).await;
    let answer = sidecar.client().await.request("GET", "/", &[("Accept", "text/html")]).await;
    assert_eq!((answer.status, answer.field("location")), (401, None));
}

#[tokio::test]
async fn q8_a_merely_expired_cookie_reaches_the_handlers_that_want_it() {
    let (sidecar, backend, _) = quiet(&[("SESSION_EXPIRED_PATHS", "/refresh"), ("SESSION_PROTECTED_PATHS", "/")]).await;
    let expired = format!("session={}", session_token(NOW - TTL, NOW));
    assert_eq!(sidecar.get("/refresh", &expired).await.status, 200);
    assert_eq!(backend.last_cookies().unwrap(), expired);
    assert_eq!(sidecar.get("/other", &expired).await.status, 401);
    let forged = format!("session={}", token_by("another secret of thirty-two bytes!!", r#"{"alg":"HS256"}"#, "{}"));
    assert_eq!(sidecar.get("/refresh", &forged).await.status, 401);
}

// The way out.

#[tokio::test]
async fn p1_the_new_life_counts_from_the_answer() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::ok().held_by(&held)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let mut client = sidecar.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    sidecar.pass(100);
    gate.notify_one();
    let answer = client.answer("GET").await;
    assert_eq!(claims(answer.cookie("session"))["exp"].as_i64(), Some(NOW + 4100 + TTL));
}

#[tokio::test]
async fn p_the_status_decides_whether_an_answer_renews() {
    let backend = Backend::start(|request| {
        let status = request.split(['/', ' ']).nth(2).unwrap_or_default();
        match status {
            "304" | "204" => Reply::raw(format!("HTTP/1.1 {status} X\r\n\r\n")),
            _ => Reply::with(&format!("{status} X"), &[], "x"),
        }
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    let renews = async |status: u16| !sidecar.get(&format!("/{status}"), &session).await.cookie_lines("session").is_empty();
    sidecar.pass(TTL - 901);
    for status in [200, 201, 204, 301, 302, 303, 307, 400, 403, 404, 409, 422, 429] {
        assert!(renews(status).await, "{status}");
    }
    for status in [304, 401, 407, 500, 502, 503] {
        assert!(!renews(status).await, "{status}");
    }
    // 900 s is a quarter of the threshold: from there on even a 304 renews.
    sidecar.pass(1);
    assert!(!renews(304).await);
    sidecar.pass(1);
    assert!(renews(304).await && !renews(401).await);
}

#[tokio::test]
async fn p_an_answer_that_comes_after_the_end_revives_nothing() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::ok().held_by(&held)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    // (begun this long before the end, answered this long after it, renewed): a hand-off gives ten seconds of grace.
    for (index, (before, after, is_renewed)) in [(31, -1, true), (31, 0, false), (29, 9, true), (29, 10, false)].into_iter().enumerate() {
        let replica = sidecar.replica(&backend.address, &[]).await;
        let back = NOW + TTL - before - replica.pass(0);
        replica.pass(back);
        let mut client = replica.client().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
        while backend.requests().len() <= index {
            tokio::task::yield_now().await;
        }
        replica.pass(before + after);
        gate.notify_one();
        assert_eq!(!client.answer("GET").await.cookie_lines("session").is_empty(), is_renewed, "{before} {after}");
    }
}

#[tokio::test]
async fn p_a_renewal_that_gains_nothing_is_no_renewal() {
    let (sidecar, _backend, session) = quiet(&[("SESSION_ABSOLUTE_TIMEOUT", "3h")]).await;
    sidecar.pass(3700);
    let answer = sidecar.get("/", &session).await;
    let capped = answer.cookie("session").to_owned();
    assert_eq!(claims(&capped)["exp"].as_i64(), Some(NOW + 3 * 3600));
    sidecar.pass(3500);
    assert!(sidecar.get("/", &format!("session={capped}")).await.cookie_lines("session").is_empty());
    // R1: the cap holds apart from exp.
    sidecar.pass(3 * 3600 - 7200 - 1);
    assert_eq!(sidecar.get("/", &format!("session={capped}")).await.field("session-expires-in"), Some("1"));
    sidecar.pass(1);
    assert_eq!(sidecar.get("/", &format!("session={capped}")).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn p3_the_backends_other_cookies_keep_bytes_order_and_lines() {
    let lines = ["a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "b=2;Path=/;priority=HIGH", "a=3; Max-Age=5, x"];
    let backend = setting(&lines).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.pass(4000);
    let answer = sidecar.get("/", &format!("session={}", session_token(NOW, NOW + TTL))).await;
    let all: Vec<_> = answer.all("set-cookie").collect();
    assert_eq!(all[1..], lines);
    assert!(all[0].starts_with("session="));
}

// Minting.

#[tokio::test]
async fn m3_m4_a_burst_gives_the_same_token_on_every_replica() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let other = sidecar.replica(&backend.address, &[]).await;
    sidecar.pass(4000);
    let mut burst = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (address, session) = (if n % 2 == 0 { &sidecar } else { &other }.address.clone(), session.clone());
        burst.spawn(async move {
            let answer = crate::harness::Client::to(&address).await.get("/", &session).await;
            assert_eq!(answer.status, 200);
            answer.cookie("session").to_owned()
        });
    }
    let tokens = burst.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[tokio::test]
async fn m1_only_exp_changes_and_demo_stays_demo() {
    let (sidecar, _backend, _) = quiet(&[("JWT_DEMO_CLAIM", "role=demo"), ("JWT_DEMO_EXPIRES_IN", "30m")]).await;
    let body = |exp: i64| format!(r#"{{"big":12345678901234567890,"f":1.10,"role":"demo","iat":{NOW},"exp":{exp},"u":"\u00e9"}}"#);
    sidecar.pass(901);
    let answer = sidecar.get("/", &format!("session={}", token(&body(NOW + 1800)))).await;
    assert_eq!(answer.cookie("session"), token(&body(NOW + 901 + 1800)));
    let policy = sidecar.get("/auth/session-policy", &format!("session={}", answer.cookie("session"))).await.json();
    assert_eq!(policy["accessTokenTtlMs"], 1_800_000);
    assert_eq!(policy["refreshThresholdMs"], 900_000);
}

#[tokio::test]
async fn m1_bump_moves_iat() {
    let (sidecar, _backend, _) = quiet(&[("JWT_IAT", "bump")]).await;
    sidecar.pass(4000);
    let answer = sidecar.get("/", &format!("session={}", session_token(NOW, NOW + TTL))).await;
    let renewed = claims(answer.cookie("session"));
    assert_eq!((renewed["iat"].as_i64(), renewed["orig_iat"].as_i64()), (Some(NOW + 4000), Some(NOW)));
}

// Cookies that the backend sets.

#[tokio::test]
async fn k2_k3_a_login_gets_its_lifetime_from_the_token() {
    let value = session_token(NOW, NOW + 5000);
    for line in ["Max-Age=3600; Path=/; HttpOnly; SameSite=Lax", "Expires=Sat, 21 Nov 2026 01:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"] {
        let backend = setting(&[&format!("session={value}; {line}")]).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        let answer = sidecar.get("/login", "").await;
        assert_eq!(answer.cookie_lines("session"), [format!("session={value}; Max-Age=5000; Path=/; HttpOnly; SameSite=Lax")]);
        assert_eq!(answer.field("cache-control"), Some("no-store, private"));
        assert_eq!(answer.all("set-cookie").count(), 1, "no companion: the settings say it all");
    }
}

#[tokio::test]
async fn k3_a_week_in_a_sealed_secret_is_cut_to_the_policy() {
    let backend = setting(&[&format!("session={}; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax", session_token(NOW, NOW + 604_800))]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let answer = sidecar.get("/login", "").await;
    assert_eq!(answer.cookie("session"), session_token(NOW, NOW + TTL));
    assert_eq!(max_age(&answer, "session"), Some(TTL));
}

#[tokio::test]
async fn k3_legacy_code_that_sends_the_cookie_again_is_no_login() {
    let value = session_token(NOW, NOW + TTL);
    let backend = setting(&[&format!("session={value}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax")]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let cookies = format!("session={value}");
    sidecar.pass(1000);
    let answer = sidecar.get("/", &cookies).await;
    assert_eq!((answer.cookie("session"), max_age(&answer, "session")), (value.as_str(), Some(6200)));
    sidecar.pass(3000);
    let answer = sidecar.get("/", &cookies).await;
    assert_eq!((answer.cookie("session"), max_age(&answer, "session")), (session_token(NOW, NOW + 4000 + TTL).as_str(), Some(TTL)));
}

#[tokio::test]
async fn k4_a_cookie_without_a_usable_end_keeps_its_value() {
    let foreign = token_by("another secret of thirty-two bytes!!", r#"{"alg":"HS256"}"#, &format!(r#"{{"exp":{}}}"#, NOW + 500));
    let table = [
        (token(r#"{"sub":"a"}"#), "Max-Age=86400", "Max-Age=3600"),
        (token(r#"{"sub":"a"}"#), "Max-Age=60", "Max-Age=60"),
        (session_token(NOW - TTL, NOW), "Max-Age=86400", "Max-Age=3600"),
        ("opaque".to_owned(), "Max-Age=86400", "Max-Age=86400"),
        (foreign.clone(), "Max-Age=86400", "Max-Age=500"),
        (foreign, "Path=/x", "Path=/x"),
        (token(r#"{"sub":"a"}"#), "Path=/x", "Path=/x"),
    ];
    for (value, before, after) in table {
        let backend = setting(&[&format!("session={value}; {before}")]).await;
        let sidecar = Sidecar::before(&backend.address, &[("SESSION_COOKIE_FALLBACK", "1h")]).await;
        assert_eq!(sidecar.get("/login", "").await.cookie_lines("session"), [format!("session={value}; {after}")]);
    }
    let line = format!("session={}; Max-Age=86400", token(r#"{"sub":"a"}"#));
    let backend = setting(&[&line]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    assert_eq!(sidecar.get("/login", "").await.cookie_lines("session"), [line]);
}

#[tokio::test]
async fn k5_a_deletion_passes_and_nothing_is_set_beside_it() {
    for line in
        ["session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "session=deleted;path=/;max-age=0", "session=; Max-Age=30; Path=/"]
    {
        let backend = setting(&[line]).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        sidecar.pass(4000);
        let answer = sidecar.get("/logout", &format!("session={}", session_token(NOW, NOW + TTL))).await;
        assert_eq!(answer.cookie_lines("session"), [line]);
        assert_eq!(answer.field("session-expires-in"), None);
    }
}

#[tokio::test]
async fn k5_a_clean_up_of_another_place_is_no_logout() {
    for line in ["session=; Path=/old; Max-Age=0", "session=; Path=/; Domain=example.com; Max-Age=0"] {
        let backend = setting(&[line]).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        let session = format!("session={}", session_token(NOW, NOW + TTL));
        let answer = sidecar.get("/", &session).await;
        assert_eq!(answer.all("set-cookie").collect::<Vec<_>>(), [line]);
        assert_eq!(answer.field("session-expires-in"), Some("7200"));
        assert!(sidecar.get("/", &session).await.field("session-expires-in").is_some());
    }
}

#[tokio::test]
async fn k7_a_dead_session_never_deletes_the_cookie() {
    let backend = Backend::saying("401 Unauthorized", &[], "no").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let answer = sidecar.get("/", &format!("session={}", session_token(NOW - TTL, NOW))).await;
    assert_eq!((answer.status, answer.all("set-cookie").count()), (401, 0));
}

#[tokio::test]
async fn k8_of_several_lines_each_is_edited_and_the_last_decides() {
    let value = session_token(NOW, NOW + 5000);
    let backend =
        setting(&["session=; Path=/; Max-Age=0", "other=1", &format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9")]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let answer = sidecar.get("/login", "").await;
    let all: Vec<_> = answer.all("set-cookie").collect();
    let last = format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=5000");
    assert_eq!(all, ["session=; Path=/; Max-Age=0", "other=1", &last]);
    assert_eq!(answer.field("session-expires-in"), Some("5000"));
}

/// Logs in at one slidecar, renews at another that knows nothing, and gives the renewed line of the cookie.
async fn renewed_elsewhere(login: &str, settings: &[(&str, &str)]) -> (String, Answer) {
    let value = session_token(NOW, NOW + TTL);
    let backend = setting(&[&format!("session={value}; {login}")]).await;
    let first = Sidecar::before(&backend.address, settings).await;
    let answer = first.get("/app/login", "").await;
    let carried: Vec<_> = answer.all("set-cookie").filter_map(|line| line.split(';').next()).collect();
    let cookies = carried.join("; ");

    let quiet = Backend::saying("200 OK", &[], "hello").await;
    let second = first.replica(&quiet.address, settings).await;
    second.pass(4000);
    let answer = second.get("/deep/down/here", &cookies).await;
    assert_eq!(quiet.last_cookies().unwrap(), format!("session={value}"), "companions stay here");
    let line = answer.cookie_lines("session")[0].split_once("; ").expect("attributes").1.to_owned();
    (line, answer)
}

#[tokio::test]
async fn k6_a_renewed_cookie_has_the_attributes_of_the_login_on_every_replica() {
    let table = [
        ("Max-Age=60; Path=/; HttpOnly; SameSite=Lax", "Max-Age=7200; Path=/; HttpOnly; SameSite=Lax"),
        (
            "Max-Age=60; Path=/app; Domain=.example.com; HttpOnly; SameSite=Lax",
            "Max-Age=7200; Path=/app; Domain=.example.com; HttpOnly; SameSite=Lax",
        ),
        ("Path=/; SameSite=None; Secure; Max-Age=60; Priority=High", "Max-Age=7200; Path=/; SameSite=None; Secure; Priority=High"),
        ("Max-Age=60; Path=/", "Max-Age=7200; Path=/"),
        // No Path means the login's directory, which has to be said on other paths.
        ("Max-Age=60; HttpOnly", "Max-Age=7200; Path=/app; HttpOnly"),
    ];
    for (login, expected) in table {
        let (line, answer) = renewed_elsewhere(login, &[]).await;
        assert_eq!(line, expected, "{login}");
        let has_companion = login != table[0].0;
        assert_eq!(answer.cookie_lines("session_s").len(), usize::from(has_companion), "{login}");
    }
}

#[tokio::test]
async fn k6_a_forged_companion_is_ignored() {
    let (sidecar, _backend, session) = quiet(&[]).await;
    sidecar.pass(4000);
    let answer = sidecar.get("/", &format!("{session}; session_s=1.cFBhdGg9L2V2aWw.AAAAAAAAAAAAAAAAAAAAAA")).await;
    assert!(answer.cookie_lines("session")[0].ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    assert!(answer.cookie_lines("session_s").is_empty());
}

#[tokio::test]
async fn k6_secure_follows_the_scheme_of_the_browser() {
    let (sidecar, _backend, session) = quiet(&[]).await;
    sidecar.pass(4000);
    let answer = sidecar.client().await.request("GET", "/", &[("Cookie", &session), ("X-Forwarded-Proto", "https")]).await;
    assert!(answer.cookie_lines("session")[0].ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"));
}

#[tokio::test]
async fn k9_a_browser_session_cookie_stays_one() {
    let (line, answer) = renewed_elsewhere("Path=/; HttpOnly; SameSite=Lax", &[]).await;
    assert_eq!(line, "Path=/; HttpOnly; SameSite=Lax");
    assert!(!answer.cookie_lines("session_s")[0].contains("Max-Age"));
    let (line, _) = renewed_elsewhere("Path=/; HttpOnly; SameSite=Lax", &[("SESSION_COOKIE_PERSISTENCE", "always")]).await;
    assert_eq!(line, "Max-Age=7200; Path=/; HttpOnly; SameSite=Lax");
}

// Logout.

/// The `name=value` of a line that our answer set.
fn carried(answer: &Answer, name: &str) -> String {
    format!("{name}={}", answer.cookie(name))
}

#[tokio::test]
async fn l1_l4_a_late_answer_cannot_bring_a_session_back() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| {
        if request.starts_with("GET /slow") {
            Reply::ok().held_by(&held)
        } else if request.starts_with("POST /logout") {
            Reply::with("200 OK", &[("Set-Cookie", "session=; Path=/; Max-Age=0")], "bye")
        } else {
            Reply::ok()
        }
    })
    .await;
    let one = Sidecar::before(&backend.address, &[]).await;
    let two = one.replica(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    one.pass(4000);

    let mut slow = one.client().await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let logout = two.client().await.request("POST", "/logout", &[("Cookie", &session)]).await;
    let tombstone = carried(&logout, "session_x");
    assert_eq!(max_age(&logout, "session_x"), Some(TTL + 600));
    gate.notify_one();
    let late = slow.answer("GET").await;
    let revived = carried(&late, "session");

    let three = one.replica(&backend.address, &[]).await;
    for replica in [&one, &two, &three] {
        let answer = replica.get("/", &format!("{revived}; {tombstone}")).await;
        assert_eq!((answer.status, answer.field("session-expires-in")), (200, None));
        assert_eq!(backend.last_cookies(), None, "anonymous, and the tombstone stays here");
    }
    // L4: without the tombstone, only the process that saw the logout knows.
    assert_eq!(two.get("/", &revived).await.field("session-expires-in"), None);
    assert!(three.get("/", &revived).await.field("session-expires-in").is_some());
}

#[tokio::test]
async fn l1_a_logout_path_is_a_logout_even_if_the_cookie_stays() {
    let backend = Backend::saying("302 Found", &[("Location", "/")], "").await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_LOGOUT_PATHS", "/bye")]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let answer = sidecar.get("/bye", &session).await;
    assert_eq!(answer.field("cache-control"), Some("no-store, private"), "a tombstone is one person's");
    assert!(answer.cookie_lines("session").is_empty() && answer.cookie_lines("session_x").len() == 1);
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn l1_clear_site_data_is_a_logout() {
    let backend = Backend::saying("200 OK", &[("Clear-Site-Data", "\"cache\", \"cookies\"")], "").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    assert_eq!(sidecar.get("/", &session).await.all("set-cookie").count(), 0);
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn l2_another_users_login_ends_the_first_ones_session() {
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let backend = setting(&[&format!("session={bob}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9")]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let ada = format!("session={}", session_token(NOW, NOW + TTL));
    let answer = sidecar.get("/login", &ada).await;
    assert_eq!(answer.cookie("session"), bob);
    let tombstone = carried(&answer, "session_x");
    let replica = sidecar.replica(&backend.address, &[]).await;
    // A held answer of Ada's would set her cookie again: dead everywhere for this browser.
    assert_eq!(replica.get("/", &format!("{ada}; {tombstone}")).await.field("session-expires-in"), Some("7200"), "that is Bob's, set anew");
    assert_eq!(backend.last_cookies(), None);
}

#[tokio::test]
async fn l2_a_step_up_of_the_same_user_ends_the_old_session_in_this_browser_only() {
    let second = token(&format!(r#"{{"sub":"ada","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let backend = Backend::start(move |request| match request.starts_with("GET /step-up") {
        true => Reply::with("200 OK", &[("Set-Cookie", &format!("session={second}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9"))], ""),
        false => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let first = format!("session={}", session_token(NOW, NOW + TTL));
    let answer = sidecar.get("/step-up", &first).await;
    let tombstone = carried(&answer, "session_x");
    assert!(sidecar.get("/", &first).await.field("session-expires-in").is_some(), "another device");
    assert_eq!(sidecar.get("/", &format!("{first}; {tombstone}")).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn l2_a_logout_that_swaps_in_something_else_is_a_logout() {
    let anonymous = token(&format!(r#"{{"role":"anonymous","iat":{},"exp":{}}}"#, NOW + 1, NOW + 900));
    for line in [format!("session={anonymous}; Path=/; Max-Age=900"), "session=guest; Path=/; Max-Age=900".to_owned()] {
        let backend = setting(&[&line]).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        sidecar.pass(1);
        let session = format!("session={}", session_token(NOW, NOW + TTL));
        let answer = sidecar.get("/quit", &session).await;
        assert_eq!(answer.cookie_lines("session_x").len(), 1, "{line}");
        sidecar.get("/", &session).await;
        assert_eq!(backend.last_cookies(), None, "{line}");
    }
}

#[tokio::test]
async fn l3_a_new_login_with_a_reused_id_works() {
    let value = session_token(NOW, NOW + TTL);
    let line = format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/logout") => Reply::with("200 OK", &[("Set-Cookie", "session=; Path=/; Max-Age=0")], ""),
        Some("/login") => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
        _ => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={value}");
    let tombstone = carried(&sidecar.get("/logout", &session).await, "session_x");

    // A login that was sent before the logout, and answers late: the tombstone stays.
    let late = sidecar.get("/login", "").await;
    assert!(late.cookie_lines("session_x").is_empty());
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), None);

    // A login that was sent after it: the entry is cleared everywhere.
    let login = sidecar.get("/login", &tombstone).await;
    let cleared = login.cookie_lines("session_x");
    assert!(cleared.len() == 1 && cleared[0].starts_with("session_x=; Max-Age=0"), "{cleared:?}");
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), Some("7200"));
}

#[tokio::test]
async fn l1_l2_a_session_that_is_over_is_still_ended_for_its_late_answers() {
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + 3 * TTL));
    let line = format!("session={bob}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/login") => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
        Some("/logout") => Reply::with("200 OK", &[("Set-Cookie", "session=; Path=/; Max-Age=0")], ""),
        _ => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let over = format!("session={}", session_token(NOW, NOW + TTL));
    // What another tab's answer, still under way, will set.
    let renewed = format!("session={}", session_token(NOW, NOW + 2 * TTL));
    sidecar.pass(TTL);
    for path in ["/login", "/logout"] {
        let replica = sidecar.replica(&backend.address, &[]).await;
        let tombstone = carried(&replica.get(path, &over).await, "session_x");
        assert_eq!(replica.get("/", &format!("{renewed}; {tombstone}")).await.field("session-expires-in"), None, "{path}");
    }
}

#[tokio::test]
async fn k3_an_answer_that_took_its_time_and_repeats_the_cookie_is_no_logout() {
    let value = session_token(NOW, NOW + TTL);
    let line = format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::with("200 OK", &[("Set-Cookie", &line)], "").held_by(&held)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.pass(TTL - 60);
    let mut client = sidecar.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: session={value}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    sidecar.pass(60);
    gate.notify_one();
    let answer = client.answer("GET").await;
    assert!(answer.cookie_lines("session_x").is_empty(), "{:#?}", answer.fields);
    // Another answer renewed the session meanwhile.
    let quiet = Backend::saying("200 OK", &[], "").await;
    let elsewhere = sidecar.replica(&quiet.address, &[]).await;
    let renewed = format!("session={}", session_token(NOW, NOW + TTL + 3000));
    assert_eq!(elsewhere.get("/", &renewed).await.status, 200);
    assert_eq!(decisions(&sidecar).await, ["kept backend_cookie 1"]);
}

#[tokio::test]
async fn l2_a_late_answer_of_the_session_before_a_reissue_puts_nothing_back() {
    let next = token(&format!(r#"{{"sub":"ada","sid":"s-2","iat":{},"exp":{}}}"#, NOW + 4000, NOW + 4000 + TTL));
    let line = format!("session={next}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/slow") => Reply::ok().held_by(&held),
        _ => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let first = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let mut slow = sidecar.client().await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: {first}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sidecar.get("/page", &first).await.cookie("session"), next);
    gate.notify_one();
    assert!(slow.answer("GET").await.cookie_lines("session").is_empty());
}

#[tokio::test]
async fn k6_one_persons_attributes_say_nothing_of_anothers() {
    let ada = session_token(NOW, NOW + TTL);
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let lines = [format!("session={ada}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9"), format!("session={bob}; Path=/admin; HttpOnly")];
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/login-ada") => Reply::with("200 OK", &[("Set-Cookie", &lines[0])], ""),
        Some("/login-bob") => Reply::with("200 OK", &[("Set-Cookie", &lines[1])], ""),
        _ => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.get("/login-ada", "").await;
    sidecar.get("/login-bob", "").await;
    sidecar.pass(4000);
    let renewed = sidecar.get("/", &format!("session={ada}")).await;
    assert!(renewed.cookie_lines("session")[0].ends_with("; Max-Age=7200; Path=/; HttpOnly; SameSite=Lax"));
}

#[tokio::test]
async fn k8_a_cookie_of_the_same_name_elsewhere_replaces_nothing() {
    let backend = setting(&["session=opaque; Path=/admin; HttpOnly"]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    for _ in 0..2 {
        let answer = sidecar.get("/admin", &session).await;
        assert_eq!((answer.all("set-cookie").count(), answer.field("session-expires-in")), (1, Some("7200")));
    }
}

#[tokio::test]
async fn k8_a_shim_that_moves_the_cookie_logs_nobody_out() {
    let value = session_token(NOW, NOW + TTL);
    let new = format!("session={value}; Path=/; Domain=app.example; Max-Age=9; HttpOnly");
    let old = "session=; Max-Age=0; Path=/";
    for lines in [[new.as_str(), old], [old, new.as_str()]] {
        let backend = setting(&lines).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        for cookies in ["", &format!("session={}", session_token(NOW, NOW + TTL - 5))] {
            let answer = sidecar.get("/", cookies).await;
            assert_eq!((answer.field("session-expires-in"), answer.cookie_lines("session_x").len()), (Some("7200"), 0), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn e2_a_refused_call_is_no_activity() {
    let (sidecar, _backend, session) = quiet(&[("SESSION_LOGOUT_PATHS", "/auth")]).await;
    sidecar.pass(4000);
    for path in ["/auth/session-heartbeat", "/auth/session-logout"] {
        let foreign = post(&sidecar, path, &[("Cookie", &session), ("Sec-Fetch-Site", "cross-site")]).await;
        assert_eq!((foreign.status, foreign.all("set-cookie").count()), (403, 0), "{path}");
        let wrong = sidecar.get(path, &session).await;
        assert_eq!((wrong.status, wrong.all("set-cookie").count()), (405, 0), "{path}");
    }
    // And asking for the policy below a logout path is no logout.
    assert_eq!(sidecar.get("/auth/session-policy", &session).await.all("set-cookie").count(), 0);
    assert!(sidecar.get("/", &session).await.field("session-expires-in").is_some());
}

#[tokio::test]
async fn l2_a_weak_family_is_ended_in_the_browser_only() {
    let backend = setting(&["session=; Path=/; Max-Age=0"]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let weak = format!("session={}", token(&format!(r#"{{"role":"guest","exp":{}}}"#, NOW + TTL)));
    let answer = sidecar.get("/logout", &weak).await;
    let tombstone = carried(&answer, "session_x");
    sidecar.get("/", &weak).await;
    assert_eq!(backend.last_cookies().unwrap(), weak, "somebody else's");
    sidecar.get("/", &format!("{weak}; {tombstone}")).await;
    assert_eq!(backend.last_cookies(), None);
}

// Caches and the clock that pages follow.

#[tokio::test]
async fn h1_h2_no_shared_cache_ever_holds_a_session() {
    let fields: &[(&str, &str)] = &[("Cache-Control", "public, max-age=60"), ("ETag", "\"1\""), ("CDN-Cache-Control", "max-age=9")];
    let backend = Backend::saying("200 OK", fields, "logo").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let answer = sidecar.get("/logo", &session).await;
    assert_eq!((answer.all("set-cookie").count(), answer.field("cache-control")), (0, Some("public, max-age=60")));
    assert_eq!((answer.field("session-expires-in"), answer.field("server-timing")), (None, None));
    // In the last quarter of the threshold the session is worth more than the cache.
    sidecar.pass(TTL - 4000 - 899);
    let answer = sidecar.get("/logo", &session).await;
    assert_eq!(answer.cookie_lines("session").len(), 1);
    assert_eq!(answer.all("cache-control").collect::<Vec<_>>(), ["no-store, private"]);
    assert_eq!((answer.field("cdn-cache-control"), answer.field("etag")), (None, Some("\"1\"")));
}

#[tokio::test]
async fn e3_every_answer_to_a_session_tells_its_end() {
    let backend = Backend::saying("200 OK", &[("Server-Timing", "db;dur=5")], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.pass_millis(500);
    let answer = sidecar.get("/", &format!("session={}", session_token(NOW, NOW + TTL))).await;
    assert_eq!(answer.field("session-expires-in"), Some("7199"));
    let timing: Vec<_> = answer.all("server-timing").collect();
    assert_eq!(timing, ["db;dur=5", &format!("session;dur=7199500;desc=\"{}500\"", NOW)]);
    assert!(answer.field("session-policy-version").is_some());
    assert_eq!(sidecar.get("/", "").await.field("session-expires-in"), None);
}

#[tokio::test]
async fn e1_the_policy_endpoint_answers_exactly_and_only_there() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let answer = sidecar.get("/auth/session-policy", &session).await;
    assert_eq!(
        answer.text(),
        r#"{"accessTokenTtlMs":7200000,"heartbeatIntervalMs":600000,"sessionTimeoutMs":7500000,"refreshThresholdMs":3600000}"#
    );
    assert_eq!((answer.field("cache-control"), answer.field("vary")), (Some("private, no-cache"), Some("Cookie")));
    let etag = answer.field("etag").expect("an ETag").to_owned();
    let mut client = sidecar.client().await;
    let unchanged = client.request("GET", "/auth/session-policy?x=1", &[("If-None-Match", &format!("\"a\", W/{etag}"))]).await;
    assert_eq!((unchanged.status, unchanged.body.len(), unchanged.field("etag")), (304, 0, Some(etag.as_str())));
    let head = client.request("HEAD", "/auth/session-policy", &[]).await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("113")));
    let post = client.request("POST", "/auth/session-policy", &[("Content-Length", "0")]).await;
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
    assert!(backend.requests().is_empty());
    for path in
        ["/auth/session-policy/", "/auth//session-policy", "/AUTH/session-policy", "/%61uth/session-policy", "/x/../auth/session-policy"]
    {
        client.request("GET", path, &[]).await;
        assert!(backend.requests().pop().unwrap_or_default().starts_with(&format!("GET {path} ")), "{path}");
    }
}

/// A POST without a body to one of our own.
async fn post(sidecar: &Sidecar, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = [fields, &[("Content-Length", "0")]].concat();
    sidecar.client().await.request("POST", path, &fields).await
}

#[tokio::test]
async fn e1_status_tells_the_clocks_and_is_no_activity() {
    let (sidecar, backend, session) = quiet(&[("SESSION_ABSOLUTE_TIMEOUT", "12h")]).await;
    sidecar.pass(1000);
    let status = async |cookies: &str| sidecar.get("/auth/session-status", cookies).await;
    let answer = status(&session).await;
    let expected = r#"{"active":true,"class":"standard","expiresInMs":6200000,"renewsInMs":2600000,"absoluteExpiresInMs":42200000}"#;
    assert_eq!((answer.text().as_str(), answer.field("cache-control")), (expected, Some("no-store")));
    sidecar.pass(4000);
    let answer = status(&session).await;
    assert_eq!((answer.json()["renewsInMs"].as_u64(), answer.all("set-cookie").count()), (Some(0), 0));
    sidecar.pass(TTL);
    assert_eq!(status(&session).await.text(), r#"{"active":false,"reason":"expired"}"#);
    assert_eq!(status("").await.text(), r#"{"active":false,"reason":"no_cookie"}"#);
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn e1_a_heartbeat_is_activity() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let beat = async |fields: &[(&str, &str)]| post(&sidecar, "/auth/session-heartbeat", fields).await;
    let early = beat(&[("Cookie", &session)]).await;
    assert_eq!((early.status, early.all("set-cookie").count(), early.field("session-expires-in")), (204, 0, Some("7200")));
    sidecar.pass(4000);
    let due = beat(&[("Cookie", &session)]).await;
    assert_eq!((due.status, due.cookie("session")), (204, session_token(NOW, NOW + 4000 + TTL).as_str()));
    assert_eq!(due.field("cache-control"), Some("no-store, private"));
    assert_eq!(beat(&[("Cookie", &session), ("Session-Passive", "1")]).await.all("set-cookie").count(), 0);
    let nobody = beat(&[]).await;
    assert_eq!((nobody.status, nobody.json()["reason"].as_str()), (401, Some("no_cookie")));
    let get = sidecar.get("/auth/session-heartbeat", &session).await;
    assert_eq!((get.status, get.field("allow")), (405, Some("POST")));
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn e1_l1_our_own_logout_deletes_the_cookie_and_remembers() {
    let (sidecar, backend, session) = quiet(&[]).await;
    let answer = post(&sidecar, "/auth/session-logout", &[("Cookie", &session)]).await;
    assert_eq!((answer.status, answer.field("session-expires-in")), (204, None));
    assert_eq!(answer.cookie_lines("session"), ["session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"]);
    let tombstone = carried(&answer, "session_x");
    assert!(backend.requests().is_empty());
    let replica = sidecar.replica(&backend.address, &[]).await;
    replica.get("/", &format!("{session}; {tombstone}")).await;
    assert_eq!(backend.last_cookies(), None);
    sidecar.get("/", &session).await;
    assert_eq!(backend.last_cookies(), None);
    // Without a session it only makes sure that nothing is left.
    let again = post(&sidecar, "/auth/session-logout", &[]).await;
    assert_eq!((again.status, again.all("set-cookie").count()), (204, 1));
}

#[tokio::test]
async fn e1_our_own_logout_deletes_the_cookie_where_the_backend_put_it() {
    let backend = setting(&[&format!("session={}; Path=/app; Secure; Max-Age=9", session_token(NOW, NOW + TTL))]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let login = sidecar.get("/login", "").await;
    let cookies = format!("{}; {}", carried(&login, "session"), carried(&login, "session_s"));
    let replica = sidecar.replica(&backend.address, &[]).await;
    let answer = post(&replica, "/auth/session-logout", &[("Cookie", &cookies)]).await;
    assert_eq!(answer.cookie_lines("session"), ["session=; Max-Age=0; Path=/app; Secure"]);
    assert_eq!(answer.cookie_lines("session_s"), ["session_s=; Max-Age=0; Path=/app; Secure; HttpOnly"]);
    assert!(answer.cookie_lines("session_x")[0].ends_with("; Path=/; Secure; HttpOnly"), "a login elsewhere has to see it");
}

#[tokio::test]
async fn e2_foreign_pages_cannot_act_and_listed_ones_can_call() {
    let (sidecar, _backend, session) = quiet(&[("SESSION_CLIENT_ORIGINS", "https://front.example,http://localhost:5173")]).await;
    let foreign = post(&sidecar, "/auth/session-logout", &[("Cookie", &session), ("Origin", "https://evil.example")]).await;
    assert_eq!((foreign.status, foreign.json()["reason"].as_str(), foreign.all("set-cookie").count()), (403, Some("cross_site"), 0));
    assert!(sidecar.get("/", &session).await.field("session-expires-in").is_some(), "still logged in");

    let front = ("Origin", "https://front.example");
    let listed = post(&sidecar, "/auth/session-heartbeat", &[("Cookie", &session), front, ("Sec-Fetch-Site", "cross-site")]).await;
    assert_eq!((listed.status, listed.field("access-control-allow-origin")), (204, Some("https://front.example")));
    assert_eq!(listed.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(listed.field("timing-allow-origin"), Some("https://front.example"));
    assert!(listed.field("access-control-expose-headers").is_some_and(|names| names.contains("Session-Expires-In")));

    let ask = [front, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "session-passive")];
    let preflight = sidecar.client().await.request("OPTIONS", "/auth/session-heartbeat", &ask).await;
    assert_eq!((preflight.status, preflight.field("access-control-allow-methods")), (204, Some("POST")));
    assert_eq!(preflight.field("access-control-allow-origin"), Some("https://front.example"));
    let ask = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    let preflight = sidecar.client().await.request("OPTIONS", "/auth/session-heartbeat", &ask).await;
    assert_eq!((preflight.status, preflight.field("access-control-allow-origin")), (405, None));

    let policy = sidecar.client().await.request("GET", "/auth/session-policy", &[front]).await;
    assert_eq!(policy.field("access-control-allow-origin"), Some("https://front.example"));
    assert_eq!(policy.all("vary").collect::<Vec<_>>(), ["Cookie", "Origin"]);
}

// Failing well, and only watching.

#[tokio::test]
async fn p2_m5_a_renewal_that_cannot_be_made_never_fails_the_request() {
    let (sidecar, backend, _) = quiet(&[]).await;
    // Two bytes of base64 below what a browser keeps: a token with iat and exp of the same digits fits, a login of ours
    // with orig_iat would not.
    let bump = sidecar.replica(&backend.address, &[("JWT_IAT", "bump")]).await;
    let fill = |count: usize| token(&format!(r#"{{"sub":"{}","iat":{NOW},"exp":{}}}"#, "x".repeat(count), NOW + TTL));
    let longest = (2900..3100).map(fill).take_while(|token| token.len() + "session=".len() <= 4096).last().expect("one fits");
    sidecar.pass(4000);
    let session = format!("session={longest}");
    let kept = sidecar.get("/", &session).await;
    assert_eq!((kept.status, kept.cookie_lines("session").len()), (200, 1));
    let too_long = bump.get("/", &session).await;
    assert_eq!((too_long.status, too_long.all("set-cookie").count()), (200, 0));
    assert_eq!(backend.last_cookies().unwrap(), session);
    let metrics = crate::harness::Client::to(&bump.admin).await.request("GET", "/metrics", &[]).await.text();
    assert!(metrics.contains("slidecar_session_decisions_total{decision=\"kept\",reason=\"too_long\"} 1"), "{metrics}");
}

#[tokio::test]
async fn m2_a_cap_without_an_origin_means_no_renewal() {
    let (sidecar, _backend, _) = quiet(&[("SESSION_ABSOLUTE_TIMEOUT", "12h")]).await;
    let session = format!("session={}", token(&format!(r#"{{"sub":"ada","exp":{}}}"#, NOW + 60)));
    let answer = sidecar.get("/", &session).await;
    assert_eq!((answer.status, answer.all("set-cookie").count()), (200, 0));
    assert!(decisions(&sidecar).await.contains(&"kept no_origin 1".to_owned()));
}

/// The decisions counted so far, as `decision reason count`.
async fn decisions(sidecar: &Sidecar) -> Vec<String> {
    let text = crate::harness::Client::to(&sidecar.admin).await.request("GET", "/metrics", &[]).await.text();
    let counted = text.lines().filter_map(|line| line.strip_prefix("slidecar_session_decisions_total{"));
    let words = counted.map(|line| line.replace("decision=\"", "").replace("\",reason=\"", " ").replace("\"}", ""));
    words.filter(|line| !line.ends_with(" 0")).collect()
}

#[tokio::test]
async fn observe_changes_nothing_and_says_what_would_have_been() {
    let fields: &[(&str, &str)] = &[("Set-Cookie", "other=1"), ("Cache-Control", "public")];
    let backend = Backend::saying("200 OK", fields, "x").await;
    let settings = [("SLIDECAR_MODE", "observe"), ("SESSION_PROTECTED_PATHS", "/app")];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let session = session_token(NOW, NOW + TTL);
    sidecar.pass(TTL - 5);
    let cookies = format!("a=1; session={session}; session_s=x; session=broken");
    let fields = [("Cookie", cookies.as_str()), ("X-Order", "1")];
    let answer = sidecar.client().await.request("GET", "/app", &fields).await;
    assert_eq!(answer.all("set-cookie").collect::<Vec<_>>(), ["other=1"]);
    assert_eq!((answer.field("cache-control"), answer.field("session-expires-in")), (Some("public"), None));
    assert_eq!(backend.request(), format!("GET /app HTTP/1.1\r\nHost: app.example\r\nCookie: {cookies}\r\nX-Order: 1\r\n\r\n"));

    let passive = [("Cookie", "session=x"), ("Session-Passive", "1")];
    assert_eq!(sidecar.client().await.request("GET", "/app/%zz", &passive).await.status, 200, "refused by enforce");
    assert!(backend.requests()[1].contains("Session-Passive: 1\r\n"));
    let week = setting(&[&format!("session={}; Max-Age=9", session_token(NOW, NOW + 604_800))]).await;
    let login = sidecar.replica(&week.address, &settings).await;
    let line = format!("session={}; Max-Age=9", session_token(NOW, NOW + 604_800));
    assert_eq!(login.get("/login", "").await.all("set-cookie").collect::<Vec<_>>(), [line]);
    assert_eq!(decisions(&login).await, ["login clamped 1"]);
    assert_eq!(decisions(&sidecar).await.len(), 2);
    assert!(decisions(&sidecar).await.contains(&"renewed threshold 1".to_owned()), "{:?}", decisions(&sidecar).await);
    assert_eq!(sidecar.get("/auth/session-policy", "").await.status, 200);
}

#[tokio::test]
async fn o1_what_keeps_sessions_alive_is_counted_by_route() {
    let (sidecar, _backend, session) = quiet(&[]).await;
    sidecar.pass(4000);
    for path in ["/users/17", "/users/18?x=1", "/"] {
        sidecar.get(path, &session).await;
    }
    let text = crate::harness::Client::to(&sidecar.admin).await.request("GET", "/metrics", &[]).await.text();
    assert!(
        text.contains("slidecar_renewals_total{route=\"/users/:id\"} 2") && text.contains("slidecar_renewals_total{route=\"/\"} 1"),
        "{text}"
    );
}
