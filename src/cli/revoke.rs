//! `slidecar revoke`: ends a session, or all sessions of a subject so far, by the admin port of a running slidecar.

use super::{Exit, run};
use crate::config;
use crate::config::vars::Vars;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["family", "subject"])))]
pub struct Options {
    /// The session: 32 hex digits, which `slidecar inspect` tells of a token; logs show the first 8
    #[arg(long)]
    family: Option<String>,
    /// Whose sessions: the `sub` of their tokens
    #[arg(long)]
    subject: Option<String>,
    /// Only sessions that began by then: RFC 3339, or seconds since 1970. Default: now
    #[arg(long, requires = "subject")]
    before: Option<String>,
    /// host:port of the admin port. Default: that of SLIDECAR_ADMIN_LISTEN, on this host
    #[arg(long)]
    admin: Option<String>,
}

pub fn run(options: &Options, vars: &dyn Vars) -> Exit {
    let (listen, token) = match config::admin_access(vars) {
        Ok(access) => access,
        Err(rejected) => return run::report(&rejected),
    };
    let Some(token) = token else {
        eprintln!("slidecar: SLIDECAR_ADMIN_TOKEN: not set, nor is SLIDECAR_ADMIN_TOKEN_FILE; give the one that the running slidecar has");
        return Exit::Settings;
    };
    let before = match options.before.as_deref().map(moment).transpose() {
        Ok(before) => before,
        Err(remedy) => {
            eprintln!("slidecar: --before: {remedy}");
            return Exit::Settings;
        }
    };
    let order = match (&options.family, &options.subject, before) {
        (Some(family), _, _) => serde_json::json!({ "family": family }),
        (None, subject, Some(before)) => serde_json::json!({ "subject": subject, "before": before }),
        (None, subject, None) => serde_json::json!({ "subject": subject }),
    };
    let admin = options.admin.clone().unwrap_or_else(|| on_this_host(listen).to_string());
    let Ok(authorization) = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat()) else {
        eprintln!("slidecar: SLIDECAR_ADMIN_TOKEN: cannot stand in a header; write printable letters");
        return Exit::Settings;
    };
    let asked = run::runtime()
        .map(|runtime| runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(&admin, order.to_string(), authorization)).await }));
    match asked {
        Ok(Ok(Ok((status, _)))) if status == StatusCode::NO_CONTENT => {
            println!("revoked");
            Exit::Ok
        }
        Ok(Ok(Ok((status, text)))) if status.is_success() => {
            println!("revoked: {}", text.trim());
            Exit::Ok
        }
        Ok(Ok(Ok((status, text)))) => {
            eprintln!("slidecar: {admin} answered {}: {}", status.as_u16(), text.trim());
            Exit::Failure
        }
        Ok(Ok(Err(error))) => {
            eprintln!("slidecar: {admin}: {error}; is slidecar running, and is that its admin port?");
            Exit::Unavailable
        }
        Ok(Err(_)) => {
            eprintln!("slidecar: {admin}: no answer within {} s", PATIENCE.as_secs());
            Exit::Unavailable
        }
        Err(error) => {
            eprintln!("slidecar: cannot start threads: {error}");
            Exit::Failure
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn ask(admin: &str, order: String, authorization: HeaderValue) -> Result<(StatusCode, String), Failure> {
    let stream = TcpStream::connect(admin).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/revocations")
        .header(header::HOST, admin)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, authorization)
        .body(Full::new(Bytes::from(order)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn moment(text: &str) -> Result<i64, String> {
    text.parse().or_else(|_| config::parse::moment(text).map(|moment| moment.get()))
}

const fn on_this_host(listen: SocketAddr) -> SocketAddr {
    let ip = listen.ip();
    SocketAddr::new(if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }, listen.port())
}
