//! Clients that speak HTTP/2.

use crate::harness::http2::{Http2, read, request};
use crate::harness::{Backend, NOW, Reply, Sidecar, session_token};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;

const TTL: i64 = 7200;

#[tokio::test]
async fn t1_http2_by_prior_knowledge_reaches_a_legacy_backend() {
    let backend = Backend::saying("200 OK", &[("X-A", "1"), ("Connection", "keep-alive"), ("Keep-Alive", "5")], "hello").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = Http2::to(&sidecar.address).await;
    let answer = client.get("http://app.example:81/a?b", &[("accept", "*/*"), ("x-b", "2")]).await.unwrap();
    assert_eq!((answer.head.status.as_u16(), answer.body.as_slice(), answer.field("x-a")), (200, &b"hello"[..], Some("1")));
    assert_eq!((answer.field("connection"), answer.field("keep-alive")), (None, None));
    assert_eq!(backend.request(), "GET /a?b HTTP/1.1\r\naccept: */*\r\nx-b: 2\r\nhost: app.example:81\r\n\r\n");
}

#[tokio::test]
async fn q1_crumbs_are_one_string_to_slidecar_and_to_the_backend() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    sidecar.pass(4000);
    let mut client = Http2::to(&sidecar.address).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    let answer = client.get("http://a/", &[("cookie", "a=1"), ("cookie", &session), ("cookie", "b=2")]).await.unwrap();
    assert!(answer.field("set-cookie").unwrap().starts_with("session="), "{:?}", answer.head);
    assert_eq!(backend.last_cookies().unwrap(), format!("a=1; {session}; b=2"));
    // Where nothing is to be changed, too: a legacy backend reads one field only.
    client.get("http://a/", &[("cookie", "a=1"), ("cookie", "b=2")]).await.unwrap();
    assert_eq!(backend.last_cookies().unwrap(), "a=1; b=2");
}

#[tokio::test]
async fn t1_bodies_of_any_size_go_both_ways_at_once() {
    let backend = Backend::start(|request| Reply::with("200 OK", &[], request.split_once("\r\n\r\n").map_or("", |(_, body)| body))).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let body: Vec<u8> = (0..1024 * 1024_u32).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
    let mut clients = Vec::new();
    let client = Http2::to(&sidecar.address).await;
    for _ in 0..4 {
        let (sender, body) = (client.sender.clone(), body.clone());
        clients.push(tokio::spawn(async move {
            let length = body.len().to_string();
            let mut sender = sender.ready().await.unwrap();
            let (response, mut stream) = sender.send_request(request("POST", "http://a/", &[("content-length", &length)]), false).unwrap();
            stream.send_data(Bytes::from(body.clone()), true).unwrap();
            read(response.await.unwrap()).await.unwrap().body == body
        }));
    }
    for client in clients {
        assert!(client.await.unwrap());
    }
}

#[tokio::test]
async fn t3_what_http2_cannot_mean_is_refused() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = Http2::to(&sidecar.address).await;
    let mut status = async |method: &'static str, uri: &'static str, fields: &'static [(&'static str, &'static str)]| {
        client.send(method, uri, fields, None).await.map(|answer| answer.head.status.as_u16())
    };
    assert_eq!(status("GET", "http://a/", &[("host", "b")]).await.unwrap(), 400);
    assert_eq!(status("GET", "http://a/", &[("host", "a")]).await.unwrap(), 200);
    assert_eq!(status("TRACE", "http://a/", &[]).await.unwrap(), 405);
    assert_eq!(status("GET", "http://u@a/", &[]).await.unwrap(), 400);
    assert_eq!(status("GET", "http://a/", &[("expect", "x")]).await.unwrap(), 417);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn t4_streams_fields_and_heads_have_their_limits() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::ok().held_by(&held)).await;
    let settings = [("SLIDECAR_MAX_STREAMS", "3"), ("SLIDECAR_MAX_FIELDS", "10"), ("SLIDECAR_MAX_HEAD", "8192")];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let mut client = Http2::to(&sidecar.address).await;
    let first = tokio::spawn({
        let mut client = Http2 { sender: client.sender.clone(), connection: tokio::spawn(async { Ok(()) }) };
        async move { client.get("http://a/", &[]).await.unwrap().head.status }
    });
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(client.sender.current_max_send_streams(), 3, "as slidecar's settings said");

    let crumbs = |count: usize| vec![("cookie", "a=1"); count];
    let answers = async {
        assert_eq!(client.get("http://a/", &crumbs(10)).await.unwrap().head.status, 200);
        assert_eq!(client.get("http://a/", &crumbs(11)).await.unwrap().head.status, 431);
        let long = "x".repeat(8192);
        assert_eq!(client.get("http://a/", &[("x", &long)]).await.unwrap().head.status, 431);
        let shorter = "x".repeat(7000);
        assert_eq!(client.get("http://a/", &[("x", &shorter)]).await.unwrap().head.status, 200);
    };
    tokio::select! {
        () = answers => {}
        () = async { loop { gate.notify_one(); tokio::task::yield_now().await; } } => {}
    }
}

