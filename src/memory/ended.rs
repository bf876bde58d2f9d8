//! Which sessions are over though their tokens would let them live, and which are watched: what replicas tell each other.

use super::record::{Key, Kind, Record};
use super::{read, write};
use crate::session::Ending;
use crate::session::family::{Family, Subject};
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use std::collections::HashMap;
use std::sync::RwLock;

/// What is over is swept when this many more have come, and not again in the same second: it walks over all of them.
const SWEEP_EVERY: usize = 1024;
const SWEEP_PAUSE: Span = Span::from_secs(1);

/// Records by key, bounded.
#[derive(Debug)]
pub struct EndedSessions {
    /// What ended. Asked on every request.
    ends: RwLock<Known>,
    /// Who has streams of what, and what was renewed meanwhile: many streams must not take the room of those.
    notes: RwLock<Known>,
    /// Families that end by themselves; beyond that, their subjects end as a whole.
    most: usize,
}

#[derive(Debug, Default)]
struct Known {
    records: HashMap<Key, Record>,
    sweep_at: usize,
    swept: Option<UnixMillis>,
}

/// What became of something that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was known.
    Known,
    /// It is news: peers should hear of it.
    News(Key, Record),
    /// There is no room for it.
    NoRoom,
}

impl EndedSessions {
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { ends: RwLock::default(), notes: RwLock::default(), most }
    }

    /// The family is over. What operators say has room when logouts have none.
    pub fn end(&self, kind: Kind, family: &Family, until: UnixMillis, now: UnixMillis) -> Heard {
        let key = Key { kind, id: *family.id() };
        let most = if kind == Kind::Revoked { self.most.saturating_mul(2) } else { self.most };
        let mut known = write(&self.ends);
        let old = known.records.get(&key).copied();
        if old.is_some_and(|old| old.word == 1 && old.until >= until) {
            return Heard::Known;
        }
        if old.is_none() && !known.has_room(most, now) {
            return Heard::NoRoom;
        }
        known.put(key, Record { until, at: after(old, now), word: 1 })
    }

    /// Sessions of the subject: by `Subject` those that began in the second `word` or before, by `Undated` those of which nobody
    /// knows when. One for each person: twice the room of the families is for them, and for what peers say.
    pub fn end_subject(&self, kind: Kind, subject: &Subject, word: i64, until: UnixMillis, now: UnixMillis) -> Heard {
        let key = Key { kind, id: *subject.id() };
        let mut known = write(&self.ends);
        if !known.records.contains_key(&key) && !known.has_room(self.most.saturating_mul(2), now) {
            return Heard::NoRoom;
        }
        known.put(key, Record { until, at: now, word })
    }

    /// A new login took the family up again. That holds against every end that was said before, heard here or not.
    pub fn reopen(&self, family: &Family, until: UnixMillis, now: UnixMillis) -> Heard {
        let key = Key { kind: Kind::Ended, id: *family.id() };
        let mut known = write(&self.ends);
        let old = known.records.get(&key).copied();
        if old.is_none() && !known.has_room(self.most, now) {
            return Heard::NoRoom;
        }
        known.put(key, Record { until, at: after(old, now), word: 0 })
    }

    /// Something that is no end: streams are open, or a session got a later end.
    pub fn note(&self, key: Key, record: Record) -> Heard {
        let mut known = write(&self.notes);
        if known.records.contains_key(&key) || known.has_room(self.most, record.at) { known.put(key, record) } else { Heard::NoRoom }
    }

    /// What a peer said. It is news only where we know better: then the store should, too.
    pub fn hear(&self, key: Key, record: Record, now: UnixMillis) -> Heard {
        if record.is_over(now) {
            return Heard::Known;
        }
        let mut known = write(self.of(key.kind));
        if !known.records.contains_key(&key) && !known.has_room(self.most.saturating_mul(2), now) {
            return Heard::NoRoom;
        }
        known.put(key, record);
        match known.records.get(&key) {
            Some(merged) if *merged != record => Heard::News(key, *merged),
            _ => Heard::Known,
        }
    }

    /// Whether the session is over, and how it ended.
    #[must_use]
    pub fn ending(&self, family: &Family, subject: Option<&Subject>, origin: Option<UnixSeconds>, now: UnixMillis) -> Option<Ending> {
        let known = read(&self.ends);
        if known.records.is_empty() {
            return None;
        }
        let find = |kind, id| known.records.get(&Key { kind, id }).filter(|record| !record.is_over(now));
        let is_subject_over = |subject: &Subject| match origin {
            Some(origin) => find(Kind::Subject, *subject.id()).is_some_and(|record| origin.get() <= record.word),
            None => find(Kind::Undated, *subject.id()).is_some(),
        };
        let is_revoked = find(Kind::Revoked, *family.id()).is_some() || subject.is_some_and(is_subject_over);
        if is_revoked {
            return Some(Ending::Revoked);
        }
        find(Kind::Ended, *family.id()).filter(|record| record.word == 1).map(|_| Ending::LoggedOut)
    }

    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Record> {
        read(self.of(key.kind)).records.get(key).copied()
    }

    /// Everything that still says something.
    #[must_use]
    pub fn all(&self, now: UnixMillis) -> Vec<(Key, Record)> {
        let of = |known: &RwLock<Known>| -> Vec<(Key, Record)> {
            read(known).records.iter().filter(|(_, record)| !record.is_over(now)).map(|(key, record)| (*key, *record)).collect()
        };
        [of(&self.ends), of(&self.notes)].concat()
    }

    /// Forgets what says nothing any more.
    pub fn sweep(&self, now: UnixMillis) {
        for known in [&self.ends, &self.notes] {
            write(known).records.retain(|_, record| !record.is_over(now));
        }
    }

    /// How many of this kind end something at this moment.
    #[must_use]
    pub fn count(&self, kind: Kind, now: UnixMillis) -> usize {
        let says = |(key, record): &(&Key, &Record)| key.kind == kind && !record.is_over(now) && (kind != Kind::Ended || record.word == 1);
        read(self.of(kind)).records.iter().filter(says).count()
    }

    const fn of(&self, kind: Kind) -> &RwLock<Known> {
        match kind {
            Kind::Ended | Kind::Revoked | Kind::Subject | Kind::Undated => &self.ends,
            Kind::Watched | Kind::Renewed => &self.notes,
        }
    }
}

