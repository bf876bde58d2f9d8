//! Backends of every kind, and the rule about sending again.

use crate::harness::http2::serve;
use crate::harness::{Authority, Backend, Client, Http2Backend, Reply, Sidecar};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};

#[tokio::test]
async fn t1_a_backend_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    });
    let sidecar = Sidecar::before(&format!("unix:{}", path.display()), &[]).await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        assert_eq!(client.request("GET", "/a", &[]).await.text(), "GET /a HTTP/1.1\r\nHost: app.example\r\n\r\n");
    }
}

#[tokio::test]
async fn t1_a_backend_that_speaks_http2() {
    let backend = Http2Backend::start().await;
    let sidecar = Sidecar::before(&format!("h2c://{}", backend.address), &[]).await;
    let mut client = sidecar.client().await;
    client
        .send("POST /a?b HTTP/1.1\r\nHost: app.example\r\nCookie: a=1\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.field("content-type")), (200, "hello", Some("application/grpc")));
    let mut other = sidecar.client().await;
    assert_eq!(other.request("GET", "/", &[]).await.status, 200);
    let heads = backend.heads.lock().unwrap();
    assert_eq!(heads[0].uri, "http://app.example/a?b");
    assert_eq!(heads[0].headers.get("cookie").unwrap(), "a=1");
    assert!(heads[0].headers.get("transfer-encoding").is_none() && heads[0].headers.get("host").is_none());
    assert_eq!(*backend.connections.lock().unwrap(), 1, "one connection carries all");
}

#[tokio::test]
async fn t1_trailers_pass_from_http2_to_http2() {
    let backend = Http2Backend::start().await;
    let sidecar = Sidecar::before(&format!("h2c://{}", backend.address), &[]).await;
    let mut client = crate::harness::Http2::to(&sidecar.address).await;
    let answer = client.send("POST", "http://a/grpc", &[("te", "trailers")], Some(b"message")).await.unwrap();
    assert_eq!(answer.body, b"message");
    assert_eq!(answer.trailers.unwrap().get("grpc-status").unwrap(), "0");
    assert_eq!(backend.heads.lock().unwrap()[0].headers.get("te").unwrap(), "trailers");
}

/// A TLS backend; of HTTP/2 it says `application/grpc`, of HTTP/1.1 `hello`.
async fn tls_backend(authority: &Authority, protocols: &[&str]) -> String {
    let acceptor = authority.issue().acceptor(protocols);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    return serve(stream, Arc::default()).await;
                }
                let mut bytes = vec![0; 4096];
                while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
                }
            });
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test]
async fn t1_a_backend_behind_tls_is_verified() {
    let authority = Authority::new();
    for (protocols, answer) in [(&["http/1.1"][..], "hello"), (&[][..], "hello"), (&["h2", "http/1.1"][..], "")] {
        let address = tls_backend(&authority, protocols).await;
        let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_CA", &authority.pem())]).await;
        let mut client = sidecar.client().await;
        for _ in 0..2 {
            let got = client.request("GET", "/", &[]).await;
            assert_eq!((got.status, got.text().as_str()), (200, answer), "{protocols:?}");
        }
    }
    // Nobody that we trust signed this one.
    let address = tls_backend(&authority, &["http/1.1"]).await;
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_CA", &Authority::new().pem())]).await;
    assert_eq!(sidecar.get("/", "").await.status, 502);
}

/// A backend that answers the first request of its first connection, takes the second one, and hangs up; and what it
/// said by then of an answer. Later connections are answered.
async fn fickle(last_words: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        for is_first in std::iter::once(true).chain(std::iter::repeat(false)) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            let answers = if is_first { 1 } else { usize::MAX };
            tokio::spawn(async move {
                for number in 0.. {
                    if !head_came(&mut stream).await {
                        return;
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    let words = if number < answers { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" } else { last_words };
                    let _ = stream.write_all(words.as_bytes()).await;
                    if number >= answers {
                        return;
                    }
                }
            });
        }
    });
    (address, taken)
}

async fn head_came(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn t5_a_safe_request_is_sent_once_more_if_the_pooled_connection_dies_under_it() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let (address, taken) = fickle("").await;
        let sidecar = Sidecar::before(&address, &[]).await;
        let mut client = sidecar.client().await;
        assert_eq!(client.request("GET", "/", &[]).await.status, 200);
        assert_eq!(client.request(method, "/", &[]).await.status, 200, "{method}");
        assert_eq!(taken.load(Ordering::SeqCst), 3, "{method}: one answered, one lost, one more");
    }
}

