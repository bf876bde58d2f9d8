//! WebSockets and event streams, and the sessions they were opened with.

use crate::harness::{Backend, Client, NOW, Reply, Sidecar, session_token};
use std::time::Duration;

const TTL: i64 = 7200;
const CLOSE: (&str, &str) = ("SESSION_STREAMS", "close");

/// A backend's script that makes every upgrade an echo.
pub fn accepting(request: &str) -> Reply {
    if request.to_ascii_lowercase().contains("upgrade: websocket") {
        Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: theme=dark\r\n\r\n")
    } else {
        Reply::with("200 OK", &[], "hello")
    }
}

/// A tunnel that is open.
pub async fn open(sidecar: &Sidecar, cookies: &str) -> Client {
    let mut client = sidecar.client().await;
    let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Cookie", cookies)];
    let answer = client.request("GET", "/socket", &fields).await;
    assert_eq!(answer.status, 101);
    assert!(answer.cookie_lines("session").is_empty(), "W1: no session cookie on 101");
    client
}

/// A masked text frame, as a browser sends it; the echo sends it back as it is.
fn text(words: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(words.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(words.as_bytes());
    frame
}

async fn echoes(client: &mut Client, words: &str) {
    let frame = text(words);
    client.send(&frame).await;
    assert_eq!(client.bytes(frame.len()).await, frame);
}

/// slidecar that ends streams with their sessions, and a tunnel of one that ends in two hours.
async fn closing() -> (Sidecar, String, Client) {
    let backend = Backend::start(accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[CLOSE]).await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    let client = open(&sidecar, &session).await;
    (sidecar, session, client)
}

async fn end_of(client: &mut Client) -> Vec<u8> {
    tokio::time::timeout(Duration::from_secs(3), client.rest()).await.expect("the tunnel ends")
}

async fn gauge(sidecar: &Sidecar) -> String {
    let metrics = sidecar.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with("slidecar_streams_outliving_session ")).expect("the gauge");
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn w1_a_tunnel_is_judged_at_the_handshake() {
    let backend = Backend::start(accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[("SESSION_PROTECTED_PATHS", "/socket")]).await;
    let mut client = sidecar.client().await;
    let answer = client.request("GET", "/socket", &[("Connection", "Upgrade"), ("Upgrade", "websocket")]).await;
    assert_eq!((answer.status, backend.requests().len()), (401, 0));
    // Due, and yet nothing is set: a 101 is no answer that browsers keep cookies of for sure.
    sidecar.pass(4000);
    echoes(&mut open(&sidecar, &format!("session={}", session_token(NOW, NOW + TTL))).await, "hello").await;
}

#[tokio::test]
async fn w2_a_stream_ends_with_its_session() {
    let (sidecar, _, mut client) = closing().await;
    let mut anonymous = open(&sidecar, "").await;
    echoes(&mut client, "hello").await;
    // The buffer that the browser's timer has belongs to the stream too.
    sidecar.pass(TTL + 299);
    tokio::time::sleep(Duration::from_millis(600)).await;
    echoes(&mut client, "still here").await;
    sidecar.pass(1);
    assert_eq!(end_of(&mut client).await, [0x88, 2, 0x03, 0xf0], "1008: the policy's end");
    echoes(&mut anonymous, "of no session").await;
}

#[tokio::test]
async fn w2_a_renewal_of_the_same_session_lengthens_its_streams() {
    let (sidecar, session, mut client) = closing().await;
    sidecar.pass(TTL - 10);
    assert_eq!(sidecar.get("/", &session).await.cookie_lines("session").len(), 1);
    sidecar.pass(TTL - 10);
    tokio::time::sleep(Duration::from_millis(600)).await;
    echoes(&mut client, "renewed").await;
    // A replica renewed it once more, and its token is seen here.
    let elsewhere = format!("session={}", session_token(NOW, NOW + 3 * TTL));
    sidecar.get("/", &elsewhere).await;
    sidecar.pass(TTL);
    tokio::time::sleep(Duration::from_millis(600)).await;
    echoes(&mut client, "seen").await;
}

#[tokio::test]
async fn w2_a_logout_ends_streams_within_a_second() {
    let (sidecar, session, mut client) = closing().await;
    let start = tokio::time::Instant::now();
    let logout = sidecar.client().await.request("POST", "/auth/session-logout", &[("Cookie", &session), ("Content-Length", "0")]).await;
    assert_eq!(logout.status, 204);
    assert_eq!(end_of(&mut client).await, [0x88, 2, 0x03, 0xf0]);
    assert!(start.elapsed() < Duration::from_secs(2), "within a second, and a second for the farewell");
}

#[tokio::test]
async fn w2_a_frame_under_way_is_finished_first() {
    let (sidecar, _, mut client) = closing().await;
    let frame = text("in two parts");
    client.send(&frame[..9]).await;
    assert_eq!(client.bytes(9).await, &frame[..9]);
    sidecar.pass(TTL + 301);
    // The rest comes while the end is due: first the frame, then the farewell.
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.send(&frame[9..]).await;
    let end = end_of(&mut client).await;
    assert_eq!(end, [&frame[9..], &[0x88, 2, 0x03, 0xf0]].concat());
}

#[tokio::test]
async fn w2_a_frame_that_never_ends_is_cut() {
    let (sidecar, _, mut client) = closing().await;
    let frame = text("in two parts");
    client.send(&frame[..9]).await;
    assert_eq!(client.bytes(9).await, &frame[..9]);
    sidecar.pass(TTL + 301);
    assert_eq!(end_of(&mut client).await, b"", "no close frame in the middle of another");
}

#[tokio::test]
async fn w2_ignored_streams_live_on_and_are_counted() {
    let backend = Backend::start(accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = open(&sidecar, &format!("session={}", session_token(NOW, NOW + TTL))).await;
    assert_eq!(gauge(&sidecar).await, "0");
    sidecar.pass(TTL + 1000);
    while gauge(&sidecar).await != "1" {
        tokio::task::yield_now().await;
    }
    echoes(&mut client, "still here").await;
    drop(client);
    while gauge(&sidecar).await != "0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn w2_an_event_stream_ends_cleanly() {
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(events)).await;
    let sidecar = Sidecar::before(&backend.address, &[CLOSE]).await;
    let mut client = sidecar.client().await;
    let session = format!("session={}", session_token(NOW, NOW + TTL));
    client.send(format!("GET /events HTTP/1.1\r\nHost: a\r\nCookie: {session}\r\n\r\n")).await;
    let answer = tokio::spawn(async move { client.answer("GET").await });
    while backend.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    sidecar.pass(TTL + 301);
    let answer = tokio::time::timeout(Duration::from_secs(3), answer).await.expect("it ends").unwrap();
    assert!(answer.is_complete && answer.text() == "data: 1\n\n", "{answer:?}");
}

#[tokio::test]
async fn t4_a_silent_tunnel_ends() {
    let backend = Backend::start(accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_TUNNEL_IDLE_TIMEOUT", "200ms")]).await;
    let mut client = open(&sidecar, "").await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        echoes(&mut client, "busy").await;
    }
    assert_eq!(end_of(&mut client).await, [0x88, 2, 0x03, 0xe9], "1001: going away");
}

#[tokio::test]
async fn t7_tunnels_live_until_the_end_of_the_drain_and_hear_a_farewell() {
    let backend = Backend::start(accepting).await;
    let mut sidecar = Sidecar::before(&backend.address, &[("SLIDECAR_DRAIN", "1s")]).await;
    let mut client = open(&sidecar, "").await;
    sidecar.stop();
    tokio::time::sleep(Duration::from_millis(600)).await;
    echoes(&mut client, "not cut yet").await;
    assert_eq!(end_of(&mut client).await, [0x88, 2, 0x03, 0xe9], "1001: going away");
    tokio::time::timeout(Duration::from_secs(2), sidecar.stopped()).await.expect("the drain has an end");
}

/// A client that crashed, or whose network went away: its backend hears of it, and the tunnel's place is free again.
#[tokio::test]
async fn w1_a_side_that_breaks_ends_the_tunnel_for_the_other() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for backend_breaks in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[]).await;
        let opening = tokio::spawn(async move {
            let client = open(&sidecar, "").await;
            (client, sidecar)
        });
        let (mut backend, _) = listener.accept().await.unwrap();
        backend.read_buf(&mut Vec::new()).await.unwrap();
        backend.write_all(accepting("upgrade: websocket").bytes.as_slice()).await.unwrap();
        let (mut client, _sidecar) = opening.await.unwrap();
        let ended = if backend_breaks {
            backend.set_zero_linger().unwrap();
            drop(backend);
            tokio::time::timeout(Duration::from_secs(2), client.rest()).await.is_ok()
        } else {
            client.stream.set_zero_linger().unwrap();
            drop(client);
            tokio::time::timeout(Duration::from_secs(2), backend.read_to_end(&mut Vec::new())).await.is_ok()
        };
        assert!(ended, "backend breaks: {backend_breaks}");
    }
}

