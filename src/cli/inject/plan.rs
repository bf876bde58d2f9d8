//! What is to be done with each object of a stream: workloads get the sidecar, and the Services before them lead to it.

use super::backend;
use super::objects::{self, Object, Role};
use super::pod::{self, Key, Site};
use super::ports::{self, Port};
use super::settings::{self, Wanted};
use super::yaml::{Document, Node};
use crate::config::table;

/// The documents as they should be, and what there is to say.
#[derive(Debug)]
pub struct Plan {
    pub documents: Vec<Node>,
    /// What was done with each object: its document, and a line.
    pub lines: Vec<(usize, String)>,
    pub warnings: Vec<String>,
}

/// A workload that has the sidecar now.
struct Healed<'a> {
    object: &'a Object,
    /// As it was.
    template: Node,
    declared: Vec<Port>,
    backend_port: Option<u16>,
    port: u16,
    done: String,
}

/// All problems at once, if there are any.
pub fn plan(documents: &[Document], wanted: &Wanted) -> Result<Plan, Vec<String>> {
    let before: Vec<Node> = documents.iter().map(|document| document.root.clone()).collect();
    let objects = objects::find(documents);
    let mut plan = Plan { documents: before.clone(), lines: Vec::new(), warnings: Vec::new() };
    let mut problems = Vec::new();
    let mut healed = Vec::new();
    for object in objects.iter().filter(|object| !object.is_off) {
        let Role::Workload(template) = object.role else { continue };
        let services = services_of(&objects, &before, object, template);
        let node = object.of_mut(&mut plan.documents);
        match workload(object, node, template, &services, wanted, &mut plan.warnings) {
            Ok(done) => healed.push(done),
            Err(list) => problems.extend(list.into_iter().map(|problem| format!("{}, {object}: {problem}", object.place()))),
        }
    }
    for object in &objects {
        let done = match object.role {
            Role::Workload(_) | Role::Service if object.is_off => "unchanged: its label slidecar is off".to_owned(),
            Role::Workload(_) => {
                healed.iter().find(|one| std::ptr::eq(one.object, object)).map_or_else(String::new, |one| one.done.clone())
            }
            Role::Service => match service(object, object.of_mut(&mut plan.documents), &healed, &mut plan.warnings) {
                Ok(done) => done,
                Err(problem) => {
                    problems.push(format!("{}, {object}: {problem}", object.place()));
                    continue;
                }
            },
            Role::NetworkPolicy => {
                plan.warnings.extend(closed_by(object, object.of(&before), &healed));
                "unchanged".to_owned()
            }
            Role::Unknown => {
                plan.warnings.push(format!("{object} has pods, but slidecar does not know its kind; nothing was put into them"));
                "unchanged".to_owned()
            }
            Role::Other | Role::Nothing => "unchanged".to_owned(),
        };
        plan.lines.push((object.document, format!("{object} {done}")));
    }
    for object in objects.iter().filter(|object| object.is_off) {
        let Role::Workload(template) = object.role else { continue };
        let selected = services_of(&objects, &before, object, template);
        let shared = selected.iter().filter(|(service, node)| healed.iter().any(|one| is_before(service, node, one)));
        plan.warnings.extend(shared.map(|(service, _)| format!("{service} leads to {object} too, which has no slidecar")));
    }
    if healed.is_empty() && problems.is_empty() {
        plan.warnings.push("there is no workload to put slidecar into".to_owned());
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// The Services that send to this workload, as they were.
fn services_of<'a>(objects: &'a [Object], roots: &'a [Node], workload: &Object, template: &[&str]) -> Vec<(&'a Object, &'a Node)> {
    let labels = workload.of(roots).at(template).and_then(|template| template.at(&["metadata", "labels"]));
    let services = objects.iter().filter(|object| object.role == Role::Service && !object.is_off && object.namespace == workload.namespace);
    services.map(|object| (object, object.of(roots))).filter(|(_, node)| ports::selects(node, labels)).collect()
}

fn is_before(service: &Object, node: &Node, healed: &Healed<'_>) -> bool {
    service.namespace == healed.object.namespace && ports::selects(node, healed.template.at(&["metadata", "labels"]))
}

fn workload<'a>(
    object: &'a Object,
    node: &mut Node,
    path: &[&str],
    services: &[(&Object, &Node)],
    wanted: &Wanted,
    warnings: &mut Vec<String>,
) -> Result<Healed<'a>, Vec<String>> {
    let fail = |text: String| Err(vec![text]);
    if let Some(key) = node.doubled_key() {
        return fail(format!("the key {key:?} stands twice in one place, and readers differ in which they take; leave one"));
    }
    let Some(template) = node.at(path).filter(|template| !template.items_at(&["spec", "containers"]).is_empty()).cloned() else {
        return fail("has no pod template with containers".to_owned());
    };
    let Some(spec) = template.get("spec") else { return fail("has no pod template with containers".to_owned()) };
    let containers = spec.items_at(&["containers"]);
    if containers.iter().any(|container| container.str_at(&["name"]) == Some(pod::NAME)) {
        return fail(format!(
            "a container is called {:?} already, and is none that this command made; take it out or rename it",
            pod::NAME
        ));
    }
    if spec.str_at(&["os", "name"]) == Some("windows") {
        return fail("its pods run on Windows, where slidecar does not; give it the label slidecar: \"off\"".to_owned());
    }
    let declared = ports::declared(spec, "containers");
    let existing = spec.get("initContainers").and_then(|list| list.named(pod::NAME));
    if let Some(existing) = existing {
        if existing.str_at(&["restartPolicy"]) != Some("Always") {
            return fail(format!("its init container {:?} is no sidecar (restartPolicy: Always); take it out or rename it", pod::NAME));
        }
        let (port, admin_port) = pod::ports_of(existing);
        let asked = wanted.port.or_else(|| wanted.port_of(&table::SLIDECAR_LISTEN.about));
        let asked_admin = wanted.port_of(&table::SLIDECAR_ADMIN_LISTEN.about);
        if asked.is_some_and(|asked| asked != port) || asked_admin.is_some_and(|asked| asked != admin_port) {
            return fail(format!("has slidecar on ports {port} and {admin_port} already; take that container out, and inject anew"));
        }
        let earlier = pod::upstream_of(existing);
        let upstream =
            wanted.upstream_port.map(pod::upstream_at).or_else(|| wanted.value_of(&table::SLIDECAR_UPSTREAM.about).map(str::to_owned));
        let changed = pod::update(node.entry_at(path), wanted)?;
        let done = match changed.as_slice() {
            [] => "unchanged: it has slidecar already".to_owned(),
            list => format!("updated: {}", list.join(", ")),
        };
        let backend_port = upstream.or(earlier).and_then(|upstream| backend::port_of(&upstream));
        return Ok(Healed { object, template, declared, backend_port, port, done });
    }

    let set = wanted.value_of(&table::SLIDECAR_UPSTREAM.about);
    let backend_port = match (set, wanted.upstream_port) {
        (Some(set), _) => backend::port_of(set),
        (None, Some(port)) => Some(port),
        (None, None) => Some(backend::find_port(services, &declared, containers, wanted).map_err(|problem| vec![problem])?),
    };
    let backend = backend::find_container(containers, &declared, backend_port, wanted).map_err(|problem| vec![problem])?;
    let hmac = settings::has_hmac_key(&wanted.given);
    let guessed = || pod::key_of_backend(&containers[backend], hmac);
    let key = match (&wanted.secret, pod::has_key_volume(spec), guessed()) {
        (Some(secret), ..) => {
            Key::Of { secret: secret.clone(), key: wanted.secret_key.clone().unwrap_or_else(|| pod::key_file(hmac).to_owned()) }
        }
        (None, true, _) => Key::Mounted,
        (None, false, Some(key)) => key,
        (None, false, None) => {
            let remedy = "write --secret NAME and --secret-key KEY: where the key is that the backend signs its tokens with";
            return fail(format!("no Secret is named, nor does the backend take {} from one; {remedy}", pod::key_file(hmac)));
        }
    };
    let mut taken: Vec<u16> =
        ["containers", "initContainers"].into_iter().flat_map(|list| ports::declared(spec, list)).map(|port| port.number).collect();
    taken.extend(backend_port);
    let asked = wanted.port.or_else(|| wanted.port_of(&table::SLIDECAR_LISTEN.about));
    let asked_admin = wanted.port_of(&table::SLIDECAR_ADMIN_LISTEN.about);
    for (port, option) in [(asked, "--port"), (asked_admin, "SLIDECAR_ADMIN_LISTEN")] {
        if let Some(port) = port.filter(|port| taken.contains(port)) {
            return fail(format!("{option}: {port} is a port of another container; write one that is free in the pod"));
        }
    }
    let (port, admin_port) = pod::free_ports(&taken, asked, asked_admin);
    let upstream = set.map_or_else(|| pod::upstream_at(backend_port.unwrap_or_default()), str::to_owned);
    let site = Site { backend, upstream, port, admin_port, key };
    let notes = pod::add(node.entry_at(path), &site, wanted)?;
    warnings.extend(notes.into_iter().map(|note| format!("{object}: {note}")));
    let name = containers[backend].str_at(&["name"]).unwrap_or_default();
    let key = match &site.key {
        Key::Of { secret, key } => format!("key {key:?} of secret {secret:?}"),
        Key::Mounted => "key of the volume that it has".to_owned(),
    };
    let done = format!("injected: port {port}, before container {name:?} at {}, {key}", site.upstream);
    Ok(Healed { object, template, declared, backend_port, port, done })
}

