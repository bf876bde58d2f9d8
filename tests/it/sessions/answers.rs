//! Caches, the clock that pages follow, and the own endpoints.

use super::{TTL, carried, post, quiet, setting};
use crate::harness::{Backend, NOW, Sidecar, session_token};

#[tokio::test]
async fn h1_h2_no_shared_cache_ever_holds_a_session() {
    let fields: &[(&str, &str)] = &[
        ("Cache-Control", "public, max-age=60"),
        ("ETag", "\"1\""),
        ("CDN-Cache-Control", "max-age=9"),
        ("Surrogate-Control", "max-age=9"),
        ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT"),
    ];
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
    assert_eq!(answer.field("etag"), Some("\"1\""));
    for lifetime in ["cdn-cache-control", "surrogate-control", "expires"] {
        assert_eq!(answer.field(lifetime), None, "{lifetime}");
    }
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
