//! What the browser carries for us beside C, so that every replica knows it without a store:
//! `<C>_s`, how the backend set C (rule K6), and `<C>_x`, which families were logged out (rule L1).

use super::attributes::Attributes;
use super::family::Family;
use super::keys::KeyRing;
use super::time::UnixMillis;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// More logouts than these within one TTL push the oldest out.
const REMEMBERED: usize = 4;
/// A request with more than this in `<C>_s` was not written by us.
const LONGEST_COMPANION: usize = 1024;

/// How the backend set C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    pub attributes: Attributes,
    /// `false` for a cookie that ends with the browser (rule K9).
    pub persistent: bool,
}

impl Companion {
    /// The cookie value, authenticated for this family.
    #[must_use]
    pub fn encode(&self, family: &Family, keys: &KeyRing) -> Vec<u8> {
        let body = [if self.persistent { b"p" } else { b"b" }, self.attributes.text().as_slice()].concat();
        // The active key signs, so it derives one; without one, what is written here never verifies.
        let mac = keys.active().companion_mac(&authenticated(family, &body)).unwrap_or_default();
        format!("1.{}.{}", URL_SAFE_NO_PAD.encode(&body), URL_SAFE_NO_PAD.encode(mac)).into_bytes()
    }

    /// `None` for what we did not write for this family.
    #[must_use]
    pub fn decode(value: &[u8], family: &Family, keys: &KeyRing, now: UnixMillis) -> Option<Self> {
        if value.len() > LONGEST_COMPANION {
            return None;
        }
        let (body, mac) = std::str::from_utf8(value).ok()?.strip_prefix("1.")?.split_once('.')?;
        let (body, mac) = (URL_SAFE_NO_PAD.decode(body).ok()?, URL_SAFE_NO_PAD.decode(mac).ok()?);
        if !keys.verifies_companion(&authenticated(family, &body), &mac, now.second()) {
            return None;
        }
        let (kind, attributes) = body.split_first()?;
        Some(Self { attributes: Attributes::from_text(attributes), persistent: *kind == b'p' })
    }
}

fn authenticated(family: &Family, body: &[u8]) -> Vec<u8> {
    [family.id().as_slice(), body].concat()
}

/// The families that this browser has logged out of, oldest first. Not authenticated: forging an entry only logs
/// oneself out, which deleting C does too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones(Vec<[u8; 16]>);

impl Tombstones {
    /// Reads every value; what is no entry is ignored.
    #[must_use]
    pub fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut tombstones = Self::default();
        for entry in values.flat_map(|value| value.split(|&byte| byte == b'.')).take(4 * REMEMBERED) {
            if let Some(id) = URL_SAFE_NO_PAD.decode(entry).ok().and_then(|id| <[u8; 16]>::try_from(id).ok()) {
                tombstones.push(id);
            }
        }
        tombstones
    }

    #[must_use]
    pub fn contains(&self, family: &Family) -> bool {
        self.0.contains(family.id())
    }

    #[must_use]
    pub fn with(&self, family: &Family) -> Self {
        let mut more = self.clone();
        more.push(*family.id());
        more
    }

    #[must_use]
    pub fn without(&self, family: &Family) -> Self {
        Self(self.0.iter().copied().filter(|id| id != family.id()).collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().map(|id| URL_SAFE_NO_PAD.encode(id)).collect::<Vec<_>>().join(".").into_bytes()
    }

    fn push(&mut self, id: [u8; 16]) {
        self.0.retain(|known| *known != id);
        self.0.push(id);
        let surplus = self.0.len().saturating_sub(REMEMBERED);
        self.0.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::{Algorithm, Key, Secret};
    use crate::session::time::UnixSeconds;

    const NOW: UnixMillis = UnixMillis::new(0);

    fn key(seed: u8) -> Key {
        Key::hmac(Algorithm::Hs256, &Secret::new((0..32).map(|n| n ^ seed).collect()), None).unwrap()
    }

    fn family(n: u8) -> Family {
        Family::from_id([n; 16])
    }

    #[test]
    fn k6_a_companion_is_bound_to_its_family_and_survives_a_rotation() {
        let companion =
            Companion { attributes: Attributes::from_text(b"Path=/app; Domain=example.com; SameSite=None; Secure"), persistent: false };
        let value = companion.encode(&family(1), &KeyRing::new(key(1), None));
        assert!(value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)));

        let same = KeyRing::new(key(1), None);
        let rotated = KeyRing::new(key(2), Some((key(1), UnixSeconds::new(60))));
        let foreign = KeyRing::new(key(2), None);
        assert_eq!(Companion::decode(&value, &family(1), &same, NOW), Some(companion.clone()));
        assert_eq!(Companion::decode(&value, &family(1), &rotated, NOW), Some(companion));
        assert_eq!(Companion::decode(&value, &family(2), &same, NOW), None);
        assert_eq!(Companion::decode(&value, &family(1), &foreign, NOW), None);
        let mut broken = value.clone();
        broken[4] ^= 1;
        assert_eq!(Companion::decode(&broken, &family(1), &same, NOW), None);
        for garbage in [&b""[..], b"1.", b"1..", b"2.x.y", b"1.\xff.x", &[b'a'; 2000]] {
            assert_eq!(Companion::decode(garbage, &family(1), &same, NOW), None);
        }
    }

    #[test]
    fn l1_the_last_four_families_are_remembered() {
        let all = (1..=5).fold(Tombstones::default(), |tombstones, n| tombstones.with(&family(n)));
        let read = Tombstones::read(std::iter::once(all.encode().as_slice()));
        assert_eq!(read, all);
        assert!(!read.contains(&family(1)) && (2..=5).all(|n| read.contains(&family(n))));
        assert!(!read.without(&family(3)).contains(&family(3)));
        assert_eq!(Tombstones::read([&b"garbage..AAAA"[..], b"\xff"].into_iter()), Tombstones::default());
    }
}
