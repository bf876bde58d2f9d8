//! `slidecar check`: what is set, where it comes from, what is doubtful, and the clocks on one timeline.

use super::{Exit, run, timeline};
use crate::clock::{Clock as _, SystemClock};
use crate::config::table::Group;
use crate::config::vars::Vars;
use crate::config::{self, Config};
use crate::endpoints::ClientScript;
use crate::session::policy::Class;
use std::fmt::Write as _;

pub fn run(vars: &dyn Vars) -> Exit {
    match config::load(vars) {
        Ok(config) => {
            print!("{}", describe(&config));
            Exit::Ok
        }
        Err(rejected) => run::report(&rejected),
    }
}

/// Everything there is to say of good settings.
#[must_use]
pub fn describe(config: &Config) -> String {
    let mut out = String::new();
    for group in Group::ALL {
        let _ = writeln!(out, "{}", group.title()); // Writing to a String cannot fail.
        for entry in config.entries.iter().filter(|entry| entry.about.group == group) {
            let _ = writeln!(out, "  {:<34} {:<28} {}", entry.about.name, entry.value(), entry.words());
        }
        out.push('\n');
    }
    let policy = &config.rules.policy;
    let _ = writeln!(out, "The clocks, policy version {}", policy.version());
    out.push_str(&timeline::draw(policy, Class::Standard));
    if policy.clocks(Class::Demo) != policy.clocks(Class::Standard) {
        let _ = writeln!(out, "\nThe clocks of the demo class");
        out.push_str(&timeline::draw(policy, Class::Demo));
    }
    let script = ClientScript::new(policy);
    let _ = writeln!(out, "\nThe browser client, for pages that include it by hand");
    let path = config.proxy.endpoints.client_path(policy);
    let _ = writeln!(out, "  <script src=\"{path}\" integrity=\"{}\" defer></script>", script.integrity());
    out.push('\n');
    let doubt = config::doubts(&config.rules, SystemClock.now().second());
    let warnings: Vec<_> = config.warnings.iter().chain(&doubt).collect();
    for warning in &warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    let _ = writeln!(
        out,
        "{}",
        match warnings.len() {
            0 => "The settings hold.".to_owned(),
            1 => "The settings hold, with 1 warning.".to_owned(),
            count => format!("The settings hold, with {count} warnings."),
        }
    );
    out
}
