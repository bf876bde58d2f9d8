//! Manifests as trees that know where they stand in their text, so that a change of the tree becomes a change of a few lines and
//! everything else keeps its bytes: `read` makes the trees, `change` turns the difference of two trees into edits of the text, and
//! `write` prints what is new.
//!
//! Values are texts. Whether `on` is a boolean depends on who reads it (YAML 1.1 or 1.2), so nothing is resolved: two scalars are equal
//! if every reader takes them for the same.

mod change;
mod read;
mod write;

pub use change::rewrite;
pub use read::{Document, read};

/// A node of a document. An alias is a copy of what it stands for.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    tag: Option<String>,
    /// Where it was read; a new node stands nowhere.
    place: Option<Place>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Scalar { text: String, quoted: bool },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// Where a node stands: bytes of the text, up to the end of its content, without comments and blank lines behind it.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    end: usize,
    form: Form,
    /// What aliases call it.
    anchor: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Inline,
    /// `|` or `>`, whose place begins behind its first line.
    BlockScalar,
    Block,
    Flow,
    Alias(usize),
}

impl Node {
    const fn new(kind: Kind) -> Self {
        Self { kind, tag: None, place: None }
    }

    /// A string, quoted where a reader could take it for something else.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Kind::Scalar { text: text.into(), quoted: true })
    }

    pub fn number(number: u64) -> Self {
        Self::new(Kind::Scalar { text: number.to_string(), quoted: false })
    }

    pub const fn sequence(items: Vec<Self>) -> Self {
        Self::new(Kind::Sequence(items))
    }

    pub fn mapping<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::new(Kind::Mapping(entries.into_iter().map(|(key, value)| (Self::text(key), value)).collect()))
    }

    /// The text of a scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if self.tag.is_none() && write::is_null(text))
    }

    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Sequence(items) => items,
            _ => &[],
        }
    }

    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key, also of one that is merged in (`<<: *defaults`).
    pub fn get(&self, key: &str) -> Option<&Self> {
        let own = |name: &str| self.entries().iter().find(|(known, _)| known.as_str() == Some(name)).map(|(_, value)| value);
        own(key).or_else(|| {
            let merged = own("<<")?;
            merged.get(key).or_else(|| merged.items().iter().find_map(|one| one.get(key)))
        })
    }

    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub fn str_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str()
    }

    pub fn number_at<T: std::str::FromStr>(&self, path: &[&str]) -> Option<T> {
        self.str_at(path)?.parse().ok()
    }

    pub fn items_at(&self, path: &[&str]) -> &[Self] {
        self.at(path).map_or(&[], Self::items)
    }

    /// The value of a key, to be changed: one that is merged in becomes the mapping's own, one that is missing an empty mapping.
    pub fn entry(&mut self, key: &str) -> &mut Self {
        let value = self.get(key).cloned();
        if !matches!(self.kind, Kind::Mapping(_)) {
            self.kind = Kind::Mapping(Vec::new());
        }
        let Kind::Mapping(entries) = &mut self.kind else { unreachable!("it is a mapping now") };
        let own = entries.iter().position(|(known, _)| known.as_str() == Some(key));
        let own = own.unwrap_or_else(|| {
            entries.push((Self::text(key), value.unwrap_or_else(|| Self::new(Kind::Mapping(Vec::new())))));
            entries.len() - 1
        });
        &mut entries[own].1
    }

    pub fn entry_at(&mut self, path: &[&str]) -> &mut Self {
        path.iter().fold(self, |node, key| node.entry(key))
    }

    pub fn set(&mut self, key: &str, value: Self) {
        *self.entry(key) = value;
    }

    pub fn remove(&mut self, key: &str) {
        if let Kind::Mapping(entries) = &mut self.kind {
            entries.retain(|(known, _)| known.as_str() != Some(key));
        }
    }

    /// The items, to be changed; what is no sequence becomes an empty one.
    pub fn items_mut(&mut self) -> &mut Vec<Self> {
        if !matches!(self.kind, Kind::Sequence(_)) {
            self.kind = Kind::Sequence(Vec::new());
        }
        let Kind::Sequence(items) = &mut self.kind else { unreachable!("it is a sequence now") };
        items
    }

    /// The item of this `name`.
    pub fn named(&self, name: &str) -> Option<&Self> {
        self.items().iter().find(|item| item.str_at(&["name"]) == Some(name))
    }

    pub fn named_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.items_mut().iter_mut().find(|item| item.str_at(&["name"]) == Some(name))
    }

    /// A key that stands twice in one mapping, of which readers take one or the other.
    pub fn doubled_key(&self) -> Option<&str> {
        let entries = self.entries();
        let doubled = entries.iter().enumerate().find_map(|(place, (key, _))| {
            let key = key.as_str()?;
            entries[..place].iter().any(|(earlier, _)| earlier.as_str() == Some(key)).then_some(key)
        });
        let below = || entries.iter().find_map(|(_, value)| value.doubled_key());
        doubled.or_else(below).or_else(|| self.items().iter().find_map(Self::doubled_key))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Sequence(a), Kind::Sequence(b)) => self.tag == other.tag && a == b,
            (Kind::Mapping(a), Kind::Mapping(b)) => self.tag == other.tag && a == b,
            (Kind::Scalar { text: a, .. }, Kind::Scalar { text: b, .. }) => {
                let same_text = a == b || (self.is_null() && other.is_null());
                let own_tags = |node: &Self| node.tag.clone().filter(|tag| tag != read::STRING);
                same_text && self.is_surely_text() == other.is_surely_text() && own_tags(self) == own_tags(other)
            }
            _ => false,
        }
    }
}

impl Node {
    /// Whether every reader takes it for a string.
    fn is_surely_text(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, quoted } => *quoted || self.tag.as_deref() == Some(read::STRING) || write::is_plainly_text(text),
            _ => false,
        }
    }
}
