//! The program: arguments in, an exit code out. Everything else is in the library.

use clap::{Parser, Subcommand};
use slidecar::cli;
use slidecar::config::vars::ProcessVars;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// A reverse-proxy sidecar that gives any existing backend correct sliding sessions, without touching its code.
///
/// Without a command it serves, as the environment says; `slidecar check` explains the settings.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Run,
    /// Check the settings, say where each comes from, and draw the clocks on one timeline
    Check,
    /// Say what a token says of itself: its clocks and its family; with a key set, whether it verifies
    Inspect(cli::inspect::Options),
    /// Put slidecar into Kubernetes manifests: reads them from standard input, writes them to standard output
    Inject(Box<cli::inject::Options>),
    /// End a session, or all sessions of somebody so far, on a running slidecar
    Revoke(cli::revoke::Options),
    /// Run a sick legacy application beside the same one healed, with short clocks
    Demo(cli::demo::Options),
}

/// Gives memory back to the system when connections go idle; glibc's keeps it, 20 KB for each.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Exactly one crypto backend; chosen here, before anything could choose another.
    if jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().is_err() {
        eprintln!("slidecar: another crypto provider is installed in this process");
        return ExitCode::FAILURE;
    }
    let code = match Arguments::parse().command.unwrap_or(Command::Run) {
        Command::Run => cli::run::run(&ProcessVars),
        Command::Check => cli::check::run(&ProcessVars),
        Command::Inspect(options) => cli::inspect::run(&options, &ProcessVars),
        Command::Inject(options) => cli::inject::run(&options),
        Command::Revoke(options) => cli::revoke::run(&options, &ProcessVars),
        Command::Demo(options) => cli::demo::run(&options),
    };
    ExitCode::from(code as u8)
}
