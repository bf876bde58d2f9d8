//! From trees to text: blocks of lines as people write them, or in brackets where the text around is.

use super::{Kind, Node};
use std::fmt::Write as _;

/// How the document at hand is written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Spaces that one level adds.
    pub step: usize,
    /// Spaces between a key and the dashes of its items.
    pub dashes: usize,
}

/// How brackets are written.
#[derive(Clone, Copy, Debug)]
pub struct Brackets {
    /// Every string in double quotes, as JSON wants it.
    pub json: bool,
    /// The indentation of the line that opens them, if each entry has a line of its own.
    pub lines: Option<usize>,
    /// Spaces that one level adds.
    pub step: usize,
}

impl Default for Brackets {
    fn default() -> Self {
        Self { json: false, lines: None, step: 2 }
    }
}

pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether this, without quotes, is a string to readers of YAML 1.1 as well as of 1.2. Says no when in doubt.
pub fn is_plainly_text(text: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@-".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    // 90s, 2h, 50m, 256Mi.
    let has_unit = || {
        let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && matches!(&text[digits.len()..], "ms" | "s" | "m" | "h" | "d" | "Ki" | "Mi" | "Gi")
    };
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    (begins && !is_word && !text.ends_with(':') && text.bytes().all(is_plain)) || has_unit()
}

/// A mapping's entries, each on lines of its own, which begin at this column.
pub fn entries(out: &mut String, entries: &[(Node, Node)], column: usize, style: Style) {
    for (place, (key, value)) in entries.iter().enumerate() {
        if place > 0 {
            indent(out, column);
        }
        scalar(out, key, Brackets::default());
        out.push(':');
        value_of(out, value, column, style);
    }
}

/// What follows a key's colon.
pub fn value_of(out: &mut String, value: &Node, column: usize, style: Style) {
    if let Some(tag) = &value.tag {
        let _ = write!(out, " {tag}"); // Writing to a String cannot fail.
    }
    match &value.kind {
        Kind::Mapping(list) if !list.is_empty() => {
            out.push('\n');
            indent(out, column + style.step);
            entries(out, list, column + style.step, style);
        }
        Kind::Sequence(list) if !list.is_empty() => {
            out.push('\n');
            indent(out, column + style.dashes);
            items(out, list, column + style.dashes, style);
        }
        Kind::Scalar { text, quoted: true } if is_literal(text) => literal(out, text, column + style.step),
        Kind::Scalar { text, quoted: false } if text.is_empty() => out.push('\n'),
        _ => {
            out.push(' ');
            without_tag(out, value, Brackets::default());
            out.push('\n');
        }
    }
}

/// A sequence's items, the dashes at this column.
pub fn items(out: &mut String, list: &[Node], column: usize, style: Style) {
    for (place, item) in list.iter().enumerate() {
        if place > 0 {
            indent(out, column);
        }
        out.push('-');
        match &item.kind {
            Kind::Mapping(list) if !list.is_empty() && item.tag.is_none() => {
                out.push(' ');
                entries(out, list, column + 2, style);
            }
            Kind::Sequence(list) if !list.is_empty() && item.tag.is_none() => {
                out.push(' ');
                items(out, list, column + 2, style);
            }
            _ => value_of(out, item, column, style),
        }
    }
}

/// In brackets, or a scalar on one line.
pub fn inline(out: &mut String, node: &Node, brackets: Brackets) {
    if let Some(tag) = &node.tag {
        let _ = write!(out, "{tag} ");
    }
    without_tag(out, node, brackets);
}

fn without_tag(out: &mut String, node: &Node, brackets: Brackets) {
    match &node.kind {
        Kind::Scalar { .. } => scalar(out, node, brackets),
        Kind::Sequence(list) => {
            let list = list.iter().map(|item| (None, item)).collect::<Vec<_>>();
            bracketed(out, ['[', ']'], &list, brackets);
        }
        Kind::Mapping(list) => {
            let list = list.iter().map(|(key, value)| (Some(key), value)).collect::<Vec<_>>();
            bracketed(out, ['{', '}'], &list, brackets);
        }
    }
}

fn bracketed(out: &mut String, [open, close]: [char; 2], list: &[(Option<&Node>, &Node)], brackets: Brackets) {
    let inside = Brackets { lines: brackets.lines.map(|column| column + brackets.step), ..brackets };
    let line = |out: &mut String, column: Option<usize>| {
        if let Some(column) = column.filter(|_| !list.is_empty()) {
            out.push('\n');
            indent(out, column);
        }
    };
    out.push(open);
    for (place, (key, value)) in list.iter().enumerate() {
        if place > 0 {
            out.push_str(if inside.lines.is_some() { "," } else { ", " });
        }
        line(out, inside.lines);
        pair(out, *key, value, inside);
    }
    line(out, brackets.lines);
    out.push(close);
}

pub fn pair(out: &mut String, key: Option<&Node>, value: &Node, brackets: Brackets) {
    if let Some(key) = key {
        scalar(out, key, brackets);
        out.push_str(": ");
    }
    inline(out, value, brackets);
}

fn scalar(out: &mut String, node: &Node, brackets: Brackets) {
    match &node.kind {
        Kind::Scalar { text, quoted: false } if text.is_empty() => out.push_str("null"),
        // What was no string in a block has no character that means something in brackets.
        Kind::Scalar { text, quoted: false } if !text.contains(['\n', ',', '[', ']', '{', '}']) => {
            if brackets.json && node.is_surely_text() { quote(out, text) } else { out.push_str(text) }
        }
        Kind::Scalar { text, .. } if !brackets.json && is_plainly_text(text) => out.push_str(text),
        Kind::Scalar { text, .. } => quote(out, text),
        // A key that is a collection.
        _ => {
            out.push_str("? ");
            without_tag(out, node, brackets);
        }
    }
}

/// What JSON escapes, YAML reads alike.
fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Scripts and the like stay readable.
fn is_literal(text: &str) -> bool {
    let is_odd = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'));
    text.contains('\n') && !text.starts_with([' ', '\n']) && !text.ends_with("\n\n") && !text.contains(is_odd)
}

fn literal(out: &mut String, text: &str, column: usize) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in text.trim_end_matches('\n').split('\n') {
        if !line.is_empty() {
            indent(out, column);
            out.push_str(line);
        }
        out.push('\n');
    }
}

pub fn indent(out: &mut String, column: usize) {
    out.extend(std::iter::repeat_n(' ', column));
}
