//! `slidecar inject`: manifests in, the same manifests with slidecar beside each application out. What is not touched keeps its bytes.
//!
//! `yaml` reads documents into trees and turns changes of the trees into edits of the text. `objects` and `ports` know Kubernetes,
//! `settings` what was asked for, `backend` finds the application, `pod` puts the sidecar before it, and `plan` decides what happens to
//! each object.

mod backend;
mod objects;
mod plan;
mod pod;
mod ports;
mod settings;
mod yaml;

use super::Exit;
use plan::Plan;
use settings::Wanted;
use std::io::{Read as _, Write as _};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The image of slidecar in your registry
    #[arg(long)]
    image: Option<String>,
    /// The port of the backend. Default: where the Service leads, or the only port that is declared
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    upstream_port: Option<u16>,
    /// The port of slidecar. Default: 8080, or the next that is free in the pod
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Which container is the backend, if there are several. Default: that of the backend's port
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// The Secret with the key that the backend signs its tokens with. Default: the one that its own JWT_SECRET comes from
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// The key in that Secret. Default: JWT_SECRET
    #[arg(long, value_name = "KEY")]
    secret_key: Option<String>,
    /// SESSION_COOKIE_NAME: the session cookie
    #[arg(long, value_name = "NAME")]
    cookie_name: Option<String>,
    /// JWT_EXPIRES_IN: how long a token lives, such as 2h
    #[arg(long, value_name = "TIME")]
    expires_in: Option<String>,
    /// SESSION_REFRESH_THRESHOLD: renewed when less remains, such as 1h
    #[arg(long, value_name = "TIME")]
    refresh_threshold: Option<String>,
    /// SLIDECAR_MODE: enforce or observe
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Any other setting; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

pub fn run(options: &Options) -> Exit {
    let mut bytes = Vec::new();
    if let Err(error) = std::io::stdin().read_to_end(&mut bytes) {
        eprintln!("slidecar: standard input cannot be read: {error}");
        return Exit::Failure;
    }
    let (text, plan) = match inject(&bytes, options) {
        Ok(done) => done,
        Err(problems) => {
            for problem in &problems {
                eprintln!("slidecar: {problem}");
            }
            let count = problems.len();
            eprintln!("slidecar: {count} problem{}; nothing was written", if count == 1 { "" } else { "s" });
            return Exit::Settings;
        }
    };
    for (_, line) in &plan.lines {
        eprintln!("{line}");
    }
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        eprintln!("slidecar: standard output cannot be written: {error}");
        return Exit::Failure;
    }
    Exit::Ok
}

/// The new text, and what there is to say of it; or every problem.
fn inject(bytes: &[u8], options: &Options) -> Result<(String, Plan), Vec<String>> {
    let text = decoded(bytes).map_err(|problem| vec![problem])?;
    let wanted = Wanted::new(options);
    let documents = yaml::read(text).map_err(|error| {
        let hint = if text.contains("{{") { "; a template has to be rendered first: helm template . | slidecar inject" } else { "" };
        format!("document {}, line {}: is no YAML: {}{hint}", error.document, error.line, error.what)
    });
    let (wanted, documents) = match (wanted, documents) {
        (Ok(wanted), Ok(documents)) => (wanted, documents),
        (wanted, documents) => return Err(wanted.err().into_iter().flatten().chain(documents.err()).collect()),
    };
    if documents.iter().all(|document| document.root.is_null()) {
        return Err(vec!["standard input holds no manifest; write slidecar inject < deployment.yaml".to_owned()]);
    }
    let mut plan = plan::plan(&documents, &wanted)?;
    let Some((text, anew)) = yaml::rewrite(text, &documents, &plan.documents) else {
        return Err(vec![
            "the text came out with another meaning than intended; leave the other documents out, or write it plainer".to_owned(),
        ]);
    };
    for (document, line) in plan.lines.iter_mut().filter(|(document, _)| anew.contains(document)) {
        line.push_str(&format!(" (document {} was written anew, without its comments)", *document + 1));
    }
    let is_new = plan.lines.iter().any(|(_, line)| line.contains(" injected"));
    if is_new && wanted.image.is_none() {
        plan.warnings.push(format!("the image is slidecar:{}; --image names the one in your registry", env!("CARGO_PKG_VERSION")));
    }
    if is_new {
        plan.warnings.extend(settings::check(&wanted.given)?.warnings);
    }
    for (name, path) in wanted.files().filter(|_| is_new) {
        plan.warnings.push(format!("{name} is {path}: mount it into the container {:?}", pod::NAME));
    }
    Ok((text, plan))
}

fn decoded(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("standard input is UTF-16; save it as UTF-8 (PowerShell: Out-File -Encoding utf8)".to_owned());
    }
    std::str::from_utf8(bytes).map_err(|error| format!("standard input is not UTF-8 at byte {}", error.valid_up_to()))
}
