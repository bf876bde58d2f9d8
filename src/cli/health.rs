//! `slidecar health`: what `/readyz` says, as an exit code. For images without a shell and curl: Docker's HEALTHCHECK, Compose, systemd.

use super::admin::{Call, ask, on_this_host};
use super::{Exit, run};
use crate::config;
use crate::config::vars::Vars;
use http::{Method, StatusCode};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// host:port of the admin port. Default: that of SLIDECAR_ADMIN_LISTEN, on this host
    #[arg(long)]
    admin: Option<String>,
}

/// Ready: 0. Everything else: 1, as Docker wants it; but for settings that do not hold.
pub fn run(options: &Options, vars: &dyn Vars) -> Exit {
    let admin = match (&options.admin, config::admin_listen(vars)) {
        (Some(admin), _) => admin.clone(),
        (None, Ok(listen)) => on_this_host(listen).to_string(),
        (None, Err(rejected)) => return run::report(&rejected),
    };
    let call =
        Call { method: Method::GET, path: "/readyz?verbose", authorization: None, json: String::new(), patience: Duration::from_secs(5) };
    match ask(&admin, call) {
        Ok((status, text)) => {
            print!("{text}");
            if status == StatusCode::OK { Exit::Ok } else { Exit::Failure }
        }
        Err(_) => Exit::Failure,
    }
}
