//! Tokens that were verified of late, so that a session's next request costs a comparison instead of a signature check.
//!
//! A find compares the whole token. What may end a session before its time (its clock, revocation, logout) is asked on
//! every request, never answered from here; a change of keys or rules begins with an empty one.

use super::lock;
use crate::session::Verified;
use crate::session::token::SessionToken;
use lru::LruCache;
use std::sync::{Arc, Mutex};

/// Bytes kept by one worker, about: some 10 000 usual tokens.
const MOST_BYTES: usize = 6 * 1024 * 1024;
/// What an entry takes besides the token's text.
const ENTRY: usize = 256;

/// The last bytes of a token: of its signature, which nobody can choose without the key. So a hash needs no secret, and
/// whoever guesses at texts learns nothing from how long it takes to find none.
type Tail = [u8; 16];

#[derive(Debug)]
pub struct VerifiedTokens(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    tokens: LruCache<Tail, Arc<SessionToken>>,
    bytes: usize,
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Mutex::new(Recent { tokens: LruCache::unbounded(), bytes: 0 }))
    }
}

impl Verified for VerifiedTokens {
    fn find(&self, text: &[u8]) -> Option<Arc<SessionToken>> {
        let mut recent = lock(&self.0);
        recent.tokens.get(text.last_chunk::<16>()?).filter(|token| token.text() == text).cloned()
    }

    fn remember(&self, token: &Arc<SessionToken>) {
        let Some(tail) = token.text().last_chunk::<16>() else { return };
        let mut recent = lock(&self.0);
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
