//! What is put into a pod: the sidecar, its key, and time for both to end in order.

use super::settings::{self, Wanted};
use super::yaml::{self, Node};
use crate::config::table;

/// The container, but for its settings.
const CONTAINER: &str = include_str!("container.yaml");
pub const NAME: &str = "slidecar";
const KEY_VOLUME: &str = "slidecar-key";
const KEY_FOLDER: &str = "/etc/slidecar/key";
/// Until endpoints and ingresses have heard that the pod ends, the application takes requests as before.
const SLEEP_SECONDS: u64 = 5;
/// What Kubernetes gives a pod that does not say.
const DEFAULT_GRACE_SECONDS: u64 = 30;
pub const PORT: u16 = 8080;
const ADMIN_PORT: u16 = 9180;

/// What a sidecar needs to know of its pod.
#[derive(Clone, Debug)]
pub struct Site {
    /// The place of the backend's container.
    pub backend: usize,
    pub upstream: String,
    pub port: u16,
    pub admin_port: u16,
    pub key: Key,
}

/// The Secret with the key of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Of {
        secret: String,
        key: String,
    },
    /// The pod has the volume already.
    Mounted,
}

/// A new sidecar. Answers what people should know.
pub fn add(template: &mut Node, site: &Site, wanted: &Wanted) -> Result<Vec<String>, Vec<String>> {
    let mut notes = Vec::new();
    let container = container(template, site, wanted, &mut notes)?;
    template.entry_at(&["metadata", "labels"]).set("slidecar", Node::text("on"));
    let spec = template.entry("spec");
    let had = spec.number_at(&["terminationGracePeriodSeconds"]).unwrap_or(DEFAULT_GRACE_SECONDS);
    let grace = had.saturating_add(SLEEP_SECONDS).saturating_add(settings::drain_seconds(&wanted.given));
    spec.set("terminationGracePeriodSeconds", Node::number(grace));

    let backend = &mut spec.entry("containers").items_mut()[site.backend];
    if backend.at(&["lifecycle", "preStop"]).is_some_and(|own| !own.is_null()) {
        let name = backend.str_at(&["name"]).unwrap_or_default();
        notes.push(format!(
            "container {name:?} keeps its own preStop; it should last {SLEEP_SECONDS} s, or requests are lost when the pod ends"
        ));
    } else {
        backend.entry("lifecycle").set("preStop", Node::mapping([("sleep", Node::mapping([("seconds", Node::number(SLEEP_SECONDS))]))]));
    }
    // First, so that nothing of the pod runs unguarded.
    spec.entry("initContainers").items_mut().insert(0, container);
    mount_key(spec, &site.key, settings::has_hmac_key(&wanted.given));
    if spec.str_at(&["hostNetwork"]) == Some("true") {
        let (port, admin) = (site.port, site.admin_port);
        notes.push(format!(
            "the pod has the network of its node (hostNetwork): {port} and {admin} must be free there, and the backend is open to it"
        ));
    }
    Ok(notes)
}

fn container(template: &Node, site: &Site, wanted: &Wanted, notes: &mut Vec<String>) -> Result<Node, Vec<String>> {
    let mut container = template_of_container();
    if let Some(image) = &wanted.image {
        container.set("image", Node::text(image));
    }
    let names = names_of_ports(template);
    let free = |own: &str, other: &str| if names.iter().any(|name| name == own) { other.to_owned() } else { own.to_owned() };
    let (name, admin) = (free("slidecar", "slidecar-http"), free("admin", "slidecar-admin"));
    let port = |name: &str, number: u16| Node::mapping([("name", Node::text(name)), ("containerPort", Node::number(number.into()))]);
    container.set("ports", Node::sequence(vec![port(&name, site.port), port(&admin, site.admin_port)]));
    if admin != "admin" {
        notes.push(format!("another container has a port called \"admin\", so that of slidecar is called {admin:?}"));
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            container.entry_at(&[probe, "httpGet"]).set("port", Node::text(&admin));
        }
    }
    if !settings::has_hmac_key(&wanted.given) {
        let file = |name: &str| {
            Node::mapping([("name", Node::text(format!("{name}_FILE"))), ("value", Node::text(format!("{KEY_FOLDER}/{name}")))])
        };
        let names = [table::JWT_PRIVATE_KEY.about.name, table::JWT_PREVIOUS_PUBLIC_KEY.about.name, table::JWT_PREVIOUS_UNTIL.about.name];
        container.set("env", Node::sequence(names.map(file).to_vec()));
    }
    let config = settings::check(&wanted.given)?;
    let moved = |about: &table::About, port: u16, default: u16| {
        (port != default && wanted.value_of(about).is_none()).then(|| (about.name.to_owned(), format!("0.0.0.0:{port}")))
    };
    let mut values = vec![(table::SLIDECAR_UPSTREAM.about.name.to_owned(), site.upstream.clone())];
    values.extend(moved(&table::SLIDECAR_LISTEN.about, site.port, PORT));
    values.extend(moved(&table::SLIDECAR_ADMIN_LISTEN.about, site.admin_port, ADMIN_PORT));
    values.extend(settings::spelled_out(&config, &wanted.given));
    for (name, value) in values.iter().chain(&wanted.given) {
        set(&mut container, name, value);
    }
    Ok(container)
}

