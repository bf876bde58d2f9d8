//! Failing well, and only watching.

use super::{TTL, decisions, quiet, setting};
use crate::harness::{Backend, NOW, Sidecar, session_token, token};

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
    let metrics = bump.metrics().await;
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
    let text = sidecar.metrics().await;
    assert!(
        text.contains("slidecar_renewals_total{route=\"/users/:id\"} 2") && text.contains("slidecar_renewals_total{route=\"/\"} 1"),
        "{text}"
    );
}
