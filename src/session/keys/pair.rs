//! Key pairs: RSA, elliptic curves, Ed25519. Parsed and prepared once; a signature by RSA takes half a millisecond all the
//! same.

use super::{Algorithm, SigningFailed};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RsaEncoding, VerificationAlgorithm,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

/// Why a PEM text is refused; says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemProblem(pub String);

/// What verifies.
pub struct Public(ParsedPublicKey);

/// What signs.
pub enum Private {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key as it stood in the PEM text, and what it is good for.
pub struct Pair {
    pub private: Private,
    pub public: Public,
    /// The key's own bytes, from which others are derived.
    pub seed: Vec<u8>,
}

impl Public {
    /// From what `openssl pkey -pubout` writes.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, PemProblem> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| {
            PemProblem("holds no PEM of a public key (-----BEGIN PUBLIC KEY-----, as openssl pkey -pubout writes it)".to_owned())
        })?;
        Self::parse(algorithm, &der)
    }

    fn parse(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, PemProblem> {
        let verification = verification(algorithm).ok_or_else(|| wrong(algorithm))?;
        ParsedPublicKey::new(verification, bytes).map(Self).map_err(|_| wrong(algorithm))
    }

    pub fn verifies(&self, input: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(input, signature).is_ok()
    }
}

impl Pair {
    /// From any of the forms that openssl writes: PKCS#8, PKCS#1 (RSA) and SEC1 (elliptic curves).
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, PemProblem> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
            PemProblem("holds no PEM of a private key without a passphrase (PKCS#8, PKCS#1 or SEC1, as openssl writes them)".to_owned())
        })?;
        let refused = |_| wrong(algorithm);
        let (private, public) = if let Some(encoding) = rsa_encoding(algorithm) {
            let pair = match &der {
                PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                _ => return Err(wrong(algorithm)),
            }
            .map_err(refused)?;
            let public = pair.public_key().as_ref().to_vec();
            (Private::Rsa(pair, encoding), public)
        } else if let Some(curve) = curve(algorithm) {
            let pair = match &der {
                PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(curve, der.secret_sec1_der()),
                PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(curve, der.secret_pkcs8_der()),
                _ => return Err(wrong(algorithm)),
            }
            .map_err(refused)?;
            let public = pair.public_key().as_ref().to_vec();
            (Private::Ecdsa(pair), public)
        } else if algorithm == Algorithm::EdDsa {
            let PrivateKeyDer::Pkcs8(der) = &der else { return Err(wrong(algorithm)) };
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(refused)?;
            let public = pair.public_key().as_ref().to_vec();
            (Private::Ed25519(pair), public)
        } else {
            return Err(wrong(algorithm));
        };
        Ok(Self { private, public: Public::parse(algorithm, &public)?, seed: der.secret_der().to_vec() })
    }
}

impl Private {
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        match self {
            Self::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), input, &mut signature).map_err(|_| SigningFailed)?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => {
                pair.sign(&SystemRandom::new(), input).map(|signature| signature.as_ref().to_vec()).map_err(|_| SigningFailed)
            }
            Self::Ed25519(pair) => Ok(pair.sign(input).as_ref().to_vec()),
        }
    }
}

fn wrong(algorithm: Algorithm) -> PemProblem {
    let needed = match algorithm {
        Algorithm::Es256 => "a key on the curve P-256",
        Algorithm::Es384 => "a key on the curve P-384",
        Algorithm::EdDsa => "an Ed25519 key in PKCS#8",
        _ => "an RSA key of 2048 to 8192 bits",
    };
    PemProblem(format!("is no key for JWT_ALGORITHM={}, which needs {needed}", algorithm.name()))
}

const fn rsa_encoding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

const fn curve(algorithm: Algorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    Some(match algorithm {
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => return None,
    })
}

