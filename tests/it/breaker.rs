//! Rule O4: a backend that remembers the tokens that it made refuses the ones that slidecar renews.

use crate::harness::{Backend, NOW, Reply, Sidecar, claims, kubelet::Mount, token};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

const TTL: i64 = 7200;

/// Takes only the very tokens that it set, as `POST /login?user=…` sets them; `set` says how long they live.
async fn remembering(lives: i64) -> Backend {
    let known = Arc::new(Mutex::new(HashSet::new()));
    Backend::start(move |head| {
        let mut known = known.lock().unwrap();
        if let Some(user) = head.strip_prefix("GET /login?user=").and_then(|rest| rest.split(' ').next()) {
            let value = token(&format!(r#"{{"sub":"{user}","iat":{NOW},"exp":{}}}"#, NOW + lives));
            let reply = Reply::with("200 OK", &[("Set-Cookie", &format!("session={value}; Max-Age=3600; Path=/"))], "in");
            known.insert(value);
            return reply;
        }
        let value = head.lines().find_map(|line| line.strip_prefix("Cookie: session=")).unwrap_or_default();
        if known.contains(value) { Reply::ok() } else { Reply::with("401 Unauthorized", &[], "who are you?") }
    })
    .await
}

async fn login(sidecar: &Sidecar, user: &str) -> String {
    format!("session={}", sidecar.get(&format!("/login?user={user}"), "").await.cookie("session"))
}

#[tokio::test]
async fn o4_a_backend_that_remembers_tokens_is_noticed_and_renewal_stops() {
    let backend = remembering(TTL).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut sessions = Vec::new();
    for user in ["ada", "bob", "cyd", "dan", "eve"] {
        sessions.push(login(&sidecar, user).await);
    }
    sidecar.pass(4000);
    for (n, session) in sessions.iter().enumerate() {
        let answer = sidecar.get("/", session).await;
        assert_eq!(answer.status, 200);
        if n >= 3 {
            // Those who come later keep what they have.
            assert_eq!(answer.all("set-cookie").count(), 0, "session {n}");
            assert_eq!(sidecar.get("/", session).await.status, 200, "session {n}");
            continue;
        }
        let renewed = format!("session={}", answer.cookie("session"));
        assert_ne!(renewed, *session);
        // Twice, for a browser does not give up so soon; it counts once.
        assert_eq!((sidecar.get("/", &renewed).await.status, sidecar.get("/", &renewed).await.status), (401, 401));
    }
    let numbers = sidecar.metrics().await;
    for line in [
        "slidecar_events_total{event=\"renewed_tokens_rejected\"} 1\n",
        "slidecar_session_decisions_total{decision=\"kept\",reason=\"paused\"} 4\n",
        "slidecar_session_decisions_total{decision=\"renewed\",reason=\"threshold\"} 3\n",
    ] {
        assert!(numbers.contains(line), "{line}: {numbers}");
    }
    assert!(sidecar.ready().await.text().contains("[!] renewals: paused"), "{}", sidecar.ready().await.text());
    sidecar.pass(3599);
    let later = token(&format!(r#"{{"sub":"fay","iat":{NOW},"exp":{}}}"#, NOW + 7700));
    let kept = sidecar.get("/", &format!("session={later}")).await;
    assert_eq!(kept.all("set-cookie").count(), 0);
}

#[tokio::test]
async fn o4_a_login_that_would_be_shortened_is_let_pass_then() {
    let backend = remembering(7 * 86_400).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    for user in ["ada", "bob", "cyd"] {
        let session = login(&sidecar, user).await;
        assert_eq!(claims(&session["session=".len()..])["exp"], NOW + TTL);
        assert_eq!(sidecar.get("/", &session).await.status, 401);
    }
    let session = login(&sidecar, "dan").await;
    assert_eq!(claims(&session["session=".len()..])["exp"], NOW + 7 * 86_400);
    for _ in 0..2 {
        let answer = sidecar.get("/", &session).await;
        assert_eq!((answer.status, answer.all("set-cookie").count()), (200, 0));
    }
    // An hour later it is tried again.
    sidecar.pass(3600);
    assert_ne!(sidecar.get("/", &session).await.cookie("session"), &session["session=".len()..]);
}

/// Whoever mends the settings need not wait for the end of the pause.
#[tokio::test]
async fn o4_other_clocks_or_keys_are_a_new_beginning() {
    let backend = remembering(TTL).await;
    let clocks = Mount::with(&[("SESSION_REFRESH_THRESHOLD", "1h")]);
    let settings = [("SESSION_REFRESH_THRESHOLD", "-"), ("SESSION_POLICY_DIR", clocks.path())];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let mut sessions = Vec::new();
    for user in ["ada", "bob", "cyd", "dan"] {
        sessions.push(login(&sidecar, user).await);
    }
    sidecar.pass(4000);
    for session in &sessions[..3] {
        let renewed = sidecar.get("/", session).await.cookie("session").to_owned();
        assert_eq!(sidecar.get("/", &format!("session={renewed}")).await.status, 401);
    }
    assert_eq!(sidecar.get("/", &sessions[3]).await.all("set-cookie").count(), 0);
    clocks.swap(&[("SESSION_REFRESH_THRESHOLD", "90m")]);
    sidecar.reload();
    assert_ne!(sidecar.get("/", &sessions[3]).await.cookie("session"), &sessions[3]["session=".len()..]);
    assert!(!sidecar.ready().await.text().contains("renewals: paused"));
}

/// Somebody whom the backend throws out for a reason of its own is no sign of anything.
#[tokio::test]
async fn o4_a_backend_that_takes_renewed_tokens_is_left_alone() {
    let refused = Arc::new(Mutex::new(HashSet::new()));
    let listed = Arc::clone(&refused);
    let backend = Backend::start(move |head| {
        let is_out = listed.lock().unwrap().iter().any(|token: &String| head.contains(token.as_str()));
        if is_out { Reply::with("401 Unauthorized", &[], "") } else { Reply::ok() }
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.pass(4000);
    for n in 0..20 {
        let session = token(&format!(r#"{{"sub":"{n}","iat":{NOW},"exp":{}}}"#, NOW + TTL));
        let renewed = sidecar.get("/", &format!("session={session}")).await.cookie("session").to_owned();
        if n % 2 == 1 {
            refused.lock().unwrap().insert(renewed.clone());
        }
        sidecar.get("/", &format!("session={renewed}")).await;
    }
    assert!(sidecar.metrics().await.contains("slidecar_events_total{event=\"renewed_tokens_rejected\"} 0\n"));
}
