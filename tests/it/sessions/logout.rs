//! Logout and late answers.

use super::{TTL, carried, decisions, max_age, post, quiet, setting};
use crate::harness::{Backend, NOW, Reply, Sidecar, session_token, token};
use std::sync::Arc;
use tokio::sync::Notify;

#[tokio::test]
async fn l1_l4_a_late_answer_cannot_bring_a_session_back() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| {
        if request.starts_with("GET /slow") {
            Reply::ok().held_by(&held)
        } else if request.starts_with("POST /logout") {
            Reply::with("200 OK", &[("Set-Cookie", "session=; Path=/; Max-Age=0")], "bye")
        } else {
            Reply::ok()
        }
    })
    .await;
    let one = Sidecar::before(&backend.address, &[]).await;
    let two = one.replica(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    one.pass(4000);

    let mut slow = one.client().await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let logout = two.client().await.request("POST", "/logout", &[("Cookie", &session)]).await;
    let tombstone = carried(&logout, "session_x");
    assert_eq!(max_age(&logout, "session_x"), Some(TTL + 600));
    gate.notify_one();
    let late = slow.answer("GET").await;
    let revived = carried(&late, "session");

    let three = one.replica(&backend.address, &[]).await;
    for replica in [&one, &two, &three] {
        let answer = replica.get("/", &format!("{revived}; {tombstone}")).await;
        assert_eq!((answer.status, answer.field("session-expires-in")), (200, None));
        assert_eq!(backend.last_cookies(), None, "anonymous, and the tombstone stays here");
    }
    // L4: without the tombstone, only the process that saw the logout knows.
    assert_eq!(two.get("/", &revived).await.field("session-expires-in"), None);
    assert!(three.get("/", &revived).await.field("session-expires-in").is_some());
}

