//! From the difference of two trees to edits of the text that the first was read from: lines are put in, nothing else moves.

use super::write::{self, Brackets, Style};
use super::{Document, Form, Kind, Node, Place, read};
use std::collections::HashMap;
use std::ops::Range;

/// The text with some of its documents changed, and which of these had to be written anew, without their comments. `None` if the text
/// that came out does not say what it should: then it must not be used.
pub fn rewrite(text: &str, documents: &[Document], changed: &[Node]) -> Option<(String, Vec<usize>)> {
    let pairs = || documents.iter().map(|document| &document.root).zip(changed);
    let kept: Vec<_> = pairs().map(|(old, new)| edits(text, old, new)).collect();
    if let Some(all) = kept.iter().cloned().collect::<Option<Vec<_>>>()
        && let Some(out) = apply(text, all.concat())
        && says(&out, changed)
    {
        return Some((out, Vec::new()));
    }
    // Each by itself, for what cannot be kept in one document is no reason to lose the comments of another.
    let mut anew = Vec::new();
    let mut all = Vec::new();
    for (place, ((old, new), kept)) in pairs().zip(kept).enumerate() {
        let mut trial: Vec<_> = documents.iter().map(|document| document.root.clone()).collect();
        trial[place] = new.clone();
        let kept = kept.filter(|edits| apply(text, edits.clone()).is_some_and(|out| says(&out, &trial)));
        if kept.is_none() {
            anew.push(place);
        }
        all.extend(kept.map_or_else(|| whole(text, old, new).map(|edit| vec![edit]), Some)?);
    }
    let out = apply(text, all)?;
    says(&out, changed).then_some((out, anew))
}

/// Whether this text, read again, holds what it should.
fn says(text: &str, meant: &[Node]) -> bool {
    read(text).is_ok_and(|read| read.len() == meant.len() && read.iter().zip(meant).all(|(document, meant)| document.root == *meant))
}

#[derive(Clone, Debug)]
struct Edit {
    at: Range<usize>,
    text: String,
    /// Of what begins at one place, the deepest comes first: it belongs to what ends there.
    column: usize,
}

fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| (edit.at.start, std::cmp::Reverse(edit.column)));
    let mut out = String::with_capacity(text.len() + 4096);
    let mut done = 0;
    for edit in edits {
        out.push_str(text.get(done..edit.at.start)?);
        out.push_str(&edit.text);
        done = edit.at.end;
    }
    out.push_str(&text[done..]);
    Some(out)
}

/// `None` where the text cannot be kept.
fn edits(text: &str, old: &Node, new: &Node) -> Option<Vec<Edit>> {
    let mut changes =
        Changes { text, style: style_of(text, old), line_end: line_end_of(text), anchored: HashMap::new(), edits: Vec::new() };
    changes.node(old, new, Around { column: 0, key_end: None, is_value: false, brackets: None })?;
    Some(changes.edits)
}

fn whole(text: &str, old: &Node, new: &Node) -> Option<Edit> {
    let place = old.place?;
    let mut out = String::new();
    match place.form {
        Form::Flow => write::inline(&mut out, new, Brackets { json: true, lines: Some(0), ..Brackets::default() }),
        _ => write::entries(&mut out, new.entries(), 0, style_of(text, old)),
    }
    let out = out.trim_end_matches('\n').replace('\n', line_end_of(text));
    Some(Edit { at: place.start..place.end, text: out, column: 0 })
}

fn line_end_of(text: &str) -> &'static str {
    if text.split_once('\n').is_some_and(|(first, _)| first.ends_with('\r')) { "\r\n" } else { "\n" }
}

/// As the document itself is written, where it shows.
fn style_of(text: &str, root: &Node) -> Style {
    fn look(text: &str, node: &Node, found: &mut (Option<usize>, Option<usize>)) {
        for (key, value) in node.entries() {
            let (Some(key), Some(place)) = (key.place, value.place) else { continue };
            if place.form == Form::Block {
                let column = column(text, key.start);
                match &value.kind {
                    Kind::Sequence(items) => {
                        let dash = items.first().and_then(|item| dash_before(text, item.place?.start));
                        found.1 = found.1.or_else(|| dash.map(|dash| self::column(text, dash).saturating_sub(column)));
                    }
                    _ => {
                        let first = value.entries().first().and_then(|(key, _)| key.place);
                        found.0 = found.0.or_else(|| first.map(|first| self::column(text, first.start).saturating_sub(column)));
                    }
                }
                look(text, value, found);
            }
        }
        node.items().iter().for_each(|item| look(text, item, found));
    }
    let mut found = (None, None);
    look(text, root, &mut found);
    Style { step: found.0.filter(|step| *step > 0).unwrap_or(2), dashes: found.1.unwrap_or(2) }
}

