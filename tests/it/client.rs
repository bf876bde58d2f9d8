//! The browser client: how it is served, and how it gets into pages.

use crate::harness::{Answer, Backend, NOW, Reply, Sidecar, kubelet::Mount, session_token};
use std::io::Read as _;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const PAGE: &str = "<!doctype html><html><head><title>app</title></head><body>hello</body></html>";
const INJECT: (&str, &str) = ("SESSION_CLIENT", "inject");

/// Names and values of a head.
type Fields = &'static [(&'static str, &'static str)];

/// The element that a page got, and the page without it.
fn apart(answer: &Answer) -> Option<(String, String)> {
    let text = answer.text();
    let (before, rest) = text.split_once("<script src=")?;
    let (element, after) = rest.split_once("</script>")?;
    Some((element.to_owned(), format!("{before}{after}")))
}

async fn page(fields: Fields, body: &'static str) -> (Sidecar, Backend, Answer) {
    let backend = Backend::start(move |_| Reply::with("200 OK", fields, body)).await;
    let sidecar = Sidecar::before(&backend.address, &[INJECT]).await;
    let answer = sidecar.client().await.request("GET", "/", &[("Accept-Encoding", "gzip, br"), ("Sec-Fetch-Dest", "document")]).await;
    (sidecar, backend, answer)
}

#[tokio::test]
async fn b8_a_page_gets_the_client_while_it_streams() {
    let (sidecar, backend, answer) =
        page(&[("Content-Type", "text/html; charset=utf-8"), ("ETag", "\"x\""), ("Accept-Ranges", "bytes")], PAGE).await;
    let (element, rest) = apart(&answer).expect("an element");
    assert_eq!(rest, PAGE);
    assert!(answer.text().starts_with("<!doctype html><html><head><script src=\"/auth/session-client-"), "{}", answer.text());
    assert!(element.ends_with("\" defer>"), "{element}");
    assert_eq!((answer.field("content-length"), answer.field("etag"), answer.field("accept-ranges")), (None, Some("W/\"x\""), None));
    assert!(backend.request().contains("Accept-Encoding: identity\r\n"), "{}", backend.request());
    assert!(sidecar.metrics().await.contains("slidecar_pages_total{result=\"injected\"} 1\n"));
    // And what it names is there, for ever.
    let path = element.split('"').nth(1).unwrap();
    let script = sidecar.get(path, "").await;
    assert_eq!((script.status, script.field("cache-control")), (200, Some("public, max-age=31536000, immutable")));
}

#[tokio::test]
async fn b8_nothing_is_held_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}c\r\n<head><p>one\r\n").as_bytes()).await.unwrap();
        held.notified().await;
        stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    });
    let sidecar = Sidecar::before(&address, &[INJECT]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut seen = String::new();
    while !seen.contains("<p>one") {
        seen.push_str(&String::from_utf8(client.bytes(1).await).unwrap());
    }
    assert!(seen.contains("<head><script src="), "{seen}");
    gate.notify_one();
    while !seen.ends_with("0\r\n\r\n") {
        seen.push_str(&String::from_utf8(client.bytes(1).await).unwrap());
    }
    assert!(seen.contains("two"), "{seen}");
}

