//! Load generator and backend in one thread that never sleeps: a peer that sleeps would bill its wake-ups to the proxy
//! under test. What to do is a JSON object in the first argument, what came of it a JSON object on standard output.

mod backend;
mod client;
mod cpu;
mod engine;
mod socket;

use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};

/// What to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub mode: Mode,
    /// Where the backend listens: `127.0.0.1:9000` or `unix:/path`. Without one, somebody else is the backend.
    pub backend: Option<String>,
    /// Bytes of an answer's body; of a WebSocket message.
    #[serde(default)]
    pub body: usize,
    /// Where requests go.
    #[serde(default)]
    pub target: String,
    /// A whole request head; `@TOKEN@` in it is replaced.
    #[serde(default)]
    pub head: String,
    /// A file of tokens, one a line.
    pub tokens: Option<String>,
    /// A new token for every request, instead of one for each connection.
    #[serde(default)]
    pub cycle: bool,
    /// The token to begin with.
    #[serde(default)]
    pub first: usize,
    #[serde(default)]
    pub connections: usize,
    #[serde(default)]
    pub warmup: f64,
    /// The window that is measured, unless `requests` ends it before.
    #[serde(default)]
    pub seconds: f64,
    pub requests: Option<u64>,
    /// Requests per second; without it, a connection asks again as soon as it was answered.
    pub rate: Option<f64>,
    /// Every answer must carry a Set-Cookie.
    #[serde(default)]
    pub renewed: bool,
    #[serde(default)]
    pub websocket: bool,
    /// Processes whose CPU time is read at both ends of the window.
    #[serde(default)]
    pub pids: Vec<u32>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Asks and measures.
    Ask,
    /// One request on each connection, which is then held until standard input ends.
    Hold,
    /// Only the backend, asleep when nothing is to do, until it is ended.
    Serve,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Result {
    pub requests: u64,
    pub seconds: f64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub cpu_ns: u64,
    pub user_ms: u64,
    pub system_ms: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("usage: peers-load '{\"mode\":…}'")?;
    let spec: Spec = serde_json::from_str(&argument)?;
    let mode = spec.mode;
    let mut engine = engine::Engine::new(spec)?;
    let mut result = engine.run()?;
    if mode == Mode::Hold {
        say(&result)?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        result.errors += engine.lost();
    }
    say(&result)?;
    Ok(())
}

fn say(result: &Result) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, result)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
