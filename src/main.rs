//! The program: arguments in, an exit code out. Everything else is in the library.

use clap::{CommandFactory as _, Parser, Subcommand};
use slidecar::cli;
use slidecar::config::vars::ProcessVars;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// A reverse-proxy sidecar that gives any existing backend correct sliding sessions, without touching its code.
///
/// Without a command it serves, as the environment says; `slidecar check` explains the settings.
#[derive(Parser)]
#[command(version, after_help = SETTINGS)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What somebody needs who has nothing but the binary.
const SETTINGS: &str = "\
Settings come from the environment. These make a session slide; `slidecar check` lists all of them with what holds:

  SLIDECAR_UPSTREAM=http://127.0.0.1:3000   the backend
  JWT_SECRET_FILE=/run/secrets/jwt          the key that the backend signs with (JWT_SECRET: the key itself)
  SESSION_COOKIE_NAME=session               the cookie that it sets
  JWT_EXPIRES_IN=2h                         how long a token lives
  SESSION_REFRESH_THRESHOLD=1h              renewed when less remains; also the idle time that may be promised
  SLIDECAR_LISTEN=0.0.0.0:8080              where clients connect
  SLIDECAR_ADMIN_LISTEN=0.0.0.0:9180        status page, /metrics, /livez, /readyz, /startupz
  SLIDECAR_MODE=observe                     changes nothing, and counts what would have been done

SIGTERM drains and stops, SIGHUP reads changed files at once.
Exit codes: 0 well, 1 failed (doctor: clocks disagree), 64 the settings or the arguments are wrong, 69 an address cannot be had or reached.";

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Run,
    /// Check the settings, say where each comes from, and draw the clocks on one timeline
    Check,
    /// Ask a running slidecar whether it is ready, and exit with 0 or 1: a probe for images without a shell
    Health(cli::health::Options),
    /// Say what a token says of itself: its clocks and its family; with a key set, whether it verifies
    Inspect(cli::inspect::Options),
    /// Put slidecar into Kubernetes manifests: reads them from standard input, writes them to standard output
    Inject(Box<cli::inject::Options>),
    /// End a session, or all sessions of somebody so far, on a running slidecar
    Revoke(cli::revoke::Options),
    /// Lay the clocks of a live system side by side, with or without slidecar, and name each that disagrees
    Doctor(Box<cli::doctor::Options>),
    /// Run a sick legacy application beside the same one healed, with short clocks
    Demo(cli::demo::Options),
    /// Print what a shell needs to complete these commands
    Completions(cli::completions::Options),
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
        Err(said) => {
            let _ = said.print(); // Whoever closed our output does not want to read it.
            // Help that was asked for is no error.
            return ExitCode::from(if said.use_stderr() { cli::Exit::Settings } else { cli::Exit::Ok } as u8);
        }
    };
    let code = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => cli::run::run(&ProcessVars),
        Command::Check => cli::check::run(&ProcessVars),
        Command::Health(options) => cli::health::run(&options, &ProcessVars),
        Command::Inspect(options) => cli::inspect::run(&options, &ProcessVars),
        Command::Inject(options) => cli::inject::run(&options),
        Command::Revoke(options) => cli::revoke::run(&options, &ProcessVars),
        Command::Doctor(options) => cli::doctor::run(&options),
        Command::Demo(options) => cli::demo::run(&options),
        Command::Completions(options) => cli::completions::run(&options, Arguments::command()),
    };
    ExitCode::from(code as u8)
}
