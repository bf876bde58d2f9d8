//! Limits at their edges: one below, at, and above. Those of HTTP/2 are in `http2`, those of backends in `upstreams`, of
//! bodies in `upstream::upload`, of phases of a connection in `server::deadline`.

use crate::harness::{Backend, Client, Sidecar};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

async fn quiet(settings: &[(&str, &str)]) -> (Sidecar, Backend) {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    (Sidecar::before(&backend.address, settings).await, backend)
}

/// What an HTTP/1.1 request with these bytes gets.
async fn status(sidecar: &Sidecar, bytes: &str) -> u16 {
    let mut client = sidecar.client().await;
    client.send(bytes).await;
    client.answer("GET").await.status
}

#[tokio::test]
async fn t4_fields_are_counted() {
    let (sidecar, _backend) = quiet(&[("SLIDECAR_MAX_FIELDS", "10")]).await;
    let with = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(count - 1));
    assert_eq!(status(&sidecar, &with(9)).await, 200);
    assert_eq!(status(&sidecar, &with(10)).await, 200);
    assert_eq!(status(&sidecar, &with(11)).await, 431);
}

#[tokio::test]
async fn t4_a_target_has_its_length() {
    let (sidecar, _backend) = quiet(&[("SLIDECAR_MAX_TARGET", "300")]).await;
    let with = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    assert_eq!(status(&sidecar, &with(299)).await, 200);
    assert_eq!(status(&sidecar, &with(300)).await, 200);
    assert_eq!(status(&sidecar, &with(301)).await, 414);
}

#[tokio::test]
async fn t4_a_head_has_its_length() {
    let (sidecar, _backend) = quiet(&[("SLIDECAR_MAX_HEAD", "8192")]).await;
    let with = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
        frame.replace("X: ", &format!("X: {}", "x".repeat(length - frame.len())))
    };
    assert_eq!(status(&sidecar, &with(8191)).await, 200);
    assert_eq!(status(&sidecar, &with(8192)).await, 200);
    assert_eq!(status(&sidecar, &with(8193)).await, 431);
}

#[tokio::test]
async fn t4_a_connection_carries_so_many_requests() {
    let (sidecar, _backend) = quiet(&[("SLIDECAR_MAX_REQUESTS", "3")]).await;
    let mut client = sidecar.client().await;
    for number in 1..=3 {
        let answer = client.request("GET", "/", &[]).await;
        assert_eq!(answer.field("connection"), (number == 3).then_some("close"), "{number}");
    }
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn t4_further_connections_wait_until_one_ends() {
    let (sidecar, _backend) = quiet(&[("SLIDECAR_MAX_CONNECTIONS", "2")]).await;
    let (mut one, mut two, mut three) = (sidecar.client().await, sidecar.client().await, sidecar.client().await);
    assert_eq!((one.request("GET", "/", &[]).await.status, two.request("GET", "/", &[]).await.status), (200, 200));
    three.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), three.try_answer("GET")).await;
    assert!(waiting.is_err(), "it is not answered yet");
    drop(one);
    assert_eq!(three.answer("GET").await.status, 200);
}

/// A tunnel is a connection like any other.
#[tokio::test]
async fn t4_a_tunnel_keeps_its_place_among_the_connections() {
    let backend = Backend::start(crate::streams::accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_MAX_CONNECTIONS", "1")]).await;
    let tunnel = crate::streams::open(&sidecar, "").await;
    let mut waiting = sidecar.client().await;
    waiting.send("GET /auth/session-policy HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting.try_answer("GET")).await.is_err());
    drop(tunnel);
    assert_eq!(waiting.answer("GET").await.status, 200);
}

#[tokio::test]
async fn t4_a_body_that_stops_is_408_and_the_backend_is_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_BODY_IDLE_TIMEOUT", "600ms")]).await;
    let mut client = sidecar.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let answer = client.answer("POST").await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (408, Some("client_slow")));
    assert_eq!(client.rest().await, b"", "what is left of the message is nobody's");
    let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok());
}

