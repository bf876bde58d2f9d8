//! Names that look like ours and are none: most are typing mistakes (rule S6).

use super::table::{ALL, About};
use super::vars::Vars;

/// Of the many that begin with `OTEL_`, those that somebody would set for our traces.
const PREFIXES: [&str; 5] = ["SESSION_", "JWT_", "SLIDECAR_", "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_CLIENT_"];

/// One line for each name that nobody reads, with the nearest that somebody does.
pub fn warnings(names: &[String], vars: &dyn Vars) -> Vec<String> {
    let mut unknown: Vec<_> = names.iter().filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).collect();
    unknown.retain(|name| !known_names().any(|known| known == **name) && !is_service_link(name, vars));
    unknown.sort();
    unknown.into_iter().map(|name| format!("{name} is no setting and is ignored{}", hint(name))).collect()
}

fn known_names() -> impl Iterator<Item = String> {
    let files = ALL.iter().filter(|about| about.file).map(|about| format!("{}_FILE", about.name));
    ALL.iter().map(|about: &&About| about.name.to_owned()).chain(files)
}

/// What was meant, if it is near.
pub fn hint(name: &str) -> String {
    let nearest = known_names().map(|known| (strsim::damerau_levenshtein(name, &known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= name.len() / 3 => format!("; did you mean {known}?"),
        _ => String::new(),
    }
}

/// What Kubernetes injects for a Service called `slidecar`, `session-store` or the like.
fn is_service_link(name: &str, vars: &dyn Vars) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    let is_address = || vars.get(name).and_then(|value| value.into_string().ok()).is_some_and(|value| value.contains("://"));
    if name.ends_with("_PORT") {
        return is_address();
    }
    // SLIDECAR_PORT_8080_TCP, and the same with _PROTO, _PORT or _ADDR.
    let Some((_, port)) = name.split_once("_PORT_") else {
        return false;
    };
    let mut parts = port.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|part| matches!(part, "TCP" | "UDP" | "SCTP"));
    let rest = parts.next().is_none_or(|part| matches!(part, "PROTO" | "PORT" | "ADDR"));
    number && protocol && rest && parts.next().is_none()
}
