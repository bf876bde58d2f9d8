//! The way out: when an answer renews.

use super::{TTL, quiet, setting};
use crate::harness::{Backend, NOW, Reply, Sidecar, claims, session_token};
use std::sync::Arc;
use tokio::sync::Notify;

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
