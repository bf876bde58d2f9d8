//! A strict JSON lexer that keeps spans. Reading and minting share it, because a token that went through a value
//! tree comes back with other numbers, other escapes and another order (rule M1).
//!
//! RFC 8259 to the letter, with two additions: member names that occur twice in one object, at any depth and
//! however escaped, are reported, because two readers would see two different tokens; and nesting is bounded.

use std::borrow::Cow;
use std::ops::Range;

const MAX_DEPTH: usize = 64;
/// Room for the claims of most tokens.
const USUAL_MEMBERS: usize = 8;

/// An object's members in their order, as spans of the text they were read from.
#[derive(Debug)]
pub struct Object<'a> {
    text: &'a [u8],
    members: Vec<Member<'a>>,
    duplicates: bool,
    close: usize,
}

#[derive(Debug)]
struct Member<'a> {
    /// With its escapes undone.
    name: Cow<'a, [u8]>,
    value: Range<usize>,
}

/// One value, as its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

/// The text is no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnObject;

impl<'a> Object<'a> {
    pub fn parse(text: &'a [u8]) -> Result<Self, NotAnObject> {
        std::str::from_utf8(text).map_err(|_| NotAnObject)?;
        let mut lexer = Lexer { text, at: 0, duplicates: false };
        lexer.blanks();
        let members = lexer.object(0)?;
        let close = lexer.at.checked_sub(1).ok_or(NotAnObject)?;
        lexer.blanks();
        if lexer.at != text.len() {
            return Err(NotAnObject);
        }
        Ok(Self { text, members, duplicates: lexer.duplicates, close })
    }

    /// Whether any object in the text has two members of one name.
    #[must_use]
    pub const fn has_duplicates(&self) -> bool {
        self.duplicates
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.span(name).map(|span| Value(&self.text[span]))
    }

    /// Where the member's value stands in the text.
    #[must_use]
    pub fn span(&self, name: &str) -> Option<Range<usize>> {
        self.members.iter().find(|member| member.name == name.as_bytes()).map(|member| member.value.clone())
    }

    /// Name and value of every member, in order.
    pub fn members(&self) -> impl Iterator<Item = (&[u8], Value<'a>)> {
        self.members.iter().map(|member| (&*member.name, Value(&self.text[member.value.clone()])))
    }