#[tokio::test]
async fn t5_nothing_else_is_sent_twice() {
    // A method that does something, a body, and an answer that had begun.
    let cases: [(&str, &str, &str); 4] = [
        ("POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", ""),
        ("DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", ""),
        ("GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 2"),
    ];
    for (method, bytes, last_words) in cases {
        let (address, taken) = fickle(last_words).await;
        let sidecar = Sidecar::before(&address, &[]).await;
        let mut client = sidecar.client().await;
        assert_eq!(client.request("GET", "/", &[]).await.status, 200);
        client.send(bytes).await;
        assert_eq!(client.answer(method).await.status, 502, "{bytes:?}");
        assert_eq!(taken.load(Ordering::SeqCst), 2, "{bytes:?}");
    }
}

#[tokio::test]
async fn t5_a_fresh_connection_that_dies_is_no_reason_to_ask_again() {
    let backend = Backend::start(|_| Reply::raw("").then_close()).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    assert_eq!(sidecar.get("/", "").await.status, 502);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn t5_a_post_that_nobody_took_goes_to_a_fresh_connection() {
    let backend = Backend::start(|_| Reply::ok().then_close()).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    for _ in 0..20 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.answer("POST").await.status, 200);
    }
    assert_eq!(backend.requests().len(), 20);
}

#[tokio::test]
async fn t4_an_idle_connection_is_closed_before_the_backend_does_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_IDLE_TIMEOUT", "50ms")]).await;
    let mut client = sidecar.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(head_came(&mut stream).await);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(client.answer("GET").await.status, 200);
    let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await.expect("it is closed");
    assert!(ended.is_err());
}

#[tokio::test]
async fn t4_an_answers_head_has_its_limits() {
    let fields = |count: usize, length: usize| {
        let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".to_owned();
        for n in 1..count {
            head.push_str(&format!("X-{n}: {}\r\n", "x".repeat(length)));
        }
        head + "\r\n"
    };
    // The default is 64 KiB, whatever hyper reads at once.
    let large = fields(100, 600);
    let backend = Backend::start(move |_| Reply::raw(large.clone())).await;
    assert_eq!(Sidecar::before(&backend.address, &[]).await.get("/", "").await.status, 200);
    for (count, length, status) in [(50, 10, 200), (51, 10, 502), (40, 200, 200), (43, 200, 502)] {
        let reply = fields(count, length);
        let backend = Backend::start(move |_| Reply::raw(reply.clone())).await;
        let settings = [("SLIDECAR_UPSTREAM_MAX_FIELDS", "50"), ("SLIDECAR_UPSTREAM_MAX_HEAD", "8600")];
        let sidecar = Sidecar::before(&backend.address, &settings).await;
        assert_eq!(sidecar.get("/", "").await.status, status, "{count} fields of {length}");
    }
}

#[tokio::test]
async fn t6_an_early_answer_to_an_upload_arrives_and_nothing_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sidecar = Sidecar::before(&address, &[]).await;
    let mut client = sidecar.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe beginning").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(head_came(&mut stream).await);
    stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await.unwrap();
    let answer = client.answer("POST").await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    assert_eq!(client.rest().await, b"", "the client's connection ends");
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the backend's connection ends");
}

#[tokio::test]
async fn t6_a_backend_that_resets_an_upload_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sidecar = Sidecar::before(&listener.local_addr().unwrap().to_string(), &[]).await;
    let mut client = sidecar.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe beginning").await;
    let (stream, _) = listener.accept().await.unwrap();
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(client.answer("POST").await.status, 502);
}

#[tokio::test]
async fn t3_what_a_backend_says_too_much_is_nobodys_answer() {
    // Bytes after the answer, a length beside chunks, a body where there can be none.
    let backend = Backend::start(|request| {
        Reply::raw(match request.split(' ').nth(1) {
            Some("/extra") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            Some("/both") => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        })
    })
    .await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let mut client = sidecar.client().await;
    assert_eq!(client.request("GET", "/extra", &[]).await.text(), "ok");
    assert_eq!(client.request("GET", "/next", &[]).await.text(), "hello");
    let both = client.request("GET", "/both", &[]).await;
    assert_eq!((both.text().as_str(), both.field("content-length")), ("hello", None));
}