/// What is asked for, into a sidecar that is there; everything else stays as it is. Answers what has changed.
pub fn update(template: &mut Node, wanted: &Wanted) -> Result<Vec<String>, Vec<String>> {
    let mut changed = Vec::new();
    let spec = template.entry("spec");
    let Some(container) = spec.entry("initContainers").named_mut(NAME) else { return Ok(changed) };
    let before = values(container);
    let mut given = wanted.given.clone();
    given.extend(wanted.upstream_port.map(|port| (table::SLIDECAR_UPSTREAM.about.name.to_owned(), upstream_at(port))));
    let mut after = before.clone();
    for (name, value) in &given {
        after.retain(|(known, _)| known != name);
        after.push((name.clone(), value.clone()));
    }
    if settings::has_hmac_key(&before) != settings::has_hmac_key(&after) {
        return Err(vec![format!("JWT_ALGORITHM: it needs another key; take the container {NAME:?} out, and inject anew")]);
    }
    settings::check(&after)?;
    for (name, value) in given.iter().filter(|given| !before.contains(given)) {
        set(container, name, value);
        changed.push(name.clone());
    }
    if let Some(image) = &wanted.image
        && container.str_at(&["image"]) != Some(image)
    {
        container.set("image", Node::text(image));
        changed.push("image".to_owned());
    }
    if wanted.secret.is_some() || wanted.secret_key.is_some() {
        let hmac = settings::has_hmac_key(&after);
        let volumes = spec.entry("volumes");
        let Some(volume) = volumes.named_mut(KEY_VOLUME) else {
            return Err(vec![format!("its pod has no volume {KEY_VOLUME:?}, so the Secret has to be named where the key comes from now")]);
        };
        let before = volume.clone();
        let secret = volume.entry("secret");
        if let Some(name) = &wanted.secret {
            secret.set("secretName", Node::text(name));
        }
        if let Some(key) = &wanted.secret_key {
            secret.set("items", items_of_key(key, hmac));
        }
        if *volume != before {
            changed.push("the Secret of the key".to_owned());
        }
    }
    Ok(changed)
}

/// Ports of a sidecar that is there.
pub fn ports_of(container: &Node) -> (u16, u16) {
    let values = values(container);
    let find = |about: &table::About, names: [&str; 2], default: u16| {
        let set = settings::value_of(&values, about.name)
            .and_then(|text| text.parse::<std::net::SocketAddr>().ok())
            .map(|address| address.port());
        let declared =
            || container.items_at(&["ports"]).iter().find(|port| port.str_at(&["name"]).is_some_and(|name| names.contains(&name)));
        set.or_else(|| declared()?.number_at(&["containerPort"])).unwrap_or(default)
    };
    let port = find(&table::SLIDECAR_LISTEN.about, ["slidecar", "slidecar-http"], PORT);
    (port, find(&table::SLIDECAR_ADMIN_LISTEN.about, ["admin", "slidecar-admin"], ADMIN_PORT))
}

pub fn upstream_of(container: &Node) -> Option<String> {
    settings::value_of(&values(container), table::SLIDECAR_UPSTREAM.about.name).map(str::to_owned)
}

