//! `slidecar completions SHELL`: what a shell should complete, on standard output.

use super::Exit;
use clap::Command;
use clap_complete::{Shell, generate};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The shell that is to read it: `slidecar completions bash > /etc/bash_completion.d/slidecar`
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(options: &Options, mut command: Command) -> Exit {
    generate(options.shell, &mut command, "slidecar", &mut std::io::stdout());
    Exit::Ok
}
