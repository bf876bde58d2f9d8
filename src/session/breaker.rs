//! Rule O4: whether the backend takes the tokens that we renew. One that remembers tokens themselves (a table of their hashes,
//! a CSRF token bound to one) answers the first use of a renewed one with 401, and whoever was at work is out. Then renewing is
//! worse than not renewing, so it stops.

use super::family::Family;
use super::time::Span;
use std::collections::VecDeque;

/// Sessions whose last first use is remembered.
const WINDOW: usize = 10;
/// Fewer than this many may have been ended by the backend for a reason of its own.
const LEAST: usize = 3;
/// The first stop; each further one lasts twice as long, until renewed tokens are taken again.
const FIRST_PAUSE: Span = Span::from_secs(3600);
const LONGEST_PAUSE: Span = Span::from_secs(86_400);

/// What the first uses of renewed tokens have shown of late.
#[derive(Debug, Default)]
pub struct Breaker {
    /// By session, the oldest first.
    seen: VecDeque<([u8; 16], bool)>,
    pauses: u32,
}

/// Renewal stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub lasts: Span,
    /// Sessions whose renewed token was refused, and those that used one.
    pub rejected: usize,
    pub of: usize,
}

impl Breaker {
    /// The first use of a renewed token was answered; the token before it had been taken.
    pub fn used(&mut self, family: &Family, is_rejected: bool) -> Option<Pause> {
        self.seen.retain(|(id, _)| id != family.id());
        if self.seen.len() >= WINDOW {
            self.seen.pop_front();
        }
        self.seen.push_back((*family.id(), is_rejected));
        let (of, rejected) = (self.seen.len(), self.seen.iter().filter(|(_, is_rejected)| *is_rejected).count());
        if of >= LEAST && rejected == 0 {
            self.pauses = 0;
        }
        let most = of.checked_div(2).unwrap_or_default();
        if rejected < LEAST || rejected <= most {
            return None;
        }
        let factor = 1_u64.checked_shl(self.pauses).unwrap_or(u64::MAX);
        let lasts = Span::from_secs(FIRST_PAUSE.as_secs().saturating_mul(factor)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.seen.clear();
        Some(Pause { lasts, rejected, of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(n: u8) -> Family {
        Family::from_id([n; 16])
    }

    fn told(breaker: &mut Breaker, answers: &str) -> Option<Pause> {
        let mut last = None;
        for (n, answer) in (0..).zip(answers.bytes()) {
            assert_eq!(last, None, "{answers}: before use {n}");
            last = breaker.used(&family(n), answer == b'x');
        }
        last
    }

    #[test]
    fn o4_most_of_the_last_renewed_sessions_decide() {
        let table = [
            ("", None),
            ("x", None),
            ("xx", None),
            ("xxx", Some((3, 3))),
            (".....", None),
            ("..xxx", Some((3, 5))),
            ("...xxx", None),
            ("...xxxx", Some((4, 7))),
            // What lies longer ago than ten sessions is not asked.
            ("..........xxxxx", None),
            ("..........xxxxxx", Some((6, 10))),
            (".x.x.x.x.x.x.x.x.x.x", None),
        ];
        for (answers, expected) in table {
            let paused = told(&mut Breaker::default(), answers);
            assert_eq!(paused.map(|pause| (pause.rejected, pause.of)), expected, "{answers}");
        }
    }

    #[test]
    fn o4_one_session_counts_once() {
        let mut breaker = Breaker::default();
        for _ in 0..50 {
            assert_eq!(breaker.used(&family(1), true), None);
        }
        assert_eq!(breaker.used(&family(2), true), None);
        assert!(breaker.used(&family(3), true).is_some());
    }

    #[test]
    fn o4_each_stop_lasts_twice_as_long_until_tokens_are_taken_again() {
        let mut breaker = Breaker::default();
        let hours = |breaker: &mut Breaker| told(breaker, "xxx").map(|pause| pause.lasts.as_secs() / 3600);
        let lasted: Vec<_> = (0..7).map(|_| hours(&mut breaker).unwrap()).collect();
        assert_eq!(lasted, [1, 2, 4, 8, 16, 24, 24]);
        assert_eq!(told(&mut breaker, "..."), None);
        for n in 10..17 {
            assert_eq!(breaker.used(&family(n), false), None);
        }
        assert_eq!(told(&mut breaker, "xxxxxx").map(|pause| pause.lasts), Some(FIRST_PAUSE));
    }
}
