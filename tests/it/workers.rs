//! Several workers are one program: connections are dealt out evenly, and what one learns of a session holds for all.

use crate::harness::{Backend, NOW, Reply, Sidecar, session_token};
use std::sync::Arc;
use tokio::sync::Notify;

const FOUR: &[(&str, &str)] = &[("SLIDECAR_WORKERS", "4")];

fn session() -> String {
    format!("session={}", session_token(NOW, NOW + 7200))
}

/// Each worker has connections of its own to the backend, so these tell how many were at work.
#[tokio::test]
async fn connections_go_to_the_worker_that_has_the_fewest() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, FOUR).await;
    let mut clients = Vec::new();
    for expected in [1, 2, 3, 4, 4, 4, 4, 4] {
        let mut client = sidecar.client().await;
        assert_eq!(client.get("/", &session()).await.status, 200);
        assert_eq!(backend.connections(), expected);
        clients.push(client);
    }
}

#[tokio::test]
async fn l1_what_ends_in_one_worker_is_over_in_all() {
    let backend = Backend::start(|request| {
        let fields: &[(&str, &str)] =
            if request.starts_with("GET /logout") { &[("Set-Cookie", "session=; Path=/; Max-Age=0")] } else { &[] };
        Reply::with("200 OK", fields, "hello")
    })
    .await;
    let settings = [FOUR, &[("SESSION_PROTECTED_PATHS", "/app")]].concat();
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = sidecar.client().await;
        // Each of them has verified the token by now.
        assert_eq!(client.get("/app", &session()).await.status, 200);
        clients.push(client);
    }
    clients[0].get("/logout", &session()).await;
    for client in &mut clients {
        assert_eq!(client.get("/app", &session()).await.status, 401);
    }
}

#[tokio::test]
async fn m4_a_burst_over_all_workers_costs_one_signature() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, FOUR).await;
    sidecar.pass(4000);
    for answer in sidecar.burst(&session()).await {
        assert_eq!(answer.cookie_lines("session").len(), 1);
    }
    let metrics = sidecar.metrics().await;
    assert!(metrics.contains("\nslidecar_signatures_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn t7_a_stop_waits_for_every_worker() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::ok().held_by(&held)).await;
    let mut sidecar = Sidecar::before(&backend.address, FOUR).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = sidecar.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    while backend.requests().len() < 4 {
        tokio::task::yield_now().await;
    }
    sidecar.stop();
    gate.notify_waiters();
    for client in &mut clients {
        let answer = client.answer("GET").await;
        assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    }
    sidecar.stopped().await;
}
