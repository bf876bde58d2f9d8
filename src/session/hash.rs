//! Domain-separated SHA-256 over length-prefixed parts, so that no two meanings and no two splits collide.

use aws_lc_rs::digest::{SHA256, digest};
use smallvec::SmallVec;

/// What is to be hashed is put together first: hashed at once, it needs no context on the heap.
pub struct Hasher(SmallVec<[u8; 256]>);

impl Hasher {
    /// `domain` names what is hashed; a different purpose gives unrelated values.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let mut hasher = Self(SmallVec::new());
        hasher.part(domain.as_bytes());
        hasher
    }

    pub fn part(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        out
    }
}

#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
        text
    })
}
