//! What a request may cost, counted where counting is exact: allocations and system calls. Times are for `benches/`.
//!
//! Each test runs in a process of its own (cargo-nextest), so that it counts nobody else's.

use crate::harness::{NOW, Process, SECRET, bare, now, signal, token, token_by};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use slidecar::app::App;
use slidecar::clock::{Clock, Stopwatch};
use slidecar::config::{self, Config};
use slidecar::session::time::{Span, UnixMillis};
use slidecar::telemetry::{self, LogFormat, LogSettings};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::sync::Mutex;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of a request beyond those of a proxy that is hyper's server, hyper's client and nothing between them.
/// Growing a buffer counts like making one.
const MOST_ALLOCATIONS: usize = 5;
/// Bytes of a connection of which nothing has come for a while, the test's own among them.
const MOST_BYTES_PARKED: usize = 2000;
const WARM_UP: usize = 200;
const COUNTED_REQUESTS: usize = 500;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nX-Powered-By: Express\r\n\r\nhello";

struct Now;

impl Clock for Now {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(NOW * 1000)
    }
}

fn head(cookies: &str) -> Vec<u8> {
    format!(
        "GET /app/orders HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nSec-Fetch-Mode: navigate\r\n\
         {cookies}\r\n"
    )
    .into_bytes()
}

/// Answers every request on every connection, and allocates nothing for it.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                let mut filled = 0;
                while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
                    filled += count;
                    if buffer[..filled].ends_with(b"\r\n\r\n") {
                        stream.write_all(ANSWER).unwrap();
                        filled = 0;
                    }
                }
            });
        }
    });
    address
}

/// One request and its answer, with buffers that are there already.
fn ask(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut buffer = [0; 8192];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"hello") {
        let count = stream.read(&mut buffer[filled..]).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&buffer[..filled]));
        filled += count;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
}

/// Allocations per request, on a connection that is warm.
fn allocations(proxy: SocketAddr, request: &[u8]) -> f64 {
    let mut stream = TcpStream::connect(proxy).unwrap();
    for _ in 0..WARM_UP {
        ask(&mut stream, request);
    }
    let region = Region::new(COUNTED);
    for _ in 0..COUNTED_REQUESTS {
        ask(&mut stream, request);
    }
    let change = region.change();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let per_request = (change.allocations + change.reallocations) as f64 / COUNTED_REQUESTS as f64;
    per_request
}

/// What anybody would write who needs a proxy by lunch.
fn bare_proxy(backend: SocketAddr) -> SocketAddr {
    let (say, said) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            say.send(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let upstream = tokio::net::TcpStream::connect(backend).await.unwrap();
            let (sender, connection) = client::Builder::new().preserve_header_case(true).handshake(TokioIo::new(upstream)).await.unwrap();
            tokio::spawn(connection);
            let sender = Arc::new(Mutex::new(sender));
            let passing = service_fn(|request: Request<Incoming>| {
                let sender = Arc::clone(&sender);
                async move {
                    let (head, body) = request.into_parts();
                    let mut forwarded = Request::new(body);
                    *forwarded.method_mut() = head.method;
                    *forwarded.uri_mut() = head.uri;
                    *forwarded.headers_mut() = head.headers;
                    *forwarded.extensions_mut() = head.extensions;
                    let answer: Result<Response<Incoming>, hyper::Error> = sender.lock().await.send_request(forwarded).await;
                    answer
                }
            });
            server::Builder::new().preserve_header_case(true).serve_connection(TokioIo::new(stream), passing).await.unwrap();
        });
    });
    said.recv().unwrap()
}

fn settings(backend: SocketAddr, more: &[(&str, &str)]) -> Config {
    let upstream = format!("http://{backend}");
    let own = [
        ("JWT_SECRET", SECRET),
        ("SLIDECAR_UPSTREAM", upstream.as_str()),
        ("SLIDECAR_LISTEN", "127.0.0.1:0"),
        ("SLIDECAR_ADMIN_LISTEN", "127.0.0.1:0"),
        ("SLIDECAR_WORKERS", "1"),
    ];
    let vars: HashMap<String, String> = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config::load(&vars).unwrap()
}

fn slidecar(backend: SocketAddr, more: &[(&str, &str)]) -> SocketAddr {
    let config = settings(backend, more);
    let (say, said) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let app = App::build(&config, Arc::new(Now)).await.unwrap();
            say.send(app.address().unwrap()).unwrap();
            app.run(std::future::pending()).await;
        });
    });
    said.recv().unwrap()
}

