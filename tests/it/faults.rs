//! What happens to the others when one goes wrong, and what a restart costs.

use crate::harness::{Backend, Client, Http2, Process, Reply, SECRET, Sidecar, signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A request whose handling panics hurts its own connection only.
#[tokio::test]
async fn t6_a_panic_ends_one_connection() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let (mut other, mut victim) = (sidecar.client().await, sidecar.client().await);
    assert_eq!(other.request("GET", "/", &[]).await.status, 200);
    sidecar.panic_once();
    victim.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(victim.try_answer("GET").await.is_none());
    assert_eq!(other.request("GET", "/", &[]).await.status, 200);
    assert_eq!(sidecar.get("/", "").await.status, 200);
}

/// Without file descriptors nothing can be accepted; what is open lives on, and the rest recovers.
#[tokio::test]
async fn t4_when_descriptors_run_out_open_connections_live_and_others_come_later() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let (process, address) = Process::slidecar(&backend.address, &[("JWT_SECRET", SECRET)]);
    let mut open = Client::to(&address).await;
    assert_eq!(open.request("GET", "/", &[]).await.status, 200);
    let in_use = process.descriptors();
    process.limit_descriptors(in_use + 5);
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(TcpStream::connect(&address).await.unwrap());
    }
    process.line_with("accept_failed").await;
    assert_eq!(open.request("GET", "/", &[]).await.status, 200);
    let before = process.processor_time();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(process.processor_time() - before < Duration::from_millis(250), "it does not spin");
    drop(crowd);
    let mut late = Client::to(&address).await;
    assert_eq!(late.request("GET", "/", &[]).await.status, 200);
}

/// Two processes share a port, as two generations do during an update: the old one stops under load, nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_a_restart_loses_no_request() {
    const CLIENTS: usize = 300;
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // One listening socket, handed from one generation to the next, as systemd or a socket-passing supervisor does.
    let second = TcpListener::from_std(listener.into_std().unwrap().try_clone().unwrap()).unwrap();
    let handed_on = std::os::fd::AsFd::as_fd(&second).try_clone_to_owned().unwrap();
    let first = TcpListener::from_std(handed_on.into()).unwrap();
    // For half of it, answers say goodbye; every client comes by in that time even on a busy machine.
    let mut old = Sidecar::listening(&backend.address, first, &[("SLIDECAR_DRAIN", "10s")]).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (address, answered, stop) = (address.clone(), Arc::clone(&answered), Arc::clone(&stop));
        clients.push(tokio::spawn(async move {
            let mut client = Client::to(&address).await;
            let mut lost = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                match client.try_answer("GET").await {
                    Some(answer) if answer.status == 200 && answer.is_complete => {
                        answered.fetch_add(1, Ordering::Relaxed);
                        if answer.field("connection") == Some("close") {
                            client = Client::to(&address).await;
                        }
                    }
                    _ => {
                        lost += 1;
                        client = Client::to(&address).await;
                    }
                }
                // Not so fast that the machine is busy with this alone: a client that cannot come by in five seconds hears no goodbye.
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            lost
        }));
    }
    let reach = async |count: usize| {
        let goal = answered.load(Ordering::Relaxed) + count;
        while answered.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    reach(2 * CLIENTS).await;
    let new = Sidecar::listening(&backend.address, second, &[]).await;
    old.stop();
    tokio::time::timeout(Duration::from_secs(11), old.stopped()).await.expect("the drain has an end");
    reach(2 * CLIENTS).await;
    stop.store(true, Ordering::Relaxed);
    let mut lost = 0;
    for client in clients {
        lost += client.await.unwrap();
    }
    assert_eq!(lost, 0, "of {} answered", answered.load(Ordering::Relaxed));
    drop(new);
}

/// A body goes through in pieces; the process stays as large as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_large_body_costs_no_memory() {
    const SIZE: usize = 256 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..SIZE / piece.len() {
            stream.write_all(&piece).await.unwrap();
        }
    });
    let (process, address) = Process::slidecar(&backend, &[("JWT_SECRET", SECRET)]);
    let mut client = Client::to(&address).await;
    let before = process.peak_memory();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut left = SIZE;
    while left > 0 {
        let count = tokio::io::AsyncReadExt::read(&mut client.stream, &mut vec![0; 256 * 1024]).await.unwrap();
        assert!(count > 0, "{left} bytes are missing");
        left = left.saturating_sub(count);
    }
    let grown = process.peak_memory() - before;
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes for {SIZE}");
}

/// Slow readers hold what is on its way to them, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_slow_readers_cost_little_each() {
    const READERS: usize = 100;
    let backend = Backend::start(|_| Reply::with("200 OK", &[], &"x".repeat(4 * 1024 * 1024))).await;
    let (process, address) = Process::slidecar(&backend.address, &[("JWT_SECRET", SECRET)]);
    let before = process.peak_memory();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut client = Client::to(&address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        readers.push(client);
    }
    for client in &mut readers {
        client.bytes(1024).await;
    }
    let each = (process.peak_memory() - before) / READERS;
    // What hyper reads at once, up to SLIDECAR_UPSTREAM_MAX_HEAD, in each of the places that it passes.
    assert!(each < 384 * 1024, "{each} bytes each");
}

