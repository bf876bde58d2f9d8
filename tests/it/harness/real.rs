//! What is real: the program slidecar, applications that know nothing of it, and the system's clock.

use serde_json::Value;
use slidecar::clock::{Clock as _, Stopwatch, SystemClock};
use slidecar::config::vars::{ProcessVars, Vars as _};
use slidecar::session::time::Span;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// A child that ends with its test.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// With nothing of this machine's environment but what finds programs.
pub fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(ProcessVars.get("PATH").map(|path| ("PATH", path)));
    command
}

impl Process {
    /// The real program before this backend, on ports of its own; also returns where it listens.
    pub fn slidecar(backend: &str, settings: &[(&str, &str)]) -> (Self, String) {
        Self::start(Self::command(backend, settings), |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["event"] == "listening").then(|| line["address"].as_str().map(str::to_owned)).flatten()
        })
    }

    /// The program as an operator would call it; it has ports of its own unless the settings say which.
    pub fn command(backend: &str, settings: &[(&str, &str)]) -> Command {
        // Measurements want the release build.
        let program = ProcessVars.get("SLIDECAR_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_slidecar").into());
        let mut command = bare(program);
        command.envs([
            ("SLIDECAR_UPSTREAM", format!("http://{backend}").as_str()),
            ("SLIDECAR_LISTEN", "127.0.0.1:0"),
            ("SLIDECAR_ADMIN_LISTEN", "127.0.0.1:0"),
        ]);
        command.envs(settings.iter().copied());
        command
    }

    /// Waits for the line that says where it listens.
    pub fn start(mut command: Command, ready: impl Fn(&str) -> Option<String>) -> (Self, String) {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{program:?} cannot be started ({error}): run tests/*/install"));
        let (output, errors) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let process = Self { child, lines: Arc::default() };

        // Both are read to the end, or a full pipe would stop the program.
        let (heard, hearing) = channel();
        process.listen_to(output, heard.clone());
        process.listen_to(errors, heard);
        let deadline = Stopwatch::start();
        while deadline.elapsed() < Span::from_secs(30) {
            let Ok(line) = hearing.recv_timeout(Duration::from_secs(30)) else { break };
            if let Some(place) = ready(&line) {
                return (process, place);
            }
        }
        panic!("{program:?} does not listen; it said:\n{}", process.said());
    }

    fn listen_to(&self, output: impl Read + Send + 'static, heard: Sender<String>) {
        let lines = Arc::clone(&self.lines);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().expect("no listener panics").push(line.clone());
                // Nobody waits for it any more once the program listens.
                let _ = heard.send(line);
            }
        });
    }

    pub fn said(&self) -> String {
        self.lines.lock().expect("no listener panics").join("\n")
    }

    /// The log line of this event, which may still be on its way.
    pub async fn line_with(&self, event: &str) -> Value {
        for _ in 0..40 {
            let line = self.said().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| line["event"] == event);
            if let Some(line) = line {
                return line;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("no {event} among:\n{}", self.said());
    }

    /// In bytes, as Linux counts it.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// Open files and sockets.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    pub fn limit_descriptors(&self, count: usize) {
        let mut command = bare("prlimit");
        command.args([format!("--pid={}", self.child.id()), format!("--nofile={count}:{count}")]);
        assert!(command.status().expect("prlimit of util-linux").success());
    }

    /// User and system time so far.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The name in parentheses may hold blanks; utime and stime are the 14th and 15th field, in hundredths.
        let after = stat.rsplit_once(')').expect("a name").1;
        let ticks: u64 = after.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(10 * ticks)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself, and says how.
    pub async fn ended(&mut self) -> Option<i32> {
        let watch = Stopwatch::start();
        while watch.elapsed() < Span::from_secs(30) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not end; it said:\n{}", self.said());
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().expect("kill runs").success());
}

pub fn now() -> i64 {
    now_millis() / 1000
}

pub fn now_millis() -> i64 {
    SystemClock.now().get()
}

pub async fn next_second() {
    sleep_until(now_millis() / 1000 * 1000 + 1000).await;
}

/// In milliseconds.
pub async fn sleep_until(moment: i64) {
    sleep(Duration::from_millis((moment - now_millis()).max(0).unsigned_abs())).await;
}
