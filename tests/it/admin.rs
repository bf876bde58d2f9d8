//! What operators and kubelets see (rule O1): status, numbers, the way through to the backend.

use crate::harness::{Answer, Backend, Client, NOW, Process, Reply, SECRET, Sidecar, session_token};

const SECRETS: [(&str, &str); 2] =
    [("SLIDECAR_ADMIN_TOKEN", "an admin token of this test only"), ("JWT_PREVIOUS_SECRET", "a previous secret of at least 32 bytes")];

async fn admin(sidecar: &Sidecar, path: &str) -> Answer {
    Client::to(&sidecar.admin).await.request("GET", path, &[]).await
}

#[tokio::test]
async fn o1_status_tells_what_holds_and_no_secret() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let settings = [SECRETS[0], SECRETS[1], ("JWT_PREVIOUS_UNTIL", "2100-01-01T00:00:00Z"), ("SESSION_ABSOLUTE_TIMEOUT", "12h")];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let token = session_token(NOW, NOW + 7200);
    sidecar.get("/", &format!("session={token}")).await;
    sidecar.pass(4000);
    for path in ["/users/1", "/poll", "/poll"] {
        sidecar.get(path, &format!("session={token}")).await;
    }
    let answer = admin(&sidecar, "/status").await;
    assert_eq!(
        (answer.status, answer.field("content-type"), answer.field("cache-control")),
        (200, Some("application/json"), Some("no-store"))
    );
    let status = answer.json();
    let clocks = serde_json::json!({"ttlMs": 7_200_000, "refreshThresholdMs": 3_600_000, "heartbeatIntervalMs": 600_000, "sessionTimeoutMs": 7_500_000});
    assert_eq!((&status["policy"]["standard"], &status["policy"]["absoluteMs"]), (&clocks, &43_200_000.into()));
    assert_eq!(status["policy"]["version"], answer_version(&sidecar, &token).await);
    assert_eq!((&status["mode"], &status["ready"], &status["generation"]), (&"enforce".into(), &true.into(), &1.into()));
    assert_eq!((&status["now"], &status["previousKeyUntil"]), (&((NOW + 4000) * 1000).into(), &4_102_444_800_000_i64.into()));
    let renewals = serde_json::json!([{"route": "/poll", "count": 2}, {"route": "/users/:id", "count": 1}]);
    assert_eq!(status["renewals"], renewals);
    let decisions = serde_json::json!([{"decision": "renewed", "reason": "threshold", "count": 3}, {"decision": "kept", "reason": "not_due", "count": 1}]);
    assert_eq!(status["decisions"], decisions);
    let setting = |name: &str| status["settings"].as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap().clone();
    assert_eq!((&setting("JWT_EXPIRES_IN")["value"], &setting("JWT_EXPIRES_IN")["source"]), (&"2h".into(), &"environment".into()));
    let text = answer.text();
    for secret in [SECRET, SECRETS[0].1, SECRETS[1].1, token.as_str()] {
        assert!(!text.contains(secret), "{text}");
    }
}

async fn answer_version(sidecar: &Sidecar, token: &str) -> String {
    sidecar.get("/", &format!("session={token}")).await.field("session-policy-version").unwrap().to_owned()
}

