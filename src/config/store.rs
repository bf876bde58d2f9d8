//! The store that replicas share, and who may write to it by hand.

use super::table;
use super::vars::Reader;
use crate::memory::store::StoreSettings;
use crate::session::keys::Secret;
use crate::session::time::Span;

/// The store is heard of once a second: a shorter grace would end between two words.
const SHORTEST_GRACE: Span = Span::from_secs(3);
/// Bytes of a token that nobody guesses.
const GOOD_TOKEN: usize = 16;

/// `None` if anything is wrong, which the reader knows; the inner one without a store.
pub fn read(r: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<Option<StoreSettings>> {
    let before = r.problems.len();
    let address = r.get(&table::SESSION_STORE);
    let ca = r.secret(&table::SESSION_STORE_CA, false).map(|secret| secret.expose().to_vec());
    let grace = r.get(&table::SESSION_STORE_GRACE);
    let prefix = r.get(&table::SESSION_STORE_PREFIX);
    if let Some(grace) = grace.filter(|grace| *grace < SHORTEST_GRACE) {
        let remedy = format!("is too short to tell a store that is lost from one that has nothing to say; write {SHORTEST_GRACE} or more");
        r.problem(table::SESSION_STORE_GRACE.about.name, Some(grace.to_string()), remedy);
    }
    if r.problems.len() > before {
        return None;
    }
    let Some(address) = address? else {
        if ca.is_some() {
            warnings.push("SESSION_STORE_CA is set, but SESSION_STORE is memory: it has no effect".to_owned());
        }
        r.show(&table::SESSION_STORE.about, "memory".to_owned());
        return Some(None);
    };
    r.show(&table::SESSION_STORE.about, address.to_string());
    Some(Some(StoreSettings { address, ca, grace: grace?, prefix: prefix? }))
}

/// What is asked of whoever revokes.
pub fn admin_token(r: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<Secret> {
    let token = r.secret(&table::SLIDECAR_ADMIN_TOKEN, false)?;
    if token.expose().len() < GOOD_TOKEN {
        warnings.push(format!(
            "SLIDECAR_ADMIN_TOKEN has fewer than {GOOD_TOKEN} bytes: it could be guessed; generate one with: openssl rand -hex 32"
        ));
    }
    Some(token)
}
