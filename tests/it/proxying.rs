//! What any proxy owes: transparency, framing, deadlines, faults, a stop that loses nobody.

use crate::harness::{Backend, Client, Reply, Sidecar};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;

#[tokio::test]
async fn t2_the_head_reaches_the_backend_as_it_was_written() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client
        .send(
            "GET /a//b/../c?q=%zz&x=%41 HTTP/1.1\r\nX-First: 1\r\nHost: App.Example:8080\r\nx_underscore: 2\r\nX-Forwarded-For: 1.2.3.4\r\n\
             X-FORWARDED-PROTO: http\r\nForwarded: for=1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nAccept: */*\r\nKeep-Alive: 5\r\nX-Last: caf\u{e9}\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer("GET").await.status, 200);
    let expected = "GET /a//b/../c?q=%zz&x=%41 HTTP/1.1\r\nX-First: 1\r\nHost: App.Example:8080\r\nx_underscore: 2\r\nX-Forwarded-For: 1.2.3.4\r\n\
                    X-FORWARDED-PROTO: http\r\nForwarded: for=1\r\nAccept: */*\r\nX-Last: caf\u{c3}\u{a9}\r\n\r\n";
    assert_eq!(backend.request(), expected);
}

#[tokio::test]
async fn t2_the_answer_reaches_the_client_as_it_was_written() {
    let reply = "HTTP/1.1 200 Very OK\r\nX-B: 1\r\nx-a: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nDATE: today\r\nContent-Length: 2\r\nX-B: 3\r\n\r\nhi";
    let backend = Backend::start(move |_| Reply::raw(reply)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let text = String::from_utf8(client.rest().await).unwrap();
    assert_eq!(
        text,
        "HTTP/1.1 200 Very OK\r\nX-B: 1\r\nX-B: 3\r\nx-a: 2\r\nDATE: today\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    );
}

#[tokio::test]
async fn t1_bodies_stream_both_ways_and_arrive_whole() {
    let backend = Backend::start(|request| Reply::with("200 OK", &[], request.split_once("\r\n\r\n").map_or("", |(_, body)| body))).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    let body: String = (0..5 * 1024 * 1024_u32).map(|n| char::from(b'a' + u8::try_from(n % 23).unwrap())).collect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    let (sent, answer) = tokio::join!(async { body.len() }, async {
        client.send(&body).await;
        client.answer("POST").await
    });
    assert_eq!((sent, answer.text() == body), (body.len(), true));
}

#[tokio::test]
async fn t1_an_answer_is_passed_on_before_it_is_complete() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .await
            .unwrap();
        held.notified().await;
        stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    });
    let sidecar = Sidecar::before(&address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut seen = String::new();
    while !seen.ends_with("one\r\n") {
        seen.push(char::from(client.bytes(1).await[0]));
    }
    gate.notify_one();
    assert_eq!(client.bytes(13).await, b"3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn t1_head_204_and_304_have_no_body_and_keep_their_fields() {
    let backend = Backend::start(|request| match request.split(' ').nth(1) {
        Some("/204") => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        Some("/304") => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n"),
        _ => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    let head = client.request("HEAD", "/", &[]).await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("1234")));
    let no_content = client.request("GET", "/204", &[]).await;
    assert_eq!((no_content.status, no_content.field("content-length")), (204, None));
    let unchanged = client.request("GET", "/304", &[]).await;
    assert_eq!((unchanged.status, unchanged.field("etag")), (304, Some("\"x\"")));
    assert_eq!(client.request("HEAD", "/", &[]).await.status, 200, "the connection is still in step");
}

#[tokio::test]
async fn t1_early_hints_are_dropped_and_the_final_answer_counts() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: early=1\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(format!("{early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let answer = sidecar.get("/", "").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.all("set-cookie").count()), (200, "hi", 0));
}

#[tokio::test]
async fn t1_a_client_that_waits_for_100_gets_it_only_when_the_body_is_wanted() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_PROTECTED_PATHS", "/app")]).await;
    let mut client = sidecar.client().await;
    client.send("POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.bytes(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hi").await;
    assert_eq!(client.answer("POST").await.status, 200);
    assert!(!backend.request().to_ascii_lowercase().contains("expect"));
    let mut refused = sidecar.client().await;
    refused.send("POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(refused.answer("POST").await.status, 401);
}

#[tokio::test]
async fn t1_declared_trailers_pass() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(reply)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n").await;
    let text = String::from_utf8(client.rest().await).unwrap();
    assert!(text.to_ascii_lowercase().ends_with("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"), "{text:?}");
}

/// What belongs into a head is taken out of trailers, announced or not.
#[tokio::test]
async fn t1_trailers_that_belong_into_a_head_go_nowhere() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie, WWW-Authenticate\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nWWW-Authenticate: x\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(reply)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\nTrailer: X-Sum, Cookie\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\nCookie: session=dead\r\n\r\n")
        .await;
    let answer = String::from_utf8(client.rest().await).unwrap().to_ascii_lowercase();
    assert!(answer.contains("\r\nx-sum: 7\r\n") && !answer.contains("\r\nwww-authenticate"), "{answer}");
    let request = backend.request().to_ascii_lowercase();
    assert!(request.contains("\r\nx-sum: 7\r\n") && !request.contains("\r\ncookie"), "{request}");
}

