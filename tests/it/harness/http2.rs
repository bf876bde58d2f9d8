//! HTTP/2 by hand: a client that sees streams and resets, and a backend that records heads.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, response};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Http2 {
    pub sender: SendRequest<Bytes>,
    /// Ends with the connection.
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Whole {
    pub head: response::Parts,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Http2 {
    pub async fn to(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.expect("slidecar listens")).await
    }

    pub async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = h2::client::handshake(io).await.expect("HTTP/2 is spoken");
        Self { sender, connection: tokio::spawn(connection) }
    }

    /// A request without a body.
    pub async fn get(&mut self, uri: &str, fields: &[(&str, &str)]) -> Result<Whole, h2::Error> {
        self.send("GET", uri, fields, None).await
    }

    pub async fn send(&mut self, method: &str, uri: &str, fields: &[(&str, &str)], body: Option<&[u8]>) -> Result<Whole, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request(method, uri, fields), body.is_none())?;
        if let Some(body) = body {
            // The library waits for the peer's window and keeps the rest.
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        read(response.await?).await
    }
}

pub fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// The body to its end, and what follows it.
pub async fn read(response: Response<h2::RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Whole { head, body, trailers })
}

impl Whole {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A backend that speaks HTTP/2 by prior knowledge, answers with the body that it got, and records heads.
pub struct Http2Backend {
    pub address: String,
    pub heads: Arc<Mutex<Vec<http::request::Parts>>>,
    pub connections: Arc<Mutex<usize>>,
}

impl Http2Backend {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let backend =
            Self { address: listener.local_addr().expect("bound").to_string(), heads: Arc::default(), connections: Arc::default() };
        let (heads, connections) = (Arc::clone(&backend.heads), Arc::clone(&backend.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                tokio::spawn(serve(stream, Arc::clone(&heads)));
            }
        });
        backend
    }
}

/// Answers every request on this connection with its own body and one trailer.
pub async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, heads: Arc<Mutex<Vec<http::request::Parts>>>) {
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let heads = Arc::clone(&heads);
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            heads.lock().unwrap().push(head);
            let response = Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
            let Ok(mut stream) = respond.send_response(response, false) else { return };
            while let Some(Ok(data)) = body.data().await {
                let _ = body.flow_control().release_capacity(data.len());
                if stream.send_data(data, false).is_err() {
                    return;
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let _ = stream.send_trailers(trailers);
        });
    }
}
