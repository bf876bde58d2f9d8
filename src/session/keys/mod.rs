//! Prepared keys. One key has exactly one algorithm; a token never chooses. `secret` is what HMAC keys are made of, `pair` are
//! keys of two halves.

mod pair;
mod secret;

pub use pair::PemProblem;
pub use secret::{KeyProblem, Secret, weakness};

use super::family::Family;
use super::time::UnixSeconds;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// No signature is longer: RSA with a key of 8192 bits.
pub const MOST_SIGNATURE: usize = 1024;

/// RFC 7518 §3.1 and RFC 8037 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// What a key is made of, prepared once.
enum Material {
    /// The hash of its pads is half the cost of a short MAC.
    Hmac(Box<hmac::Key>),
    Pair(pair::Private, pair::Public),
    /// Verifies only.
    Public(pair::Public),
}

/// A key that signs and verifies with its one algorithm.
pub struct Key {
    algorithm: Algorithm,
    id: Option<String>,
    material: Material,
    /// The first segments that JWT libraries write for this key; a token that begins with one needs no reading of its
    /// header.
    usual_headers: Vec<String>,
    /// Authenticates what the browser carries for us (the companion cookie); derived, so that neither can stand for the other.
    /// A public key derives none: whoever knows it, and all may, could write companions.
    companion: Option<hmac::Key>,
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
    /// The signature of `input`, a token of this family, by `key`.
    fn sign(&self, key: &Key, family: &Family, input: &[u8]) -> Result<Vec<u8>, SigningFailed>;
}

/// Signs anew each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectSigner;

/// Why a key pair is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairProblem {
    Private(PemProblem),
    Public(PemProblem),
    /// The public key does not verify what the private one signs.
    NoPair,
    SelfTest,
}

/// The crypto library refused to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningFailed;

impl Algorithm {
    pub const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Whether signer and verifier share one secret.
    #[must_use]
    pub const fn is_hmac(self) -> bool {
        self.hash().is_some()
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// RFC 7518 §3.2: a key as long as the hash, at least.
    const fn secret_bytes(self) -> usize {
        match self {
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 32,
        }
    }

    const fn hash(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Hs256 => Some(hmac::HMAC_SHA256),
            Self::Hs384 => Some(hmac::HMAC_SHA384),
            Self::Hs512 => Some(hmac::HMAC_SHA512),
            _ => None,
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
        let hash = algorithm.hash().ok_or(KeyProblem::SelfTest)?;
        Self::new(algorithm, id, Material::Hmac(Box::new(hmac::Key::new(hash, bytes))), Some(bytes)).proven()
    }

    /// Prepares a key pair from PEM texts and proves that it signs and verifies. The public key may be left out; one that
    /// is given has to be the private one's.
    pub fn pair(algorithm: Algorithm, private: &Secret, public: Option<&[u8]>, id: Option<String>) -> Result<Self, PairProblem> {
        let pair = pair::Pair::from_pem(algorithm, private.expose()).map_err(PairProblem::Private)?;
        let own = match public {
            Some(pem) => pair::Public::from_pem(algorithm, pem).map_err(PairProblem::Public)?,
            None => pair.public,
        };
        let seed = Zeroizing::new(pair.seed);
        let key = Self::new(algorithm, id, Material::Pair(pair.private, own), Some(&seed));
        key.proven().map_err(|_| if public.is_some() { PairProblem::NoPair } else { PairProblem::SelfTest })
    }

    /// Prepares a public key, which verifies and never signs.
    pub fn public(algorithm: Algorithm, pem: &[u8], id: Option<String>) -> Result<Self, PemProblem> {
        Ok(Self::new(algorithm, id, Material::Public(pair::Public::from_pem(algorithm, pem)?), None))
    }

    fn new(algorithm: Algorithm, id: Option<String>, material: Material, seed: Option<&[u8]>) -> Self {
        let companion = seed.map(|seed| {
            let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), b"slidecar companion cookie v1");
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        });
        Self { usual_headers: usual_headers(algorithm, id.as_deref()), algorithm, id, material, companion }
    }

    fn proven(self) -> Result<Self, KeyProblem> {
        self.self_test().map(|()| self)
    }

    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether a signature takes so long that other requests should not wait for it: RSA, half a millisecond and more.
    #[must_use]
    pub const fn is_slow(&self) -> bool {
        matches!(self.material, Material::Pair(pair::Private::Rsa(..), _))
    }

    /// The MAC, 16 bytes, over what the browser is to carry; `None` by a key that only verifies.
    #[must_use]
    pub fn companion_mac(&self, message: &[u8]) -> Option<[u8; 16]> {
        let mut mac = [0; 16];
        mac.copy_from_slice(&hmac::sign(self.companion.as_ref()?, message).as_ref()[..16]);
        Some(mac)
    }

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        match &self.material {
            Material::Hmac(key) => Ok(hmac::sign(key, input).as_ref().to_vec()),
            Material::Pair(private, _) => private.sign(input),
            Material::Public(_) => Err(SigningFailed),
        }
    }

    /// `signature` is base64url; a MAC is compared in constant time.
    fn verifies(&self, input: &[u8], signature: &[u8]) -> bool {
        let mut decoded = [0; MOST_SIGNATURE];
        let decoded = URL_SAFE_NO_PAD.decode_slice(signature, &mut decoded).ok().and_then(|length| decoded.get(..length));
        decoded.is_some_and(|signature| match &self.material {
            Material::Hmac(key) => hmac::verify(key, input, signature).is_ok(),
            Material::Pair(_, public) | Material::Public(public) => public.verifies(input, signature),
        })
    }

    /// Whether this key may be tried on a token whose header says so.
    fn is_named_by(&self, algorithm: &str, id: Option<&str>) -> bool {
        algorithm == self.algorithm.name() && (self.id.is_none() || id.is_none() || self.id.as_deref() == id)
    }

    fn self_test(&self) -> Result<(), KeyProblem> {
        let probe = b"slidecar.probe";
        let signature = URL_SAFE_NO_PAD.encode(self.sign(probe).map_err(|_| KeyProblem::SelfTest)?).into_bytes();
        if self.verifies(probe, &signature) && !self.verifies(b"slidecar.other", &signature) { Ok(()) } else { Err(KeyProblem::SelfTest) }
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
    pub fn verify(&self, algorithm: &str, id: Option<&str>, input: &[u8], signature: &[u8], now: UnixSeconds) -> Option<KeyRole> {
        let tries = |key: &Key| key.is_named_by(algorithm, id) && key.verifies(input, signature);
        if tries(&self.active) {
            return Some(KeyRole::Active);
        }
        self.previous_at(now).filter(|key| tries(key)).map(|_| KeyRole::Previous)
    }

    /// Whether the active key signed `input`, whose first segment is one that needs no reading.
    #[must_use]
    pub fn verifies_usual(&self, header: &[u8], input: &[u8], signature: &[u8]) -> bool {
        self.active.usual_headers.iter().any(|usual| usual.as_bytes() == header) && self.active.verifies(input, signature)
    }

    /// Whether a companion's MAC is by a key of this ring; compares in constant time.
    #[must_use]
    pub fn verifies_companion(&self, message: &[u8], mac: &[u8], now: UnixSeconds) -> bool {
        let matches = |key: &Key| key.companion_mac(message).is_some_and(|own| constant_time::verify_slices_are_equal(&own, mac).is_ok());
        matches(&self.active) || self.previous_at(now).is_some_and(matches)
    }

    /// When the previous key ends to verify, if there is one.
    #[must_use]
    pub fn previous_until(&self) -> Option<UnixSeconds> {
        self.previous.as_ref().map(|(_, until)| *until)
    }

    fn previous_at(&self, now: UnixSeconds) -> Option<&Key> {
        self.previous.as_ref().filter(|(_, until)| now < *until).map(|(key, _)| key)
    }
}

