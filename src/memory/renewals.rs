//! Tokens that were renewed and not used yet, so that their first use is known when it comes (rule O4). Asked on every answer to a
//! session, so it takes one load to say that this is none.

use crate::session::breaker::{Breaker, Pause};
use crate::session::family::Family;
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A sample: a busy site renews more, but the backend treats all alike.
const PLACES: usize = 256;
/// One that nobody used by then gives its place away.
const PATIENCE: Span = Span::from_secs(600);

#[derive(Debug)]
pub struct Renewals {
    places: Box<[Place]>,
    breaker: Mutex<Breaker>,
    /// Epoch milliseconds; zero before the first pause.
    paused_until: AtomicI64,
}

#[derive(Debug, Default)]
struct Place {
    /// Of the token that is waited for; zero for none.
    token: AtomicU64,
    since: AtomicI64,
}

impl Default for Renewals {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| Place::default()).collect(), breaker: Mutex::default(), paused_until: AtomicI64::new(0) }
    }
}

impl Renewals {
    /// A token of this session that ends then was given to the browser.
    pub fn renewed(&self, family: &Family, exp: UnixSeconds, now: UnixMillis) {
        let place = self.place(family);
        let is_taken = place.token.load(Ordering::Relaxed) != 0;
        if !is_taken || now >= UnixMillis::new(place.since.load(Ordering::Relaxed)).plus(PATIENCE) {
            place.since.store(now.get(), Ordering::Relaxed);
            place.token.store(name(family, exp), Ordering::Relaxed);
        }
    }

    /// The backend answered to a token. Answers what that leads to.
    pub fn used(&self, family: &Family, exp: UnixSeconds, is_rejected: bool, now: UnixMillis) -> Option<Pause> {
        let (place, name) = (self.place(family), name(family, exp));
        // Of answers that come together, one is the first.
        if place.token.load(Ordering::Relaxed) != name
            || place.token.compare_exchange(name, 0, Ordering::Relaxed, Ordering::Relaxed).is_err()
            || self.is_paused(now)
        {
            return None;
        }
        let pause = self.breaker.lock().unwrap_or_else(PoisonError::into_inner).used(family, is_rejected)?;
        self.paused_until.store(now.plus(pause.lasts).get(), Ordering::Relaxed);
        Some(pause)
    }

    #[must_use]
    pub fn is_paused(&self, now: UnixMillis) -> bool {
        now.get() < self.paused_until.load(Ordering::Relaxed)
    }

    /// Other keys or clocks hold now: what was seen under the ones before says nothing.
    pub fn begin_anew(&self) {
        *self.breaker.lock().unwrap_or_else(PoisonError::into_inner) = Breaker::default();
        self.paused_until.store(0, Ordering::Relaxed);
    }

    fn place(&self, family: &Family) -> &Place {
        let [.., last] = *family.id();
        &self.places[usize::from(last)]
    }
}

/// Never zero, and hardly ever another token's.
fn name(family: &Family, exp: UnixSeconds) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *family.id();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_add(exp.get().unsigned_abs()) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXP: UnixSeconds = UnixSeconds::new(5000);

    fn at(second: i64) -> UnixMillis {
        UnixMillis::new(second * 1000)
    }

    fn reject(renewals: &Renewals, n: u8, now: UnixMillis) -> Option<Pause> {
        let family = Family::from_id([n; 16]);
        renewals.renewed(&family, EXP, now);
        renewals.used(&family, EXP, true, now)
    }

    #[test]
    fn o4_only_the_first_use_of_a_renewed_token_counts() {
        let renewals = Renewals::default();
        let family = Family::from_id([7; 16]);
        let use_of = |exp, is_rejected| renewals.used(&family, exp, is_rejected, at(0));
        for _ in 0..20 {
            assert_eq!(use_of(EXP, true), None, "nobody renewed it");
        }
        assert_eq!((reject(&renewals, 1, at(0)), reject(&renewals, 2, at(0))), (None, None));
        renewals.renewed(&family, EXP, at(0));
        assert_eq!(use_of(UnixSeconds::new(4000), true), None, "the token before");
        assert_eq!((use_of(EXP, false), use_of(EXP, true)), (None, None), "the second use");
        assert_eq!(reject(&renewals, 3, at(0)).map(|pause| (pause.rejected, pause.of)), Some((3, 4)));
    }

    #[test]
    fn o4_a_pause_ends_by_itself_or_with_the_settings_that_it_began_under() {
        let renewals = Renewals::default();
        let pause = (1..=3).fold(None, |_, n| reject(&renewals, n, at(0))).unwrap();
        let end = at(0).plus(pause.lasts);
        assert!(renewals.is_paused(at(0)) && renewals.is_paused(end.minus(Span::from_millis(1))) && !renewals.is_paused(end));
        // What was renewed before it began goes on to be refused, and makes it no longer.
        assert!((4..=9).all(|n| reject(&renewals, n, at(1)).is_none()) && !renewals.is_paused(end));
        renewals.begin_anew();
        assert!(!renewals.is_paused(at(1)));
        assert_eq!(
            (1..=3).fold(None, |_, n| reject(&renewals, n, at(2))),
            Some(Pause { lasts: Span::from_secs(3600), rejected: 3, of: 3 })
        );
    }

    #[test]
    fn o4_a_token_that_nobody_uses_gives_its_place_away() {
        let renewals = Renewals::default();
        let (lost, next) = (Family::from_id([1; 16]), Family::from_id([[2; 15].as_slice(), &[1]].concat().try_into().unwrap()));
        renewals.renewed(&lost, EXP, at(0));
        renewals.renewed(&next, EXP, at(1));
        let waits_for = |family| renewals.place(family).token.load(Ordering::Relaxed) == name(family, EXP);
        assert!(waits_for(&lost) && !waits_for(&next));
        renewals.renewed(&next, EXP, at(600));
        assert!(waits_for(&next));
    }
}
