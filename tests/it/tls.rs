//! Clients that speak TLS.

use crate::harness::{Authority, Backend, Client, Http2, NOW, Reply, Sidecar, session_token};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

#[tokio::test]
async fn t1_tls_with_either_protocol_and_secure_cookies() {
    let (authority, backend) = (Authority::new(), Backend::saying("200 OK", &[], "hello").await);
    let pair = authority.issue();
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_TLS_CERT", &pair.chain), ("SLIDECAR_TLS_KEY", &pair.key)]).await;
    sidecar.pass(4000);
    let session = format!("session={}", session_token(NOW, NOW + 7200));
    let stream = authority.connect(&sidecar.address, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = Http2::over(stream).await.get("https://a/", &[("cookie", &session)]).await.unwrap();
    assert!(answer.field("set-cookie").unwrap().contains("; Secure"), "the browser spoke https: {:?}", answer.head);

    for protocols in [&["http/1.1"][..], &[]] {
        let mut client = Client::over(authority.connect(&sidecar.address, protocols).await.unwrap());
        assert_eq!(client.get("/", &session).await.text(), "hello");
    }
    // Who speaks no TLS gets no HTTP.
    let mut plain = sidecar.client().await;
    plain.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(plain.try_answer("GET").await.is_none());
}

#[tokio::test]
async fn t1_a_request_that_comes_with_the_end_of_the_handshake_is_answered() {
    let (authority, backend) = (Authority::new(), Backend::saying("200 OK", &[], "hello").await);
    let pair = authority.issue();
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_TLS_CERT", &pair.chain), ("SLIDECAR_TLS_KEY", &pair.key)]).await;
    for _ in 0..10 {
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut client = Client::over(authority.connect_saying(&sidecar.address, &["http/1.1"], request).await.unwrap());
        let answer = tokio::time::timeout(Duration::from_secs(5), client.answer("GET")).await.expect("it was read already");
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn t4_a_handshake_that_stops_half_way_ends_and_holds_nobody_up() {
    let (authority, backend) = (Authority::new(), Backend::saying("200 OK", &[], "hello").await);
    let pair = authority.issue();
    let settings =
        [("SLIDECAR_TLS_CERT", pair.chain.as_str()), ("SLIDECAR_TLS_KEY", &pair.key), ("SLIDECAR_TLS_HANDSHAKE_TIMEOUT", "300ms")];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&sidecar.address).await.unwrap();
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
        stalled.push(stream);
    }
    let mut client = Client::over(authority.connect(&sidecar.address, &[]).await.unwrap());
    assert_eq!(client.request("GET", "/", &[]).await.status, 200);
    for mut stream in stalled {
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "a half handshake ends");
    }
}

#[tokio::test]
async fn t7_a_new_certificate_is_taken_up_without_dropping_a_connection() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain"), folder.path().join("key"));
    let write = |pair: crate::harness::Pair| {
        std::fs::write(&chain, pair.chain).unwrap();
        std::fs::write(&key, pair.key).unwrap();
    };
    write(old.issue());
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend =
        Backend::start(move |request| if request.starts_with("GET /slow") { Reply::ok().held_by(&held) } else { Reply::ok() }).await;
    let files = [chain.to_str().unwrap(), key.to_str().unwrap()];
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_TLS_CERT_FILE", files[0]), ("SLIDECAR_TLS_KEY_FILE", files[1])]).await;
    let mut open = Client::over(old.connect(&sidecar.address, &[]).await.unwrap());
    open.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;

    // A torn pair changes nothing.
    std::fs::write(&key, "half a key").unwrap();
    sidecar.reload();
    assert!(old.connect(&sidecar.address, &[]).await.is_ok());
    write(new.issue());
    sidecar.reload();
    assert!(old.connect(&sidecar.address, &[]).await.is_err());
    let mut client = Client::over(new.connect(&sidecar.address, &[]).await.unwrap());
    assert_eq!(client.request("GET", "/", &[]).await.status, 200);
    gate.notify_one();
    assert_eq!(open.answer("GET").await.status, 200);
    assert_eq!(open.request("GET", "/", &[]).await.status, 200, "and the connection goes on");
}

/// An HTTP/1.0 client takes the end of the connection for the end of the answer; only a reset says otherwise.
#[tokio::test]
async fn t6_an_old_client_sees_a_truncated_answer_by_a_reset() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let backend = Backend::start(move |_| Reply::raw(reply).then_close()).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut stream = TcpStream::connect(&sidecar.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