/// How JWT libraries spell the header: with `alg` before `typ` or after it, and `kid` at the end, the start or not at all.
fn usual_headers(algorithm: Algorithm, id: Option<&str>) -> Vec<String> {
    let alg = format!(r#""alg":"{}""#, algorithm.name());
    let typ = r#""typ":"JWT""#;
    let mut spellings = vec![format!("{alg},{typ}"), format!("{typ},{alg}"), alg.clone()];
    if let Some(kid) = id.and_then(|id| serde_json::to_string(id).ok()).map(|id| format!(r#""kid":{id}"#)) {
        spellings.extend([
            format!("{alg},{typ},{kid}"),
            format!("{alg},{kid},{typ}"),
            format!("{alg},{kid}"),
            format!("{typ},{alg},{kid}"),
        ]);
        spellings.extend([format!("{kid},{alg}"), format!("{kid},{typ},{alg}"), format!("{kid},{alg},{typ}")]);
    }
    spellings.iter().map(|spelling| URL_SAFE_NO_PAD.encode(format!("{{{spelling}}}"))).collect()
}

impl Signer for DirectSigner {
    fn sign(&self, key: &Key, _: &Family, input: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        key.sign(input)
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
    fn s4_an_empty_secret_is_always_refused() {
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
        let signature = URL_SAFE_NO_PAD.encode(key(2, None).sign(b"a.b").unwrap());
        let ring = KeyRing::new(key(1, Some("new")), Some((key(2, Some("old")), UnixSeconds::new(100))));
        let role = |alg, id, now| ring.verify(alg, id, b"a.b", signature.as_bytes(), UnixSeconds::new(now));
        assert_eq!(role("HS256", None, 99), Some(KeyRole::Previous));
        assert_eq!(role("HS256", Some("old"), 99), Some(KeyRole::Previous));
        assert_eq!(role("HS256", Some("new"), 99), None);
        assert_eq!(role("HS256", Some("other"), 99), None);
        assert_eq!(role("HS256", None, 100), None);
        assert_eq!(role("HS384", None, 99), None);
        assert_eq!(role("none", None, 99), None);
    }
}
