//! Messages that two readers could read differently: at most one of them reaches the backend, framed by us.

use crate::harness::{Backend, Reply, Sidecar};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Heads whose framing is doubtful; what follows is the end of a chunked body and then another message.
const DOUBTFUL: [&str; 27] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 45\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: chunked\u{b}",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;q=1",
    "Transfer_Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: +5",
    "Content-Length: 5, 6",
    "Content-Length: 5\r\nContent-Length: 45",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: ",
    "Content-Length: -5",
    "Content-Length: 99999999999999999999999",
];

/// Chunked bodies that lenient readers end elsewhere.
const BODIES: [&str; 9] = [
    "0\r\n\r\n",
    "5\nhello\n0\n\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
    "5;a=\"\r\nhello\r\n0\r\n\r\n",
    "5;\nhello\r\n0\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n",
];

async fn reached(bytes: &str) -> Vec<String> {
    let backend = Backend::start(|_| Reply::ok()).await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_UPSTREAM_RESPONSE_TIMEOUT", "1s")]).await;
    let mut client = sidecar.client().await;
    client.send(bytes).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    client.rest().await;
    backend.requests()
}

#[tokio::test]
async fn t3_doubtful_framing_smuggles_nothing() {
    for head in DOUBTFUL {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{SMUGGLED}");
        let requests = reached(&bytes).await;
        assert!(requests.len() <= 1, "{head:?}: {requests:#?}");
        // Neither as a message of its own nor inside of another.
        assert!(requests.iter().all(|request| request.starts_with("POST / ") && !request.contains("/smuggled")), "{head:?}: {requests:#?}");
    }
}

#[tokio::test]
async fn t3_doubtful_chunks_smuggle_nothing() {
    for body in BODIES {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}");
        let requests = reached(&bytes).await;
        // A body that ends well is followed by a message of its own, which is judged like any other.
        let posts = requests.iter().filter(|request| request.starts_with("POST / ")).count();
        assert!(posts <= 1 && requests.len() <= 2, "{body:?}: {requests:#?}");
        if requests.len() == 2 {
            assert!(requests[1].starts_with("GET /smuggled "), "{body:?}: {requests:#?}");
            assert!(body == "0\r\n\r\n" || body.starts_with("5 ") || body.starts_with("5;"), "{body:?} ended well?");
        }
    }
}

#[tokio::test]
async fn t3_what_follows_an_upgrade_that_was_not_granted_is_a_message_of_its_own() {
    let backend = Backend::start(|_| Reply::ok()).await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_PROTECTED_PATHS", "/smuggled")]).await;
    for protocol in ["websocket", "h2c", "websocket, h2c", "TLS/1.0"] {
        let mut client = sidecar.client().await;
        let upgrade = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        client.send(format!("{upgrade}{SMUGGLED}")).await;
        assert_eq!(client.answer("GET").await.status, 200);
        assert_eq!(client.answer("GET").await.status, 401, "{protocol}: the edge judges it");
    }
    // An upgrade with a body is none.
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.answer("GET").await.status, 200);
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 200);
    let last = backend.requests().pop().unwrap();
    assert!(!last.to_ascii_lowercase().contains("upgrade"), "{last:?}");
    assert!(backend.requests().iter().all(|request| !request.starts_with("GET /smuggled")));
}

#[tokio::test]
async fn t3_control_bytes_go_nowhere() {
    for bytes in [
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "\0\r\n\r\n",
    ] {
        assert_eq!(reached(bytes).await, Vec::<String>::new(), "{bytes:?}");
    }
}
