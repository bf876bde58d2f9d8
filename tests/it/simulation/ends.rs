//! Which process saw which session end, and for how long it has to remember that.

use super::backend::Known;
use super::plan::{Millis, SECOND, SKEW, TOMBSTONE_GRACE, millis};
use super::replica::Process;
use crate::harness::NOW;
use std::collections::HashMap;

/// Nothing tells a process of a logout elsewhere, so that others may go on renewing what it saw end. It remembers for as
/// long as it can know of a token: what it may have renewed itself, and what it was shown since.
#[derive(Default)]
pub struct Ends(HashMap<(usize, usize), Millis>);

impl Ends {
    /// The process saw the session of this token end.
    pub fn begin(&mut self, known: &Known, process: &Process, now: Millis) {
        let renewed = now + millis(process.rules.policy.longest_ttl()) + TOMBSTONE_GRACE;
        self.extend(known, process, renewed.max(last_life(known)));
    }

    /// The process was shown a token of a session that ended there.
    pub fn meet(&mut self, known: &Known, process: &Process, now: Millis) {
        if self.hold(known.session, process, now) {
            self.extend(known, process, last_life(known));
        }
    }

    pub fn hold(&self, session: usize, process: &Process, now: Millis) -> bool {
        self.0.get(&(session, process.id)).is_some_and(|until| now < *until)
    }

    /// The session has begun anew, at every process.
    pub fn reopen(&mut self, session: usize) {
        self.0.retain(|(ended, _), _| *ended != session);
    }

    fn extend(&mut self, known: &Known, process: &Process, until: Millis) {
        let promised = self.0.entry((known.session, process.id)).or_insert(until);
        *promised = until.max(*promised);
    }
}

fn last_life(known: &Known) -> Millis {
    (known.claims.exp - NOW) * SECOND + TOMBSTONE_GRACE - SKEW
}
