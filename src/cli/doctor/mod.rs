//! `slidecar doctor`: a live system's clocks, seen from outside, with or without slidecar in front.
//!
//! `input` reads what the operator gives, `examine` asks the system, `seen` is what came out as values. `verdict` judges them, purely,
//! and `report` says it. `client` and `jar` are what a browser would be, `probe` finds the point of renewal, `page` and `constants`
//! look for timers in scripts. It logs in nowhere by itself, sends the cookie to one origin alone, and prints no value of it.

mod client;
mod constants;
mod examine;
mod input;
mod jar;
mod key;
mod page;
mod probe;
mod report;
mod seen;
mod verdict;

use super::{Exit, run};
use crate::session::duration;
use crate::session::time::Span;
use report::Report;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes: 0 all that was seen agrees, 1 something disagrees, 64 wrong usage,
65 no session to examine, 69 not reachable.";

#[derive(clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Options {
    /// The page that a browser opens, such as `https://app.example/`
    url: String,
    /// The session's cookies, as name=value (others see it here; better a file)
    #[arg(long, value_name = "COOKIES", conflicts_with_all = ["cookie_file", "login"])]
    cookie: Option<String>,
    /// The file that holds them; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "login")]
    cookie_file: Option<PathBuf>,
    /// The login to make, such as --login POST /login
    #[arg(long, num_args = 2, value_names = ["METHOD", "PATH"])]
    login: Option<Vec<String>>,
    /// What the login sends (others see it here; better a file)
    #[arg(long, value_name = "DATA", conflicts_with = "data_file", requires = "login")]
    data: Option<String>,
    /// The file that holds it, a form or JSON; - is standard input
    #[arg(long, value_name = "FILE", requires = "login")]
    data_file: Option<PathBuf>,
    /// A field for every request, name: value; @FILE reads them from a file
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// Name of the session cookie. Default: the only one that holds a JWT
    #[arg(long)]
    name: Option<String>,
    /// A path that needs a session and changes nothing. Default: the URL's own
    #[arg(long, value_name = "PATH")]
    probe: Option<String>,
    /// The key that the application signs with; finds the second of renewal
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Without the key: go on asking for so long and see when it renews
    #[arg(long, value_name = "DURATION", value_parser = span)]
    watch: Option<Span>,
    /// Prefix of the policy endpoint. Default: /auth, else /api/auth
    #[arg(long, value_name = "PATH")]
    endpoints: Option<String>,
    /// Root certificates besides the public ones, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The longest wait for one answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = span)]
    timeout: Span,
    /// For programs; docs/doctor.md describes the shape
    #[arg(long)]
    json: bool,
}

/// Why there is no diagnosis.
#[derive(Debug)]
enum Trouble {
    /// What the operator gave cannot be used.
    Usage(String),
    /// There is no session that could be examined.
    NoSession(String),
    Unreachable(String),
}

pub fn run(options: &Options) -> Exit {
    let input = match input::Input::read(options) {
        Ok(input) => input,
        Err(trouble) => return trouble.tell(),
    };
    let examined = match run::runtime() {
        Ok(runtime) => runtime.block_on(examine::examine(input)),
        Err(error) => {
            eprintln!("slidecar: cannot start threads: {error}");
            return Exit::Failure;
        }
    };
    let seen = match examined {
        Ok(seen) => seen,
        Err(trouble) => return trouble.tell(),
    };
    let report = Report::of(&seen);
    if options.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.text());
    }
    if report.is_healthy() { Exit::Ok } else { Exit::Failure }
}

impl Trouble {
    fn tell(&self) -> Exit {
        let (exit, words) = match self {
            Self::Usage(words) => (Exit::Settings, words),
            Self::NoSession(words) => (Exit::NoSession, words),
            Self::Unreachable(words) => (Exit::Unavailable, words),
        };
        eprintln!("slidecar: {words}");
        exit
    }
}

fn span(text: &str) -> Result<Span, String> {
    match duration::parse(text) {
        Ok(Span::ZERO) => Err("write a duration above zero, such as 10s".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}
