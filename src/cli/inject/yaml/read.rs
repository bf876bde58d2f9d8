//! From text to trees.

use super::{Form, Kind, Node, Place};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use std::collections::HashMap;

/// The tag of strings, as documents are read.
pub const STRING: &str = "!!str";
/// Deeper than this, a document is no manifest; each level takes room on the stack.
const DEEPEST: usize = 200;
/// Aliases of aliases make a page of text into gigabytes.
const MOST_NODES: usize = 1_000_000;

/// A document of a stream.
#[derive(Clone, Debug)]
pub struct Document {
    pub root: Node,
}

/// A text that is no YAML: where, and why.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Counted from 1.
    pub document: usize,
    pub line: usize,
    pub what: String,
}

/// All documents of a stream.
pub fn read(text: &str) -> Result<Vec<Document>, Unreadable> {
    let mut reader = Reader {
        text,
        events: Parser::new_from_str(text),
        offsets: (!text.is_ascii()).then(|| text.char_indices().map(|(offset, _)| offset).collect()),
        anchored: HashMap::new(),
        nodes: 0,
        depth: 0,
        flow: 0,
    };
    let mut documents = Vec::new();
    loop {
        match reader.document() {
            Ok(Some(root)) => documents.push(Document { root }),
            Ok(None) => return Ok(documents),
            Err(error) => {
                return Err(Unreadable { document: documents.len() + 1, line: error.marker().line(), what: error.info().to_owned() });
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    /// Of each character, unless all are single bytes.
    offsets: Option<Vec<usize>>,
    anchored: HashMap<usize, (Node, usize)>,
    nodes: usize,
    depth: usize,
    flow: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), ScanError> {
        let end = || ScanError::new_str(saphyr_parser::Marker::new(self.text.len(), 0, 0), "it ends early");
        self.events.next_event().unwrap_or_else(|| Err(end()))
    }

    fn document(&mut self) -> Result<Option<Node>, ScanError> {
        loop {
            match self.next()? {
                (Event::DocumentStart(_), _) => {
                    let (event, span) = self.next()?;
                    return self.node(event, span).map(Some);
                }
                (Event::StreamEnd, _) => return Ok(None),
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, ScanError> {
        self.nodes += 1;
        let before = self.nodes;
        if self.depth > DEEPEST || self.nodes > MOST_NODES {
            return Err(ScanError::new_str(span.start, "it is nested too deeply, or has too many nodes"));
        }
        let (start, end) = (self.offset(span.start.index()), self.offset(span.end.index()));
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let Some((node, size)) = self.anchored.get(&id) else {
                    return Err(ScanError::new_str(span.start, "it has an alias of something that is not complete yet"));
                };
                self.nodes += size;
                let place = Some(Place { start, end, form: Form::Alias(id), anchor: None });
                return Ok(Node { place, ..node.clone() });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let form = if is_block { Form::BlockScalar } else { Form::Inline };
                let end = if is_block { self.end_of_block_scalar(&text, start, end) } else { end };
                let kind = Kind::Scalar { text: text.into_owned(), quoted: style != ScalarStyle::Plain };
                (Node { kind, tag: name_of(tag.as_deref()), place: Some(Place { start, end, form, anchor: None }) }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let is_flow = self.opens(end, '[');
                let (items, last) = self.inside(is_flow, |reader| reader.sequence(end))?;
                let form = if is_flow { Form::Flow } else { Form::Block };
                let place = Some(Place { start, end: last, form, anchor: None });
                (Node { kind: Kind::Sequence(items), tag: name_of(tag.as_deref()), place }, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                let is_flow = self.opens(end, '{');
                let (entries, last) = self.inside(is_flow, |reader| reader.mapping(end))?;
                let form = if is_flow { Form::Flow } else { Form::Block };
                let place = Some(Place { start, end: last, form, anchor: None });
                (Node { kind: Kind::Mapping(entries), tag: name_of(tag.as_deref()), place }, anchor)
            }
            _ => return Err(ScanError::new_str(span.start, "it has no content where some is due")),
        };
        Ok(self.anchored(node, anchor, before))
    }

    fn anchored(&mut self, mut node: Node, anchor: usize, before: usize) -> Node {
        if anchor != 0 {
            if let Some(place) = &mut node.place {
                place.anchor = Some(anchor);
            }
            self.anchored.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        node
    }

    fn inside<T>(&mut self, is_flow: bool, read: impl FnOnce(&mut Self) -> Result<T, ScanError>) -> Result<T, ScanError> {
        self.depth += 1;
        self.flow += usize::from(is_flow);
        let read = read(self);
        self.depth -= 1;
        self.flow -= usize::from(is_flow);
        read
    }

    /// The items, and where the last of them ends, or the bracket.
    fn sequence(&mut self, mut last: usize) -> Result<(Vec<Node>, usize), ScanError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Ok((items, self.end_of_collection(span, last))),
                (event, span) => {
                    let item = self.node(event, span)?;
                    last = item.place.map_or(last, |place| place.end);
                    items.push(item);
                }
            }
        }
    }

    fn mapping(&mut self, mut last: usize) -> Result<(Vec<(Node, Node)>, usize), ScanError> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                (Event::MappingEnd, span) => return Ok((entries, self.end_of_collection(span, last))),
                (event, span) => {
                    let key = self.node(event, span)?;
                    let (event, span) = self.next()?;
                    let mut value = self.node(event, span)?;
                    if let (Some(place), Some(key)) = (&mut value.place, &key.place)
                        && place.start == place.end
                        && self.flow == 0
                    {
                        // A value that is not written stands behind the colon, not before it.
                        let colon = self.text[key.end..].find(':').map_or(key.end, |colon| key.end + colon + 1);
                        (place.start, place.end) = (colon, colon);
                    }
                    last = value.place.map_or(last, |place| place.end);
                    entries.push((key, value));
                }
            }
        }
    }

    fn end_of_collection(&self, span: Span, last: usize) -> usize {
        if self.flow == 0 {
            return last;
        }
        let mut end = self.offset(span.end.index());
        if self.text[..end].ends_with([']', '}']) {
            return end;
        }
        // Behind a last comma, the parser reports the comma.
        loop {
            let rest = self.text[end..].trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            let at = self.text.len() - rest.len();
            match rest.chars().next() {
                Some('#') => end = at + rest.find('\n').unwrap_or(rest.len()),
                Some(']' | '}') => return at + 1,
                _ => return end,
            }
        }
    }

    /// Without the blank lines behind it, unless they are content.
    fn end_of_block_scalar(&self, text: &str, start: usize, end: usize) -> usize {
        let written = &self.text[start..end];
        let keeps = text.ends_with("\n\n") || text == "\n";
        if keeps { start + written.rfind('\n').unwrap_or(0) } else { start + written.trim_end().len() }
    }

    fn opens(&self, end: usize, bracket: char) -> bool {
        self.text[..end].ends_with(bracket)
    }

    fn offset(&self, character: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(character).copied().unwrap_or(self.text.len()),
            None => character.min(self.text.len()),
        }
    }
}

fn name_of(tag: Option<&Tag>) -> Option<String> {
    let tag = tag?;
    Some(match tag.handle.as_str() {
        "tag:yaml.org,2002:" => format!("!!{}", tag.suffix),
        "" => format!("!<{}>", tag.suffix),
        handle => format!("{handle}{}", tag.suffix),
    })
}