#[tokio::test]
async fn b8_a_nonce_is_honoured_and_a_policy_that_forbids_is_obeyed() {
    let table: [(Fields, Option<&str>, &str); 8] = [
        (&[("Content-Security-Policy", "script-src 'nonce-R4nd'; object-src 'none'")], Some(" defer nonce=\"R4nd\">"), "injected"),
        (&[("Content-Security-Policy", "default-src 'self'")], Some("\" defer>"), "injected"),
        (&[("Content-Security-Policy", "default-src 'none'")], None, "csp"),
        (&[("Content-Security-Policy", "script-src 'sha256-abc='")], None, "csp"),
        (&[("Content-Security-Policy", "script-src 'self'"), ("Content-Security-Policy", "connect-src https://api.example")], None, "csp"),
        (&[("Content-Encoding", "gzip")], None, "compressed"),
        (&[("Content-Type", "text/html; charset=\"UTF-16LE\"")], None, "encoding"),
        (&[("Content-Type", "TEXT/HTML;charset=Shift_JIS")], Some("\" defer>"), "injected"),
    ];
    for (fields, element, result) in table {
        let backend = Backend::start(move |_| {
            let has_type = fields.iter().any(|(name, _)| *name == "Content-Type");
            let usual: &[(&str, &str)] = if has_type { &[] } else { &[("Content-Type", "text/html")] };
            Reply::with("200 OK", &[usual, fields].concat(), PAGE)
        })
        .await;
        let sidecar = Sidecar::before(&backend.address, &[INJECT]).await;
        let answer = sidecar.get("/", "").await;
        match (element, apart(&answer)) {
            (Some(end), Some((found, rest))) => assert!(found.ends_with(end) && rest == PAGE, "{fields:?}: {found}"),
            (None, None) => {
                assert_eq!((answer.text().as_str(), answer.field("content-length")), (PAGE, Some(PAGE.len().to_string().as_str())))
            }
            (expected, found) => panic!("{fields:?}: {expected:?} {found:?}"),
        }
        assert!(sidecar.metrics().await.contains(&format!("slidecar_pages_total{{result=\"{result}\"}} 1\n")), "{fields:?}");
    }
}

#[tokio::test]
async fn b8_what_is_no_page_stays_byte_for_byte() {
    const HTML: (&str, &str) = ("Content-Type", "text/html");
    let table: [(&str, Fields, Fields); 7] = [
        ("404 Not Found", &[HTML], &[]),
        ("200 OK", &[("Content-Type", "application/json")], &[]),
        ("200 OK", &[("Content-Type", "application/xhtml+xml")], &[]),
        ("200 OK", &[], &[]),
        ("200 OK", &[HTML, ("Content-Disposition", "attachment; filename=a.html")], &[]),
        ("200 OK", &[HTML], &[("Sec-Fetch-Dest", "empty")]),
        ("200 OK", &[HTML], &[("X-Requested-With", "XMLHttpRequest")]),
    ];
    for (status, fields, asked) in table {
        let backend = Backend::start(move |_| Reply::with(status, fields, PAGE)).await;
        let sidecar = Sidecar::before(&backend.address, &[INJECT]).await;
        let answer = sidecar.client().await.request("GET", "/", asked).await;
        assert_eq!(
            (answer.text().as_str(), answer.field("content-length")),
            (PAGE, Some(PAGE.len().to_string().as_str())),
            "{status} {fields:?}"
        );
    }
    // What scripts fetch may be compressed as ever; and without the setting, everything.
    let backend = Backend::start(move |_| Reply::with("200 OK", &[HTML], PAGE)).await;
    let (on, off) = (Sidecar::before(&backend.address, &[INJECT]).await, Sidecar::before(&backend.address, &[]).await);
    on.client().await.request("GET", "/", &[("Accept-Encoding", "br"), ("Sec-Fetch-Dest", "empty")]).await;
    assert_eq!(off.client().await.request("GET", "/", &[("Accept-Encoding", "br")]).await.text(), PAGE);
    assert!(backend.requests().iter().all(|request| request.contains("Accept-Encoding: br\r\n")));
}

/// A service worker that does no more than fetch what it is asked for.
#[tokio::test]
async fn b8_a_page_that_a_service_worker_fetches_is_one() {
    let backend = Backend::saying("200 OK", &[("Content-Type", "text/html")], PAGE).await;
    let sidecar = Sidecar::before(&backend.address, &[INJECT]).await;
    let answer = sidecar.client().await.request("GET", "/", &[("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Mode", "navigate")]).await;
    assert!(apart(&answer).is_some(), "{}", answer.text());
}

