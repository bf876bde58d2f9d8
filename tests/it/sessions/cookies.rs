//! Cookies that the backend sets, and what travels beside them.

use super::{TTL, carried, decisions, max_age, quiet, renewed_elsewhere, setting};
use crate::harness::{Backend, NOW, Reply, Sidecar, session_token, token, token_by};

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

#[tokio::test]
async fn k8_the_line_at_the_configured_place_decides() {
    let ada = session_token(NOW, NOW + TTL);
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let (here, there) = (format!("session={ada}; Path=/; Max-Age=9"), format!("session={bob}; Path=/legacy; Max-Age=9"));
    for lines in [[here.as_str(), there.as_str()], [there.as_str(), here.as_str()]] {
        let backend = setting(&lines).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        let answer = sidecar.get("/", &format!("session={ada}")).await;
        assert!(answer.cookie_lines("session_x").is_empty(), "nobody was switched: {:#?}", answer.fields);
        assert_eq!(decisions(&sidecar).await, ["kept backend_cookie 1"]);
    }
}

#[tokio::test]
async fn k6_without_a_companion_the_last_login_of_this_process_tells() {
    let value = session_token(NOW, NOW + TTL);
    let line = format!("session={value}; Path=/app; HttpOnly; Max-Age=9");
    let backend = Backend::start(move |request| match request.starts_with("GET /login") {
        true => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
        false => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = carried(&sidecar.get("/login", "").await, "session");
    let replica = sidecar.replica(&backend.address, &[]).await;
    sidecar.pass(4000);
    let attributes =
        async |sidecar: &Sidecar| sidecar.get("/app", &session).await.cookie_lines("session")[0].split_once("; ").unwrap().1.to_owned();
    assert_eq!(attributes(&sidecar).await, "Max-Age=7200; Path=/app; HttpOnly");
    assert_eq!(attributes(&replica).await, "Max-Age=7200; Path=/; HttpOnly; SameSite=Lax", "it never saw a login");
}
