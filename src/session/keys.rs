//! Prepared keys. One key has exactly one algorithm; a token never chooses.

use super::time::UnixSeconds;
use aws_lc_rs::{constant_time, hmac};
use jsonwebtoken::{DecodingKey, EncodingKey, crypto};
use zeroize::Zeroizing;

/// Bytes that must never be printed: `Debug` shows nothing, memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// RFC 7518 §3.1 names, the HMAC family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
}

/// A key that signs and verifies with its one algorithm.
pub struct Key {
    algorithm: Algorithm,
    id: Option<String>,
    signing: EncodingKey,
    verifying: DecodingKey,
    /// Authenticates what the browser carries for us (the companion cookie); derived, so that neither can stand for the other.
    companion: hmac::Key,
}

/// The key that signs, and during a rotation the one that still verifies.
pub struct KeyRing {
    active: Key,
    previous: Option<(Key, UnixSeconds)>,
}

/// Which key of the ring verified a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    Active,
    Previous,
}

/// Makes signatures. The shell may remember them (rule M4); the rules only see this.
pub trait Signer: Send + Sync {
    /// The base64url signature of `input` by `key`.
    fn sign(&self, key: &Key, input: &str) -> Result<String, SigningFailed>;
}

/// Signs anew each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectSigner;

/// The crypto library refused to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningFailed;

/// Why a secret is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    Empty,
    Short {
        bytes: usize,
        needed: usize,
    },
    Repeated,
    /// The key does not verify what it signs.
    SelfTest,
}

impl Secret {
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// RFC 7518 §3.2: a key as long as the hash, at least.
    const fn secret_bytes(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        }
    }

    const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
        }
    }
}

impl Key {
    /// Prepares an HMAC key and proves that it signs and verifies. What [`weakness`] says is the caller's to judge;
    /// only an empty secret is refused always, for anyone could sign with it.
    pub fn hmac(algorithm: Algorithm, secret: &Secret, id: Option<String>) -> Result<Self, KeyProblem> {
        let bytes = secret.expose();
        if bytes.is_empty() {
            return Err(KeyProblem::Empty);
        }
        let derivation = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let companion = hmac::sign(&derivation, b"slidecar companion cookie v1");
        let key = Self {
            algorithm,
            id,
            signing: EncodingKey::from_secret(bytes),
            verifying: DecodingKey::from_secret(bytes),
            companion: hmac::Key::new(hmac::HMAC_SHA256, companion.as_ref()),
        };
        key.self_test().map(|()| key)
    }

    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The MAC, 16 bytes, over what the browser is to carry.
    #[must_use]
    pub fn companion_mac(&self, message: &[u8]) -> [u8; 16] {
        let mut mac = [0; 16];
        mac.copy_from_slice(&hmac::sign(&self.companion, message).as_ref()[..16]);
        mac
    }

    fn sign(&self, input: &str) -> Result<String, SigningFailed> {
        crypto::sign(input.as_bytes(), &self.signing, self.algorithm.library()).map_err(|_| SigningFailed)
    }

    fn verifies(&self, input: &str, signature: &str) -> bool {
        crypto::verify(signature, input.as_bytes(), &self.verifying, self.algorithm.library()).unwrap_or(false)
    }

    /// Whether this key may be tried on a token whose header says so.
    fn is_named_by(&self, algorithm: &str, id: Option<&str>) -> bool {
        algorithm == self.algorithm.name() && (self.id.is_none() || id.is_none() || self.id.as_deref() == id)
    }

    fn self_test(&self) -> Result<(), KeyProblem> {
        let probe = "slidecar.probe";
        let signature = self.sign(probe).map_err(|_| KeyProblem::SelfTest)?;
        if self.verifies(probe, &signature) && !self.verifies("slidecar.other", &signature) { Ok(()) } else { Err(KeyProblem::SelfTest) }
    }
}

impl KeyRing {
    /// `previous` verifies until the given second, and never signs.
    #[must_use]
    pub const fn new(active: Key, previous: Option<(Key, UnixSeconds)>) -> Self {
        Self { active, previous }
    }

    #[must_use]
    pub const fn active(&self) -> &Key {
        &self.active
    }

