//! Keys, clocks and certificates that change in files while slidecar runs.

use crate::harness::{
    Backend, Client, NOW, Process, Reply, SECRET, Sidecar, claims, expiry, kubelet::Mount, session_token, signal, token_by,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const OTHER: &str = "another secret of at least thirty-two bytes";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn ours(secret: &str, sid: &str) -> String {
    format!("session={}", token_by(secret, HEADER, &format!(r#"{{"sub":"ada","sid":"{sid}","iat":{NOW},"exp":{}}}"#, NOW + 7200)))
}

/// The clocks in a mounted ConfigMap, and nowhere else.
async fn with_clocks(backend: &Backend, clocks: &Mount) -> Sidecar {
    let names = ["JWT_EXPIRES_IN", "SESSION_REFRESH_THRESHOLD", "SESSION_HEARTBEAT_INTERVAL", "SESSION_TIMEOUT_BUFFER"];
    let settings: Vec<_> = names.iter().map(|name| (*name, "-")).chain([("SESSION_POLICY_DIR", clocks.path())]).collect();
    Sidecar::before(&backend.address, &settings).await
}

#[tokio::test]
async fn t7_clocks_change_for_endpoint_renewal_and_browser_at_once() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let clocks = Mount::with(&[("JWT_EXPIRES_IN", "2h\n"), ("SESSION_REFRESH_THRESHOLD", "1h")]);
    let sidecar = with_clocks(&backend, &clocks).await;
    let session = format!("session={}", session_token(NOW, NOW + 7200));
    let before = sidecar.get("/auth/session-policy", "").await;
    assert!(before.text().contains(r#""accessTokenTtlMs":7200000"#), "{}", before.text());
    let version = sidecar.get("/", &session).await.field("session-policy-version").unwrap().to_owned();

    clocks.swap(&[("JWT_EXPIRES_IN", "3h"), ("SESSION_REFRESH_THRESHOLD", "150m")]);
    sidecar.reload();
    let after = sidecar.get("/auth/session-policy", "").await;
    assert!(after.text().contains(r#""accessTokenTtlMs":10800000"#) && after.text().contains(r#""refreshThresholdMs":9000000"#));
    assert_ne!(before.field("etag"), after.field("etag"));
    let answer = sidecar.get("/", &session).await;
    assert_ne!(answer.field("session-policy-version"), Some(version.as_str()));
    assert_eq!(expiry(answer.cookie("session")), NOW + 3 * 3600, "two hours are less than the new threshold");
    assert!(sidecar.metrics().await.contains("slidecar_generation 2\n"));
}

#[tokio::test]
async fn t7_what_does_not_hold_keeps_the_old_and_is_reported_until_it_is_mended() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let clocks = Mount::with(&[("JWT_EXPIRES_IN", "2h")]);
    let sidecar = with_clocks(&backend, &clocks).await;
    for (torn, named) in [
        (&[("JWT_EXPIRES_IN", "")][..], "JWT_EXPIRES_IN"),
        (&[("JWT_EXPIRES_IN", "1")], "JWT_EXPIRES_IN"),
        (&[("JWT_EXPIRES_IN", "soon")], "JWT_EXPIRES_IN"),
        (&[("JWT_EXPIRES_IN", "1h"), ("SESSION_REFRESH_THRESHOLD", "2h")], "SESSION_REFRESH_THRESHOLD"),
    ] {
        clocks.swap(torn);
        sidecar.reload();
        assert!(sidecar.get("/auth/session-policy", "").await.text().contains(":7200000"), "{torn:?}");
        let ready = Client::to(&sidecar.admin).await.request("GET", "/readyz?verbose", &[]).await;
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains("[!] settings: generation 1 goes on") && ready.text().contains(named), "{}", ready.text());
    }
    assert!(sidecar.metrics().await.contains("slidecar_reloads_total{result=\"failed\"} 4\n"));
    clocks.swap(&[("JWT_EXPIRES_IN", "4h")]);
    sidecar.reload();
    assert!(sidecar.get("/auth/session-policy", "").await.text().contains(":14400000"));
    let ready = Client::to(&sidecar.admin).await.request("GET", "/readyz?verbose", &[]).await;
    assert!(ready.text().contains("[+] settings: generation 2\n"), "{}", ready.text());
}

#[tokio::test]
async fn t7_a_request_keeps_the_generation_that_it_began_with() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| if request.contains("/slow") { Reply::ok().held_by(&held) } else { Reply::ok() }).await;
    let clocks = Mount::with(&[("JWT_EXPIRES_IN", "2h"), ("SESSION_REFRESH_THRESHOLD", "1h")]);
    let sidecar = with_clocks(&backend, &clocks).await;
    sidecar.pass(4000);
    let session = format!("session={}", session_token(NOW, NOW + 7200));
    let mut slow = sidecar.client().await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    clocks.swap(&[("JWT_EXPIRES_IN", "3h"), ("SESSION_REFRESH_THRESHOLD", "2h")]);
    sidecar.reload();
    let quick = sidecar.get("/", &session).await;
    gate.notify_one();
    let slow = slow.answer("GET").await;
    assert_eq!((expiry(slow.cookie("session")), expiry(quick.cookie("session"))), (NOW + 4000 + 7200, NOW + 4000 + 3 * 3600));
    assert_ne!(slow.field("session-policy-version"), quick.field("session-policy-version"));
}

/// The folder may go away as a whole, when a ConfigMap is deleted.
#[tokio::test]
async fn t7_a_folder_that_goes_away_changes_nothing() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let clocks = Mount::with(&[("JWT_EXPIRES_IN", "3h")]);
    let sidecar = with_clocks(&backend, &clocks).await;
    std::fs::remove_dir_all(clocks.path()).unwrap();
    sidecar.reload();
    assert!(sidecar.get("/auth/session-policy", "").await.text().contains(":10800000"));
}

#[tokio::test]
async fn t7_a_key_is_changed_without_a_restart() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let keys = Mount::with(&[("secret", SECRET), ("kid", "one")]);
    let file = |name: &str| format!("{}/{name}", keys.path());
    let settings = [
        ("JWT_SECRET", "-"),
        ("JWT_SECRET_FILE", &*file("secret")),
        ("JWT_KEY_ID_FILE", &file("kid")),
        ("JWT_PREVIOUS_SECRET_FILE", &file("previous")),
        ("JWT_PREVIOUS_KEY_ID_FILE", &file("previous-kid")),
        ("JWT_PREVIOUS_UNTIL_FILE", &file("until")),
        ("SESSION_PROTECTED_PATHS", "/"),
    ];
    // A file of a rotation may be missing while there is none; so may what goes with it.
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    for _ in 0..2 {
        // The second time, from the memory of verified tokens.
        assert_eq!(sidecar.get("/", &ours(SECRET, "1")).await.status, 200);
    }
    assert_eq!(sidecar.get("/", &ours(OTHER, "1")).await.status, 401);

    let rotation = [("secret", OTHER), ("kid", "two"), ("previous", SECRET), ("previous-kid", "one"), ("until", "2026-11-21T03:00:00Z\n")];
    keys.swap(&rotation);
    sidecar.reload();
    let answer = sidecar.get("/", &ours(SECRET, "1")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(sidecar.get("/", &format!("session={}", answer.cookie("session"))).await.status, 200, "re-signed by the new key");
    assert_eq!(sidecar.get("/", &ours(OTHER, "2")).await.status, 200);

    // The end of the rotation, in an emergency: no previous key.
    keys.swap(&[("secret", OTHER), ("kid", "two")]);
    sidecar.reload();
    assert_eq!(sidecar.get("/", &ours(SECRET, "1")).await.status, 401, "not even from memory");
    assert_eq!(sidecar.get("/", &format!("session={}", answer.cookie("session"))).await.status, 200);

    // Half a secret is refused, as is none.
    for bad in ["", "short"] {
        keys.swap(&[("secret", bad), ("kid", "three")]);
        sidecar.reload();
        assert_eq!(sidecar.get("/", &ours(OTHER, "3")).await.status, 200, "{bad:?}");
    }
}

#[tokio::test]
async fn e5_a_leaked_admin_token_is_replaced_without_a_restart() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let secrets = Mount::with(&[("token", "the one that leaked, alas"), ("store", "redis://127.0.0.1:1/0")]);
    let file = format!("{}/token", secrets.path());
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_ADMIN_TOKEN_FILE", &file)]).await;
    assert_eq!(sidecar.revoke(r#"{"subject":"ada"}"#).await.status, 401);
    secrets.swap(&[("token", crate::harness::ADMIN_TOKEN.1)]);
    sidecar.reload();
    assert_eq!(sidecar.revoke(r#"{"subject":"ada"}"#).await.status, 204);
}

/// The real program hears of a change by itself, within a second, and by SIGHUP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_the_program_notices_by_itself_and_by_a_signal() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let clocks = Mount::with(&[("JWT_EXPIRES_IN", "2h")]);
    let plain = tempfile::tempdir().unwrap();
    let key = plain.path().join("key");
    std::fs::write(&key, SECRET).unwrap();
    let settings = [("JWT_SECRET_FILE", key.to_str().unwrap()), ("SESSION_POLICY_DIR", clocks.path())];
    let (process, address) = Process::slidecar(&backend.address, &settings);
    let shows = async |text: &str| {
        for _ in 0..100 {
            let policy = Client::to(&address).await.request("GET", "/auth/session-policy", &[]).await;
            if policy.text().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never {text}; it said:\n{}", process.said());
    };
    clocks.swap(&[("JWT_EXPIRES_IN", "3h")]);
    shows(":10800000").await;
    clocks.swap(&[("JWT_EXPIRES_IN", "5h")]);
    signal(process.id(), "-HUP");
    shows(":18000000").await;
    clocks.swap(&[("JWT_EXPIRES_IN", "never")]);
    let failed = process.line_with("reload_failed").await;
    assert_eq!((failed["setting"].as_str(), failed["value"].as_str()), (Some("JWT_EXPIRES_IN"), Some("never")));
    assert!(!process.said().contains(SECRET));
}

/// Rule F-15 of many a sidecar's bug list: key and clocks are swapped every few milliseconds under load, torn ones among
/// them. Each version has a clock that tells which key it came with, so one that is mixed shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_swaps_under_load_never_mix_two_generations() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let version = |n: u64| [("JWT_EXPIRES_IN", format!("{}s", 7200 + n)), ("secret", format!("secret number {n:05} of thirty-two bytes"))];
    fn borrowed<'a>(files: &'a [(&'static str, String); 2]) -> [(&'static str, &'a str); 2] {
        [0, 1].map(|place| (files[place].0, files[place].1.as_str()))
    }
    // One folder holds both, so that they belong together.
    let mount = Mount::with(&borrowed(&version(0)));
    let secret = format!("{}/secret", mount.path());
    let settings = [
        ("JWT_SECRET_FILE", secret.as_str()),
        ("SESSION_POLICY_DIR", mount.path()),
        ("SESSION_REFRESH_THRESHOLD", "7190s"),
        ("SESSION_PROTECTED_PATHS", "/"),
        ("SLIDECAR_MAX_REQUESTS", "1000000"),
    ];
    let (process, address) = Process::slidecar(&backend.address, &settings);
    let swaps = tokio::task::spawn_blocking(move || {
        for n in 1..=SWAPS {
            match n % 10 {
                3 => mount.swap(&[("JWT_EXPIRES_IN", ""), ("secret", "")]),
                7 => mount.swap(&[("JWT_EXPIRES_IN", "7200s")]),
                _ => mount.swap(&borrowed(&version(n))),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        mount.swap(&borrowed(&version(SWAPS)));
        mount
    });
    let mut client = Client::to(&address).await;
    let (mut generations, mut asked) = (std::collections::BTreeSet::new(), 0);
    let settled = loop {
        let now = crate::harness::now();
        let ttl = |answer: &crate::harness::Answer| -> u64 {
            serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()["accessTokenTtlMs"].as_u64().unwrap() / 1000
        };
        let n = ttl(&client.request("GET", "/auth/session-policy", &[]).await) - 7200;
        let [_, (_, secret)] = version(n);
        let session = token_by(&secret, HEADER, &format!(r#"{{"sub":"ada","sid":"{asked}","iat":{now},"exp":{}}}"#, now + 7100));
        let answer = client.get("/", &format!("session={session}")).await;
        // Between the two calls there may have been a swap; then the key is another, and so is the clock.
        if answer.status == 200 {
            let renewed = answer.cookie("session");
            assert_eq!(claims(renewed)["sid"], asked.to_string());
            assert!((expiry(renewed) - now - 7200 - i64::try_from(n).unwrap()).abs() <= 1, "generation {n} renews by its own clock");
            generations.insert(n);
        } else {
            assert_eq!(answer.status, 401);
            assert_ne!(ttl(&client.request("GET", "/auth/session-policy", &[]).await) - 7200, n, "the key of this very clock");
        }
        asked += 1;
        if swaps.is_finished() && n == SWAPS {
            break asked;
        }
        assert!(asked < 300_000, "it never settled");
    };
    let _mount = swaps.await.unwrap();
    assert!(generations.len() > 3, "{} of {settled} requests saw {generations:?}", generations.len());
    assert_eq!(client.request("GET", "/auth/session-policy", &[]).await.status, 200);
    drop(process);
}

/// Three seconds' worth; `SWAPS` of 6 000 is a minute.
const SWAPS: u64 = match option_env!("SLIDECAR_TEST_SWAPS") {
    Some(_) => 6000,
    None => 300,
};
