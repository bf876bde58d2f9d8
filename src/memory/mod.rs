//! What this process remembers between requests: which sessions ended here, how the backend sets its cookie, the
//! signatures of the last seconds (`signatures`), and the tokens that were verified (`verified`). All of it may be lost:
//! the browser carries what must survive a restart.

mod signatures;
mod verified;

pub use signatures::{OnlyKnown, SignatureMemo, SigningUnder};
pub use verified::VerifiedTokens;

use crate::session::companion::Companion;
use crate::session::effect::Effect;
use crate::session::family::{Family, Subject};
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use crate::session::{Ended, Ending};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Ended families are swept when this many more have come.
const SWEEP_EVERY: usize = 1024;
/// No answer is later than this; what was superseded before is forgotten.
const LONGEST_REQUEST: Span = Span::from_secs(3600);

/// The process's own memory of sessions.
#[derive(Debug, Default)]
pub struct Memory {
    /// Asked on every request; the rest hardly ever.
    ended: RwLock<EndedFamilies>,
    learned: RwLock<Learned>,
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
                Effect::End { family, until } => write(&self.ended).insert(family, *until, now),
                Effect::Reopen(family) => {
                    write(&self.ended).until.remove(family.id());
                }
                Effect::Supersede(family) => {
                    let mut superseded = lock(&self.superseded);
                    if superseded.len() >= SWEEP_EVERY {
                        superseded.retain(|_, at| now < at.plus(LONGEST_REQUEST));
                    }
                    superseded.insert(*family.id(), now);
                }
                Effect::Learn(companion) => {
                    let mut learned = write(&self.learned);
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
        match &*read(&self.learned) {
            Learned::Alike(companion) => Some(companion.clone()),
            Learned::Nothing | Learned::Mixed => None,
        }
    }
}

impl Ended for Memory {
    /// An entry whose tokens are all over says nothing of a session that began since under the same name.
    fn ended(&self, family: &Family, _: Option<&Subject>, _: Option<UnixSeconds>, now: UnixMillis) -> Option<Ending> {
        let until = read(&self.ended).until.get(family.id()).copied();
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

/// Nothing here is left half-changed by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(read(&memory.ended).until.len() <= SWEEP_EVERY + 11);
        memory.apply(&[Effect::Reopen(family(4999))], UnixMillis::new(5000));
        assert!(!ended(5000));
    }
}
