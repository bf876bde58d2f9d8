//! What stands in a stream of manifests: workloads, Services, and what is none of ours.

use super::yaml::{Document, Node};
use std::fmt;

/// A workload or a Service with this label and the value "off" stays as it is.
const LABEL: [&str; 3] = ["metadata", "labels", "slidecar"];

/// One object, as a document or as an item of a List.
#[derive(Clone, Debug)]
pub struct Object {
    /// Counted from 0.
    pub document: usize,
    pub item: Option<usize>,
    pub role: Role,
    kind: String,
    name: String,
    pub namespace: Option<String>,
    pub is_off: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Where its pod template is.
    Workload(&'static [&'static str]),
    Service,
    NetworkPolicy,
    /// It has pods, but of a kind that is not known here.
    Unknown,
    Other,
    Nothing,
}

/// All objects, in their order.
pub fn find(documents: &[Document]) -> Vec<Object> {
    let mut found = Vec::new();
    for (document, Document { root }) in documents.iter().enumerate() {
        let is_list = root.str_at(&["kind"]).is_some_and(|kind| kind.ends_with("List")) && root.get("items").is_some();
        if is_list {
            found.extend(root.items_at(&["items"]).iter().enumerate().map(|(item, node)| Object::new(document, Some(item), node)));
        } else {
            found.push(Object::new(document, None, root));
        }
    }
    found
}

impl Object {
    fn new(document: usize, item: Option<usize>, node: &Node) -> Self {
        let text = |path: &[&str]| node.str_at(path).map(str::to_owned);
        let is_off = |path: &[&str]| node.at(path).and_then(|at| at.str_at(&LABEL)) == Some("off");
        let role = role(node);
        Self {
            document,
            item,
            role,
            kind: text(&["kind"]).unwrap_or_default().to_lowercase(),
            name: text(&["metadata", "name"]).or_else(|| text(&["metadata", "generateName"])).unwrap_or_default(),
            namespace: text(&["metadata", "namespace"]),
            is_off: is_off(&[]) || matches!(role, Role::Workload(template) if is_off(template)),
        }
    }

    pub fn of<'a>(&self, roots: &'a [Node]) -> &'a Node {
        let root = &roots[self.document];
        self.item.map_or(root, |item| &root.items_at(&["items"])[item])
    }

    pub fn of_mut<'a>(&self, roots: &'a mut [Node]) -> &'a mut Node {
        let root = &mut roots[self.document];
        match self.item {
            Some(item) => &mut root.entry("items").items_mut()[item],
            None => root,
        }
    }

    /// Where it stands, for whoever has to look for it.
    pub fn place(&self) -> String {
        let item = self.item.map(|item| format!(", item {}", item + 1)).unwrap_or_default();
        format!("document {}{item}", self.document + 1)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.role, self.kind.is_empty()) {
            (Role::Nothing, _) => write!(f, "{} (empty)", self.place()),
            (_, true) => write!(f, "{} (no kind)", self.place()),
            _ => write!(f, "{} {:?}", self.kind, self.name),
        }
    }
}

fn role(node: &Node) -> Role {
    if node.is_null() {
        return Role::Nothing;
    }
    let (group, _) = node.str_at(&["apiVersion"]).map_or(("", ""), |version| version.split_once('/').unwrap_or(("", version)));
    let kind = node.str_at(&["kind"]).unwrap_or_default();
    match (group, kind) {
        ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => Role::Workload(&["spec", "template"]),
        ("batch", "CronJob") => Role::Workload(&["spec", "jobTemplate", "spec", "template"]),
        ("", "PodTemplate") => Role::Workload(&["template"]),
        ("", "Pod") => Role::Workload(&[]),
        ("", "Service") => Role::Service,
        ("networking.k8s.io", "NetworkPolicy") => Role::NetworkPolicy,
        _ if node.at(&["spec", "template", "spec", "containers"]).is_some() => Role::Unknown,
        _ => Role::Other,
    }
}
