//! Which container of a pod is the backend, and which of its ports.

use super::objects::Object;
use super::ports::{self, Port};
use super::settings::Wanted;
use super::yaml::Node;
use crate::config::table;
use crate::upstream::Target;

/// `None` for a Unix socket.
pub fn port_of(upstream: &str) -> Option<u16> {
    match (table::SLIDECAR_UPSTREAM.parse)(upstream).ok()? {
        Target::Http(authority) | Target::H2c(authority) => Some(authority.port_u16().unwrap_or(80)),
        Target::Https(authority) => Some(authority.port_u16().unwrap_or(443)),
        Target::Unix(_) => None,
    }
}

/// Where the Services lead, or the only port there is.
pub fn find_port(services: &[(&Object, &Node)], declared: &[Port], containers: &[Node], wanted: &Wanted) -> Result<u16, String> {
    let is_wanted = |container: &str| containers.len() == 1 || wanted.container.as_deref().is_none_or(|wanted| wanted == container);
    let mut choices: Vec<(u16, String)> = Vec::new();
    for (service, node) in services {
        let targets = ports::targets(node, declared);
        choices.extend(targets.into_iter().map(|(_, number, target)| (target, format!("{service}, port {number}"))));
    }
    let of_wanted = |choice: &(u16, String)| declared.iter().any(|port| port.number == choice.0 && is_wanted(&port.container));
    if wanted.container.is_some() && choices.iter().any(of_wanted) {
        choices.retain(of_wanted);
    }
    if choices.is_empty() {
        let of = |port: &Port| {
            (
                port.number,
                format!("container {:?}{}", port.container, port.name.as_ref().map(|name| format!(", port {name:?}")).unwrap_or_default()),
            )
        };
        choices = declared.iter().filter(|port| is_wanted(&port.container)).map(of).collect();
    }
    choices.sort();
    choices.dedup_by_key(|choice| choice.0);
    match choices.as_slice() {
        [(port, _)] => Ok(*port),
        [] => Err(
            "which port is the backend's? No Service leads here and no container declares one; write --upstream-port N, or give it the \
                   label slidecar: \"off\""
                .to_owned(),
        ),
        several => {
            let several: Vec<_> = several.iter().map(|(port, from)| format!("{port} ({from})")).collect();
            let or = if containers.len() > 1 && wanted.container.is_none() { ", or name the container with --container" } else { "" };
            Err(format!("which port is the backend's? Write --upstream-port with one of {}{or}", several.join(", ")))
        }
    }
}

/// Its place among the containers.
pub fn find_container(containers: &[Node], declared: &[Port], port: Option<u16>, wanted: &Wanted) -> Result<usize, String> {
    let names: Vec<&str> = containers.iter().map(|container| container.str_at(&["name"]).unwrap_or_default()).collect();
    if names.len() == 1 {
        return Ok(0);
    }
    let choices = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if let Some(name) = &wanted.container {
        return names.iter().position(|known| known == name).ok_or_else(|| format!("--container: it has no {name:?}; it has {choices}"));
    }
    let owner = declared
        .iter()
        .find(|declared| Some(declared.number) == port)
        .and_then(|port| names.iter().position(|name| *name == port.container));
    owner.ok_or_else(|| format!("which container is the backend? Write --container with one of {choices}"))
}
