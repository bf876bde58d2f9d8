//! A real redis-server, or valkey-server, on a port of its own, which ends with its test.

use super::bare;
use super::real::signal;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Redis {
    child: Option<Child>,
    pub port: u16,
    folder: TempDir,
    program: &'static str,
    arguments: Vec<String>,
}

const REDIS: &str = "redis-server";
const VALKEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/.venv/valkey-server");

/// One that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port()
}

impl Redis {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn valkey() -> Self {
        Self::of(VALKEY, &[]).await
    }

    /// With more arguments, as a configuration file would hold them.
    pub async fn with(arguments: &[&str]) -> Self {
        Self::of(REDIS, arguments).await
    }

    async fn of(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut redis = Self { child: None, port: free_port(), folder: tempfile::tempdir().expect("a folder"), program, arguments };
        redis.run().await;
        redis
    }

    /// A sentinel, which watches others as this file says.
    pub async fn sentinel(port: u16, file: &std::path::Path) -> Self {
        let mut command = bare(REDIS);
        command.arg(file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = Some(command.spawn().expect("redis-server of the package redis-server"));
        let sentinel = Self { child, port, folder: tempfile::tempdir().expect("a folder"), program: REDIS, arguments: Vec::new() };
        sentinel.answers().await;
        sentinel
    }

    /// Starts it (again), with nothing in it.
    pub async fn run(&mut self) {
        let mut command = bare(self.program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
        command.arg(self.folder.path()).args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server of the package redis-server, valkey-server of tests/store/install"));
        self.answers().await;
    }

    async fn answers(&self) {
        for _ in 0..500 {
            if self.try_cli(&["PING"]).contains("PONG") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server {:?} does not answer", self.arguments);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn cli(&self, arguments: &[&str]) -> String {
        let said = self.try_cli(arguments);
        assert!(!said.starts_with("ERR") && !said.contains("Connection refused"), "{arguments:?}: {said}");
        said
    }

    fn try_cli(&self, arguments: &[&str]) -> String {
        let mut command = bare("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        let output = command.output().expect("redis-cli of the package redis-tools");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    }

    /// As a machine that loses its power.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // It may have ended by itself.
            let _ = child.wait();
        }
    }

    /// As a machine that swaps, or a network that drops everything: it neither answers nor refuses.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("it runs").id(), name);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
