//! The session as such, through all its re-signed tokens. Revocation and logout name the family, never a token's
//! text: every renewal makes a new text while the old one stays valid, and some signatures are malleable.

use super::hash::Hasher;
use super::json::Object;
use super::time::UnixSeconds;

/// Claims that renewal may change or that only say when; they are no part of a session's identity.
const TIME_CLAIMS: [&[u8]; 5] = [b"exp", b"iat", b"nbf", b"orig_iat", b"auth_time"];

/// 16 bytes of an unkeyed hash: the same on every replica and across key rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family {
    id: [u8; 16],
    weak: bool,
}

impl Family {
    /// The family of a token with these claims. `origin` is the start of the session that its claims state.
    #[must_use]
    pub fn of(claims: &Object<'_>, origin: Option<UnixSeconds>) -> Self {
        let named =
            ["sid", "jti"].iter().find_map(|name| claims.get(name).filter(|value| value.is_substantial()).map(|value| (name, value)));
        let mut hash = Hasher::new("slidecar family v1");
        if let Some((name, value)) = named {
            hash.part(name.as_bytes());
            hash.part(value.raw());
        } else {
            for (name, value) in claims.members().filter(|(name, _)| !TIME_CLAIMS.contains(name)) {
                hash.part(name);
                hash.part(value.raw());
            }
            hash.part(&origin.map_or([0; 8], |origin| origin.get().to_be_bytes()));
        }
        Self { id: first_16(hash), weak: named.is_none() && origin.is_none() }
    }

    #[must_use]
    pub const fn from_id(id: [u8; 16]) -> Self {
        Self { id, weak: false }
    }

    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Other devices of the user, or all anonymous visitors, may share it: it may be ended in one browser only.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// Its first 8 hex digits: enough to find its lines in a log.
    #[must_use]
    pub const fn prefix(&self) -> u32 {
        let [a, b, c, d, ..] = self.id;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Whose session it is, as a hash; only ever compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject([u8; 16]);

impl Subject {
    #[must_use]
    pub fn of(claims: &Object<'_>) -> Option<Self> {
        let value = claims.get("sub").filter(|value| value.is_substantial())?;
        // A string and its escaped spelling are one subject.
        Some(match value.as_str() {
            Some(text) => Self::named(&text),
            None => Self::of_bytes(value.raw()),
        })
    }

    /// The subject whose `sub` this is, as text.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::of_bytes(name.as_bytes())
    }

    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.0
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut hash = Hasher::new("slidecar subject v1");
        hash.part(bytes);
        Self(first_16(hash))
    }
}

fn first_16(hash: Hasher) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finish()[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(claims: &str, origin: Option<i64>) -> Family {
        Family::of(&Object::parse(claims.as_bytes()).unwrap(), origin.map(UnixSeconds::new))
    }

    #[test]
    fn one_session_stays_one_family_through_renewals() {
        assert_eq!(family(r#"{"sub":"a","sid":"1","exp":5}"#, Some(1)), family(r#"{"sub":"a","sid":"1","exp":9,"x":1}"#, Some(2)));
        assert_eq!(family(r#"{"sub":"a","iat":1,"exp":5}"#, Some(1)), family(r#"{"sub":"a","iat":3,"orig_iat":1,"exp":9}"#, Some(1)));
    }

    #[test]
    fn different_sessions_are_different_families() {
        let a = family(r#"{"sub":"a","iat":1}"#, Some(1));
        assert_ne!(a, family(r#"{"sub":"a","iat":2}"#, Some(2)));
        assert_ne!(a, family(r#"{"sub":"b","iat":1}"#, Some(1)));
        assert_ne!(family(r#"{"sid":"1"}"#, None), family(r#"{"jti":"1"}"#, None));
        assert_ne!(family(r#"{"a":"b","c":"d"}"#, None), family(r#"{"a":"bc","":"d"}"#, None));
    }

    #[test]
    fn without_id_and_origin_a_family_is_weak() {
        assert!(family(r#"{"sub":"a","exp":5}"#, None).is_weak());
        assert!(family(r#"{"sub":"a","sid":null,"jti":""}"#, None).is_weak());
        assert!(!family(r#"{"sub":"a","jti":7}"#, None).is_weak());
        assert!(!family(r#"{"sub":"a"}"#, Some(1)).is_weak());
    }

    #[test]
    fn a_subject_is_compared_by_meaning() {
        let subject = |claims: &str| Subject::of(&Object::parse(claims.as_bytes()).unwrap());
        assert_eq!(subject(r#"{"sub":"a"}"#), subject(r#"{"sub":"\u0061"}"#));
        assert_ne!(subject(r#"{"sub":"a"}"#), subject(r#"{"sub":"b"}"#));
        assert_ne!(subject(r#"{"sub":7}"#), None);
        assert_eq!((subject(r#"{"sub":"a"}"#), subject(r#"{"sub":7}"#)), (Some(Subject::named("a")), Some(Subject::named("7"))));
        assert_eq!(subject(r#"{"sub":""}"#), None);
        assert_eq!(subject("{}"), None);
    }
}