struct Changes<'a> {
    text: &'a str,
    style: Style,
    line_end: &'static str,
    /// What each anchor names from now on.
    anchored: HashMap<usize, &'a Node>,
    edits: Vec<Edit>,
}

/// What a node stands in.
#[derive(Clone, Copy)]
struct Around {
    /// Of the key, or of the dash.
    column: usize,
    key_end: Option<usize>,
    is_value: bool,
    /// Those around, if any.
    brackets: Option<Brackets>,
}

impl<'a> Changes<'a> {
    fn node(&mut self, old: &Node, new: &'a Node, around: Around) -> Option<()> {
        let place = old.place?;
        if let Form::Alias(anchor) = place.form {
            // It stands as long as what it names has changed in the same way; otherwise it is written out.
            return if self.anchored.get(&anchor).is_some_and(|named| **named == *new) {
                Some(())
            } else {
                self.replace(place, new, around)
            };
        }
        if let Some(anchor) = place.anchor {
            self.anchored.insert(anchor, new);
        }
        let is_empty = old.entries().is_empty() && old.items().is_empty();
        match (&old.kind, &new.kind) {
            (Kind::Scalar { .. }, Kind::Scalar { .. }) if old == new => Some(()),
            (Kind::Mapping(_), Kind::Mapping(_)) | (Kind::Sequence(_), Kind::Sequence(_)) if is_empty && old == new => Some(()),
            (Kind::Mapping(before), Kind::Mapping(after)) if !is_empty && begins_alike(before, after) => {
                let inner = self.brackets(
                    place,
                    around,
                    before.first().and_then(|(key, _)| key.place),
                    before.last().and_then(|(key, _)| key.place),
                );
                for ((key, value), (_, new)) in before.iter().zip(after) {
                    let key = key.place?;
                    let around = Around { column: column(self.text, key.start), key_end: Some(key.end), is_value: true, brackets: inner };
                    self.node(value, new, around)?;
                }
                let added = &after[before.len()..];
                if added.is_empty() { Some(()) } else { self.add_entries(place, before, added, inner) }
            }
            (Kind::Sequence(before), Kind::Sequence(after)) if !is_empty => self.sequence(place, before, (new, after), around),
            _ => self.replace(place, new, around),
        }
    }

