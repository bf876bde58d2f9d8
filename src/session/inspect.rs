//! What a token says of itself, for people: its clocks, and the name of its family. Whether it is to be believed is another
//! question, which only a key answers.

use super::family::Family;
use super::json::Object;
use super::keys::{KeyRing, KeyRole};
use super::time::{UnixMillis, UnixSeconds};
use super::token::origin;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    pub algorithm: Option<String>,
    pub key_id: Option<String>,
    /// `iat`
    pub issued: Option<UnixSeconds>,
    /// `exp`
    pub expires: Option<UnixSeconds>,
    /// Start of the session: `auth_time`, `orig_iat` or `iat`.
    pub origin: Option<UnixSeconds>,
    pub family: Family,
    /// Which key verified it.
    pub verified: Option<KeyRole>,
}

/// Reads a token. The error says what it is not.
pub fn inspect(text: &[u8], keys: Option<&KeyRing>, now: UnixMillis) -> Result<Inspected, &'static str> {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = parts[..] else { return Err("a JWT has three parts, separated by dots") };
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).map_err(|_| "its parts are not all base64url");
    let (header_bytes, payload_bytes) = (decode(header)?, decode(payload)?);
    let header_object = Object::parse(&header_bytes).map_err(|_| "its header is no JSON object")?;
    let claims = Object::parse(&payload_bytes).map_err(|_| "its payload is no JSON object")?;
    let word = |name: &str| header_object.get(name).and_then(|value| value.as_str().map(std::borrow::Cow::into_owned));
    let date = |name: &str| claims.get(name).and_then(|value| value.as_floor()).map(UnixSeconds::new);
    let (algorithm, key_id) = (word("alg"), word("kid"));
    let origin = origin(&claims, now).ok().flatten();
    let input = &text[..header.len().saturating_add(1).saturating_add(payload.len())];
    let verified =
        keys.zip(algorithm.as_deref()).and_then(|(keys, alg)| keys.verify(alg, key_id.as_deref(), input, signature, now.second()));
    Ok(Inspected { issued: date("iat"), expires: date("exp"), origin, family: Family::of(&claims, origin), algorithm, key_id, verified })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::{NOW, Setup, at};
    use crate::session::token::{Reading, read};

    #[test]
    fn c_what_a_token_says_is_what_the_rules_read() {
        let setup = Setup::new();
        let token = setup.token(&format!(r#"{{"sub":"ada","iat":{},"exp":{}}}"#, NOW - 60, NOW + 60));
        let Reading::Session(read) = read(&setup.rules, token.as_bytes(), at(0)) else { panic!("{token}") };
        let inspected = inspect(token.as_bytes(), Some(&setup.rules.keys), at(0)).unwrap();
        assert_eq!((inspected.family, inspected.origin, inspected.expires), (read.family, read.origin, Some(read.exp)));
        assert_eq!((inspected.verified, inspected.algorithm.as_deref()), (Some(KeyRole::Active), Some("HS256")));
        assert_eq!(inspect(token.as_bytes(), None, at(0)).unwrap().verified, None);
        let forged = token.clone() + "A";
        assert_eq!(inspect(forged.as_bytes(), Some(&setup.rules.keys), at(0)).unwrap().verified, None);
        for garbage in ["", "a.b", "a.b.c", "e30.e30", "!.!.!", "e30.W10.x"] {
            assert!(inspect(garbage.as_bytes(), None, at(0)).is_err(), "{garbage}");
        }
    }
}
