//! Logs: JSON lines with `event`, or text for people. No token, cookie, secret, subject or query string is ever logged.
//! Here is what is said now and then; `recent` remembers the last of it, `access` is the line of each request.

mod access;
mod recent;

pub use access::{AccessLog, Line, RequestId};
pub use recent::{Recent, recent};

use crate::session::time::UnixMillis;
use recent::Remembering;
use std::sync::OnceLock;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, fmt};

#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    pub level: Level,
    pub format: LogFormat,
}

/// `SLIDECAR_LOG_FORMAT`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

/// What this process was told at its start; nobody who only borrows the library gets lines on standard output.
static ACCESS: OnceLock<LogFormat> = OnceLock::new();

/// How the lines of requests are written, if they are wanted.
#[must_use]
pub fn access_lines() -> Option<LogFormat> {
    ACCESS.get().copied()
}

/// Begins to log to standard output, and to remember what was said last. Fails if something already logs in this process.
pub fn init(settings: LogSettings, now: fn() -> UnixMillis) -> Result<(), TryInitError> {
    // The libraries' own debug lines may quote heads, cookies included; only ours are shown.
    let filter = Targets::new().with_target("slidecar", LevelFilter::from_level(settings.level));
    let layer = if settings.format == LogFormat::Json {
        fmt::layer().json().flatten_event(true).with_target(false).with_current_span(false).with_span_list(false).boxed()
    } else {
        fmt::layer().with_target(false).boxed()
    };
    let remembering = Remembering { now }.with_filter(filter.clone());
    tracing_subscriber::registry().with(layer.with_filter(filter)).with(remembering).try_init()?;
    if settings.level >= Level::INFO {
        ACCESS.get_or_init(|| settings.format);
    }
    Ok(())
}

/// For a demonstration: errors only, as text on standard error, so that standard output holds what to do.
pub fn init_for_people() -> Result<(), TryInitError> {
    let filter = Targets::new().with_target("slidecar", LevelFilter::ERROR);
    let layer = fmt::layer().with_target(false).without_time().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()
}
