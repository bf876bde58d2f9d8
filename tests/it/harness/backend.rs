//! A backend that follows a script and records the bytes it got.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the backend sends for one request.
pub struct Reply {
    /// The answer, or its beginning.
    pub bytes: Vec<u8>,
    /// Waits for this before answering.
    pub held: Option<Arc<Notify>>,
    /// Closes the connection after it.
    pub closes: bool,
}

impl Reply {
    /// A whole answer with a length.
    pub fn with(status: &str, fields: &[(&str, &str)], body: &str) -> Self {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self::raw(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()))
    }

    pub fn ok() -> Self {
        Self::with("200 OK", &[], "hello")
    }

    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), held: None, closes: false }
    }

    pub fn held_by(mut self, gate: &Arc<Notify>) -> Self {
        self.held = Some(Arc::clone(gate));
        self
    }

    pub fn then_close(mut self) -> Self {
        self.closes = true;
        self
    }
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// A backend on a port of its own.
pub struct Backend {
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Backend {
    /// Answers each request by the script, which sees its head and body as text.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let backend =
            Self { address: listener.local_addr().expect("bound").to_string(), requests: Arc::default(), connections: Arc::default() };
        let (requests, connections) = (Arc::clone(&backend.requests), Arc::clone(&backend.connections));
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                tokio::spawn(converse(stream, Arc::clone(&script), Arc::clone(&requests)));
            }
        });
        backend
    }

    /// Always the same answer.
    pub async fn saying(status: &'static str, fields: &'static [(&'static str, &'static str)], body: &'static str) -> Self {
        Self::start(move |_| Reply::with(status, fields, body)).await
    }

    /// Every request so far, heads and bodies as they came, Latin-1 read as text.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The one request that came.
    pub fn request(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "one request should have come: {requests:#?}");
        requests.into_iter().next().unwrap_or_default()
    }

    /// The cookie field of the last request.
    pub fn last_cookies(&self) -> Option<String> {
        let last = self.requests().pop().expect("a request came");
        last.lines().take_while(|line| !line.is_empty()).find_map(|line| {
            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).map(|(_, value)| value.to_owned())
        })
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn converse(mut stream: TcpStream, script: Arc<Script>, requests: Arc<Mutex<Vec<String>>>) {
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread).await {
        requests.lock().unwrap().push(request.clone());
        let reply = script(&request);
        if let Some(gate) = reply.held {
            gate.notified().await;
        }
        if stream.write_all(&reply.bytes).await.is_err() || reply.closes {
            let _ = stream.shutdown().await;
            return;
        }
        if reply.bytes.starts_with(b"HTTP/1.1 101") {
            // From here on an echo.
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    let head = loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        fill(stream, unread).await?;
    };
    let text = latin1(&unread[..head]).to_ascii_lowercase();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()));
    let end = if field("transfer-encoding:").is_some_and(|coding| coding == "chunked") {
        loop {
            let body = &unread[head..];
            // The last chunk, and trailers if there are any.
            let has_last = body.starts_with(b"0\r\n") || body.windows(5).any(|window| window == b"\r\n0\r\n");
            if has_last && body.ends_with(b"\r\n\r\n") {
                break unread.len();
            }
            fill(stream, unread).await?;
        }
    } else {
        let length: usize = field("content-length:").map_or(0, |length| length.parse().expect("a number"));
        while unread.len() < head + length {
            fill(stream, unread).await?;
        }
        head + length
    };
    Some(latin1(&unread.drain(..end).collect::<Vec<_>>()))
}

async fn fill(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(unread).await.ok()?;
    (read > 0).then_some(())
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