#[tokio::test]
async fn o1_the_page_for_people_is_one_file_that_calls_nobody_else() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let page = admin(&sidecar, "/").await;
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    let text = page.text();
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML"));
    for path in ["/nothing", "/status/", "/Status"] {
        assert_eq!(admin(&sidecar, path).await.status, 404, "{path}");
    }
    let posted = Client::to(&sidecar.admin).await.request("POST", "/status", &[("Content-Length", "0")]).await;
    assert_eq!((posted.status, posted.field("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn o1_a_probe_gets_through_to_a_backend_on_loopback() {
    let backend = Backend::start(|head| {
        let status = if head.starts_with("GET /healthz ") { "204 No Content" } else { "503 Service Unavailable" };
        Reply::with(status, &[("Set-Cookie", "a=1"), ("X-Inside", "yes")], "")
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_PROTECTED_PATHS", "/")]).await;
    let fields = [("User-Agent", "kube-probe/1.33"), ("Cookie", "session=x"), ("Authorization", "Bearer x"), ("X-Other", "1")];
    let answer = Client::to(&sidecar.admin).await.request("GET", "/probe/upstream?path=/healthz", &fields).await;
    assert_eq!((answer.status, answer.field("set-cookie"), answer.field("x-inside")), (204, None, None));
    assert_eq!(backend.request(), format!("GET /healthz HTTP/1.1\r\nuser-agent: kube-probe/1.33\r\nhost: {}\r\n\r\n", backend.address));
    let sick = admin(&sidecar, "/probe/upstream?path=%2Fready%3Fdeep%3D1").await;
    assert_eq!((sick.status, sick.text().as_str()), (503, "the backend answered 503\n"));
    assert!(backend.requests()[1].starts_with("GET /ready?deep=1 HTTP/1.1\r\n"));
    for path in ["/probe/upstream", "/probe/upstream?path=healthz", "/probe/upstream?path=http://elsewhere/"] {
        assert_eq!(admin(&sidecar, path).await.status, 400, "{path}");
    }
    let gone = sidecar.replica("127.0.0.1:9", &[]).await;
    assert_eq!(admin(&gone, "/probe/upstream?path=/healthz").await.status, 502);
}

#[tokio::test]
async fn o1_durations_errors_connections_and_clocks_are_numbers() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, &[("JWT_DEMO_CLAIM", "role=demo"), ("JWT_DEMO_EXPIRES_IN", "30m")]).await;
    let mut open = sidecar.client().await;
    assert_eq!((open.get("/", "").await.status, sidecar.get("/auth/session-policy", "").await.status), (200, 200));
    assert_eq!(sidecar.client().await.request("GET", "/", &[("Host", "another")]).await.status, 400);
    let numbers = sidecar.metrics().await;
    for line in [
        "slidecar_request_duration_seconds_count{status=\"2xx\"} 2\n",
        "slidecar_request_duration_seconds_count{status=\"4xx\"} 1\n",
        "slidecar_upstream_duration_seconds_count 1\n",
        "slidecar_errors_total{reason=\"bad_message\"} 1\n",
        "slidecar_errors_total{reason=\"upstream_unreachable\"} 0\n",
        "slidecar_policy_seconds{class=\"standard\",clock=\"ttl\"} 7200\n",
        "slidecar_policy_seconds{class=\"demo\",clock=\"threshold\"} 900\n",
        "slidecar_renewals_paused 0\n",
        "slidecar_generation 1\n",
    ] {
        assert!(numbers.contains(line), "{line}{numbers}");
    }
    let version = admin(&sidecar, "/status").await.json()["policy"]["version"].as_str().unwrap().to_owned();
    assert!(numbers.contains(&format!("slidecar_policy_info{{version=\"{version}\"}} 1\n")));
    assert!(numbers.contains(&format!("slidecar_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
    let connections = numbers.lines().find_map(|line| line.strip_prefix("slidecar_connections ")).unwrap();
    assert!(connections.parse::<i64>().unwrap() >= 1, "{connections}");
}

/// The real program: its last words are on the page, and `slidecar health` says what `/readyz` does.
#[tokio::test]
async fn o1_the_last_events_are_shown_and_health_is_an_exit_code() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let (process, address) = Process::slidecar(&backend.address, &[("JWT_SECRET", SECRET)]);
    let admin = process.line_with("listening").await["admin"].as_str().unwrap().to_owned();
    let forged = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwiZXhwIjo0MTAyNDQ0ODAwfQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    Client::to(&address).await.get("/", &format!("session={forged}")).await;
    let status = Client::to(&admin).await.request("GET", "/status", &[]).await.json();
    let events: Vec<_> = status["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events[..2], ["session_token_unverified", "listening"], "{events:?}");
    assert!(!status.to_string().contains(forged));

    let health = |admin: &str| Process::command("127.0.0.1:9", &[]).args(["health", "--admin", admin]).output().unwrap();
    let well = health(&admin);
    assert_eq!((well.status.code(), String::from_utf8_lossy(&well.stdout).ends_with("ready\n")), (Some(0), true));
    drop(process);
    let gone = health("127.0.0.1:9");
    assert_eq!((gone.status.code(), String::from_utf8_lossy(&gone.stderr).contains("is slidecar running")), (Some(1), true));
    let default = Process::command("127.0.0.1:9", &[("SLIDECAR_ADMIN_LISTEN", "nowhere")]).arg("health").output().unwrap();
    assert_eq!(
        (default.status.code(), String::from_utf8_lossy(&default.stderr).contains("SLIDECAR_ADMIN_LISTEN=\"nowhere\"")),
        (Some(64), true)
    );
}
