//! Rule M4: the same token renewed in the same second is signed once, however many requests ask.

use super::lock;
use crate::session::family::Family;
use crate::session::keys::{DirectSigner, Key, Signer, SigningFailed};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Families whose last signature is kept: enough for all that renew within one second on a busy host.
const FAMILIES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The last signature of each family that renewed of late.
#[derive(Debug)]
pub struct SignatureMemo {
    last: Mutex<LruCache<[u8; 16], Signed>>,
    made: AtomicU64,
}

#[derive(Debug)]
struct Signed {
    input: Vec<u8>,
    signature: Vec<u8>,
}

impl Default for SignatureMemo {
    fn default() -> Self {
        // It grows as it is used; the limit is held below.
        Self { last: Mutex::new(LruCache::unbounded()), made: AtomicU64::new(0) }
    }
}

impl SignatureMemo {
    /// How many signatures were made, not remembered, since this was asked last.
    #[must_use]
    pub fn take_made(&self) -> u64 {
        // Asked on every request, and most make none.
        if self.made.load(Ordering::Relaxed) == 0 { 0 } else { self.made.swap(0, Ordering::Relaxed) }
    }
}

impl Signer for SignatureMemo {
    /// Signs under the lock: whoever waits for it wants this signature.
    fn sign(&self, key: &Key, family: &Family, input: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let mut last = lock(&self.last);
        if let Some(signed) = last.get(family.id()).filter(|signed| signed.input == input) {
            return Ok(signed.signature.clone());
        }
        let signature = DirectSigner.sign(key, family, input)?;
        self.made.fetch_add(1, Ordering::Relaxed);
        last.put(*family.id(), Signed { input: input.to_vec(), signature: signature.clone() });
        if last.len() > FAMILIES.get() {
            last.pop_lru();
        }
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::{Algorithm, Secret};

    #[test]
    fn m4_one_signature_per_token_and_second() {
        let key = Key::hmac(Algorithm::Hs256, &Secret::new((0..32).collect()), None).unwrap();
        let memo = SignatureMemo::default();
        let family = |n: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            Family::from_id(id)
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|n| drop(memo.sign(&key, &family(n % 5), b"token"))));
            }
        });
        assert_eq!((memo.take_made(), memo.take_made()), (5, 0));
        for n in 0..2048 {
            memo.sign(&key, &family(n), b"token").unwrap();
        }
        assert!(lock(&memo.last).len() <= FAMILIES.get());
        // Another second, or another token of the same family.
        assert_eq!(memo.sign(&key, &family(1), b"other"), DirectSigner.sign(&key, &family(1), b"other"));
        assert_ne!(memo.sign(&key, &family(1), b"token"), memo.sign(&key, &family(1), b"other"));
    }
}