/// Later than what was said before, even by somebody whose clock is ahead, or in this very millisecond.
fn after(old: Option<Record>, now: UnixMillis) -> UnixMillis {
    old.map_or(now, |old| now.max(UnixMillis::new(old.at.get().saturating_add(1))))
}

impl Known {
    fn has_room(&mut self, most: usize, now: UnixMillis) -> bool {
        if self.records.len() >= self.sweep_at && self.swept.is_none_or(|swept| now >= swept.plus(SWEEP_PAUSE) || now < swept) {
            self.swept = Some(now);
            self.records.retain(|_, record| !record.is_over(now));
            self.sweep_at = self.records.len().saturating_add(SWEEP_EVERY).min(most);
        }
        self.records.len() < most
    }

    fn put(&mut self, key: Key, record: Record) -> Heard {
        let old = self.records.get(&key).copied();
        let merged = old.map_or(record, |old| old.merged(record, key.kind));
        if old == Some(merged) {
            return Heard::Known;
        }
        self.records.insert(key, merged);
        Heard::News(key, merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: UnixMillis = UnixMillis::new(1_000_000);

    fn at(millis: i64) -> UnixMillis {
        UnixMillis::new(millis)
    }

    fn family(n: u64) -> Family {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        Family::from_id(id)
    }

    fn ending(ended: &EndedSessions, family: &Family, now: i64) -> Option<Ending> {
        ended.ending(family, None, None, at(now))
    }

    #[test]
    fn r3_an_entry_lives_until_no_token_of_the_family_can_and_is_swept_then() {
        let ended = EndedSessions::new(100_000);
        for n in 0..5000 {
            let now = i64::try_from(n).unwrap();
            ended.end(Kind::Ended, &family(n), at(now + 10), at(now));
        }
        assert_eq!((ending(&ended, &family(4999), 5008), ending(&ended, &family(4999), 5009)), (Some(Ending::LoggedOut), None));
        assert!(read(&ended.ends).records.len() <= SWEEP_EVERY + 1011, "swept once in a second");
        ended.sweep(at(5009));
        assert!(ended.all(at(0)).is_empty());
    }

    #[test]
    fn r2_a_family_or_a_subject_up_to_a_moment() {
        let ended = EndedSessions::new(100);
        let (ada, bob) = (Subject::named("ada"), Subject::named("bob"));
        ended.end_subject(Kind::Subject, &ada, 100, LATER, at(0));
        ended.end_subject(Kind::Undated, &ada, 1, at(500), at(0));
        let over = |subject, origin: Option<i64>, now| ended.ending(&family(1), subject, origin.map(UnixSeconds::new), at(now)).is_some();
        assert!(over(Some(&ada), Some(100), 1) && over(Some(&ada), None, 499));
        assert!(!over(Some(&ada), Some(101), 1) && !over(Some(&bob), Some(1), 1) && !over(None, None, 1));
        assert!(!over(Some(&ada), None, 500), "by then, every token of that time is over");
        // An earlier moment, said later, takes nothing back.
        ended.end_subject(Kind::Subject, &ada, 50, LATER, at(1));
        assert!(over(Some(&ada), Some(100), 1));
        ended.end(Kind::Revoked, &family(1), LATER, at(1));
        assert!(over(Some(&bob), Some(1), 1));
        // A login takes up what was logged out, never what was revoked.
        ended.reopen(&family(1), LATER, at(2));
        assert!(over(Some(&bob), Some(1), 3));
    }

    #[test]
    fn l3_a_login_takes_a_family_up_again_on_every_replica() {
        let (here, there) = (EndedSessions::new(100), EndedSessions::new(100));
        let Heard::News(key, end) = here.end(Kind::Ended, &family(1), LATER, at(5)) else { panic!("it is news") };
        let Heard::News(_, reopened) = here.reopen(&family(1), LATER, at(5)) else { panic!("it is news") };
        assert_eq!(ending(&here, &family(1), 6), None);
        // Whichever is heard first.
        there.hear(key, reopened, at(6));
        assert_eq!(there.hear(key, end, at(6)), Heard::News(key, reopened), "the store is told the new");
        assert_eq!(ending(&there, &family(1), 6), None);
        // And logged out again.
        assert!(matches!(here.end(Kind::Ended, &family(1), LATER, at(7)), Heard::News(..)));
        assert_eq!(ending(&here, &family(1), 8), Some(Ending::LoggedOut));
        assert_eq!(here.end(Kind::Ended, &family(1), LATER, at(9)), Heard::Known);
    }

    /// The login comes to a replica that has not heard of the logout yet.
    #[test]
    fn l3_a_login_holds_against_a_logout_that_is_heard_later() {
        let (here, there) = (EndedSessions::new(100), EndedSessions::new(100));
        let Heard::News(key, end) = here.end(Kind::Ended, &family(1), LATER, at(5)) else { panic!("it is news") };
        assert!(matches!(there.reopen(&family(1), LATER, at(7)), Heard::News(..)));
        assert!(matches!(there.hear(key, end, at(8)), Heard::News(..)));
        assert_eq!(ending(&there, &family(1), 9), None);
    }

    /// A login was seen by a peer whose clock is ahead; or ours went back.
    #[test]
    fn l1_a_logout_holds_whatever_the_clock_said_before() {
        let ended = EndedSessions::new(100);
        ended.reopen(&family(1), LATER, at(5000));
        assert!(matches!(ended.end(Kind::Ended, &family(1), LATER, at(10)), Heard::News(..)));
        assert_eq!(ending(&ended, &family(1), 11), Some(Ending::LoggedOut));
    }

    #[test]
    fn r2_what_is_known_is_bounded_and_operators_have_room_when_logouts_have_none() {
        let ended = EndedSessions::new(10);
        for n in 0..10 {
            ended.end(Kind::Ended, &family(n), LATER, at(5000));
        }
        assert_eq!(ended.end(Kind::Ended, &family(11), LATER, at(5000)), Heard::NoRoom);
        assert!(matches!(ended.end(Kind::Revoked, &family(11), LATER, at(5000)), Heard::News(..)));
        assert!(matches!(ended.end_subject(Kind::Subject, &Subject::named("ada"), 5, LATER, at(5000)), Heard::News(..)));
        for n in 0..100 {
            ended.hear(Key { kind: Kind::Ended, id: *family(n).id() }, Record { until: LATER, at: at(5000), word: 1 }, at(5000));
        }
        assert!(read(&ended.ends).records.len() <= 20);
        // Streams have a room of their own.
        for n in 0..100 {
            ended.note(Key { kind: Kind::Watched, id: *family(n).id() }, Record { until: LATER, at: at(5000), word: 1 });
        }
        assert_eq!(ended.count(Kind::Watched, at(5000)), 10);
        // Room comes back with time.
        assert!(matches!(ended.end(Kind::Ended, &family(12), at(3_000_000), at(2_000_000)), Heard::News(..)));
    }
}
