//! Rule M4: the same token renewed in the same second is signed once, however many requests ask. Signatures that take long
//! are made on a thread of their own, so that nobody waits who did not ask for one.

use super::lock;
use crate::session::Rules;
use crate::session::family::Family;
use crate::session::keys::{DirectSigner, Key, Signer, SigningFailed};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// Families whose last signature is kept: enough for all that renew within one second on a busy host.
const FAMILIES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The last signature of each family that renewed of late.
#[derive(Debug)]
pub struct SignatureMemo {
    last: Mutex<LruCache<[u8; 16], Arc<Signed>>>,
    made: AtomicU64,
}

/// As it is used by a request that follows one generation of the rules: another's key makes other signatures.
#[derive(Clone, Copy, Debug)]
pub struct SigningUnder<'a> {
    memo: &'a SignatureMemo,
    generation: u64,
}

#[derive(Debug)]
struct Signed {
    generation: u64,
    input: Vec<u8>,
    /// Empty as long as it is being made.
    signature: OnceCell<Result<Vec<u8>, SigningFailed>>,
}

/// Gives signatures that are there, and remembers which one is missing.
pub struct OnlyKnown<'a> {
    memo: SigningUnder<'a>,
    missing: Mutex<Option<Missing>>,
}

/// A signature that has to be made.
pub struct Missing {
    family: Family,
    input: Vec<u8>,
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

    #[must_use]
    pub const fn under(&self, generation: u64) -> SigningUnder<'_> {
        SigningUnder { memo: self, generation }
    }

    fn put(last: &mut LruCache<[u8; 16], Arc<Signed>>, family: &Family, signed: Signed) -> Arc<Signed> {
        let signed = Arc::new(signed);
        last.put(*family.id(), Arc::clone(&signed));
        if last.len() > FAMILIES.get() {
            last.pop_lru();
        }
        signed
    }
}

impl SigningUnder<'_> {
    /// Makes it on a thread of its own; whoever wants the same waits for the same. The rules are those of this generation.
    pub async fn make(&self, rules: &Arc<Rules>, missing: Missing) {
        let signed = {
            let mut last = lock(&self.memo.last);
            match self.known(&mut last, &missing.family, &missing.input) {
                Some(signed) => Arc::clone(signed),
                None => SignatureMemo::put(&mut last, &missing.family, self.signed(missing.input, OnceCell::new())),
            }
        };
        let making = signed.signature.get_or_init(|| async {
            let (rules, signed, family) = (Arc::clone(rules), Arc::clone(&signed), missing.family);
            let made = tokio::task::spawn_blocking(move || DirectSigner.sign(rules.keys.active(), &family, &signed.input));
            self.memo.made.fetch_add(1, Ordering::Relaxed);
            made.await.unwrap_or(Err(SigningFailed))
        });
        let _ = making.await; // A failure is found where the signature is looked for.
    }

    fn find(&self, family: &Family, input: &[u8]) -> Option<Result<Vec<u8>, SigningFailed>> {
        self.known(&mut lock(&self.memo.last), family, input)?.signature.get().cloned()
    }

    fn known<'l>(&self, last: &'l mut LruCache<[u8; 16], Arc<Signed>>, family: &Family, input: &[u8]) -> Option<&'l Arc<Signed>> {
        last.get(family.id()).filter(|signed| signed.generation == self.generation && signed.input == input)
    }

    const fn signed(&self, input: Vec<u8>, signature: OnceCell<Result<Vec<u8>, SigningFailed>>) -> Signed {
        Signed { generation: self.generation, input, signature }
    }
}

impl Signer for SigningUnder<'_> {
    /// Signs under the lock: whoever waits for it wants this signature.
    fn sign(&self, key: &Key, family: &Family, input: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let mut last = lock(&self.memo.last);
        if let Some(known) = self.known(&mut last, family, input).and_then(|signed| signed.signature.get()) {
            return known.clone();
        }
        let signature = DirectSigner.sign(key, family, input);
        self.memo.made.fetch_add(1, Ordering::Relaxed);
        SignatureMemo::put(&mut last, family, self.signed(input.to_vec(), OnceCell::new_with(Some(signature.clone()))));
        signature
    }
}

impl<'a> OnlyKnown<'a> {
    #[must_use]
    pub const fn of(memo: SigningUnder<'a>) -> Self {
        Self { memo, missing: Mutex::new(None) }
    }

    #[must_use]
    pub fn missing(self) -> Option<Missing> {
        lock(&self.missing).take()
    }
}

impl Signer for OnlyKnown<'_> {
    fn sign(&self, _: &Key, family: &Family, input: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        self.memo.find(family, input).unwrap_or_else(|| {
            *lock(&self.missing) = Some(Missing { family: *family, input: input.to_vec() });
            Err(SigningFailed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::{Algorithm, Secret};
    use crate::session::testing::Setup;

    fn family(n: u16) -> Family {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        Family::from_id(id)
    }

    #[test]
    fn m4_one_signature_per_token_and_second() {
        let key = Key::hmac(Algorithm::Hs256, &Secret::new((0..32).collect()), None).unwrap();
        let memo = SignatureMemo::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|n| drop(memo.under(1).sign(&key, &family(n % 5), b"token"))));
            }
        });
        assert_eq!((memo.take_made(), memo.take_made()), (5, 0));
        for n in 0..2048 {
            memo.under(1).sign(&key, &family(n), b"token").unwrap();
        }
        assert!(lock(&memo.last).len() <= FAMILIES.get());
        // Another second, or another token of the same family.
        assert_eq!(memo.under(1).sign(&key, &family(1), b"other"), DirectSigner.sign(&key, &family(1), b"other"));
        assert_ne!(memo.under(1).sign(&key, &family(1), b"token"), memo.under(1).sign(&key, &family(1), b"other"));
        // The next generation has another key.
        let next = Key::hmac(Algorithm::Hs256, &Secret::new((1..33).collect()), None).unwrap();
        assert_eq!(memo.under(2).sign(&next, &family(1), b"other"), DirectSigner.sign(&next, &family(1), b"other"));
    }

    #[tokio::test]
    async fn m4_a_signature_of_a_thread_of_its_own_is_made_once_too() {
        let (rules, memo) = (Arc::new(Setup::new().rules), SignatureMemo::default());
        let wish = || {
            let signer = OnlyKnown::of(memo.under(1));
            let signature = signer.sign(rules.keys.active(), &family(1), b"token");
            (signature, signer.missing())
        };
        let (first, second) = (wish().1.unwrap(), wish().1.unwrap());
        let signing = memo.under(1);
        tokio::join!(signing.make(&rules, first), signing.make(&rules, second));
        assert_eq!(memo.take_made(), 1);
        let (signature, missing) = wish();
        assert_eq!(signature, DirectSigner.sign(rules.keys.active(), &family(1), b"token"));
        assert!(missing.is_none());
    }
}
