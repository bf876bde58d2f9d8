//! Re-signing: the new token is the old one with the bytes of `exp` replaced (SPEC M1–M3).
//!
//! Splice, read again, compare, sign. A pure function of the old token and the second, so that replicas which renew
//! at once give the same bytes, no lock is needed, and a lost answer harms nobody.

use super::Rules;
use super::json::Object;
use super::keys::{KeyRole, Signer};
use super::time::{UnixMillis, UnixSeconds};
use super::token::{IatMode, MAX_COOKIE_BYTES, SessionToken};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::ops::Range;

/// A token that we signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    pub text: Vec<u8>,
    pub exp: UnixSeconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// A cap is set and the token does not say when the session began (SPEC M2).
    NoOrigin,
    /// `name=value` would exceed what browsers keep (SPEC M5).
    TooLong,
    /// The spliced bytes do not read back as meant, or the key does not sign.
    Failed,
}

/// The `exp` that a renewal at `now` would give: `min(now + TTL, origin + A)`; never earlier than the session's own
/// end, except to shorten a token that outlives the policy.
pub fn renewed_exp(rules: &Rules, token: &SessionToken, now: UnixMillis) -> Result<UnixSeconds, MintError> {
    let ttl = rules.policy.clocks(token.class).ttl;
    let fresh = now.second().plus(ttl);
    let fresh = match (rules.policy.absolute(), token.cap()) {
        (None, _) => fresh,
        (Some(_), Some(cap)) => fresh.min(cap),
        (Some(_), None) => return Err(MintError::NoOrigin),
    };
    Ok(if token.outlives(ttl, now) { fresh } else { fresh.max(token.effective_exp()) })
}

/// Signs the token anew, with the active key and this `exp`.
pub fn mint(rules: &Rules, signer: &dyn Signer, token: &SessionToken, exp: UnixSeconds, now: UnixMillis) -> Result<Minted, MintError> {
    let payload = match rules.token.iat {
        IatMode::Keep => replaced(&token.payload, &[("exp", exp)], None),
        // The origin stays what it was: `iat` is copied to `orig_iat` before it moves, once.
        IatMode::Bump => {
            let claims = Object::parse(&token.payload).map_err(|_| MintError::Failed)?;
            let says = |name: &str| claims.get(name).is_some_and(|value| value.raw() != b"null");
            let added = (says("iat") && !says("auth_time") && !says("orig_iat")).then_some(token.origin).flatten();
            let changes: &[_] = if says("iat") { &[("exp", exp), ("iat", now.second())] } else { &[("exp", exp)] };
            replaced(&token.payload, changes, added.map(|origin| ("orig_iat", origin)))
        }
    }
    .ok_or(MintError::Failed)?;
    let header = match token.key {
        KeyRole::Active => token.header.clone(),
        KeyRole::Previous => rekeyed(rules, &token.header).ok_or(MintError::Failed)?,
    };
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&payload));
    let signature = signer.sign(rules.keys.active(), &input).map_err(|_| MintError::Failed)?;
    let text = format!("{input}.{signature}").into_bytes();
    if rules.cookie.name.len().saturating_add(1).saturating_add(text.len()) > MAX_COOKIE_BYTES {
        return Err(MintError::TooLong);
    }
    Ok(Minted { text, exp })
}


/// The payload with the values of these claims replaced by dates and one claim appended; `None` unless all else is equal.
fn replaced(payload: &[u8], changes: &[(&str, UnixSeconds)], added: Option<(&str, UnixSeconds)>) -> Option<Vec<u8>> {
    let before = Object::parse(payload).ok()?;
    let mut edits: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for (name, date) in changes {
        edits.push((before.span(name)?, date.get().to_string().into_bytes()));
    }
    if let Some((name, date)) = added {
        let close = before.close();
        edits.push((close..close, format!(",\"{name}\":{}", date.get()).into_bytes()));
    }
    let spliced = splice(payload, edits);
    let changed: Vec<_> = changes.iter().map(|(name, _)| *name).collect();
    same_but(&before, &spliced, &changed, added.map(|(name, _)| name)).then_some(spliced)
}

/// The header with `alg` and `kid` of the active key.
fn rekeyed(rules: &Rules, header: &[u8]) -> Option<Vec<u8>> {
    let key = rules.keys.active();
    let before = Object::parse(header).ok()?;
    let mut edits = vec![(before.span("alg")?, json_string(key.algorithm().name())?)];
    let mut changed = vec!["alg"];
    let mut added = None;
    match (before.span("kid"), key.id()) {
        (Some(span), Some(id)) => {
            edits.push((span, json_string(id)?));
            changed.push("kid");
        }
        (None, Some(id)) => {
            let close = before.close();
            edits.push((close..close, [b",\"kid\":".as_slice(), &json_string(id)?].concat()));
            added = Some("kid");
        }
        // An active key without a name fits every `kid`, so the old one may stay.
        (_, None) => {}
    }
    let spliced = splice(header, edits);
    same_but(&before, &spliced, &changed, added).then_some(spliced)
}

fn json_string(text: &str) -> Option<Vec<u8>> {
    serde_json::to_vec(text).ok()
}

fn splice(text: &[u8], mut edits: Vec<(Range<usize>, Vec<u8>)>) -> Vec<u8> {
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(text.len().saturating_add(32));
    let mut at = 0;
    for (span, new) in edits {
        out.extend_from_slice(&text[at..span.start]);
        out.extend_from_slice(&new);
        at = span.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Whether `after` reads as the same members in the same order, all values byte for byte but the changed ones.
fn same_but(before: &Object<'_>, after: &[u8], changed: &[&str], added: Option<&str>) -> bool {
    let Ok(after) = Object::parse(after) else {
        return false;
    };
    let mut new = after.members();
    let kept = before.members().all(|(name, value)| {
        new.next().is_some_and(|(new_name, new_value)| {
            name == new_name && (value == new_value || changed.iter().any(|changed| changed.as_bytes() == name))
        })
    });
    let rest: Vec<_> = new.map(|(name, _)| name).collect();
    let expected: Vec<_> = added.iter().map(|name| name.as_bytes()).collect();
    kept && rest == expected && !after.has_duplicates()
}
