//! The request's cookies, as bytes: finding one, taking one out, putting another value in its place.
//! Every other cookie keeps its bytes and its order (rule Q1).

use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// As many as most requests have find room without an allocation.
const USUAL_PAIRS: usize = 12;

/// One `name=value` pair in a cookie string.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    /// The pair with the blanks around it, without separators.
    whole: Range<usize>,
    name: Range<usize>,
    value: Range<usize>,
}

/// A cookie string (RFC 6265bis §4.2.1) and where its pairs stand.
#[derive(Clone, Debug)]
pub struct Cookies<'a> {
    text: &'a [u8],
    pairs: SmallVec<[Pair; USUAL_PAIRS]>,
}

/// What to do with one pair when the string is written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    Remove,
    Replace(Vec<u8>),
}

/// All `cookie` fields of a request as one string (RFC 9113 §8.2.3: HTTP/2 may split them).
#[must_use]
pub fn join<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Cow<'a, [u8]> {
    let mut joined = Cow::Borrowed(fields.next().unwrap_or_default());
    for field in fields {
        let joined = joined.to_mut();
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(field);
    }
    joined
}

impl<'a> Cookies<'a> {
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Self {
        let mut pairs = SmallVec::new();
        let mut start = 0_usize;
        for end in memchr_iter(b';', text).chain([text.len()]) {
            if let Some(equals) = memchr(b'=', &text[start..end]) {
                let equals = start.saturating_add(equals);
                pairs.push(Pair {
                    whole: start..end,
                    name: trimmed(text, start..equals),
                    value: trimmed(text, equals.saturating_add(1)..end),
                });
            }
            start = end.saturating_add(1);
        }
        Self { text, pairs }
    }

    /// The pairs of this name, byte for byte, in order: their place among all pairs, and their value.
    pub fn named(&self, name: &[u8]) -> impl Iterator<Item = (usize, &'a [u8])> {
        let named = self.pairs.iter().enumerate().filter(move |(_, pair)| &self.text[pair.name.clone()] == name);
        named.map(|(place, pair)| (place, &self.text[pair.value.clone()]))
    }

    /// Every pair's name and value, in order.
    pub fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.pairs.iter().map(|pair| (&self.text[pair.name.clone()], &self.text[pair.value.clone()]))
    }

    /// The string with these pairs edited; empty if nothing is left.
    #[must_use]
    pub fn edited(&self, edits: &[(usize, Edit)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len());
        let mut start = 0_usize;
        let mut wrote = false;
        // Pairs and edits stand in the order of the text, so one walk along all three is enough.
        let mut edits: Vec<_> = edits.iter().collect();
        edits.sort_by_key(|(place, _)| *place);
        let mut edits = edits.into_iter().peekable();
        let mut pairs = self.pairs.iter().enumerate().peekable();
        for part in self.text.split(|&byte| byte == b';') {
            let end = start.saturating_add(part.len());
            let place = pairs.next_if(|(_, pair)| pair.whole == (start..end)).map(|(place, _)| place);
            let edit = edits.next_if(|(edited, _)| Some(*edited) == place).map(|(_, edit)| edit);
            if edit != Some(&Edit::Remove) {
                // What follows a removed first pair should not begin with the blank that separated them.
                let mut piece = start..end;
                if wrote {
                    out.push(b';');
                } else if start > 0 {
                    piece = trimmed_start(self.text, piece);
                }
                match (edit, place) {
                    (Some(Edit::Replace(value)), Some(place)) => {
                        let old = self.pairs[place].value.clone();
                        out.extend_from_slice(&self.text[piece.start..old.start]);
                        out.extend_from_slice(value);
                        out.extend_from_slice(&self.text[old.end..end]);
                    }
                    _ => out.extend_from_slice(&self.text[piece]),
                }
                wrote = true;
            }
            start = end.saturating_add(1);
        }
        out
    }
}

fn trimmed(text: &[u8], span: Range<usize>) -> Range<usize> {
    let span = trimmed_start(text, span);
    let kept = text[span.clone()].iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last.saturating_add(1));
    span.start..span.start.saturating_add(kept)
}