    /// Where the closing brace stands: a member can be appended there.
    #[must_use]
    pub const fn close(&self) -> usize {
        self.close
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<'a> Value<'a> {
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// The text of a string; `None` for other types and for strings that no Unicode text can hold (lone surrogates).
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        match unescape(inner) {
            Cow::Borrowed(plain) => std::str::from_utf8(plain).ok().map(Cow::Borrowed),
            Cow::Owned(plain) => String::from_utf8(plain).ok().map(Cow::Owned),
        }
    }

    /// A number's whole part, floored, clamped to what an `i64` holds; `None` for other types.
    #[must_use]
    pub fn as_floor(self) -> Option<i64> {
        let text = std::str::from_utf8(self.0).ok()?;
        let first = *self.0.first()?;
        if first != b'-' && !first.is_ascii_digit() {
            return None;
        }
        if let Ok(whole) = text.parse::<i64>() {
            return Some(whole);
        }
        // A fraction, an exponent, or more digits than an i64 has. The cast saturates.
        #[expect(clippy::cast_possible_truncation, reason = "saturates by the language's definition")]
        text.parse::<f64>().ok().map(|number| number.floor() as i64)
    }

    /// Whether the value says something: not `null`, `false` or zero, nothing empty.
    #[must_use]
    pub fn is_substantial(self) -> bool {
        !matches!(self.0, b"null" | b"false" | b"0" | b"\"\"" | b"\"0\"" | b"{}" | b"[]")
    }

    /// The elements of an array; `None` for other types.
    #[must_use]
    pub fn as_array(self) -> Option<Vec<Self>> {
        if self.0.first() != Some(&b'[') {
            return None;
        }
        let mut lexer = Lexer { text: self.0, at: 1, duplicates: false };
        let mut elements = Vec::new();
        loop {
            lexer.blanks();
            if lexer.eat(b']') {
                return Some(elements);
            }
            let start = lexer.at;
            lexer.value(0).ok()?;
            elements.push(Self(&self.0[start..lexer.at]));
            lexer.blanks();
            lexer.eat(b',');
        }
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    duplicates: bool,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn advance(&mut self, by: usize) {
        self.at = self.at.saturating_add(by);
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.advance(1);
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member<'a>>, NotAnObject> {
        if !self.eat(b'{') {
            return Err(NotAnObject);
        }
        let mut members: Vec<Member<'a>> = Vec::with_capacity(USUAL_MEMBERS);
        self.blanks();
        if self.eat(b'}') {
            return Ok(members);
        }
        loop {
            self.blanks();
            let name = self.string()?;
            let name = unescape(&self.text[name]);
            self.blanks();
            if !self.eat(b':') {
                return Err(NotAnObject);
            }
            self.blanks();
            let start = self.at;
            self.value(depth)?;
            self.duplicates |= members.iter().any(|member| member.name == name);
            members.push(Member { name, value: start..self.at });
            self.blanks();
            if self.eat(b'}') {
                return Ok(members);
            }
            if !self.eat(b',') {
                return Err(NotAnObject);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), NotAnObject> {
        let depth = depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(NotAnObject);
        }
        match self.peek() {
            Some(b'{') => self.object(depth).map(|_| ()),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NotAnObject> {
        self.advance(1);
        self.blanks();
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.blanks();
            self.value(depth)?;
            self.blanks();
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(NotAnObject);
            }
        }
    }

    /// The span between the quotes.
    fn string(&mut self) -> Result<Range<usize>, NotAnObject> {
        if !self.eat(b'"') {
            return Err(NotAnObject);
        }
        let start = self.at;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20)).ok_or(NotAnObject)?;
            self.advance(plain);
            if self.peek() == Some(b'"') {
                let span = start..self.at;
                self.advance(1);
                return Ok(span);
            }
            if !self.eat(b'\\') {
                return Err(NotAnObject);
            }
            match self.peek() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.advance(1),
                Some(b'u') if hex4(self.text, self.at.saturating_add(1)).is_some() => self.advance(5),
                _ => return Err(NotAnObject),
            }
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), NotAnObject> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(NotAnObject);
        }
        self.advance(literal.len());
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotAnObject> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotAnObject> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.advance(1);
        }
        if self.at == start { Err(NotAnObject) } else { Ok(()) }
    }
}