    /// Which key, if any, verifies `input`; the header's `alg` and `kid` only ever exclude keys.
    #[must_use]
    pub fn verify(&self, algorithm: &str, id: Option<&str>, input: &str, signature: &str, now: UnixSeconds) -> Option<KeyRole> {
        let tries = |key: &Key| key.is_named_by(algorithm, id) && key.verifies(input, signature);
        if tries(&self.active) {
            return Some(KeyRole::Active);
        }
        self.previous_at(now).filter(|key| tries(key)).map(|_| KeyRole::Previous)
    }

    /// Whether a companion's MAC is by a key of this ring; compares in constant time.
    #[must_use]
    pub fn verifies_companion(&self, message: &[u8], mac: &[u8], now: UnixSeconds) -> bool {
        let matches = |key: &Key| constant_time::verify_slices_are_equal(&key.companion_mac(message), mac).is_ok();
        matches(&self.active) || self.previous_at(now).is_some_and(matches)
    }

    fn previous_at(&self, now: UnixSeconds) -> Option<&Key> {
        self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key)
    }
}

/// Rule S4: what makes an HMAC secret weak. `None` for a good one.
#[must_use]
pub fn weakness(algorithm: Algorithm, secret: &Secret) -> Option<KeyProblem> {
    let bytes = secret.expose();
    match bytes.first() {
        None => Some(KeyProblem::Empty),
        _ if bytes.len() < algorithm.secret_bytes() => Some(KeyProblem::Short { bytes: bytes.len(), needed: algorithm.secret_bytes() }),
        Some(first) if bytes.iter().all(|byte| byte == first) => Some(KeyProblem::Repeated),
        Some(_) => None,
    }
}

impl Signer for DirectSigner {
    fn sign(&self, key: &Key, input: &str) -> Result<String, SigningFailed> {
        key.sign(input)
    }
}

impl std::fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty, anyone could sign; generate one with: openssl rand -base64 48"),
            Self::Short { bytes, needed } => {
                write!(f, "has {bytes} bytes, the algorithm needs {needed} or more; generate one with: openssl rand -base64 {needed}")
            }
            Self::Repeated => f.write_str("is one byte repeated; generate one with: openssl rand -base64 48"),
            Self::SelfTest => f.write_str("does not verify what it signs"),
        }
    }
}

/// Says which keys, never what they are.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("active", &self.active).field("previous", &self.previous).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8, id: Option<&str>) -> Key {
        let secret = Secret::new((0..32).map(|n| n ^ byte).collect());
        Key::hmac(Algorithm::Hs256, &secret, id.map(str::to_owned)).unwrap()
    }

    #[test]
    fn s4_weak_secrets_are_told_apart() {
        let of = |bytes: &[u8]| weakness(Algorithm::Hs256, &Secret::new(bytes.to_vec()));
        assert_eq!(of(b""), Some(KeyProblem::Empty));
        assert_eq!(of(&[7; 40]), Some(KeyProblem::Repeated));
        assert_eq!(of(b"0123456789abcdef0123456789abcde"), Some(KeyProblem::Short { bytes: 31, needed: 32 }));
        assert_eq!(of(b"0123456789abcdef0123456789abcdef"), None);
        assert_eq!(Key::hmac(Algorithm::Hs256, &Secret::new(vec![]), None).unwrap_err(), KeyProblem::Empty);
    }

    #[test]
    fn secrets_and_keys_do_not_print() {
        let printed = format!("{:?} {:?}", Secret::new(b"hunter2hunter2".to_vec()), KeyRing::new(key(1, Some("a")), None));
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("Secret(***)"), "{printed}");
    }

    #[test]
    fn the_previous_key_verifies_until_its_end_and_only_where_its_id_fits() {
        let signature = key(2, None).sign("a.b").unwrap();
        let ring = KeyRing::new(key(1, Some("new")), Some((key(2, Some("old")), UnixSeconds::new(100))));
        let role = |alg, id, now| ring.verify(alg, id, "a.b", &signature, UnixSeconds::new(now));
        assert_eq!(role("HS256", None, 99), Some(KeyRole::Previous));
        assert_eq!(role("HS256", Some("old"), 99), Some(KeyRole::Previous));
        assert_eq!(role("HS256", Some("new"), 99), None);
        assert_eq!(role("HS256", Some("other"), 99), None);
        assert_eq!(role("HS256", None, 100), None);
        assert_eq!(role("HS384", None, 99), None);
        assert_eq!(role("none", None, 99), None);
    }
}
