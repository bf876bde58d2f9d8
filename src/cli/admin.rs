//! A call to the admin port of a slidecar that runs on this host, or wherever it is.

use super::{Exit, run};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// What is asked.
pub struct Call {
    pub method: Method,
    pub path: &'static str,
    pub authorization: Option<HeaderValue>,
    pub json: String,
    pub patience: Duration,
}

/// The answer's status and text; or, where there is none, what to exit with: that has been said then.
pub fn ask(admin: &str, call: Call) -> Result<(StatusCode, String), Exit> {
    let patience = call.patience;
    let runtime = run::runtime().map_err(|error| {
        eprintln!("slidecar: cannot start threads: {error}");
        Exit::Failure
    })?;
    match runtime.block_on(async { tokio::time::timeout(patience, send(admin, call)).await }) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            eprintln!("slidecar: {admin}: {error}; is slidecar running, and is that its admin port?");
            Err(Exit::Unavailable)
        }
        Err(_) => {
            eprintln!("slidecar: {admin}: no answer within {} s", patience.as_secs());
            Err(Exit::Unavailable)
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn send(admin: &str, call: Call) -> Result<(StatusCode, String), Failure> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(call.method).uri(call.path).header(header::HOST, admin);
    if let Some(authorization) = call.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if !call.json.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(call.json)))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Where a program that listens there is reached from the same host.
#[must_use]
pub const fn on_this_host(listen: SocketAddr) -> SocketAddr {
    let ip = listen.ip();
    SocketAddr::new(if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }, listen.port())
}
