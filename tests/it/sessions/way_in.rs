//! The way in.

use super::{TTL, carried, max_age, post, quiet};
use crate::harness::{NOW, SECRET, claims, session_token, token, token_by};

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
        token_by(SECRET, r#"{"alg":"none"}"#, "{}"),
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

#[tokio::test]
async fn q8_what_was_ended_is_for_no_handler() {
    let (sidecar, backend, session) = quiet(&[("SESSION_EXPIRED_PATHS", "/refresh")]).await;
    let tombstone = carried(&post(&sidecar, "/auth/session-logout", &[("Cookie", &session)]).await, "session_x");
    let replica = sidecar.replica(&backend.address, &[("SESSION_EXPIRED_PATHS", "/refresh")]).await;
    sidecar.pass(TTL);
    // The browser remembers, and so does the process that saw the logout.
    replica.get("/refresh", &format!("{session}; {tombstone}")).await;
    assert_eq!(backend.last_cookies(), None);
    sidecar.get("/refresh", &session).await;
    assert_eq!(backend.last_cookies(), None);
    replica.get("/refresh", &session).await;
    assert_eq!(backend.last_cookies(), Some(session), "merely expired, as far as this one knows");
}
