//! What a user would notice, in the order of its worth: two replicas, one backend, a cookie jar of somebody else's
//! making, and a clock that the test moves. The rules behind each are tested one by one in `sessions`.

use crate::harness::{Answer, Backend, Browser, NOW, Reply, Sidecar, claims, token};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::Notify;

const TTL: i64 = 7200;
const R: i64 = 3600;

/// An ordinary application: `/login?<user>`, `/logout`, `/slow`, and pages that say who is in.
struct App {
    backend: Backend,
    clock: Arc<AtomicI64>,
    gate: Arc<Notify>,
}

impl App {
    /// Its cookie has these attributes, its tokens this life in seconds.
    async fn start(attributes: &'static str, life: i64) -> Self {
        let (clock, gate) = (Arc::new(AtomicI64::new(NOW)), Arc::new(Notify::new()));
        let (now, held) = (Arc::clone(&clock), Arc::clone(&gate));
        let backend = Backend::start(move |request| {
            let now = now.load(Ordering::SeqCst);
            let path = request.split(' ').nth(1).unwrap_or_default();
            let who = session_in(request).filter(|claims| claims["exp"].as_i64().is_some_and(|exp| now < exp));
            let who = who.and_then(|claims| claims["sub"].as_str().map(str::to_owned)).unwrap_or_else(|| "nobody".to_owned());
            match path {
                "/logout" => Reply::with("200 OK", &[("Set-Cookie", &format!("session=; Max-Age=0; {attributes}"))], "bye"),
                "/slow" => Reply::with("200 OK", &[], &who).held_by(&held),
                "/logo" => Reply::with("200 OK", &[("Cache-Control", "public, max-age=600")], "logo"),
                _ => match path.rsplit_once("/login?") {
                    Some((_, user)) => {
                        let token = token(&format!(r#"{{"sub":"{user}","iat":{now},"exp":{}}}"#, now + life));
                        Reply::with("200 OK", &[("Set-Cookie", &format!("session={token}; {attributes}"))], "welcome")
                    }
                    None => Reply::with("200 OK", &[], &who),
                },
            }
        })
        .await;
        Self { backend, clock, gate }
    }

    async fn usual() -> Self {
        Self::start("Path=/; HttpOnly; SameSite=Lax; Max-Age=3600", TTL).await
    }

    async fn sidecar(&self, settings: &[(&str, &str)]) -> Sidecar {
        Sidecar::before(&self.backend.address, settings).await
    }

    async fn replica(&self, of: &Sidecar, settings: &[(&str, &str)]) -> Sidecar {
        of.replica(&self.backend.address, settings).await
    }

    /// Time passes for everybody.
    fn pass(&self, sidecar: &Sidecar, seconds: i64) -> i64 {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
        sidecar.pass(seconds)
    }

    /// Waits until a request for this path stands before the backend.
    async fn has_got(&self, path: &str) {
        while !self.backend.requests().iter().any(|request| request.starts_with(&format!("GET {path} "))) {
            tokio::task::yield_now().await;
        }
    }
}

fn session_in(request: &str) -> Option<serde_json::Value> {
    let cookies = request.lines().find_map(|line| line.strip_prefix("Cookie: "))?;
    cookies.split("; ").find_map(|pair| pair.strip_prefix("session=").filter(|value| value.contains('.'))).map(claims)
}

fn exp(answer: &Answer) -> i64 {
    claims(answer.cookie("session"))["exp"].as_i64().expect("an exp")
}

#[tokio::test]
async fn a02_l1_a_logout_survives_a_held_answer_on_every_replica() {
    let app = App::usual().await;
    let one = app.sidecar(&[]).await;
    let two = app.replica(&one, &[]).await;
    let mut browser = Browser::default();
    browser.get(&one, "/login?ada").await;
    app.pass(&one, R + 1);

    let held = browser.clone();
    let (late, ()) = tokio::join!(held.send(&one, "GET", "/slow"), async {
        app.has_got("/slow").await;
        browser.get(&two, "/logout").await;
        app.gate.notify_one();
    });
    assert_eq!(late.cookie_lines("session").len(), 1, "it was due");
    browser.keep("/slow", &late);
    let three = app.replica(&one, &[]).await;
    for replica in [&one, &two, &three] {
        assert_eq!(browser.clone().get(replica, "/me").await.text(), "nobody");
    }
    app.pass(&one, 1);
    browser.get(&three, "/login?ada").await;
    for replica in [&one, &two, &three] {
        assert_eq!(browser.get(replica, "/me").await.text(), "ada", "a real login works");
    }
}

#[tokio::test]
async fn a03_k5_a_logout_on_a_due_token_sets_the_cookie_once() {
    let app = App::usual().await;
    let sidecar = app.sidecar(&[]).await;
    let mut browser = Browser::default();
    browser.get(&sidecar, "/login?ada").await;
    app.pass(&sidecar, R + 1);
    let answer = browser.get(&sidecar, "/logout").await;
    assert_eq!(answer.cookie_lines("session").len(), 1);
    assert!(!browser.cookies("/").contains("session=ey"), "{}", browser.cookies("/"));
    assert_eq!(browser.get(&sidecar, "/me").await.text(), "nobody");
}

#[tokio::test]
async fn a04_l2_a_held_answer_of_one_user_never_makes_the_next_one_her() {
    let app = App::usual().await;
    let one = app.sidecar(&[]).await;
    let two = app.replica(&one, &[]).await;
    for other in [&one, &two] {
        let mut browser = Browser::default();
        browser.get(&one, "/login?ada").await;
        app.pass(&one, R + 1);
        let held = browser.clone();
        let seen = app.backend.requests().len();
        let (late, ()) = tokio::join!(held.send(&one, "GET", "/slow"), async {
            while app.backend.requests().len() == seen {
                tokio::task::yield_now().await;
            }
            browser.get(other, "/login?bob").await;
            app.gate.notify_one();
        });
        let bob = browser.clone();
        browser.keep("/slow", &late);
        for replica in [&one, &two] {
            assert_ne!(browser.clone().get(replica, "/me").await.text(), "ada");
            assert_eq!(bob.clone().get(replica, "/me").await.text(), "bob");
        }
        // The process that saw both does not even send the late cookie.
        assert_eq!(late.cookie_lines("session").len(), usize::from(std::ptr::eq(other, &raw const two)));
    }
}

#[tokio::test]
async fn a06_idle_people_are_in_for_r_and_out_after_the_ttl() {
    let app = App::usual().await;
    let sidecar = app.sidecar(&[]).await;
    for last_activity in [0, TTL - R - 1, TTL - R, TTL - R + 1] {
        let mut start = Browser::default();
        start.get(&sidecar, "/login?ada").await;
        app.pass(&sidecar, last_activity);
        start.get(&sidecar, "/me").await;
        let mut passed = 0;
        for (idle, expected) in [(R - 1, Some("ada")), (R, None), (R + 1, None), (TTL - 1, None), (TTL, Some("nobody"))] {
            app.pass(&sidecar, idle - passed);
            passed = idle;
            // Looking must not slide, or the next look would find another session.
            let who = start.clone().send(&sidecar, "GET", "/me").await.text();
            assert!(expected.is_none_or(|expected| expected == who), "active at {last_activity}, idle for {idle}: {who}");
        }
    }
}

#[tokio::test]
async fn a07_r1_the_cap_ends_the_most_active_session() {
    let app = App::usual().await;
    let sidecar = app.sidecar(&[("SESSION_ABSOLUTE_TIMEOUT", "24h")]).await;
    let mut browser = Browser::default();
    browser.get(&sidecar, "/login?ada").await;
    let (mut renewals, mut last) = (0, NOW + TTL);
    for minute in 1..24 * 60 {
        app.pass(&sidecar, 60);
        let answer = browser.get(&sidecar, "/me").await;
        assert_eq!(answer.text(), "ada", "minute {minute}");
        if !answer.cookie_lines("session").is_empty() {
            let exp = exp(&answer);
            assert!(last < exp && exp <= NOW + 24 * 3600, "minute {minute}");
            last = exp;
            renewals += 1;
        }
    }
    assert_eq!(last, NOW + 24 * 3600);
    assert!(renewals < 30, "{renewals} renewals: one an hour, and no churn at the cap");
    app.pass(&sidecar, 60);
    assert_eq!(browser.get(&sidecar, "/me").await.text(), "nobody");
}

#[tokio::test]
async fn a10_k3_a_week_is_cut_at_the_login_and_on_first_sight() {
    let app = App::start("Path=/; HttpOnly; SameSite=Lax; Max-Age=3600", 7 * 86_400).await;
    let sidecar = app.sidecar(&[]).await;
    let mut browser = Browser::default();
    let login = browser.get(&sidecar, "/login?ada").await;
    assert_eq!(exp(&login), NOW + TTL);
    // A cookie from before the installation.
    let old = token(&format!(r#"{{"sub":"ada","iat":{NOW},"exp":{}}}"#, NOW + 7 * 86_400));
    let answer = sidecar.get("/me", &format!("session={old}")).await;
    assert_eq!((answer.text().as_str(), exp(&answer)), ("ada", NOW + TTL));
}

#[tokio::test]
async fn a17_q7_a_slow_backend_never_sees_a_token_die() {
    let app = App::usual().await;
    let sidecar = app.sidecar(&[]).await;
    let mut browser = Browser::default();
    browser.get(&sidecar, "/login?ada").await;
    app.pass(&sidecar, TTL - 5);
    let answer = browser.get(&sidecar, "/me").await;
    assert_eq!(answer.text(), "ada");
    let seen = app.backend.requests().pop().and_then(|request| session_in(&request)).expect("a session");
    assert!(seen["exp"].as_i64() > Some(NOW + TTL - 5 + 20), "twenty seconds of work find it alive");
}

#[tokio::test]
async fn a20_clocks_that_step_end_no_session_and_revive_none() {
    let app = App::usual().await;
    let sidecar = app.sidecar(&[]).await;
    let mut browser = Browser::default();
    browser.get(&sidecar, "/login?ada").await;
    app.pass(&sidecar, R + 1);
    let renewed = exp(&browser.get(&sidecar, "/me").await);
    // An hour back: the token now outlives the policy and is cut to it, which leaves a whole TTL.
    app.pass(&sidecar, -R);
    let answer = browser.get(&sidecar, "/me").await;
    assert_eq!((answer.text().as_str(), answer.field("session-expires-in")), ("ada", Some("7200")));
    // And forward again: still alive, and renewed past where it was.
    app.pass(&sidecar, R + 1);
    let answer = browser.get(&sidecar, "/me").await;
    assert_eq!(answer.text(), "ada");
    assert!(exp(&answer) > renewed);
    app.pass(&sidecar, 2 * TTL);
    assert_eq!(browser.get(&sidecar, "/me").await.text(), "nobody");
    app.pass(&sidecar, -1);
    assert_eq!(browser.get(&sidecar, "/me").await.text(), "nobody");
}

/// Logs in at one process, is renewed by another that was started later, and again by a third.
#[tokio::test]
async fn k6_k9_any_cookie_stays_one_cookie_after_restarts_and_on_replicas() {
    let attributes = [
        "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600",
        "Path=/; Domain=app.example; HttpOnly; Max-Age=3600",
        "Path=/app; HttpOnly; Max-Age=3600",
        "Path=/; SameSite=None; Secure; Max-Age=3600",
        "Path=/; Max-Age=3600",
        "HttpOnly; SameSite=Strict; Max-Age=3600",
        "Path=/; HttpOnly; SameSite=Lax",
        "Path=/app; Secure",
        "Path=/; HttpOnly; Secure; SameSite=Lax; Partitioned; Max-Age=3600",
    ];
    for attributes in attributes {
        let app = App::start(attributes, TTL).await;
        let mut sidecar = app.sidecar(&[]).await;
        let mut browser = Browser::default();
        browser.get(&sidecar, "/app/login?ada").await;
        let before = described(&browser);
        for step in 0..3 {
            app.pass(&sidecar, R + 1);
            sidecar = app.replica(&sidecar, &[]).await;
            let answer = browser.get(&sidecar, "/app/deep/page").await;
            assert_eq!(answer.text(), "ada", "{attributes}: step {step}");
            assert_eq!(answer.cookie_lines("session").len(), 1, "{attributes}");
            assert_eq!(described(&browser), before, "{attributes}: step {step}");
        }
        // And it can be logged out of, by a process that never saw the login.
        let sidecar = app.replica(&sidecar, &[]).await;
        let cookies = browser.cookies("/app/me");
        let logout = browser.get(&sidecar, "/logout").await;
        browser.keep("/app/logout", &logout);
        let answer = sidecar.get("/app/me", &cookies).await;
        let is_at_root = !attributes.contains("Path=/app") && attributes.contains("Path=/");
        assert!(!is_at_root || answer.text() == "nobody", "{attributes}");
    }
}

/// The jar's view of C: how many there are, and what each is like.
fn described(browser: &Browser) -> Vec<String> {
    let cookies = browser.named("session");
    cookies
        .iter()
        .map(|cookie| {
            format!(
                "{} {:?} secure {:?} http {:?} same {:?} persistent {}",
                AsRef::<str>::as_ref(&cookie.path),
                cookie.domain,
                cookie.secure(),
                cookie.http_only(),
                cookie.same_site(),
                cookie.is_persistent()
            )
        })
        .collect()
}
