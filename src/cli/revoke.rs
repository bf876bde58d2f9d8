//! `slidecar revoke`: ends a session, or all sessions of a subject so far, by the admin port of a running slidecar.

use super::admin::{Call, ask, on_this_host};
use super::{Exit, run};
use crate::config;
use crate::config::vars::Vars;
use http::{HeaderValue, Method, StatusCode};
use std::time::Duration;

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
    let call = Call {
        method: Method::POST,
        path: "/revocations",
        authorization: Some(authorization),
        json: order.to_string(),
        patience: Duration::from_secs(10),
    };
    match ask(&admin, call) {
        Ok((StatusCode::NO_CONTENT, _)) => {
            println!("revoked");
            Exit::Ok
        }
        Ok((status, text)) if status.is_success() => {
            println!("revoked: {}", text.trim());
            Exit::Ok
        }
        Ok((status, text)) => {
            eprintln!("slidecar: {admin} answered {}: {}", status.as_u16(), text.trim());
            Exit::Failure
        }
        Err(exit) => exit,
    }
}

fn moment(text: &str) -> Result<i64, String> {
    text.parse().or_else(|_| config::parse::moment(text).map(|moment| moment.get()))
}