    fn sequence(&mut self, place: Place, before: &[Node], (new, after): (&Node, &'a [Node]), around: Around) -> Option<()> {
        let more = after.len().checked_sub(before.len());
        let is_same = |(old, new): (&Node, &Node)| old == new || (old.get("name").is_some() && old.get("name") == new.get("name"));
        let (added, kept, is_front) = match more {
            Some(0) => (&after[..0], after, false),
            Some(_) if before.iter().zip(after).all(is_same) => (&after[before.len()..], &after[..before.len()], false),
            Some(more) if before.iter().zip(&after[more..]).all(is_same) => (&after[..more], &after[more..], true),
            _ => return self.replace(place, new, around),
        };
        let (first, last) = (before.first()?.place?, before.last()?.place?);
        let inner = self.brackets(place, around, Some(first), Some(last));
        let dash = dash_before(self.text, first.start).filter(|_| inner.is_none());
        let column = dash.map_or(0, |dash| self::column(self.text, dash));
        for (old, new) in before.iter().zip(kept) {
            self.node(old, new, Around { column, key_end: None, is_value: false, brackets: inner })?;
        }
        if added.is_empty() {
            return Some(());
        }
        if let Some(inner) = inner {
            let at = if is_front { first.start } else { last.end };
            let added: Vec<_> = added.iter().map(|item| (None, item)).collect();
            return self.add_in_brackets(at, &added, inner, is_front);
        }
        let dash = dash?;
        // In front: right under the key, before the comments of what was the first.
        let at = if is_front {
            let under = line_after(self.text, around.key_end?);
            (under <= dash).then_some(under)?
        } else {
            self.behind(place.end, column)
        };
        let mut lines = String::new();
        write::indent(&mut lines, column);
        write::items(&mut lines, added, column, self.style);
        self.insert_lines(at, &lines, column);
        Some(())
    }

    /// The brackets that a collection is written in, or stands in.
    fn brackets(&self, place: Place, around: Around, first: Option<Place>, last: Option<Place>) -> Option<Brackets> {
        let (first, last) = (first?, last?);
        if place.form != Form::Flow && around.brackets.is_none() {
            return None;
        }
        let json = self.text[first.start..].starts_with('"') || around.brackets.is_some_and(|outer| outer.json);
        // Entries that have lines of their own.
        let has_lines = self.text[place.start..last.start].contains('\n');
        let lines = has_lines.then(|| indentation(self.text, last.start));
        let step = lines.map(|column| column.saturating_sub(indentation(self.text, place.start))).filter(|step| *step > 0);
        let step = step.or(around.brackets.map(|outer| outer.step)).unwrap_or(Brackets::default().step);
        Some(Brackets { json, lines, step })
    }

    fn add_entries(&mut self, place: Place, before: &[(Node, Node)], added: &'a [(Node, Node)], inner: Option<Brackets>) -> Option<()> {
        let (first, last) = (before.first()?.0.place?, before.last()?.1.place?);
        if let Some(inner) = inner {
            let added: Vec<_> = added.iter().map(|(key, value)| (Some(key), value)).collect();
            return self.add_in_brackets(last.end, &added, inner, false);
        }
        let column = column(self.text, first.start);
        let mut lines = String::new();
        write::indent(&mut lines, column);
        write::entries(&mut lines, added, column, self.style);
        self.insert_lines(self.behind(place.end, column), &lines, column);
        Some(())
    }

    fn add_in_brackets(&mut self, at: usize, added: &[(Option<&Node>, &Node)], inner: Brackets, is_front: bool) -> Option<()> {
        let mut out = String::new();
        for (key, value) in added {
            let mut one = String::new();
            write::pair(&mut one, *key, value, inner);
            let mut gap = String::new();
            match inner.lines {
                Some(column) => {
                    gap.push('\n');
                    write::indent(&mut gap, column);
                }
                None => gap.push(' '),
            }
            let parts = if is_front { [one.as_str(), ",", &gap] } else { [",", &gap, &one] };
            out.extend(parts);
        }
        self.edits.push(Edit { at: at..at, text: out.replace('\n', self.line_end), column: usize::MAX });
        Some(())
    }

    /// Another value in the place of the old one.
    fn replace(&mut self, place: Place, new: &Node, around: Around) -> Option<()> {
        if place.form == Form::BlockScalar {
            return None; // Its first line is not in its place.
        }
        let is_empty_value = place.start == place.end;
        let is_collection = !(new.entries().is_empty() && new.items().is_empty());
        let mut start = place.start;
        let mut out = String::new();
        match around.brackets {
            Some(brackets) => {
                let brackets = Brackets { lines: brackets.lines.map(|_| indentation(self.text, start)), ..brackets };
                write::inline(&mut out, new, brackets);
            }
            None if is_collection && around.is_value => {
                start = self.text[..start].trim_end_matches([' ', '\t']).len();
                if place.form == Form::Block {
                    start = around.key_end? + self.text[around.key_end?..].find(':')? + 1;
                }
                write::value_of(&mut out, new, around.column, self.style);
            }
            None if is_collection => {
                let column = column(self.text, start);
                match &new.kind {
                    Kind::Mapping(list) => write::entries(&mut out, list, column, self.style),
                    _ => return None,
                }
            }
            None => {
                if is_empty_value {
                    out.push(' ');
                }
                write::inline(&mut out, new, Brackets::default());
            }
        }
        let out = out.trim_end_matches('\n').replace('\n', self.line_end);
        self.edits.push(Edit { at: start..place.end, text: out, column: usize::MAX });
        Some(())
    }

    /// The line behind what ends here, and behind the comments that are indented as its own.
    fn behind(&self, end: usize, column: usize) -> usize {
        let mut at = line_after(self.text, end);
        let mut seen = at;
        for line in self.text[at..].split_inclusive('\n') {
            let bare = line.trim_start_matches(' ');
            seen += line.len();
            if bare.starts_with('#') && line.len() - bare.len() > column {
                at = seen;
            } else if !bare.trim().is_empty() {
                break;
            }
        }
        at
    }

    fn insert_lines(&mut self, at: usize, lines: &str, column: usize) {
        let lines = lines.replace('\n', self.line_end);
        let is_last_line_open = at == self.text.len() && !self.text.ends_with('\n');
        let text = if is_last_line_open { format!("{}{}", self.line_end, lines.trim_end()) } else { lines };
        self.edits.push(Edit { at: at..at, text, column });
    }
}

fn begins_alike(before: &[(Node, Node)], after: &[(Node, Node)]) -> bool {
    before.len() <= after.len() && before.iter().zip(after).all(|((old, _), (new, _))| old == new)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

fn line_after(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

fn column(text: &str, at: usize) -> usize {
    text[line_start(text, at)..at].chars().filter(|c| *c != '\u{feff}').count()
}

/// Of the line in which this stands.
fn indentation(text: &str, at: usize) -> usize {
    let line = &text[line_start(text, at)..];
    line.len() - line.trim_start_matches(' ').len()
}

fn dash_before(text: &str, item: usize) -> Option<usize> {
    let before = text[..item].trim_end();
    before.ends_with('-').then(|| before.len() - 1)
}
