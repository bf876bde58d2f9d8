//! Backends that speak HTTP/2: many requests on one connection, and what one of them must not do to the others.

use crate::harness::http2::{Http2, request};
use crate::harness::{Client, Sidecar};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// An h2c backend: `/hold` never answers, `/events` answers a head and no more, `/big` a megabyte, else `ok`.
async fn h2c(streams: u32) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("h2c://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::Builder::new().max_concurrent_streams(streams).handshake::<_, Bytes>(io).await else {
                    return;
                };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let path = request.uri().path().to_owned();
                        if path == "/hold" {
                            return std::future::pending::<()>().await;
                        }
                        let mut stream = respond.send_response(Response::new(()), false).unwrap();
                        match path.as_str() {
                            "/events" => std::future::pending::<()>().await,
                            "/big" => {
                                let _ = stream.send_data(Bytes::from(vec![b'x'; 1024 * 1024]), true);
                                let _ = std::future::poll_fn(|context| stream.poll_reset(context)).await;
                            }
                            _ => drop(stream.send_data(Bytes::from_static(b"ok"), true)),
                        }
                    });
                }
            });
        }
    });
    (address, connections)
}

/// As many open event streams as the backend allows on one connection: the next request has one of its own.
#[tokio::test]
async fn t1_open_streams_do_not_use_a_backend_up() {
    let (address, connections) = h2c(2).await;
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_RESPONSE_TIMEOUT", "3s")]).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = sidecar.client().await;
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.bytes(15).await;
        open.push(client);
    }
    let status = sidecar.get("/", "").await.status;
    assert_eq!((status, connections.load(Ordering::SeqCst)), (200, 2));
}

/// Clients that do not read what they asked for stop nobody else's answers.
#[tokio::test]
async fn t1_slow_readers_do_not_stop_the_others() {
    let (address, _) = h2c(1000).await;
    let sidecar = Sidecar::before(&address, &[]).await;
    assert_eq!(sidecar.get("/", "").await.text(), "ok");
    let mut held = Vec::new();
    for _ in 0..2 {
        let client = Http2::to(&sidecar.address).await;
        for _ in 0..80 {
            let mut sender = client.sender.clone().ready().await.unwrap();
            let (response, _) = sender.send_request(request("GET", "http://a/big", &[]), true).unwrap();
            held.push(tokio::spawn(async move {
                let _body = response.await.unwrap().into_body();
                std::future::pending::<()>().await;
            }));
        }
        held.push(tokio::spawn(async move {
            let _client = client;
            std::future::pending::<()>().await;
        }));
    }
    sleep(Duration::from_secs(1)).await;
    let innocent = timeout(Duration::from_secs(10), sidecar.get("/", "")).await;
    assert!(innocent.is_ok_and(|answer| answer.text() == "ok"), "one small answer within ten seconds");
}

#[tokio::test]
async fn t5_a_safe_request_is_sent_once_more_if_the_http2_connection_dies_under_it() {
    once_more(false).await;
}

/// RFC 9113 §8.7: a refused stream was not processed; nothing was done, whatever the method.
#[tokio::test]
async fn t5_a_stream_that_the_backend_refused_is_sent_once_more() {
    once_more(true).await;
}

/// The second request on the first connection meets its end, or is refused.
async fn once_more(refuses: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("h2c://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for is_first in std::iter::once(true).chain(std::iter::repeat(false)) {
            let (io, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(io).await.unwrap();
                let mut number = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    number += 1;
                    if is_first && number == 2 {
                        if refuses {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                            continue;
                        }
                        return;
                    }
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
                }
            });
        }
    });
    let sidecar = Sidecar::before(&address, &[]).await;
    assert_eq!(sidecar.get("/", "").await.status, 200);
    assert_eq!(sidecar.get("/", "").await.status, 200, "refuses: {refuses}");
}

/// A backend that ages its connections, as nginx (keepalive_requests), gRPC (max_connection_age) and Go do: GOAWAY, and
/// what came too late is not processed.
#[tokio::test]
async fn t5_a_backend_that_says_goaway_loses_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("h2c://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(io).await.unwrap();
                let mut number = 0;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    number += 1;
                    if number == 10 {
                        connection.graceful_shutdown();
                    }
                    let mut stream = respond.send_response(Response::new(()), false).unwrap();
                    stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
                }
            });
        }
    });
    let sidecar = Sidecar::before(&address, &[]).await;
    let mut tasks = Vec::new();
    for _ in 0..16 {
        let address = sidecar.address.clone();
        tasks.push(tokio::spawn(async move {
            let mut client = Client::to(&address).await;
            let mut seen = std::collections::BTreeMap::<u16, usize>::new();
            for _ in 0..50 {
                client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
                *seen.entry(client.answer("POST").await.status).or_default() += 1;
            }
            seen
        }));
    }
    let mut all = std::collections::BTreeMap::<u16, usize>::new();
    for task in tasks {
        for (status, count) in task.await.unwrap() {
            *all.entry(status).or_default() += count;
        }
    }
    assert!(all.keys().all(|status| *status == 200), "{all:?}");
}

#[tokio::test]
async fn t4_an_idle_http2_connection_is_used_no_more() {
    let (address, connections) = h2c(100).await;
    let sidecar = Sidecar::before(&address, &[("SLIDECAR_UPSTREAM_IDLE_TIMEOUT", "50ms")]).await;
    assert_eq!(sidecar.get("/", "").await.status, 200);
    sleep(Duration::from_millis(600)).await;
    assert_eq!(sidecar.get("/", "").await.status, 200);
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn w1_an_upgrade_to_h2c_is_refused() {
    let (address, _) = h2c(100).await;
    let sidecar = Sidecar::before(&address, &[]).await;
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "k")];
    assert_eq!(sidecar.client().await.request("GET", "/socket", &upgrade).await.status, 501);
}

/// Two requests at once to a backend whose connection is being made: both answers are whole.
#[tokio::test]
async fn t1_connections_that_are_made_at_once_both_finish() {
    let (address, connections) = h2c(100).await;
    let sidecar = Sidecar::before(&address, &[]).await;
    let (mut one, mut two) = (sidecar.client().await, sidecar.client().await);
    let (one, two) = tokio::join!(one.request("GET", "/big", &[]), two.request("GET", "/big", &[]));
    assert_eq!((one.is_complete, one.body.len(), two.is_complete, two.body.len()), (true, 1 << 20, true, 1 << 20));
    assert!(connections.load(Ordering::SeqCst) <= 2);
}
