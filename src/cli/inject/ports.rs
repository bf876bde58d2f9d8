//! Ports of pods, and which ports of Services lead there.

use super::yaml::Node;

/// A TCP port that a container declares.
#[derive(Clone, Debug)]
pub struct Port {
    pub container: String,
    pub name: Option<String>,
    pub number: u16,
}

/// What containers of a pod declare; `list` is `containers` or `initContainers`.
pub fn declared(spec: &Node, list: &str) -> Vec<Port> {
    let of = |container: &Node| {
        let ports = container.items_at(&["ports"]).iter().filter(|port| is_tcp(port)).filter_map(|port| {
            Some(Port {
                container: container.str_at(&["name"]).unwrap_or_default().to_owned(),
                name: port.str_at(&["name"]).map(str::to_owned),
                number: port.number_at(&["containerPort"])?,
            })
        });
        ports.collect::<Vec<_>>()
    };
    spec.items_at(&[list]).iter().flat_map(of).collect()
}

/// Whether the Service sends to pods with these labels.
pub fn selects(service: &Node, labels: Option<&Node>) -> bool {
    let selector = service.at(&["spec", "selector"]).map(Node::entries).unwrap_or_default();
    let has = |(key, value): &(Node, Node)| {
        let name = key.as_str().unwrap_or_default();
        value.as_str().is_some() && labels.and_then(|labels| labels.str_at(&[name])) == value.as_str()
    };
    !selector.is_empty() && selector.iter().all(has)
}

/// A headless Service is a name for the pods: whoever asks for it chooses the port himself.
pub fn is_headless(service: &Node) -> bool {
    service.str_at(&["spec", "clusterIP"]) == Some("None")
}

/// Where each port of a Service leads in a pod that declares these: its place in the list, its number, its target.
pub fn targets(service: &Node, declared: &[Port]) -> Vec<(usize, u16, u16)> {
    let ports = service.items_at(&["spec", "ports"]).iter().enumerate().filter(|(_, port)| is_tcp(port));
    let target = |(place, port): (usize, &Node)| {
        let number = port.number_at(&["port"])?;
        let target = match port.str_at(&["targetPort"]) {
            None => number,
            Some(text) => match text.parse() {
                Ok(target) => target,
                Err(_) => declared.iter().find(|port| port.name.as_deref() == Some(text))?.number,
            },
        };
        Some((place, number, target))
    };
    ports.filter_map(target).collect()
}

fn is_tcp(port: &Node) -> bool {
    port.str_at(&["protocol"]).is_none_or(|protocol| protocol == "TCP")
}
