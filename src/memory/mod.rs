//! What this process remembers between requests: which sessions are over (`ended`), how the backend sets its cookie, the
//! signatures of the last seconds (`signatures`), the tokens that were verified (`verified`), and whether the backend takes those
//! that were renewed (`renewals`). All of it may be lost: the browser carries what must survive a restart, and the store what
//! operators said.
//!
//! What is over, replicas tell each other through a store, if there is one (`store`). A request never waits for it: it reads
//! what is known here.

mod ended;
mod record;
mod renewals;
mod signatures;
pub mod store;
mod verified;

pub use record::{Key, Kind, Record, bytes_of_hex};
pub use signatures::{OnlyKnown, SignatureMemo, SigningUnder};
pub use verified::VerifiedTokens;

use crate::session::breaker::Pause;
use crate::session::companion::Companion;
use crate::session::effect::{Effect, TOMBSTONE_GRACE};
use crate::session::family::{Family, Subject};
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use crate::session::{Ended, Ending};
use ended::{EndedSessions, Heard};
use renewals::Renewals;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use store::Outbox;

/// Superseded families are swept when there are so many.
const SWEEP_AT: usize = 1024;
/// No answer is later than this; what was superseded before is forgotten.
const LONGEST_REQUEST: Span = Span::from_secs(3600);
/// No cookie lives longer (RFC 6265bis §5.5), so an operator's word holds for as long: when the tokens that it is about end,
/// nobody knows.
const LONGEST_COOKIE: Span = Span::from_secs(34_560_000);
/// Notes end at multiples of this, so that many streams of one session say the same.
const NOTE_STEP: Span = Span::from_secs(600);

/// The process's own memory of sessions.
#[derive(Debug)]
pub struct Memory {
    /// Asked on every request; the rest hardly ever.
    ended: EndedSessions,
    learned: RwLock<Learned>,
    superseded: Mutex<HashMap<[u8; 16], UnixMillis>>,
    renewals: Renewals,
    /// To the peers, if there is a store.
    outbox: Option<Outbox>,
    /// What found no room, since this was asked last.
    without_room: AtomicU64,
}

/// Whether peers know what an operator said.
#[derive(Debug)]
pub enum Told {
    /// There are none that would hear.
    Nobody,
    /// This ends when they can; without a word, if that is not known.
    Later(tokio::sync::oneshot::Receiver<()>),
    /// It does not even hold here.
    NoRoom,
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

impl Default for Memory {
    fn default() -> Self {
        Self::new(usize::MAX / 4, None)
    }
}

impl Memory {
    /// `most` families end by themselves before whole subjects do.
    #[must_use]
    pub fn new(most: usize, outbox: Option<Outbox>) -> Self {
        Self {
            ended: EndedSessions::new(most),
            learned: RwLock::default(),
            superseded: Mutex::default(),
            renewals: Renewals::default(),
            outbox,
            without_room: AtomicU64::new(0),
        }
    }