/// Once the backend answers, it knows what it waits for: a stream both ways may be silent for as long as it likes.
#[tokio::test]
async fn t4_an_upload_that_is_being_answered_may_pause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_BODY_IDLE_TIMEOUT", "200ms")]).await;
    let mut client = sidecar.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    use tokio::io::AsyncWriteExt as _;
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n").await.unwrap();
    assert!(client.bytes(40).await.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let mut seen = Vec::new();
    let quiet =
        tokio::time::timeout(Duration::from_millis(900), async { while stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {} });
    assert!(quiet.await.is_err(), "both ends stay open: {:?}", String::from_utf8_lossy(&seen));
    client.send("2\r\nhi\r\n0\r\n\r\n").await;
    while !seen.ends_with(b"0\r\n\r\n") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(client.bytes(5).await.ends_with(b"\r\n"));
}

#[tokio::test]
async fn t4_a_client_that_does_not_read_is_closed_and_the_backend_let_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, gone) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
        let _ = sender.send(());
    });
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_BODY_IDLE_TIMEOUT", "300ms")]).await;
    let mut client = Client::to(&sidecar.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the backend is let go").unwrap();
    // A reset, or the kernel would keep what is unread for minutes.
    let error = loop {
        match client.stream.read(&mut [0; 65_536]).await {
            Ok(count) => assert!(count > 0, "the end of a connection that says nothing of it"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// The last answer of a connection arrives whole, whatever the client goes on sending.
#[tokio::test]
async fn t4_a_close_takes_no_answer_with_it() {
    const SIZE: usize = 2 * 1024 * 1024;
    let backend = Backend::start(|_| crate::harness::Reply::with("200 OK", &[], &"x".repeat(SIZE))).await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_MAX_REQUESTS", "1")]).await;
    let mut client = sidecar.client().await;
    let more = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{}", more.repeat(20))).await;
    client.bytes(1024).await;
    // slidecar has long said all that it had to say, as far as buffers take it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let rest = client.rest().await;
    assert!(rest.len() + 1024 > SIZE, "{} bytes of {SIZE}", rest.len());
}

/// A body that comes in drops is no body that stops.
#[tokio::test]
async fn t4_a_body_that_moves_is_not_cut() {
    let backend = Backend::saying("200 OK", &[], "whole").await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_BODY_IDLE_TIMEOUT", "900ms")]).await;
    let mut client = sidecar.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send("x").await;
    }
    assert_eq!(client.answer("POST").await.text(), "whole");
}

/// A backend that takes its time is not the client's fault.
#[tokio::test]
async fn t4_a_backend_that_does_not_read_is_waited_for() {
    const SIZE: usize = 20 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_BODY_IDLE_TIMEOUT", "600ms")]).await;
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1800)).await;
        let (mut buffer, mut left) = (vec![0; 1024 * 1024], SIZE);
        while left > 0 {
            left = left.saturating_sub(stream.read(&mut buffer).await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole").await.unwrap();
        let _ = stream.read(&mut buffer).await;
    });
    // The kernel would take a whole answer's worth of patience for a client that waits for it: none does here.
    let (read, mut write) = tokio::net::TcpStream::connect(&sidecar.address).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        write.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        write.write_all(&vec![b'x'; SIZE]).await.unwrap();
        write
    });
    let mut client = Client::over(tokio::io::join(read, tokio::io::sink()));
    assert_eq!(client.answer("POST").await.text(), "whole");
    drop(sending.await);
}

#[tokio::test]
async fn t4_so_many_idle_connections_to_the_backend_are_kept() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = std::sync::Arc::clone(&gate);
    let backend = Backend::start(move |_| crate::harness::Reply::ok().held_by(&held)).await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_UPSTREAM_MAX_IDLE", "1")]).await;
    for connections in [3, 5] {
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = sidecar.client().await;
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            clients.push(client);
        }
        let asked = if connections == 3 { 3 } else { 6 };
        while backend.requests().len() < asked {
            tokio::task::yield_now().await;
        }
        gate.notify_waiters();
        for client in &mut clients {
            assert_eq!(client.answer("GET").await.status, 200);
        }
        assert_eq!(backend.connections(), connections, "one of three is kept");
    }
}