/// Undoes the escapes of a checked string. Lone surrogates become their three-byte form, so that they still differ.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0_usize;
    while let Some(&byte) = text.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at = at.saturating_add(1);
            continue;
        }
        let escape = text.get(at.saturating_add(1)).copied().unwrap_or_default();
        at = at.saturating_add(2);
        match escape {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex4(text, at).unwrap_or_default();
                at = at.saturating_add(4);
                if (0xd800..0xdc00).contains(&code)
                    && text.get(at) == Some(&b'\\')
                    && text.get(at.saturating_add(1)) == Some(&b'u')
                    && let Some(low) = hex4(text, at.saturating_add(2)).filter(|low| (0xdc00..0xe000).contains(low))
                {
                    at = at.saturating_add(6);
                    let high = code.saturating_sub(0xd800) << 10;
                    code = 0x1_0000_u32.saturating_add(high | low.saturating_sub(0xdc00));
                }
                push_code_point(&mut out, code);
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

fn push_code_point(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        // A lone surrogate: three bytes by the same scheme, which no valid text contains.
        None => {
            let [_, _, high, low] = code.to_be_bytes();
            out.extend([0xe0 | high >> 4, 0x80 | high << 2 & 0x3c | low >> 6, 0x80 | low & 0x3f]);
        }
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at.checked_add(4)?)?;
    digits.iter().try_fold(0_u32, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_rfc_8259_accepts_and_nothing_else() {
        let good = [
            r#"{}"#,
            r#" {"a" : 1 } "#,
            r#"{"a":-0.0e+10,"b":[],"c":[1,"x",{"d":null}],"e":true}"#,
            r#"{"\u00e9\/":"\ud83d\ude00"}"#,
            r#"{"lone":"\ud800"}"#,
            "{\"é\":\"ü\"}",
        ];
        for text in good {
            assert!(Object::parse(text.as_bytes()).is_ok(), "{text}");
        }
        let bad = [
            "",
            "[]",
            "1",
            "null",
            "{",
            "}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":+1}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":tru}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12g4"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":1}{"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":NaN}"#,
            r#"{'a':1}"#,
            "{\"a\":1}\u{0}",
            "\u{feff}{}",
        ];
        for text in bad {
            assert!(Object::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn reports_duplicates_however_escaped_and_however_deep() {
        for text in [r#"{"exp":1,"exp":1}"#, r#"{"exp":1,"\u0065xp":2}"#, r#"{"a":[{"b":{"c":1,"d":2,"c":3}}]}"#, r#"{"":1,"":2}"#] {
            assert!(Object::parse(text.as_bytes()).unwrap().has_duplicates(), "{text}");
        }
        for text in [r#"{"a":1,"A":1}"#, r#"{"a":{"a":{"a":1}}}"#, r#"{"\ud800":1,"\ud801":2}"#] {
            assert!(!Object::parse(text.as_bytes()).unwrap().has_duplicates(), "{text}");
        }
    }

    #[test]
    fn numbers_are_floored_and_clamped() {
        let table = [
            ("1700000000", Some(1_700_000_000)),
            ("1700000000.9", Some(1_700_000_000)),
            ("1.7e9", Some(1_700_000_000)),
            ("-1.5", Some(-2)),
            ("-0", Some(0)),
            ("18446744073709551615", Some(i64::MAX)),
            ("1e400", Some(i64::MAX)),
            ("-1e400", Some(i64::MIN)),
            ("\"1\"", None),
            ("true", None),
            ("null", None),
            ("[1]", None),
        ];
        for (text, expected) in table {
            assert_eq!(Value(text.as_bytes()).as_floor(), expected, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(Object::parse(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert!(Object::parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(Object::parse(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn arrays_give_their_elements() {
        let strings =
            |text: &'static str| Value(text.as_bytes()).as_array().map(|all| all.iter().map(|v| v.raw().to_vec()).collect::<Vec<_>>());
        assert_eq!(strings(r#"[ "a" , 5,[1,2] ]"#), Some(vec![b"\"a\"".to_vec(), b"5".to_vec(), b"[1,2]".to_vec()]));
        assert_eq!(strings("[]"), Some(vec![]));
        assert_eq!(strings("\"a\""), None);
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(|number| serde_json::json!(number)),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_every_member(map in prop::collection::btree_map(".*", any_json(), 0..8)) {
            let text = serde_json::to_string(&map).unwrap();
            let object = Object::parse(text.as_bytes()).unwrap();
            prop_assert!(!object.has_duplicates());
            prop_assert_eq!(object.members().count(), map.len());
            for (name, value) in &map {
                let raw = object.get(name).unwrap().raw();
                prop_assert_eq!(raw, serde_json::to_vec(value).unwrap());
            }
        }

        #[test]
        fn never_panics_and_accepts_no_more_than_serde_json(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if Object::parse(&bytes).is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
            }
        }

        #[test]
        fn never_panics_on_what_looks_like_json(text in r#"[{}\[\]",:0-9a-fu\\. -]{0,60}"#) {
            let _ = Object::parse(text.as_bytes());
        }
    }
}
