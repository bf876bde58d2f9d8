//! Tokens that were verified of late, so that a session's next request costs a comparison instead of a signature check.
//!
//! A find compares the whole token. What may end a session before its time (its clock, revocation, logout) is asked on
//! every request, never answered from here; a new generation of rules begins with an empty one.

use super::lock;
use crate::session::Verified;
use crate::session::token::SessionToken;
use lru::LruCache;
use std::sync::{Arc, Mutex};

/// Bytes kept by one worker, about: some 10 000 usual tokens.
const MOST_BYTES: usize = 6 * 1024 * 1024;
/// What an entry takes besides the token's text.
const ENTRY: usize = 256;
/// Tokens that came once, and found no room.
const CANDIDATES: usize = 8192;

/// The last bytes of a token: of its signature, which nobody can choose without the key. So a hash needs no secret, and
/// whoever guesses at texts learns nothing from how long it takes to find none.
type Tail = [u8; 16];

#[derive(Debug)]
pub struct VerifiedTokens(Mutex<Recent>);

/// Those that one generation of the rules verified. Another's are never found, and an older one's are not kept.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedUnder<'a> {
    tokens: &'a VerifiedTokens,
    generation: u64,
}

#[derive(Debug)]
struct Recent {
    generation: u64,
    tokens: LruCache<Tail, Arc<SessionToken>>,
    bytes: usize,
    /// By their tails: whoever wants the place of another has to come twice. A crowd that passes through, larger than the
    /// memory, would otherwise push out everybody and be found no more often for it.
    candidates: Vec<u64>,
}

impl Recent {
    /// Whether the token may take the place of another.
    fn has_come_before(&mut self, tail: &Tail) -> bool {
        self.candidates.resize(CANDIDATES, 0);
        let [a, b, c, d, e, f, g, h, rest @ ..] = *tail;
        let place = rest.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        let mark = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        self.candidates.get_mut(place % CANDIDATES).is_some_and(|known| std::mem::replace(known, mark) == mark)
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Mutex::new(Recent { generation: 0, tokens: LruCache::unbounded(), bytes: 0, candidates: Vec::new() }))
    }
}

impl VerifiedTokens {
    /// As it is used by a request that follows these rules.
    #[must_use]
    pub const fn under(&self, generation: u64) -> VerifiedUnder<'_> {
        VerifiedUnder { tokens: self, generation }
    }
}

impl Verified for VerifiedUnder<'_> {
    fn find(&self, text: &[u8]) -> Option<Arc<SessionToken>> {
        let mut recent = lock(&self.tokens.0);
        if recent.generation != self.generation {
            return None;
        }
        recent.tokens.get(text.last_chunk::<16>()?).filter(|token| token.text() == text).cloned()
    }

    fn remember(&self, token: &Arc<SessionToken>) {
        let Some(tail) = token.text().last_chunk::<16>() else { return };
        let mut recent = lock(&self.tokens.0);
        if recent.generation > self.generation {
            return;
        }
        if recent.generation < self.generation {
            *recent = Recent { generation: self.generation, tokens: LruCache::unbounded(), bytes: 0, candidates: Vec::new() };
        }
        if recent.bytes.saturating_add(size(token)) > MOST_BYTES && !recent.has_come_before(tail) {
            return;
        }
        recent.bytes = recent.bytes.saturating_add(size(token));
        if let Some((_, replaced)) = recent.tokens.push(*tail, Arc::clone(token)) {
            recent.bytes = recent.bytes.saturating_sub(size(&replaced));
        }
        while recent.bytes > MOST_BYTES
            && let Some((_, oldest)) = recent.tokens.pop_lru()
        {
            recent.bytes = recent.bytes.saturating_sub(size(&oldest));
        }
    }
}

fn size(token: &SessionToken) -> usize {
    token.text().len().saturating_add(ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::{NOW, Setup, at};
    use crate::session::token::{Reading, read};

    fn token(setup: &Setup, id: usize) -> Arc<SessionToken> {
        let text = setup.token(&format!(r#"{{"sid":"{id}","exp":{}}}"#, NOW + 60));
        let Reading::Session(token) = read(&setup.rules, text.as_bytes(), at(0)) else { panic!("{text}") };
        token
    }

    #[test]
    fn q3_a_token_is_known_by_all_its_bytes() {
        let (setup, memory) = (Setup::new(), VerifiedTokens::default());
        let known = memory.under(1);
        let token = token(&setup, 1);
        known.remember(&token);
        assert_eq!(known.find(token.text()), Some(Arc::clone(&token)));
        for place in 0..token.text().len() {
            let mut forged = token.text().to_vec();
            forged[place] ^= 1;
            assert_eq!(known.find(&forged), None, "{place}");
        }
        assert_eq!((known.find(b""), known.find(&token.text()[1..])), (None, None));
    }

    #[test]
    fn q3_what_is_known_is_bounded_and_the_last_used_stay() {
        let (setup, memory) = (Setup::new(), VerifiedTokens::default());
        let known = memory.under(1);
        let first = token(&setup, 0);
        known.remember(&first);
        let second = token(&setup, 1);
        known.remember(&second);
        for id in 2..40_000 {
            let token = token(&setup, id);
            known.remember(&token);
            known.remember(&token);
            assert!(known.find(token.text()).is_some() && known.find(first.text()).is_some(), "{id}");
        }
        assert_eq!(known.find(second.text()), None);
        let recent = lock(&memory.0);
        let counted: usize = recent.tokens.iter().map(|(_, token)| size(token)).sum();
        assert_eq!(recent.bytes, counted);
        assert!((MOST_BYTES - 1024..=MOST_BYTES).contains(&counted), "{counted}");
    }

    #[test]
    fn q3_a_crowd_that_comes_once_pushes_nobody_out() {
        let (setup, memory) = (Setup::new(), VerifiedTokens::default());
        let known = memory.under(1);
        let regular = token(&setup, 0);
        known.remember(&regular);
        for id in 1..60_000 {
            known.remember(&token(&setup, id));
        }
        assert!(known.find(regular.text()).is_some());
        let last = token(&setup, 59_999);
        assert_eq!(known.find(last.text()), None);
        known.remember(&last);
        assert!(known.find(last.text()).is_some());
    }

    #[test]
    fn q3_a_token_that_is_remembered_twice_counts_once() {
        let (setup, memory) = (Setup::new(), VerifiedTokens::default());
        let known = memory.under(1);
        for _ in 0..10 {
            known.remember(&token(&setup, 1));
        }
        assert_eq!(lock(&memory.0).bytes, size(&token(&setup, 1)));
    }

    /// The new rules may have another key, so nothing that the old ones verified may be found; and a request that began
    /// under the old ones, and ends now, must not bring any of it back.
    #[test]
    fn q3_what_is_known_ends_with_its_rules() {
        let (setup, memory) = (Setup::new(), VerifiedTokens::default());
        let token = token(&setup, 1);
        memory.under(1).remember(&token);
        assert!(memory.under(1).find(token.text()).is_some());
        assert!(memory.under(2).find(token.text()).is_none());
        let other = self::token(&setup, 2);
        memory.under(2).remember(&other);
        memory.under(1).remember(&token);
        assert!(memory.under(2).find(token.text()).is_none() && memory.under(1).find(other.text()).is_none());
        assert!(memory.under(2).find(other.text()).is_some());
    }
}