#[tokio::test]
async fn b1_the_client_is_served_with_half_the_policy_in_force() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let clocks = Mount::with(&[("JWT_EXPIRES_IN", "2h"), ("SESSION_REFRESH_THRESHOLD", "1h")]);
    let mut settings = vec![("SESSION_POLICY_DIR", clocks.path())];
    settings.extend(["JWT_EXPIRES_IN", "SESSION_REFRESH_THRESHOLD"].map(|name| (name, "-")));
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let get = async |coding: &str, more: &[(&str, &str)]| {
        sidecar.client().await.request("GET", "/auth/session-client.js", &[&[("Accept-Encoding", coding)], more].concat()).await
    };
    let plain = get("identity", &[]).await;
    assert_eq!(
        (plain.status, plain.field("cache-control"), plain.field("content-type")),
        (200, Some("no-cache"), Some("text/javascript; charset=utf-8"))
    );
    assert_eq!((plain.field("vary"), plain.field("x-content-type-options")), (Some("Accept-Encoding"), Some("nosniff")));
    let half = r#"{"accessTokenTtlMs":3600000,"heartbeatIntervalMs":300000,"sessionTimeoutMs":3750000,"refreshThresholdMs":1800000}"#;
    assert!(plain.text().contains(half) && !plain.text().contains("__SLIDECAR_POLICY__"), "{}", plain.text());

    let (gzip, brotli) = (get("gzip", &[]).await, get("gzip, br", &[]).await);
    let mut inflated = String::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_string(&mut inflated).unwrap();
    assert_eq!((gzip.field("content-encoding"), &inflated), (Some("gzip"), &plain.text()));
    let mut expanded = Vec::new();
    brotli::BrotliDecompress(&mut &brotli.body[..], &mut expanded).unwrap();
    assert_eq!((brotli.field("content-encoding"), &expanded), (Some("br"), &plain.body));
    assert!(brotli.body.len() < gzip.body.len(), "{} {}", brotli.body.len(), gzip.body.len());
    let tags = [&plain, &gzip, &brotli].map(|answer| answer.field("etag").unwrap().to_owned());
    assert!(tags[0] != tags[1] && tags[1] != tags[2]);
    assert_eq!(get("br", &[("If-None-Match", &tags[2])]).await.status, 304);

    clocks.swap(&[("JWT_EXPIRES_IN", "4h"), ("SESSION_REFRESH_THRESHOLD", "1h")]);
    sidecar.reload();
    let changed = get("identity", &[("If-None-Match", &tags[0])]).await;
    assert!(changed.status == 200 && changed.text().contains("\"accessTokenTtlMs\":7200000"));
    // A page of the time before asks by the old name.
    let old = tags[0].trim_matches('"');
    let answer = sidecar.get(&format!("/auth/session-client-{old}.js"), "").await;
    assert_eq!((answer.status, answer.field("cache-control"), answer.text() == changed.text()), (200, Some("no-cache"), true));
    assert!(backend.requests().is_empty(), "the backend never sees any of this");
    assert_eq!(sidecar.client().await.request("POST", "/auth/session-client.js", &[]).await.field("allow"), Some("GET, HEAD"));
}

/// A script that all may keep carries nobody's clock.
#[tokio::test]
async fn e3_the_script_tells_nothing_of_a_session() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, &[INJECT]).await;
    sidecar.pass(4000);
    let session = format!("session={}", session_token(NOW, NOW + 7200));
    let first = sidecar.get("/auth/session-client.js", &session).await;
    let path = format!("/auth/session-client-{}.js", first.field("etag").unwrap().trim_matches('"'));
    let answer = sidecar.get(&path, &session).await;
    assert_eq!((answer.field("session-expires-in"), answer.cookie_lines("session").len()), (None, 0));
    assert_eq!(first.cookie_lines("session").len(), 0, "nor does it renew");
}
