//! Secrets, and which of them are too weak to sign with.

use super::Algorithm;
use zeroize::Zeroizing;

/// Bytes that must never be printed: `Debug` shows nothing, memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_weak_secrets_are_told_apart() {
        let of = |bytes: &[u8]| weakness(Algorithm::Hs256, &Secret::new(bytes.to_vec()));
        assert_eq!(of(b""), Some(KeyProblem::Empty));
        assert_eq!(of(&[7; 40]), Some(KeyProblem::Repeated));
        assert_eq!(of(b"0123456789abcdef0123456789abcde"), Some(KeyProblem::Short { bytes: 31, needed: 32 }));
        assert_eq!(of(b"0123456789abcdef0123456789abcdef"), None);
    }
}
