//! Minting.

use super::{TTL, quiet};
use crate::harness::{NOW, claims, session_token, token};

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
async fn m4_a_burst_costs_one_signature() {
    let (sidecar, _backend, session) = quiet(&[]).await;
    sidecar.pass(4000);
    for answer in sidecar.burst(&session).await {
        assert_eq!(answer.cookie_lines("session").len(), 1);
    }
    let metrics = sidecar.metrics().await;
    assert!(metrics.contains("\nslidecar_signatures_total 1\n"), "{metrics}");
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