#[tokio::test]
async fn t1_a_body_of_unknown_length_goes_with_any_method() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    for method in ["GET", "DELETE", "POST"] {
        let mut client = sidecar.client().await;
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        assert_eq!(client.answer(method).await.status, 200);
        let seen = backend.requests().pop().unwrap();
        assert!(
            seen.to_ascii_lowercase().contains("transfer-encoding: chunked\r\n") && seen.contains("5\r\nhello\r\n0\r\n\r\n"),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn t1_connections_to_the_backend_are_used_again() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    for _ in 0..20 {
        assert_eq!(client.request("GET", "/", &[]).await.status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn t1_a_websocket_is_tunnelled_after_the_backends_own_101() {
    let backend = Backend::start(|request| match request.starts_with("GET /ws ") {
        true => {
            Reply::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
        }
        false => Reply::with("426 Upgrade Required", &[], "no"),
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_KEEPALIVE_TIMEOUT", "50ms")]).await;
    let upgrade = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "k")];
    let mut client = sidecar.client().await;
    let answer = client.request("GET", "/ws", &upgrade).await;
    assert_eq!((answer.status, answer.field("upgrade"), answer.field("sec-websocket-accept")), (101, Some("websocket"), Some("x")));
    for n in 0..3_u8 {
        tokio::time::sleep(Duration::from_millis(30)).await; // Longer in all than an idle connection may live.
        client.send([n; 5]).await;
        assert_eq!(client.bytes(5).await, [n; 5]);
    }
    assert_eq!(sidecar.client().await.request("GET", "/no", &upgrade).await.status, 426);
    let seen = backend.requests();
    assert!(seen[0].to_ascii_lowercase().contains("upgrade: websocket\r\n"), "{seen:#?}");
}

#[tokio::test]
async fn t1_other_upgrades_and_unasked_101s_make_no_tunnel() {
    let backend = Backend::saying("101 Switching Protocols", &[("Upgrade", "websocket"), ("Connection", "Upgrade")], "").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    for fields in [&[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x")][..], &[]] {
        assert_eq!(sidecar.client().await.request("GET", "/", fields).await.status, 502);
    }
    assert!(!backend.requests()[0].to_ascii_lowercase().contains("h2c"));
}

#[tokio::test]
async fn t3_a_refused_message_never_reaches_the_backend_and_closes_the_connection() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let table = [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET foo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Cookie\r\nCookie: a=1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nxxxxx", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
        ("nonsense\r\n\r\n", 400),
    ];
    for (bytes, status) in table {
        let mut client = sidecar.client().await;
        client.send(bytes).await;
        let answer = client.answer("GET").await;
        assert_eq!(answer.status, status, "{bytes:?}");
        assert_eq!(client.rest().await, b"", "{bytes:?}: the connection should end");
    }
    assert_eq!(backend.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn t6_an_http_1_0_client_is_served() {
    let backend = Backend::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let text = String::from_utf8(client.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.ends_with("\r\n\r\nhello"), "{text:?}");
    assert_eq!(backend.request().to_ascii_lowercase(), format!("get / http/1.1\r\nhost: {}\r\n\r\n", backend.address));
}

#[tokio::test]
async fn t3_one_message_in_is_one_message_out() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let _ = client.try_answer("POST").await;
    client.rest().await;
    assert!(backend.requests().iter().all(|request| request.starts_with("POST /a ")), "{:#?}", backend.requests());
    // Pipelined messages are two, in order.
    let mut client = sidecar.client().await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((client.answer("GET").await.status, client.answer("GET").await.status), (200, 200));
}

#[tokio::test]
async fn t4_connections_that_say_nothing_end() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let settings = [("SLIDECAR_FIRST_BYTE_TIMEOUT", "60ms"), ("SLIDECAR_HEAD_TIMEOUT", "60ms"), ("SLIDECAR_KEEPALIVE_TIMEOUT", "60ms")];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    assert_eq!(sidecar.client().await.rest().await, b"", "first byte");
    let mut half = sidecar.client().await;
    half.send("GET / HTTP/1.1\r\nHost:").await;
    assert_eq!(half.rest().await, b"", "head");
    let mut idle = sidecar.client().await;
    assert_eq!(idle.request("GET", "/", &[]).await.status, 200);
    assert_eq!(idle.rest().await, b"", "idle");
}

#[tokio::test]
async fn t4_a_long_poll_outlives_every_client_deadline() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend = Backend::start(move |_| Reply::ok().held_by(&held)).await;
    let settings = [
        ("SLIDECAR_FIRST_BYTE_TIMEOUT", "40ms"),
        ("SLIDECAR_HEAD_TIMEOUT", "40ms"),
        ("SLIDECAR_KEEPALIVE_TIMEOUT", "40ms"),
        ("SLIDECAR_UPSTREAM_RESPONSE_TIMEOUT", "0"),
    ];
    let sidecar = Sidecar::before(&backend.address, &settings).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    gate.notify_one();
    assert_eq!(client.answer("GET").await.text(), "hello");
}

#[tokio::test]
async fn t4_a_head_that_is_too_large_is_431() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_MAX_HEAD", "8192")]).await;
    let mut client = sidecar.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9000))).await;
    assert_eq!(client.answer("GET").await.status, 431);
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn t6_a_backend_that_is_down_is_502() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let sidecar = Sidecar::before(&nobody, &[]).await;
    let answer = sidecar.get("/", "").await;
    assert_eq!((answer.status, answer.field("content-type")), (502, Some("application/problem+json")));
    let problem = answer.json();
    assert_eq!((problem["status"].as_u64(), problem["reason"].as_str()), (Some(502), Some("upstream_unreachable")));
    assert!(problem["requestId"].as_str().is_some_and(|id| !id.is_empty()));
}