/// After the backend's half of a tunnel has ended, what the client says still arrives.
#[tokio::test]
async fn w1_a_half_closed_tunnel_loses_nothing() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[]).await;
    let opening = tokio::spawn(async move { (open(&sidecar, "").await, sidecar) });
    let (mut backend, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        backend.read_buf(&mut head).await.unwrap();
    }
    backend.write_all(accepting("upgrade: websocket").bytes.as_slice()).await.unwrap();
    let (mut client, _sidecar) = opening.await.unwrap();
    backend.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..5 {
        client.send("hello").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.stream.shutdown().await.unwrap();
    let mut seen = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(3), backend.read_to_end(&mut seen)).await;
    assert_eq!(String::from_utf8_lossy(&seen), "hello".repeat(5));
}

/// An Upgrade in HTTP/1.0 is to be ignored (RFC 9110 §7.8).
#[tokio::test]
async fn w1_http_1_0_upgrades_nothing() {
    let backend = Backend::start(accepting).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("GET /socket HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 200);
}

/// RFC 6455 §5.1: what a client says is masked, and slidecar is the backend's client. Whoever has said goodbye hears no other.
#[tokio::test]
async fn w2_the_backend_hears_the_farewell_too() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for has_said_goodbye in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[CLOSE]).await;
        let session = format!("session={}", session_token(NOW, NOW + TTL));
        let opening = tokio::spawn(async move { (open(&sidecar, &session).await, sidecar) });
        let (mut backend, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            backend.read_buf(&mut head).await.unwrap();
        }
        backend.write_all(accepting("upgrade: websocket").bytes.as_slice()).await.unwrap();
        let (mut client, sidecar) = opening.await.unwrap();
        let goodbye = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        if has_said_goodbye {
            client.send(goodbye).await;
            backend.read_exact(&mut [0; 8]).await.unwrap();
        }
        sidecar.pass(TTL + 301);
        let mut seen = Vec::new();
        tokio::time::timeout(Duration::from_secs(3), backend.read_to_end(&mut seen)).await.expect("it ends").unwrap();
        let expected: &[u8] = if has_said_goodbye { &[] } else { &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0] };
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn w1_a_101_to_something_else_is_no_tunnel() {
    let backend = Backend::start(|_| Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    assert_eq!(sidecar.client().await.request("GET", "/", &upgrade).await.status, 502);
}