#[tokio::test]
async fn t4_a_stream_that_is_not_read_lets_the_backend_go_while_others_live() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, gone) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let endless = async {
            use tokio::io::AsyncWriteExt as _;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        };
        let _: std::io::Result<()> = endless.await;
        let _ = sender.send(());
    });
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_BODY_IDLE_TIMEOUT", "100ms")]).await;
    let mut client = Http2::to(&sidecar.address).await;
    let (response, _) = client.sender.send_request(request("GET", "http://a/", &[]), true).unwrap();
    // The head is read, the body's window is never given back.
    let mut stalled = response.await.unwrap().into_body();
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the backend is let go").unwrap();
    let error = loop {
        match stalled.data().await {
            Some(Ok(data)) => stalled.flow_control().release_capacity(data.len()).unwrap(),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(error.as_ref().is_some_and(h2::Error::is_reset), "a part is never taken for the whole: {error:?}");
    // The connection itself is well.
    assert_eq!(client.get("http://a/auth/session-policy", &[]).await.unwrap().head.status, 200);
}

#[tokio::test]
async fn t6_a_truncated_answer_is_a_reset_stream() {
    for reply in
        ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let backend = Backend::start(move |_| Reply::raw(reply).then_close()).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        let mut client = Http2::to(&sidecar.address).await;
        let error = client.get("http://a/", &[]).await.unwrap_err();
        assert!(error.is_reset() && error.is_remote(), "{error:?}");
    }
}

#[tokio::test]
async fn t6_a_stream_that_is_reset_cancels_the_backend() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[]).await;
    let mut client = Http2::to(&sidecar.address).await;
    let (response, _) = client.sender.send_request(request("GET", "http://a/", &[]), true).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_buf(&mut stream, &mut bytes).await.unwrap();
    drop(response);
    let ended = tokio::time::timeout(Duration::from_secs(1), tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes)).await;
    assert!(ended.is_ok(), "the backend's connection should end within a second");
}

/// CVE-2023-44487: streams are opened and reset faster than they can be answered.
#[tokio::test]
async fn t4_rapid_resets_end_the_connection_and_nobody_elses() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut attacker = Http2::to(&sidecar.address).await;
    for _ in 0..5000 {
        let Ok(mut sender) = attacker.sender.clone().ready().await else { break };
        let Ok((response, mut stream)) = sender.send_request(request("GET", "http://a/", &[]), true) else { break };
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        if attacker.connection.is_finished() {
            break;
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(5), &mut attacker.connection).await.expect("the connection ends").unwrap();
    // Whether the client still reads why depends on what it was writing.
    assert!(ended.is_err());
    assert!(backend.requests().len() < 1000, "{} reached the backend", backend.requests().len());
    assert_eq!(Http2::to(&sidecar.address).await.get("http://a/", &[]).await.unwrap().head.status, 200);
}

#[tokio::test]
async fn t7_goaway_is_said_at_once_and_streams_are_finished() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::ok().held_by(&held)).await;
    let mut sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = Http2::to(&sidecar.address).await;
    let (response, _) = client.sender.send_request(request("GET", "http://a/", &[]), true).unwrap();
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    sidecar.stop();
    // GOAWAY: the library opens no stream on this connection any more.
    while client.sender.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    assert_eq!(read(response.await.unwrap()).await.unwrap().body, b"hello");
    client.connection.await.unwrap().expect("a clean end");
    tokio::time::timeout(Duration::from_secs(5), sidecar.stopped()).await.expect("the drain has an end");
}

#[tokio::test]
async fn t1_head_has_no_body_over_http2() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_PROTECTED_PATHS", "/app")]).await;
    let mut client = Http2::to(&sidecar.address).await;
    let mut seen = Vec::new();
    for path in ["/", "/app", "/auth/session-policy", "/auth/session-status", "/auth/session-heartbeat"] {
        let answer = client.send("HEAD", &format!("http://a{path}"), &[], None).await;
        seen.push((path, answer.map(|whole| (whole.head.status.as_u16(), whole.body.len())).map_err(|error| error.to_string())));
    }
    assert!(seen.iter().all(|(_, answer)| answer.as_ref().is_ok_and(|(_, length)| *length == 0)), "{seen:#?}");
}

#[tokio::test]
async fn t7_a_new_http2_connection_is_served_while_leaving() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let mut sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_DRAIN", "8s")]).await;
    sidecar.stop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut answers = Vec::new();
    for pause in [0, 0, 0, 20, 20, 20] {
        let mut client = Http2::to(&sidecar.address).await;
        // As far away as a client across a city, or one that reads the settings first.
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let answer = client.get("http://a/", &[]).await;
        answers.push((pause, answer.map(|whole| whole.head.status.as_u16()).map_err(|error| error.to_string())));
    }
    assert!(answers.iter().all(|(_, answer)| *answer == Ok(200)), "{answers:#?}");
}

/// A connection of HTTP/2 that is closed for idleness says so, or a request on its way cannot be known to be safe.
#[tokio::test]
async fn t4_an_idle_http2_connection_ends_with_goaway() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_KEEPALIVE_TIMEOUT", "300ms")]).await;
    let mut stream = tokio::net::TcpStream::connect(&sidecar.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await.unwrap();
    let (mut at, mut kinds) = (0, Vec::new());
    while at + 9 <= bytes.len() {
        kinds.push(bytes[at + 3]);
        at += 9 + usize::from(bytes[at + 1]) * 256 + usize::from(bytes[at + 2]);
    }
    assert!(kinds.contains(&7), "frames: {kinds:?}");
}
