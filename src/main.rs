//! The program: arguments in, an exit code out. Everything else is in the library.

use clap::{Parser, Subcommand};
use slidecar::cli::{self, Exit};
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
    /// End a session, or all sessions of somebody so far, on a running slidecar
    Revoke(cli::revoke::Options),
    /// Lay the clocks of a live system side by side, with or without slidecar, and name each that disagrees
    Doctor(Box<cli::doctor::Options>),
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Settings } else { Exit::Ok };
            // Whoever closed the stream does not want to read it.
            let _ = error.print();
            return ExitCode::from(code as u8);
        }
    };
    let code = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => cli::run::run(&ProcessVars),
        Command::Check => cli::check::run(&ProcessVars),
        Command::Inspect(options) => cli::inspect::run(&options, &ProcessVars),
        Command::Revoke(options) => cli::revoke::run(&options, &ProcessVars),
        Command::Doctor(options) => cli::doctor::run(&options),
        Command::Demo(options) => cli::demo::run(&options),
    };
    ExitCode::from(code as u8)
}