#[tokio::test]
async fn t1_ipv6_and_ipv4_names_reach_the_backend() {
    let backend = Backend::saying("200 OK", &[], "x").await;
    let port = backend.address.rsplit(':').next().unwrap();
    // localhost may be ::1 first, where nobody listens.
    let sidecar = Sidecar::before(&format!("http://localhost:{port}"), &[]).await;
    assert_eq!(Client::to(&sidecar.address).await.request("GET", "/", &[]).await.status, 200);
}

/// A backend that refuses an upload and hangs up, as Node and many others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t6_an_early_refusal_survives_the_backends_hanging_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 200]).await;
                let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig").await;
            });
        }
    });
    let sidecar = Sidecar::before(&address, &[]).await;
    let mut seen = BTreeMap::<u16, usize>::new();
    for _ in 0..30 {
        let stream = TcpStream::connect(&sidecar.address).await.unwrap();
        let (read, mut write) = stream.into_split();
        let sending = tokio::spawn(async move {
            let _ = write.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n").await;
            for _ in 0..200 {
                if write.write_all(&[b'x'; 100_000]).await.is_err() {
                    break;
                }
            }
            write
        });
        let mut client = Client::over(tokio::io::join(read, tokio::io::sink()));
        *seen.entry(client.try_answer("POST").await.map_or(0, |answer| answer.status)).or_default() += 1;
        sending.abort();
    }
    assert!(seen.keys().all(|status| *status == 413), "{seen:?}");
}

/// A coding that was taken off the head is still on the body.
#[tokio::test]
async fn t3_an_answer_with_another_transfer_coding_is_not_passed_as_plain() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\n\x1f_zip\r\n0\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(reply)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    assert_eq!(sidecar.get("/", "").await.status, 502);
}

#[tokio::test]
async fn t3_204_has_no_length() {
    let backend = Backend::start(move |_| Reply::raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").then_close()).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    let old = sidecar.get("/", "").await;
    let new = crate::harness::Http2::to(&sidecar.address).await.get("http://a/", &[]).await;
    let new = new.map(|whole| whole.field("content-length").map(str::to_owned)).map_err(|error| error.to_string());
    assert_eq!((old.field("content-length"), new), (None, Ok(None)));
}

#[tokio::test]
async fn t1_trailers_do_not_cost_a_connection() {
    let reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    let backend = Backend::start(move |_| Reply::raw(reply)).await;
    let sidecar = Sidecar::before(&backend.address, &[]).await;
    for _ in 0..5 {
        sidecar.client().await.request("GET", "/", &[("TE", "trailers"), ("Connection", "TE")]).await;
    }
    assert_eq!(backend.connections(), 1);
}

/// Accepted by the kernel, and then nothing: the handshake belongs to making a connection.
#[tokio::test]
async fn t4_a_connection_that_is_not_made_in_time_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    for (patience, is_late) in [("300ms", false), ("2s", true)] {
        let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_CONNECT_TIMEOUT", patience)]).await;
        let answer = tokio::time::timeout(Duration::from_secs(1), sidecar.get("/", "")).await;
        assert_eq!(answer.ok().map(|answer| answer.status), (!is_late).then_some(502), "{patience}");
    }
}

/// A backend that is busy has a full queue for a moment: the kernel drops what comes, and tries again after a second.
#[tokio::test]
async fn t6_a_backend_whose_queue_is_full_for_a_moment_is_waited_for() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut crowd = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        crowd.push(stream.unwrap());
    }
    let sidecar = Sidecar::before(&address.to_string(), &[]).await;
    let (answer, ()) = tokio::join!(sidecar.get("/", ""), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Those of the crowd say nothing.
            let mut asked = [0; 1];
            if tokio::time::timeout(Duration::from_millis(50), stream.read(&mut asked))
                .await
                .is_ok_and(|read| read.is_ok_and(|count| count > 0))
            {
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await.unwrap();
            }
        }
    });
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}

/// A tunnel has a connection of its own, of HTTP/1.1, even where the backend would rather speak HTTP/2.
#[tokio::test]
async fn w1_a_tunnel_to_a_backend_that_could_speak_http2() {
    let authority = Authority::new();
    let address = tls_backend(&authority, &["h2", "http/1.1"]).await;
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_CA", &authority.pem())]).await;
    assert_eq!(sidecar.get("/", "").await.text(), "", "that one was HTTP/2");
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    assert_eq!(sidecar.client().await.request("GET", "/", &upgrade).await.text(), "hello", "and this one is not");
}