fn trimmed_start(text: &[u8], span: Range<usize>) -> Range<usize> {
    let blanks = text[span.clone()].iter().take_while(|&&byte| is_blank(byte)).count();
    span.start.saturating_add(blanks)..span.end
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(text: &str) -> Vec<String> {
        Cookies::parse(text.as_bytes()).named(b"s").map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[test]
    fn q1_names_match_byte_for_byte() {
        let table: [(&str, &[&str]); 12] = [
            ("s=1", &["1"]),
            ("a=0; s=1; b=2", &["1"]),
            ("s=1; s=2;s=3", &["1", "2", "3"]),
            ("S=1; ss=2; s_s=3; xs=4", &[]),
            ("s = 1 ", &["1"]),
            ("s=", &[""]),
            ("s", &[]),
            ("s=a=b==", &["a=b=="]),
            ("s=\"q\"", &["\"q\""]),
            ("a=\"x; s=1; b=\"", &["1"]),
            ("\u{2000}s=1; __Host-s=2", &[]),
            ("; ;;s=1;", &["1"]),
        ];
        for (text, expected) in table {
            assert_eq!(values(text), expected, "{text:?}");
        }
    }

    #[test]
    fn q1_values_are_bytes_not_text() {
        let latin1 = b"n=caf\xe9; s=1; z=\xff\xfe";
        let cookies = Cookies::parse(latin1);
        assert_eq!(cookies.named(b"s").next(), Some((1, &b"1"[..])));
        assert_eq!(cookies.edited(&[(1, Edit::Remove)]), b"n=caf\xe9; z=\xff\xfe");
    }

    #[test]
    fn q1_fields_are_joined_before_anything_else() {
        let fields: [&[u8]; 3] = [b"a=1", b"s=2; b=3", b"c=4"];
        assert_eq!(&*join(fields.into_iter()), b"a=1; s=2; b=3; c=4");
        assert_eq!(&*join(std::iter::empty()), b"");
    }

    #[test]
    fn edits_leave_all_other_bytes_alone() {
        type Case<'a> = (&'a str, &'a [(usize, Edit)], &'a str);
        let table: [Case<'_>; 9] = [
            ("s=1", &[(0, Edit::Remove)], ""),
            ("s=1; b=2", &[(0, Edit::Remove)], "b=2"),
            ("a=1; s=1", &[(1, Edit::Remove)], "a=1"),
            ("a=1;s=1;  b=2", &[(1, Edit::Remove)], "a=1;  b=2"),
            ("a=1; s=1; b=2", &[(1, Edit::Replace(b"new".to_vec()))], "a=1; s=new; b=2"),
            ("s=1 ; s=2", &[(0, Edit::Replace(b"n".to_vec())), (1, Edit::Remove)], "s=n "),
            ("flag; s=1; other", &[(0, Edit::Remove)], "flag; other"),
            ("s=1; flag", &[(0, Edit::Replace(b"n".to_vec()))], "s=n; flag"),
            ("a=1", &[], "a=1"),
        ];
        for (text, edits, expected) in table {
            let edited = Cookies::parse(text.as_bytes()).edited(edits);
            assert_eq!(String::from_utf8_lossy(&edited), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_edit_is_no_change(text in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Cookies::parse(&text).edited(&[]), text);
        }

        #[test]
        fn removing_one_name_keeps_the_others(text in "[as;= \"]{0,40}") {
            let cookies = Cookies::parse(text.as_bytes());
            let edits: Vec<_> = cookies.named(b"s").map(|(place, _)| (place, Edit::Remove)).collect();
            let edited = cookies.edited(&edits);
            let left = Cookies::parse(&edited);
            prop_assert_eq!(left.named(b"s").count(), 0);
            let of = |cookies: &Cookies<'_>| cookies.named(b"a").map(|(_, value)| value.to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(of(&left), of(&cookies));
        }
    }
}
