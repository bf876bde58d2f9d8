//! `--key-file`: the key that the application signs with. Its algorithm is the one that the token names.

use crate::config::parse;
use crate::session::keys::{Algorithm, Key, KeyRing, KeyRole, PairProblem, PemProblem, Secret, weakness};
use crate::session::time::UnixMillis;
use crate::session::{inspect, inspect::Inspected};

/// The key, and whether it signs or only verifies.
pub struct GivenKey {
    pub ring: KeyRing,
    pub can_sign: bool,
    /// What slidecar would say of it.
    pub weakness: Option<String>,
}

impl GivenKey {
    /// The error says what would be right.
    pub fn new(file: &Secret, token: &Inspected) -> Result<Self, String> {
        let named = token.algorithm.as_deref().unwrap_or("none");
        let algorithm = parse::algorithm(named)
            .map_err(|_| format!("the token says alg={}, which no key of slidecar's has", super::jar::printable(named)))?;
        let id = token.key_id.clone();
        let is_pem = file.expose().windows(11).any(|window| window == b"-----BEGIN ");
        if algorithm.is_hmac() {
            if is_pem {
                return Err(format!("the token says {named}, whose key is a shared secret; the file holds a PEM"));
            }
            let key = Key::hmac(algorithm, file, id).map_err(|problem| problem.to_string())?;
            let weakness = weakness(algorithm, file).map(|problem| problem.to_string());
            return Ok(Self { ring: KeyRing::new(key, None), can_sign: true, weakness });
        }
        let (key, can_sign) = Self::pair(algorithm, file, id)?;
        Ok(Self { ring: KeyRing::new(key, None), can_sign, weakness: None })
    }

    fn pair(algorithm: Algorithm, file: &Secret, id: Option<String>) -> Result<(Key, bool), String> {
        let private = match Key::pair(algorithm, file, None, id.clone()) {
            Ok(key) => return Ok((key, true)),
            Err(problem) => problem,
        };
        if let Ok(key) = Key::public(algorithm, file.expose(), id) {
            return Ok((key, false));
        }
        Err(match private {
            PairProblem::Private(PemProblem(words)) | PairProblem::Public(PemProblem(words)) => words,
            PairProblem::NoPair | PairProblem::SelfTest => "does not verify what it signs".to_owned(),
        })
    }

    /// Whether this key signed the token.
    pub fn signed(&self, token: &Secret, now: UnixMillis) -> bool {
        inspect::inspect(token.expose(), Some(&self.ring), now).is_ok_and(|token| token.verified == Some(KeyRole::Active))
    }
}