/// Logs that cannot be written stop no request.
#[tokio::test]
async fn t6_a_full_disk_stops_no_request() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let port = free_port().await;
    let mut command = Process::command(&backend.address, &[("JWT_SECRET", SECRET), ("SLIDECAR_LISTEN", &format!("127.0.0.1:{port}"))]);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    command.stdin(std::process::Stdio::null()).stdout(full()).stderr(full());
    let mut child = command.spawn().unwrap();
    let mut status = None;
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            status = Client::over(stream).request("GET", "/", &[]).await.status.into();
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(status, Some(200));
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Whatever comes in, no line says a token, a cookie, a secret or a query.
#[tokio::test]
async fn o2_nothing_secret_is_ever_said() {
    let token = crate::harness::token(r#"{"sub":"canary-subject","iat":1,"exp":2}"#);
    let live = crate::harness::token(&format!(
        r#"{{"sub":"canary-subject","sid":"canary-sid","iat":{0},"exp":{1}}}"#,
        crate::harness::now(),
        crate::harness::now() + 100
    ));
    let fresh = format!("session={live}; Path=/; Max-Age=9");
    let backend = Backend::start(move |request| match request.split(' ').nth(1) {
        Some("/login") => Reply::with("200 OK", &[("Set-Cookie", &fresh)], ""),
        Some("/broken") => Reply::raw("canary-nonsense\r\n\r\n").then_close(),
        _ => Reply::with("200 OK", &[("Set-Cookie", "session=canary-value; Max-Age=9")], ""),
    })
    .await;
    let settings = [("JWT_SECRET", SECRET), ("SLIDECAR_LOG", "trace"), ("SESSION_PROTECTED_PATHS", "/app")];
    let (process, address) = Process::slidecar(&backend.address, &settings);
    for (path, cookies) in [
        ("/login?canary-query=1", ""),
        ("/?canary-query", &format!("session={token}; other=canary-cookie")),
        ("/app?canary-query", &format!("session={live}x")),
        ("/broken", &format!("session={live}; session_x=canary-tombstone; session_s=canary-companion")),
        ("/\u{1b}[31m?canary-query", ""),
        ("/auth/session-status?canary-query", &format!("session={live}")),
    ] {
        let mut client = Client::to(&address).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nCookie: {cookies}\r\nAuthorization: Bearer canary-bearer\r\n\r\n")).await;
        let _ = client.try_answer("GET").await;
    }
    let mut http2 = Http2::to(&address).await;
    let cookies = format!("session={live}; other=canary-cookie");
    http2.get("http://a/?canary-query", &[("cookie", &cookies), ("authorization", "Bearer canary-bearer")]).await.unwrap();
    process.line_with("cookie_maxage_fallback").await;
    let said = process.said();
    for secret in ["canary", SECRET, &token[..40], live.rsplit('.').next().unwrap()] {
        assert!(!said.contains(secret), "{secret} was said: {:?}", said.lines().find(|line| line.contains(secret)));
    }
    assert!(!said.contains('\u{1b}'));
}

/// What is for operators is not on the port of users, whatever they ask.
#[tokio::test]
async fn o1_the_admin_port_is_another_one() {
    let backend = Backend::saying("200 OK", &[], "the backend's").await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    for path in ["/metrics", "/livez", "/readyz", "/status", "/revocations"] {
        assert_eq!(sidecar.get(path, "").await.text(), "the backend's", "{path}");
    }
}

/// Nothing breaks with a wrong name, and nothing works: the log says why, until it is right.
#[tokio::test]
async fn o1_a_wrong_cookie_name_is_noticed() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let (process, address) = Process::slidecar(&backend.address, &[("JWT_SECRET", SECRET)]);
    let now = crate::harness::now();
    let live = crate::harness::token(&format!(r#"{{"sub":"ada","iat":{now},"exp":{}}}"#, now + 100));
    Client::to(&address).await.get("/", &format!("theme=dark; app_token={live}")).await;
    assert_eq!(process.line_with("session_cookie_misnamed").await["found"], "app_token");
}

/// A SIGHUP in the first moments is not the end of the process.
#[tokio::test]
async fn t7_a_hangup_during_the_start_is_survived() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let mut died = 0;
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = Process::command(&backend.address, &[("JWT_SECRET", SECRET), ("SLIDECAR_LISTEN", &listen)]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        while TcpStream::connect(&listen).await.is_err() {
            tokio::task::yield_now().await;
        }
        signal(child.id(), "-HUP");
        tokio::time::sleep(Duration::from_millis(100)).await;
        died += usize::from(child.try_wait().unwrap().is_some());
        let _ = child.kill();
        let _ = child.wait();
    }
    assert_eq!(died, 0, "of 5");
}

/// A client that said one byte more and went away. Nothing else is ever written, so nobody notices.
#[tokio::test]
async fn t6_a_client_that_goes_away_after_one_byte_more_cancels_the_backend() {
    for more in ["", "G"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[("SLIDECAR_MAX_CONNECTIONS", "1")]).await;
        let mut client = sidecar.client().await;
        client.send(format!("GET /events HTTP/1.1\r\nHost: a\r\n\r\n{more}")).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncReadExt::read_buf(&mut stream, &mut Vec::with_capacity(4096)).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(
            &mut stream,
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await
        .unwrap();
        client.bytes(15).await;
        drop(client);
        let ended = tokio::time::timeout(Duration::from_secs(5), tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new())).await;
        assert!(ended.is_ok(), "{more:?}: the backend's connection should end");
    }
}
