//! One thing that all replicas should know, as it stands in memory and in the store.

use crate::session::time::UnixMillis;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A family was logged out, or taken up again by a new login.
    Ended,
    /// An operator ended a family.
    Revoked,
    /// A subject's sessions up to some moment are over.
    Subject,
    /// A subject's sessions of which nobody knows when they began are over.
    Undated,
    /// Some replica has streams of the family open.
    Watched,
    /// The family was renewed, and somebody watches it.
    Renewed,
}

/// Kind and the 16 bytes of a family or a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub id: [u8; 16],
}

/// What is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// From then on it says nothing any more.
    pub until: UnixMillis,
    /// When it was said.
    pub at: UnixMillis,
    /// `Ended`: 1 for logged out, 0 for taken up again. `Subject`: tokens of sessions that began in this second or before.
    /// `Renewed`: the millisecond of the later end. Otherwise 1.
    pub word: i64,
}

impl Kind {
    const ALL: [(Self, char); 6] =
        [(Self::Ended, 'e'), (Self::Revoked, 'r'), (Self::Subject, 's'), (Self::Undated, 'u'), (Self::Watched, 'w'), (Self::Renewed, 'n')];

    fn letter(self) -> char {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or('?', |(_, letter)| letter)
    }
}

impl Record {
    /// What two replicas, or one of them twice, said about the same comes to. It does not matter who is heard first.
    #[must_use]
    pub fn merged(self, other: Self, kind: Kind) -> Self {
        let until = self.until.max(other.until);
        let word = match kind {
            // The later word holds; a logout, if both were said at once.
            Kind::Ended => {
                return if (self.at, self.word) >= (other.at, other.word) { Self { until, ..self } } else { Self { until, ..other } };
            }
            Kind::Revoked | Kind::Subject | Kind::Undated | Kind::Watched | Kind::Renewed => self.word.max(other.word),
        };
        Self { until, at: self.at.max(other.at), word }
    }

    #[must_use]
    pub fn is_over(&self, now: UnixMillis) -> bool {
        self.until <= now
    }

    /// As the store keeps it.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{} {} {}", self.until.get(), self.at.get(), self.word)
    }

    /// `None` for what we did not write.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse::<i64>);
        let mut next = || numbers.next()?.ok();
        let record = Self { until: UnixMillis::new(next()?), at: UnixMillis::new(next()?), word: next()? };
        numbers.next().is_none().then_some(record)
    }
}

impl Key {
    #[must_use]
    pub fn encode(&self) -> String {
        let letter = self.kind.letter();
        self.id.iter().fold(String::from(letter), |text, byte| format!("{text}{byte:02x}"))
    }

    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut letters = text.chars();
        let letter = letters.next()?;
        let (kind, _) = Kind::ALL.into_iter().find(|(_, known)| *known == letter)?;
        Some(Self { kind, id: bytes_of_hex(letters.as_str())? })
    }
}

/// 32 hex digits.
#[must_use]
pub fn bytes_of_hex(text: &str) -> Option<[u8; 16]> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        (0_i64..4, 0_i64..4, 0_i64..2).prop_map(|(until, at, word)| Record { until: UnixMillis::new(until), at: UnixMillis::new(at), word })
    }

    fn kind() -> impl Strategy<Value = Kind> {
        proptest::sample::select(Kind::ALL.map(|(kind, _)| kind).to_vec())
    }

    proptest! {
        /// Replicas hear of the same things in different orders, some of them twice.
        #[test]
        fn r2_replicas_agree_in_whatever_order_they_hear(kind in kind(), a in record(), b in record(), c in record()) {
            prop_assert_eq!(a.merged(b, kind), b.merged(a, kind));
            prop_assert_eq!(a.merged(b, kind).merged(c, kind), a.merged(b.merged(c, kind), kind));
            prop_assert_eq!(a.merged(a, kind), a);
        }

        #[test]
        fn r2_what_is_written_is_read(kind in kind(), id in any::<[u8; 16]>(), until in any::<i64>(), at in any::<i64>(), word in any::<i64>()) {
            let (key, record) = (Key { kind, id }, Record { until: UnixMillis::new(until), at: UnixMillis::new(at), word });
            prop_assert_eq!(Key::decode(&key.encode()), Some(key));
            prop_assert_eq!(Record::decode(&record.encode()), Some(record));
        }

        #[test]
        fn r2_whatever_stands_in_the_store_is_no_panic(text in ".*") {
            let _ = (Key::decode(&text), Record::decode(&text));
        }
    }

    #[test]
    fn r2_what_we_did_not_write_says_nothing() {
        for text in ["", "1", "1 2", "1 2 x", "1 2 3 4", "1  2 3"] {
            assert_eq!(Record::decode(text), None, "{text:?}");
        }
        for text in
            ["", "e", "e00", "x00000000000000000000000000000000", "e+0000000000000000000000000000000", "é0000000000000000000000000000000"]
        {
            assert_eq!(Key::decode(text), None, "{text:?}");
        }
    }
}
