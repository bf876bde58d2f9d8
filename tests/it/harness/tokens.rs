//! Tokens as a backend would sign them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

pub const SECRET: &str = "a secret of at least thirty-two bytes";

/// The manual clock's first reading, in seconds: 2026-11-21 00:00:00 UTC.
pub const NOW: i64 = 1_795_219_200;

/// A session of Ada's that began at `iat` and ends at `exp`.
pub fn session_token(iat: i64, exp: i64) -> String {
    token(&format!(r#"{{"sub":"ada","sid":"s-1","iat":{iat},"exp":{exp}}}"#))
}

pub fn token(claims: &str) -> String {
    token_by(SECRET, r#"{"alg":"HS256","typ":"JWT"}"#, claims)
}

pub fn token_by(secret: &str, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = crypto::sign(input.as_bytes(), &EncodingKey::from_secret(secret.as_bytes()), Algorithm::HS256).expect("HMAC signs");
    format!("{input}.{signature}")
}

/// By HS256 and this key.
pub fn is_signed_by(secret: &str, token: &str) -> bool {
    let (input, signature) = token.rsplit_once('.').expect("a token has three parts");
    crypto::verify(signature, input.as_bytes(), &DecodingKey::from_secret(secret.as_bytes()), Algorithm::HS256).expect("HMAC verifies")
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).expect("a token has three parts");
    serde_json::from_slice(&BASE64.decode(payload).expect("base64url")).expect("JSON")
}

pub fn expiry(token: &str) -> i64 {
    claims(token)["exp"].as_i64().expect("whole seconds")
}

pub fn issued(token: &str) -> i64 {
    claims(token)["iat"].as_i64().expect("whole seconds")
}

/// As it is spelled.
pub fn payload(token: &str) -> String {
    decoded(token, 1)
}

/// Header and payload as they are spelled, with every digit as `0`.
pub fn shape(token: &str) -> String {
    format!("{}.{}", decoded(token, 0), decoded(token, 1)).replace(|symbol: char| symbol.is_ascii_digit(), "0")
}

fn decoded(token: &str, part: usize) -> String {
    let part = token.split('.').nth(part).expect("a token has three parts");
    String::from_utf8(BASE64.decode(part).expect("base64url")).expect("UTF-8")
}

/// Its family's name: 32 hex digits.
pub fn family(token: &str) -> String {
    use slidecar::session::{family::Family, json::Object, time::UnixSeconds};
    let payload = payload(token);
    let origin = claims(token)["iat"].as_i64().map(UnixSeconds::new);
    Family::of(&Object::parse(payload.as_bytes()).expect("claims"), origin).id().iter().map(|byte| format!("{byte:02x}")).collect()
}