/// Leads the ports that led to a backend to its sidecar.
fn service(object: &Object, node: &mut Node, healed: &[Healed<'_>], warnings: &mut Vec<String>) -> Result<String, String> {
    let before: Vec<_> = healed.iter().filter(|one| is_before(object, node, one)).collect();
    // By number: the names of a sidecar's ports lead nowhere before Kubernetes 1.32.
    let mut moves: Vec<(usize, u16, u16, u16)> = Vec::new();
    let mut is_there = false;
    for one in &before {
        let targets = ports::targets(node, &one.declared);
        let leads_to = |port: u16| targets.iter().any(|(_, _, target)| *target == port);
        is_there |= leads_to(one.port) && one.backend_port != Some(one.port);
        // A backend on a Unix socket had no port: whatever single one the Service has was meant.
        let backend = one.backend_port.or_else(|| targets.first().filter(|_| targets.len() == 1).map(|(.., target)| *target));
        for (place, number, target) in targets.into_iter().filter(|(.., target)| Some(*target) == backend && *target != one.port) {
            match moves.iter().find(|(other, ..)| *other == place) {
                Some((.., port)) if *port != one.port => {
                    return Err(format!(
                        "leads to pods with slidecar on {port} and on {}; write --port with one that is free in all",
                        one.port
                    ));
                }
                Some(_) => {}
                None => moves.push((place, number, target, one.port)),
            }
        }
    }
    if before.is_empty() {
        return Ok("unchanged".to_owned());
    }
    if moves.is_empty() {
        return Ok(if is_there { "unchanged: it leads to slidecar already" } else { "unchanged: it leads to other ports" }.to_owned());
    }
    if ports::is_headless(node) {
        warnings.push(format!("{object} is headless: whoever uses it chooses the port himself, and reaches the backend past slidecar"));
        return Ok("unchanged: it is headless".to_owned());
    }
    if let Some(key) = node.doubled_key() {
        return Err(format!("the key {key:?} stands twice in one place, and readers differ in which they take; leave one"));
    }
    let mut said = Vec::new();
    for (place, number, target, port) in moves {
        node.entry_at(&["spec", "ports"]).items_mut()[place].set("targetPort", Node::number(port.into()));
        said.push(format!("port {number} leads to {port}, no longer to {target}"));
    }
    Ok(format!("switched: {}", said.join("; ")))
}

/// A policy that lets clients in to the backend's port only, shuts slidecar out.
fn closed_by(object: &Object, node: &Node, healed: &[Healed<'_>]) -> Option<String> {
    let selector = node.at(&["spec", "podSelector", "matchLabels"])?.entries();
    let ports = || node.items_at(&["spec", "ingress"]).iter().flat_map(|rule| rule.items_at(&["ports"]));
    let of = |one: &&Healed<'_>| {
        let labels = one.template.at(&["metadata", "labels"]);
        let has = |(key, value): &(Node, Node)| key.as_str().and_then(|key| labels?.str_at(&[key])) == value.as_str();
        let names = |port: u16| ports().any(|rule| rule.number_at(&["port"]) == Some(port));
        object.namespace == one.object.namespace && selector.iter().all(has) && one.backend_port.is_some_and(names) && !names(one.port)
    };
    let one = healed.iter().find(of)?;
    Some(format!("{object} lets clients of {} in to port {} only; let them in to {} instead", one.object, one.backend_port?, one.port))
}