#[tokio::test]
async fn l1_a_logout_path_is_a_logout_even_if_the_cookie_stays() {
    let backend = Backend::saying("302 Found", &[("Location", "/")], "").await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_LOGOUT_PATHS", "/bye")]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let answer = sidecar.get("/bye", &session).await;
    assert_eq!(answer.field("cache-control"), Some("no-store, private"), "a tombstone is one person's");
    assert!(answer.cookie_lines("session").is_empty() && answer.cookie_lines("session_x").len() == 1);
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn l1_clear_site_data_is_a_logout() {
    let backend = Backend::saying("200 OK", &[("Clear-Site-Data", "\"cache\", \"cookies\"")], "").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    assert_eq!(sidecar.get("/", &session).await.all("set-cookie").count(), 0);
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn l2_another_users_login_ends_the_first_ones_session() {
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let backend = setting(&[&format!("session={bob}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9")]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let ada = format!("session={}", session_token(NOW, NOW + TTL));
    let answer = sidecar.get("/login", &ada).await;
    assert_eq!(answer.cookie("session"), bob);
    let tombstone = carried(&answer, "session_x");
    let replica = sidecar.replica(&backend.address, &[]).await;
    // A held answer of Ada's would set her cookie again: dead everywhere for this browser.
    assert_eq!(replica.get("/", &format!("{ada}; {tombstone}")).await.field("session-expires-in"), Some("7200"), "that is Bob's, set anew");
    assert_eq!(backend.last_cookies(), None);
}

#[tokio::test]
async fn l2_a_step_up_of_the_same_user_ends_the_old_session_in_this_browser_only() {
    let second = token(&format!(r#"{{"sub":"ada","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let backend = Backend::start(move |request| match request.starts_with("GET /step-up") {
        true => Reply::with("200 OK", &[("Set-Cookie", &format!("session={second}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9"))], ""),
        false => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let first = format!("session={}", session_token(NOW, NOW + TTL));
    let answer = sidecar.get("/step-up", &first).await;
    let tombstone = carried(&answer, "session_x");
    assert!(sidecar.get("/", &first).await.field("session-expires-in").is_some(), "another device");
    assert_eq!(sidecar.get("/", &format!("{first}; {tombstone}")).await.field("session-expires-in"), None);
}

#[tokio::test]
async fn l2_a_logout_that_swaps_in_something_else_is_a_logout() {
    let anonymous = token(&format!(r#"{{"role":"anonymous","iat":{},"exp":{}}}"#, NOW + 1, NOW + 900));
    for line in [format!("session={anonymous}; Path=/; Max-Age=900"), "session=guest; Path=/; Max-Age=900".to_owned()] {
        let backend = setting(&[&line]).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        sidecar.pass(1);
        let session = format!("session={}", session_token(NOW, NOW + TTL));
        let answer = sidecar.get("/quit", &session).await;
        assert_eq!(answer.cookie_lines("session_x").len(), 1, "{line}");
        sidecar.get("/", &session).await;
        assert_eq!(backend.last_cookies(), None, "{line}");
    }
}

#[tokio::test]
async fn l3_a_new_login_with_a_reused_id_works() {
    let value = session_token(NOW, NOW + TTL);
    let line = format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/logout") => Reply::with("200 OK", &[("Set-Cookie", "session=; Path=/; Max-Age=0")], ""),
        Some("/login") => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
        _ => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={value}");
    let tombstone = carried(&sidecar.get("/logout", &session).await, "session_x");

    // A login that was sent before the logout, and answers late: the tombstone stays.
    let late = sidecar.get("/login", "").await;
    assert!(late.cookie_lines("session_x").is_empty());
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), None);

    // A login that was sent after it: the entry is cleared everywhere.
    let login = sidecar.get("/login", &tombstone).await;
    let cleared = login.cookie_lines("session_x");
    assert!(cleared.len() == 1 && cleared[0].starts_with("session_x=; Max-Age=0"), "{cleared:?}");
    assert_eq!(sidecar.get("/", &session).await.field("session-expires-in"), Some("7200"));
}

#[tokio::test]
async fn l1_l2_a_session_that_is_over_is_still_ended_for_its_late_answers() {
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + 3 * TTL));
    let line = format!("session={bob}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/login") => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
        Some("/logout") => Reply::with("200 OK", &[("Set-Cookie", "session=; Path=/; Max-Age=0")], ""),
        _ => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let over = format!("session={}", session_token(NOW, NOW + TTL));
    // What another tab's answer, still under way, will set.
    let renewed = format!("session={}", session_token(NOW, NOW + 2 * TTL));
    sidecar.pass(TTL);
    for path in ["/login", "/logout"] {
        let replica = sidecar.replica(&backend.address, &[]).await;
        let tombstone = carried(&replica.get(path, &over).await, "session_x");
        assert_eq!(replica.get("/", &format!("{renewed}; {tombstone}")).await.field("session-expires-in"), None, "{path}");
    }
}

#[tokio::test]
async fn k3_an_answer_that_took_its_time_and_repeats_the_cookie_is_no_logout() {
    let value = session_token(NOW, NOW + TTL);
    let line = format!("session={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::with("200 OK", &[("Set-Cookie", &line)], "").held_by(&held)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.pass(TTL - 60);
    let mut client = sidecar.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: session={value}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    sidecar.pass(60);
    gate.notify_one();
    let answer = client.answer("GET").await;
    assert!(answer.cookie_lines("session_x").is_empty(), "{:#?}", answer.fields);
    // Another answer renewed the session meanwhile.
    let quiet = Backend::saying("200 OK", &[], "").await;
    let elsewhere = sidecar.replica(&quiet.address, &[]).await;
    let renewed = format!("session={}", session_token(NOW, NOW + TTL + 3000));
    assert_eq!(elsewhere.get("/", &renewed).await.status, 200);
    assert_eq!(decisions(&sidecar).await, ["kept backend_cookie 1"]);
}

#[tokio::test]
async fn l2_a_late_answer_of_the_session_before_a_reissue_puts_nothing_back() {
    let next = token(&format!(r#"{{"sub":"ada","sid":"s-2","iat":{},"exp":{}}}"#, NOW + 4000, NOW + 4000 + TTL));
    let line = format!("session={next}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/slow") => Reply::ok().held_by(&held),
        _ => Reply::with("200 OK", &[("Set-Cookie", &line)], ""),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let first = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let mut slow = sidecar.client().await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: {first}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sidecar.get("/page", &first).await.cookie("session"), next);
    gate.notify_one();
    assert!(slow.answer("GET").await.cookie_lines("session").is_empty());
}

#[tokio::test]
async fn k6_one_persons_attributes_say_nothing_of_anothers() {
    let ada = session_token(NOW, NOW + TTL);
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let lines = [format!("session={ada}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9"), format!("session={bob}; Path=/admin; HttpOnly")];
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/login-ada") => Reply::with("200 OK", &[("Set-Cookie", &lines[0])], ""),
        Some("/login-bob") => Reply::with("200 OK", &[("Set-Cookie", &lines[1])], ""),
        _ => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.get("/login-ada", "").await;
    sidecar.get("/login-bob", "").await;
    sidecar.pass(4000);
    let renewed = sidecar.get("/", &format!("session={ada}")).await;
    assert!(renewed.cookie_lines("session")[0].ends_with("; Max-Age=7200; Path=/; HttpOnly; SameSite=Lax"));
}

#[tokio::test]
async fn k8_a_cookie_of_the_same_name_elsewhere_replaces_nothing() {
    let backend = setting(&["session=opaque; Path=/admin; HttpOnly"]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    for _ in 0..2 {
        let answer = sidecar.get("/admin", &session).await;
        assert_eq!((answer.all("set-cookie").count(), answer.field("session-expires-in")), (1, Some("7200")));
    }
}

#[tokio::test]
async fn k8_a_shim_that_moves_the_cookie_logs_nobody_out() {
    let value = session_token(NOW, NOW + TTL);
    let new = format!("session={value}; Path=/; Domain=app.example; Max-Age=9; HttpOnly");
    let old = "session=; Max-Age=0; Path=/";
    for lines in [[new.as_str(), old], [old, new.as_str()]] {
        let backend = setting(&lines).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        for cookies in ["", &format!("session={}", session_token(NOW, NOW + TTL - 5))] {
            let answer = sidecar.get("/", cookies).await;
            assert_eq!((answer.field("session-expires-in"), answer.cookie_lines("session_x").len()), (Some("7200"), 0), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn e2_a_refused_call_is_no_activity() {
    let (sidecar, _backend, session) = quiet(&[("SESSION_LOGOUT_PATHS", "/auth")]).await;
    sidecar.pass(4000);
    for path in ["/auth/session-heartbeat", "/auth/session-logout"] {
        let foreign = post(&sidecar, path, &[("Cookie", &session), ("Sec-Fetch-Site", "cross-site")]).await;
        assert_eq!((foreign.status, foreign.all("set-cookie").count()), (403, 0), "{path}");
        let wrong = sidecar.get(path, &session).await;
        assert_eq!((wrong.status, wrong.all("set-cookie").count()), (405, 0), "{path}");
    }
    // And asking for the policy below a logout path is no logout.
    assert_eq!(sidecar.get("/auth/session-policy", &session).await.all("set-cookie").count(), 0);
    assert!(sidecar.get("/", &session).await.field("session-expires-in").is_some());
}

#[tokio::test]
async fn l2_a_weak_family_is_ended_in_the_browser_only() {
    let backend = setting(&["session=; Path=/; Max-Age=0"]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let weak = format!("session={}", token(&format!(r#"{{"role":"guest","exp":{}}}"#, NOW + TTL)));
    let answer = sidecar.get("/logout", &weak).await;
    let tombstone = carried(&answer, "session_x");
    sidecar.get("/", &weak).await;
    assert_eq!(backend.last_cookies().unwrap(), weak, "somebody else's");
    sidecar.get("/", &format!("{weak}; {tombstone}")).await;
    assert_eq!(backend.last_cookies(), None);
}

#[tokio::test]
async fn l2_the_tombstone_of_a_switch_reaches_every_path_with_the_attributes_of_the_new_login() {
    let bob = token(&format!(r#"{{"sub":"bob","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let backend = setting(&[&format!("session={bob}; Path=/app; Domain=app.example; Secure; SameSite=None; Max-Age=9")]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let answer = sidecar.get("/app/login", &format!("session={}", session_token(NOW, NOW + TTL))).await;
    let lines = answer.cookie_lines("session_x");
    let attributes = lines[0].split_once("; ").unwrap().1;
    assert_eq!(attributes, "Max-Age=7800; Path=/; Domain=app.example; Secure; SameSite=None; HttpOnly");
}

#[tokio::test]
async fn l1_a_login_on_a_logout_path_ends_the_session_before_everywhere() {
    let next = token(&format!(r#"{{"sub":"ada","sid":"s-2","iat":{NOW},"exp":{}}}"#, NOW + TTL));
    let backend = setting(&[&format!("session={next}; Path=/; HttpOnly; SameSite=Lax; Max-Age=9")]).await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_LOGOUT_PATHS", "/bye")]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.get("/bye", &session).await;
    sidecar.get("/", &session).await;
    assert_eq!(backend.last_cookies(), None, "it was no step-up: the path says logout");
}

#[tokio::test]
async fn l1_a_process_remembers_for_as_long_as_the_ended_token_lives() {
    const WEEK: i64 = 7 * 86_400;
    let backend = setting(&["session=; Path=/; Max-Age=0"]).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + WEEK));
    sidecar.get("/logout", &session).await;
    sidecar.pass(WEEK - 1);
    sidecar.get("/", &session).await;
    assert_eq!(backend.last_cookies(), None);
}

#[tokio::test]
async fn e3_an_answer_that_outlives_its_session_tells_no_clock() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |request| match request.starts_with("GET /slow") {
        true => Reply::ok().held_by(&held),
        false => Reply::ok(),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    sidecar.pass(4000);
    let mut slow = sidecar.client().await;
    slow.send(format!("GET /slow HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(post(&sidecar, "/auth/session-logout", &[("Cookie", &session)]).await.status, 204);
    gate.notify_one();
    let answer = slow.answer("GET").await;
    assert_eq!((answer.status, answer.field("session-expires-in"), answer.cookie_lines("session").len()), (200, None, 0));
}