    /// Carries out what the rules asked to be remembered.
    pub fn apply(&self, effects: &[Effect], now: UnixMillis) {
        for effect in effects {
            match effect {
                Effect::End { family, subject, until } => self.end(family, subject.as_ref(), *until, now),
                Effect::Reopen { family, until } => self.tell(self.ended.reopen(family, *until, now)),
                Effect::Supersede(family) => {
                    let mut superseded = lock(&self.superseded);
                    if superseded.len() >= SWEEP_AT {
                        superseded.retain(|_, at| now < at.plus(LONGEST_REQUEST));
                    }
                    superseded.insert(*family.id(), now);
                }
                Effect::Renew { family, exp } => self.renewals.renewed(family, *exp, now),
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

    /// Where there is no room for one family more, its whole subject is over, as far as it began until now: logged out too often
    /// is better than not at all.
    fn end(&self, family: &Family, subject: Option<&Subject>, until: UnixMillis, now: UnixMillis) {
        let heard = self.ended.end(Kind::Ended, family, until, now);
        match subject.filter(|_| heard == Heard::NoRoom) {
            None => self.tell(heard),
            Some(subject) => {
                self.tell(self.ended.end_subject(Kind::Undated, subject, 1, until, now));
                self.tell(self.ended.end_subject(Kind::Subject, subject, now.second().get(), until, now));
            }
        }
    }

    /// An operator ends a session. It holds here at once; what is returned tells whether the peers know.
    pub fn revoke_family(&self, family: &Family, now: UnixMillis) -> Told {
        self.tell_and_wait(self.ended.end(Kind::Revoked, family, now.plus(LONGEST_COOKIE), now))
    }

    /// An operator ends all sessions of a subject that began in this second or before. Of those that do not say when they began,
    /// all that can live: `longest_ttl` later there is none left of them, and a new one is let in.
    pub fn revoke_subject(&self, subject: &Subject, before: UnixSeconds, longest_ttl: Span, now: UnixMillis) -> Told {
        self.tell(self.ended.end_subject(Kind::Undated, subject, 1, now.plus(longest_ttl).plus(TOMBSTONE_GRACE), now));
        self.tell_and_wait(self.ended.end_subject(Kind::Subject, subject, before.get(), now.plus(LONGEST_COOKIE), now))
    }

    fn tell_and_wait(&self, heard: Heard) -> Told {
        match (heard, &self.outbox) {
            (Heard::NoRoom, _) => {
                self.tell(heard);
                Told::NoRoom
            }
            (_, None) => Told::Nobody,
            // What was known already may be on its way still.
            (Heard::Known, Some(outbox)) => Told::Later(outbox.flush()),
            (Heard::News(key, record), Some(outbox)) => Told::Later(outbox.send_and_wait(key, record)),
        }
    }

    fn tell(&self, heard: Heard) {
        match (heard, &self.outbox) {
            (Heard::News(key, record), Some(outbox)) => outbox.send(key, record),
            (Heard::NoRoom, _) => {
                self.without_room.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// A stream of the family is open here: who renews it should say so. Its session ends then, as far as is known.
    pub fn watch(&self, family: &Family, ends: UnixMillis) {
        // A weak one is the family of strangers too, and of all of them at once.
        if self.outbox.is_some() && !family.is_weak() {
            self.note(Kind::Watched, family, ends, 1);
        }
    }

    /// A session has a later end. Peers hear of it if any of them has streams of it.
    pub fn renewed(&self, family: &Family, ends: UnixMillis, now: UnixMillis) {
        let watched = Key { kind: Kind::Watched, id: *family.id() };
        if self.outbox.is_some() && self.ended.get(&watched).is_some_and(|record| !record.is_over(now)) {
            self.note(Kind::Watched, family, ends, 1);
            self.note(Kind::Renewed, family, ends, ends.get());
        }
    }

    /// Said alike by everybody and every time, so that only what is new is news.
    fn note(&self, kind: Kind, family: &Family, ends: UnixMillis, word: i64) {
        let step = i64::try_from(NOTE_STEP.as_millis()).unwrap_or(i64::MAX);
        let until = (ends.plus(TOMBSTONE_GRACE).get() / step).saturating_add(1).saturating_mul(step);
        let record = Record { until: UnixMillis::new(until), at: UnixMillis::new(0), word };
        if let heard @ Heard::News(..) = self.ended.note(Key { kind, id: *family.id() }, record) {
            self.tell(heard);
        }
    }

    /// The latest end of a session that a peer told of.
    #[must_use]
    pub fn renewal(&self, family: &Family) -> Option<UnixMillis> {
        self.outbox.as_ref()?;
        self.ended.get(&Key { kind: Kind::Renewed, id: *family.id() }).map(|record| UnixMillis::new(record.word))
    }

    /// A peer's word, or our own come back. What is returned is known better here.
    pub fn hear(&self, key: Key, record: Record, now: UnixMillis) -> Option<(Key, Record)> {
        match self.ended.hear(key, record, now) {
            Heard::News(key, better) => Some((key, better)),
            Heard::Known => None,
            Heard::NoRoom => {
                self.without_room.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Everything that peers should know.
    #[must_use]
    pub fn all(&self, now: UnixMillis) -> Vec<(Key, Record)> {
        self.ended.all(now)
    }

    /// Forgets what is over.
    pub fn sweep(&self, now: UnixMillis) {
        self.ended.sweep(now);
    }

    /// The backend answered to a token of this family that ends then. Answers whether renewal stops for it.
    pub fn answered(&self, family: &Family, exp: UnixSeconds, is_rejected: bool, now: UnixMillis) -> Option<Pause> {
        self.renewals.used(family, exp, is_rejected, now)
    }

    /// Other keys or clocks hold: renewed tokens are tried again.
    pub fn renew_again(&self) {
        self.renewals.begin_anew();
    }

    /// How many ends of this kind are known.
    #[must_use]
    pub fn count(&self, kind: Kind, now: UnixMillis) -> usize {
        self.ended.count(kind, now)
    }

    /// Ends when the store has what was said until now, or when nobody can tell.
    pub async fn flush(&self) {
        if let Some(outbox) = &self.outbox {
            let _ = outbox.flush().await; // Whoever asks is about to end, and knows no better.
        }
    }

    /// Ends that found no room since this was asked last.
    #[must_use]
    pub fn take_without_room(&self) -> u64 {
        self.without_room.swap(0, Ordering::Relaxed)
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
    fn ended(&self, family: &Family, subject: Option<&Subject>, origin: Option<UnixSeconds>, now: UnixMillis) -> Option<Ending> {
        self.ended.ending(family, subject, origin, now)
    }

    fn is_blind(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.link().is_blind())
    }

    fn is_paused(&self, now: UnixMillis) -> bool {
        self.renewals.is_paused(now)
    }

    fn superseded(&self, family: &Family, since: UnixMillis) -> bool {
        lock(&self.superseded).get(family.id()).is_some_and(|at| since <= *at)
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
