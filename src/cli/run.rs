//! `slidecar`: serve as the environment says.

use super::Exit;
use super::shutdown::Signals;
use crate::app::{self, App};
use crate::clock::{Clock as _, SystemClock};
use crate::config::vars::Vars;
use crate::config::{self, Config, Rejected};
use crate::telemetry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::Arc;

pub fn run(vars: &dyn Vars) -> Exit {
    let config = match config::load(vars) {
        Ok(config) => config,
        Err(rejected) => return report(&rejected),
    };
    if let Err(error) = telemetry::init(config.log, || SystemClock.now()) {
        eprintln!("slidecar: cannot log: {error}");
        return Exit::Failure;
    }
    let doubt = config::doubts(&config.rules, SystemClock.now().second());
    for warning in config.warnings.iter().chain(&doubt) {
        tracing::warn!(event = "setting_warning", detail = warning);
    }
    raise_open_files();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("slidecar: cannot start threads: {error}");
            return Exit::Failure;
        }
    };
    let exit = runtime.block_on(serve(&config));
    // A file system or a resolver that hangs must not hold up the end.
    runtime.shutdown_background();
    exit
}

/// As many open files as may be: a connection of a client takes two, and many a system gives 1024 unless it is asked.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(event = "open_files_limited", limit = limit.current, error = %error);
    }
}

/// All problems at once, one line each (rule S1), and then what may explain them.
pub fn report(rejected: &Rejected) -> Exit {
    for problem in &rejected.problems {
        eprintln!("slidecar: {problem}");
    }
    for warning in &rejected.unknown {
        eprintln!("slidecar: warning: {warning}");
    }
    let count = rejected.problems.len();
    eprintln!("slidecar: {count} problem{} in the settings; nothing was started", if count == 1 { "" } else { "s" });
    Exit::Settings
}

/// For the main thread, which is one of the workers.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn serve(config: &Config) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("slidecar: cannot hear signals: {error}");
            return Exit::Failure;
        }
    };
    let app = match App::build(config, Arc::new(SystemClock)).await {
        Ok(app) => app,
        Err(error) => {
            eprintln!("slidecar: {error}");
            return Exit::Unavailable;
        }
    };
    let (Ok(address), Ok(admin)) = (app.address(), app.admin_address()) else {
        eprintln!("slidecar: the listening socket is gone");
        return Exit::Failure;
    };
    app::state_the_clocks(&config.rules.policy);
    tracing::info!(
        event = "listening",
        address = %address,
        admin = %admin,
        upstream = %config.limits.upstream.target,
        version = env!("CARGO_PKG_VERSION"),
    );
    let reloader = app.reloader();
    let hangups = tokio::spawn(signals.hangups(move || reloader.reload()));
    app.run(signals.asked_to_stop()).await;
    hangups.abort();
    Exit::Ok
}