#[test]
fn a_request_allocates_little_beyond_what_hyper_does() {
    telemetry::init(LogSettings { level: tracing::Level::INFO, format: LogFormat::Json }, || UnixMillis::new(0)).unwrap();
    let backend = backend();
    let cookies = format!(
        "Cookie: theme=dark; session={}; lang=en\r\n",
        token(&format!(r#"{{"sub":"u1","role":"user","iat":{NOW},"exp":{}}}"#, NOW + 7000))
    );
    let bare = allocations(bare_proxy(backend), &head(&cookies));
    let enforced = slidecar(backend, &[("SESSION_PROTECTED_PATHS", "/")]);
    let session = allocations(enforced, &head(&cookies));
    let anonymous = allocations(slidecar(backend, &[]), &head(""));
    println!("allocations per request: bare hyper {bare}, with a session {session}, without {anonymous}");
    for (what, count) in [("with a session", session), ("without a cookie", anonymous)] {
        assert!(count - bare <= MOST_ALLOCATIONS as f64, "{what}: {count}, bare hyper: {bare}");
    }
}

/// Bytes that are allocated now, by all of this process.
fn live() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Most browsers of a busy site are idle at any moment, and each keeps a connection open.
#[test]
fn t4_a_connection_that_is_idle_costs_little_and_still_serves() {
    const CONNECTIONS: usize = 200;
    let proxy = slidecar(backend(), &[("SLIDECAR_KEEPALIVE_TIMEOUT", "30s")]);
    let request = head("");
    let mut warm = TcpStream::connect(proxy).unwrap();
    ask(&mut warm, &request);
    let before = live();
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(proxy).unwrap()).collect();
    for stream in &mut streams {
        ask(stream, &request);
    }
    let busy = live().saturating_sub(before) / CONNECTIONS;
    let patience = Stopwatch::start();
    let parked = loop {
        let each = live().saturating_sub(before) / CONNECTIONS;
        if each <= MOST_BYTES_PARKED {
            break each;
        }
        assert!(patience.elapsed() < Span::from_secs(20), "{each} bytes for each idle connection");
        std::thread::sleep(Duration::from_millis(20));
    };
    println!("bytes for each connection: {busy} after a request, {parked} when idle");
    for stream in &mut streams {
        // In two pieces, for a connection that has nothing must not mind to get little.
        stream.write_all(&request[..1]).unwrap();
        ask(stream, &request[1..]);
    }
}

/// The kernel's part of a request is four times ours: one read and one write on either side, and nothing else.
#[test]
fn a_request_takes_four_system_calls() {
    let backend = backend();
    let token = token_by(SECRET, r#"{"alg":"HS256","typ":"JWT"}"#, &format!(r#"{{"sub":"u1","exp":{}}}"#, now() + 7000));
    let request = head(&format!("Cookie: session={token}\r\n"));
    let (process, address) = Process::slidecar(&backend.to_string(), &[("JWT_SECRET", SECRET), ("SLIDECAR_WORKERS", "1")]);
    let mut stream = TcpStream::connect(address).unwrap();
    for _ in 0..WARM_UP {
        ask(&mut stream, &request);
    }
    let mut tracer = bare("strace");
    tracer.args(["-f", "-c", "-U", "calls,name", "-p", &process.id().to_string()]);
    let mut tracer = tracer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("strace is installed");
    let mut said = BufReader::new(tracer.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "strace may not trace");
    }
    let watch = Stopwatch::start();
    for _ in 0..COUNTED_REQUESTS {
        ask(&mut stream, &request);
    }
    let took = watch.elapsed();
    signal(tracer.id(), "-INT");
    let mut table = String::new();
    said.read_to_string(&mut table).unwrap();
    tracer.wait().unwrap();
    let calls = calls(&table);
    println!("system calls of {COUNTED_REQUESTS} requests: {calls:?}");
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    let carried = of("recvfrom") + of("writev");
    assert!((4 * COUNTED_REQUESTS..=4 * COUNTED_REQUESTS + 8).contains(&carried), "{calls:?}");
    // One connection at a time sleeps between any two of them; many at once hardly ever do.
    let others: usize = calls.iter().filter(|(name, _)| !name.starts_with("epoll_")).map(|(_, count)| count).sum::<usize>() - carried;
    // What the clock asks for, log lines and the allocator's tidying, grows with the time that the requests took.
    let most = COUNTED_REQUESTS / 20 + usize::try_from(took.as_millis()).unwrap() / 25;
    assert!(others <= most, "{others} beside those that carry a request, in {took:?}: {calls:?}");
}

/// The table of `strace -c`: how often, and what.
fn calls(table: &str) -> HashMap<String, usize> {
    let rows = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    });
    rows.filter(|(_, name): &(usize, String)| name != "total").map(|(count, name)| (name, count)).collect()
}