/// Free ports for a new sidecar: the usual ones, or the next.
pub fn free_ports(taken: &[u16], port: Option<u16>, admin: Option<u16>) -> (u16, u16) {
    let next = |from: u16, other: Option<u16>| (from..u16::MAX).find(|port| !taken.contains(port) && Some(*port) != other).unwrap_or(from);
    let port = port.unwrap_or_else(|| next(PORT, admin));
    (port, admin.unwrap_or_else(|| next(ADMIN_PORT, Some(port))))
}

pub fn upstream_at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The Secret that the backend's own variable names.
pub fn key_of_backend(backend: &Node, hmac: bool) -> Option<Key> {
    let variable = backend.get("env")?.named(key_file(hmac))?;
    let reference = variable.at(&["valueFrom", "secretKeyRef"])?;
    Some(Key::Of { secret: reference.str_at(&["name"])?.to_owned(), key: reference.str_at(&["key"])?.to_owned() })
}

pub fn has_key_volume(spec: &Node) -> bool {
    spec.get("volumes").is_some_and(|volumes| volumes.named(KEY_VOLUME).is_some())
}

/// What the volume calls the key, and many a Secret too.
pub const fn key_file(hmac: bool) -> &'static str {
    if hmac { table::JWT_SECRET.about.name } else { table::JWT_PRIVATE_KEY.about.name }
}

fn mount_key(spec: &mut Node, key: &Key, hmac: bool) {
    let Key::Of { secret, key } = key else { return };
    let secret = Node::mapping([("secretName", Node::text(secret)), ("items", items_of_key(key, hmac))]);
    let volume = Node::mapping([("name", Node::text(KEY_VOLUME)), ("secret", secret)]);
    let volumes = spec.entry("volumes").items_mut();
    volumes.retain(|volume| volume.str_at(&["name"]) != Some(KEY_VOLUME));
    volumes.push(volume);
}

/// Only the key: whatever else the Secret holds is none of slidecar's business.
fn items_of_key(key: &str, hmac: bool) -> Node {
    Node::sequence(vec![Node::mapping([("key", Node::text(key)), ("path", Node::text(key_file(hmac)))])])
}

fn template_of_container() -> Node {
    let documents = yaml::read(CONTAINER).unwrap_or_default();
    documents.into_iter().next().map_or_else(|| Node::mapping([]), |document| document.root)
}

fn names_of_ports(template: &Node) -> Vec<String> {
    let lists = ["containers", "initContainers"].map(|list| template.items_at(&["spec", list]));
    let ports = lists.into_iter().flatten().flat_map(|container| container.items_at(&["ports"]));
    ports.filter_map(|port| port.str_at(&["name"]).map(str::to_owned)).collect()
}

/// The settings of a sidecar that is there, as far as they stand in it.
fn values(container: &Node) -> Vec<(String, String)> {
    let of = |variable: &Node| Some((variable.str_at(&["name"])?.to_owned(), variable.str_at(&["value"])?.replace("$$", "$")));
    container.items_at(&["env"]).iter().filter_map(of).collect()
}

fn set(container: &mut Node, name: &str, value: &str) {
    let env = container.entry("env");
    // A setting and its file exclude each other.
    let other = name.strip_suffix("_FILE").map_or_else(|| format!("{name}_FILE"), str::to_owned);
    env.items_mut().retain(|variable| variable.str_at(&["name"]) != Some(&other));
    // Kubernetes replaces $(NAME) in values, and takes $$ for a dollar.
    let value = Node::text(value.replace('$', "$$"));
    match env.named_mut(name) {
        Some(variable) => {
            variable.remove("valueFrom");
            variable.set("value", value);
        }
        None => env.items_mut().push(Node::mapping([("name", Node::text(name)), ("value", value)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_the_template_is_of_this_version_and_holds_nothing_twice() {
        let container = template_of_container();
        assert_eq!(container.str_at(&["image"]), Some(concat!("slidecar:", env!("CARGO_PKG_VERSION"))));
        assert_eq!(container.doubled_key(), None);
        assert_eq!(ports_of(&container), (PORT, ADMIN_PORT));
    }
}