#[tokio::test]
async fn t6_a_backend_that_says_nothing_is_504() {
    let gate = Arc::new(Notify::new());
    let backend = Backend::start(move |_| Reply::ok().held_by(&gate)).await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_UPSTREAM_RESPONSE_TIMEOUT", "50ms")]).await;
    let answer = sidecar.get("/", "").await;
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (504, Some("upstream_timeout")));
}

#[tokio::test]
async fn t6_a_backend_that_talks_nonsense_or_hangs_up_is_502() {
    for reply in ["nonsense\r\n\r\n", "", "HTTP/1.1 200"] {
        let backend = Backend::start(move |_| Reply::raw(reply).then_close()).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        assert_eq!(sidecar.get("/", "").await.status, 502, "{reply:?}");
    }
}

#[tokio::test]
async fn t6_a_truncated_answer_stays_truncated() {
    for reply in
        ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let backend = Backend::start(move |_| Reply::raw(reply).then_close()).await;
        let sidecar = Sidecar::before(&backend.address, &[]).await;
        let answer = sidecar.get("/", "").await;
        assert!(!answer.is_complete, "{reply:?}");
        assert!(b"hello".starts_with(&answer.body), "nothing is appended: {:?}", answer.text());
    }
}

#[tokio::test]
async fn t5_a_post_is_sent_once_even_if_the_backend_hangs_up() {
    let backend = Backend::start(|_| Reply::raw("").then_close()).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.answer("POST").await.status, 502);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn t6_a_client_that_goes_away_cancels_the_backend() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_buf(&mut stream, &mut bytes).await.unwrap();
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(1), tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes)).await;
    assert!(ended.is_ok(), "the backend's connection should end within a second");
}

#[tokio::test]
async fn t7_what_is_in_flight_is_finished_and_new_answers_say_goodbye() {
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let backend =
        Backend::start(move |request| if request.starts_with("GET /slow") { Reply::ok().held_by(&held) } else { Reply::ok() }).await;
    let mut sidecar = Sidecar::before(&backend.address, &[]).await;
    let ready = async |address: String| Client::to(&address).await.request("GET", "/readyz?verbose", &[]).await;
    assert_eq!(ready(sidecar.admin.clone()).await.status, 200);
    let mut slow = sidecar.client().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    sidecar.stop();
    let leaving = loop {
        let answer = ready(sidecar.admin.clone()).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((leaving.status, leaving.text().contains("[-] stopping")), (503, true));
    let answer = sidecar.get("/", "").await;
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    gate.notify_one();
    assert_eq!(slow.answer("GET").await.text(), "hello");
    tokio::time::timeout(Duration::from_secs(5), sidecar.stopped()).await.expect("the drain has an end");
}

#[tokio::test]
async fn the_admin_port_answers_probes() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = Client::to(&sidecar.admin).await;
    for path in ["/livez", "/readyz", "/startupz", "/readyz?verbose"] {
        assert_eq!(client.request("GET", path, &[]).await.status, 200, "{path}");
        assert_eq!(client.request("HEAD", path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(client.request("GET", "/nothing", &[]).await.status, 404);
    assert_eq!(client.request("POST", "/livez", &[("Content-Length", "0")]).await.status, 405);
}