const fn verification(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa => &signature::ED25519,
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::{Key, PairProblem, Secret};

    macro_rules! pems {
        ($($name:literal),+) => { [$(($name, include_bytes!(concat!("../../../tests/keys/", $name, ".pem")).as_slice())),+] };
    }

    fn pem(name: &str) -> Vec<u8> {
        let all =
            pems!("rsa", "rsa-pkcs1", "rsa-public", "p256", "p256-sec1", "p256-public", "p384", "p384-public", "ed25519", "ed25519-public");
        all.into_iter().find(|(known, _)| *known == name).unwrap().1.to_vec()
    }

    fn pair(algorithm: Algorithm, private: &str, public: Option<&str>) -> Result<Key, PairProblem> {
        Key::pair(algorithm, &Secret::new(pem(private)), public.map(pem).as_deref(), None)
    }

    /// A key signs and verifies a probe when it is prepared, so preparing it is the test.
    #[test]
    fn s4_every_form_that_openssl_writes_is_read() {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        for algorithm in [Rs256, Rs384, Rs512, Ps256, Ps384, Ps512] {
            for private in ["rsa", "rsa-pkcs1"] {
                let key = pair(algorithm, private, Some("rsa-public")).unwrap();
                assert!(key.is_slow());
            }
        }
        for (algorithm, private, public) in [
            (Es256, "p256", "p256-public"),
            (Es256, "p256-sec1", "p256-public"),
            (Es384, "p384", "p384-public"),
            (EdDsa, "ed25519", "ed25519-public"),
        ] {
            for public in [None, Some(public)] {
                assert!(!pair(algorithm, private, public).unwrap().is_slow());
            }
        }
    }

    #[test]
    fn s4_a_key_of_another_kind_is_refused() {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_hmac()) {
            for private in ["rsa", "rsa-pkcs1", "p256", "p256-sec1", "p384", "ed25519"] {
                let fits = match algorithm {
                    Algorithm::Es256 => private.starts_with("p256"),
                    Algorithm::Es384 => private == "p384",
                    Algorithm::EdDsa => private == "ed25519",
                    _ => private.starts_with("rsa"),
                };
                match pair(algorithm, private, None) {
                    Ok(_) => assert!(fits, "{algorithm:?} took {private}"),
                    Err(PairProblem::Private(PemProblem(remedy))) => {
                        assert!(!fits && remedy.contains(algorithm.name()), "{algorithm:?} {private} {remedy}")
                    }
                    Err(other) => panic!("{algorithm:?} {private}: {other:?}"),
                }
            }
        }
        assert_eq!(pair(Algorithm::Es384, "p384", Some("p256-public")).unwrap_err(), PairProblem::Public(wrong(Algorithm::Es384)));
        let public_as_private = pair(Algorithm::Rs256, "rsa-public", None).unwrap_err();
        assert!(matches!(public_as_private, PairProblem::Private(PemProblem(remedy)) if remedy.contains("private key")));
        let private_as_public = pair(Algorithm::Rs256, "rsa", Some("rsa")).unwrap_err();
        assert!(matches!(private_as_public, PairProblem::Public(PemProblem(remedy)) if remedy.contains("-pubout")));
    }

    #[test]
    fn s4_a_public_key_of_another_pair_is_refused() {
        let other = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(other.public_key()).unwrap();
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        let key = Key::pair(Algorithm::Es256, &Secret::new(self::pem("p256")), Some(pem.as_bytes()), None);
        assert_eq!(key.unwrap_err(), PairProblem::NoPair);
    }

    #[test]
    fn a_public_key_verifies_and_never_signs() {
        let (private, public) =
            (pair(Algorithm::EdDsa, "ed25519", None).unwrap(), Key::public(Algorithm::EdDsa, &pem("ed25519-public"), None).unwrap());
        let signature = base64::Engine::encode(&super::super::URL_SAFE_NO_PAD, private.sign(b"a.b").unwrap());
        assert!(public.verifies(b"a.b", signature.as_bytes()) && !public.verifies(b"a.c", signature.as_bytes()));
        assert_eq!(public.sign(b"a.b"), Err(SigningFailed));
        assert_eq!((public.companion_mac(b"x"), private.companion_mac(b"x").is_some()), (None, true));
    }
}
