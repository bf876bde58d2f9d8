//! What this process remembers between requests: which sessions ended here, how the backend sets its cookie, and the
//! signatures of the last seconds. All of it may be lost: the browser carries what must survive a restart.

use crate::session::companion::Companion;
use crate::session::effect::Effect;
use crate::session::family::{Family, Subject};
use crate::session::keys::{DirectSigner, Key, Signer, SigningFailed};
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use crate::session::{Ended, Ending};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ended families are swept when this many more have come.
const SWEEP_EVERY: usize = 1024;
/// No answer is later than this; what was superseded before is forgotten.
const LONGEST_REQUEST: Span = Span::from_secs(3600);
/// Signatures kept: enough for every family that renews within one second on a busy host.
const SIGNATURES: usize = 1024;

/// The process's own memory of sessions.
#[derive(Debug, Default)]
pub struct Memory {
    ended: Mutex<EndedFamilies>,
    learned: Mutex<Learned>,
    superseded: Mutex<HashMap<[u8; 16], UnixMillis>>,
}

/// How the backend sets its cookie, as long as it sets it alike for everybody.
#[derive(Debug, Default)]
enum Learned {
    #[default]
    Nothing,
    Alike(Companion),
    /// One person's attributes say nothing of another's.
    Mixed,
}

#[derive(Debug, Default)]
struct EndedFamilies {
    until: HashMap<[u8; 16], UnixMillis>,
    sweep_at: usize,
}

impl Memory {
    /// Carries out what the rules asked to be remembered.
    pub fn apply(&self, effects: &[Effect], now: UnixMillis) {
        for effect in effects {
            match effect {
                Effect::End { family, until } => lock(&self.ended).insert(family, *until, now),
                Effect::Reopen(family) => {
                    lock(&self.ended).until.remove(family.id());
                }
                Effect::Supersede(family) => {
                    let mut superseded = lock(&self.superseded);
                    if superseded.len() >= SWEEP_EVERY {
                        superseded.retain(|_, at| now < at.plus(LONGEST_REQUEST));
                    }
                    superseded.insert(*family.id(), now);
                }
                Effect::Learn(companion) => {
                    let mut learned = lock(&self.learned);
                    *learned = match &*learned {
                        Learned::Nothing => Learned::Alike(companion.clone()),
                        Learned::Alike(known) if known == companion => Learned::Alike(companion.clone()),
                        _ => Learned::Mixed,
                    };
                }
            }
        }
    }

    /// How the backend last set its cookie, as far as this process saw.
    #[must_use]
    pub fn learned(&self) -> Option<Companion> {
        match &*lock(&self.learned) {
            Learned::Alike(companion) => Some(companion.clone()),
            Learned::Nothing | Learned::Mixed => None,
        }
    }
}

impl Ended for Memory {
    /// An entry whose tokens are all over says nothing of a session that began since under the same name.
    fn ended(&self, family: &Family, _: Option<&Subject>, _: Option<UnixSeconds>, now: UnixMillis) -> Option<Ending> {
        let until = lock(&self.ended).until.get(family.id()).copied();
        until.filter(|until| now < *until).map(|_| Ending::LoggedOut)
    }

    fn superseded(&self, family: &Family, since: UnixMillis) -> bool {
        lock(&self.superseded).get(family.id()).is_some_and(|at| since <= *at)
    }
}

impl EndedFamilies {
    fn insert(&mut self, family: &Family, until: UnixMillis, now: UnixMillis) {
        if self.until.len() >= self.sweep_at {
            self.until.retain(|_, until| *until > now);
            self.sweep_at = self.until.len().saturating_add(SWEEP_EVERY);
        }
        let known = self.until.entry(*family.id()).or_insert(until);
        *known = until.max(*known);
    }
}

/// Rule M4: the same token renewed in the same second is signed once, however many requests ask.
#[derive(Debug, Default)]
pub struct SignatureMemo {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    signatures: HashMap<String, String>,
    order: VecDeque<String>,
    made: u64,
}

impl SignatureMemo {
    /// How many signatures were made, not remembered.
    #[must_use]
    pub fn made(&self) -> u64 {
        lock(&self.known).made
    }
}

impl Signer for SignatureMemo {
    /// Signs under the lock: whoever waits for it wants this signature.
    fn sign(&self, key: &Key, input: &str) -> Result<String, SigningFailed> {
        let mut known = lock(&self.known);
        if let Some(signature) = known.signatures.get(input) {
            return Ok(signature.clone());
        }
        let signature = DirectSigner.sign(key, input)?;
        known.made = known.made.saturating_add(1);
        if known.order.len() >= SIGNATURES
            && let Some(oldest) = known.order.pop_front()
        {
            known.signatures.remove(&oldest);
        }
        known.order.push_back(input.to_owned());
        known.signatures.insert(input.to_owned(), signature.clone());
        Ok(signature)
    }
}

/// Nothing here is left half-changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::keys::{Algorithm, Secret};

    #[test]
    fn ended_families_are_swept_when_no_token_of_them_can_live() {
        let memory = Memory::default();
        let family = |n: u64| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            Family::from_id(id)
        };
        for n in 0..5000 {
            let now = UnixMillis::new(i64::try_from(n).unwrap());
            memory.apply(&[Effect::End { family: family(n), until: UnixMillis::new(now.get() + 10) }], now);
        }
        let ended = |millis| memory.ended(&family(4999), None, None, UnixMillis::new(millis)).is_some();
        assert!(ended(5008) && !ended(5009));
        assert!(lock(&memory.ended).until.len() <= SWEEP_EVERY + 11);
        memory.apply(&[Effect::Reopen(family(4999))], UnixMillis::new(5000));
        assert!(!ended(5000));
    }

    #[test]
    fn m4_one_signature_per_token_and_second() {
        let key = Key::hmac(Algorithm::Hs256, &Secret::new((0..32).collect()), None).unwrap();
        let memo = SignatureMemo::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|n| drop(memo.sign(&key, &format!("token.{}", n % 5)))));
            }
        });
        assert_eq!(memo.made(), 5);
        for n in 0..2 * SIGNATURES {
            memo.sign(&key, &format!("other.{n}")).unwrap();
        }
        assert!(lock(&memo.known).signatures.len() <= SIGNATURES);
        assert_eq!(memo.sign(&key, "token.1"), DirectSigner.sign(&key, "token.1"));
    }
}
