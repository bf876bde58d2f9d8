//! Reading a session token: our own strict layer over the signature (rule Q3, Q4).
//!
//! The JWT library only checks the signature. Its idea of validity (60 s of leeway, the system's clock, missing
//! `aud`/`iss` accepted, `crit` ignored) is a verifier's; slidecar also issues, and must never revive what has expired.

use super::disguise::undisguised;
use super::family::{Family, Subject};
use super::json::{Object, Value};
use super::keys::KeyRole;
use super::policy::Class;
use super::time::{Span, UnixMillis, UnixSeconds};
use super::{Rules, Verified};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use std::sync::Arc;

/// Browsers drop a cookie whose name and value exceed this (RFC 6265bis §5.6), so no session token is longer.
pub const MAX_COOKIE_BYTES: usize = 4096;
/// `nbf`, `iat` and the origin may lie this far ahead: other machines' clocks. `exp` gets no leeway at all.
const SKEW: Span = Span::from_secs(60);
/// A date further ahead than this is in milliseconds, not in seconds.
const FURTHEST_DATE: Span = Span::from_secs(100 * 365 * 86_400);
/// No first segment of a real token is longer; bounds what is decoded before any check.
const MAX_HEADER_SEGMENT: usize = 2048;

/// Marks of tokens that are signed with the same key but are no sessions: ID tokens, reset and 2FA tokens.
const FOREIGN_MARKS: [&str; 4] = ["nonce", "at_hash", "c_hash", "purpose"];

/// What a token has to say to be a session token.
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub claims: Vec<ClaimRule>,
    /// What marks a demo token.
    pub demo: Option<ClaimRule>,
    pub iat: IatMode,
}

/// One condition on a top-level claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRule {
    Present(String),
    Absent(String),
    Equal(String, String),
}

/// `JWT_IAT`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IatMode {
    #[default]
    Keep,
    Bump,
}

/// The three kinds of C.
#[derive(Clone, Debug)]
pub enum Reading {
    NotOurs(NotOurs),
    Dead(Dead),
    Session(Arc<SessionToken>),
}

/// Forwarded untouched, never renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOurs {
    NoJwt,
    /// Verifies, but has no `exp`, or one that is no date.
    MissingExp,
    /// Verifies, but `iat`, `nbf` or the origin is no date.
    UnusableTime,
    WrongIssuer,
    WrongAudience,
    NotSession,
}

/// Removed before the request goes on.
#[derive(Clone, Debug)]
pub enum Dead {
    /// Forged, `alg: none`, a foreign algorithm or key, a disguise, duplicate members, no object.
    Unverified,
    TooLong,
    NotYetValid,
    Expired(Arc<SessionToken>),
}

/// A verified session token and what the rules need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionToken {
    text: Vec<u8>,
    pub key: KeyRole,
    pub exp: UnixSeconds,
    pub origin: Option<UnixSeconds>,
    pub class: Class,
    pub family: Family,
    pub subject: Option<Subject>,
    absolute: Option<Span>,
}

impl SessionToken {
    /// The token as it stands in the cookie.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Header and payload as they were signed.
    pub(super) fn decoded(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut segments = self.text.split(|&byte| byte == b'.').map(|segment| URL_SAFE_NO_PAD.decode(segment).ok());
        Some((segments.next()??, segments.next()??))
    }

    /// The latest moment to which the absolute timeout lets this session live.
    #[must_use]
    pub fn cap(&self) -> Option<UnixSeconds> {
        self.absolute.and_then(|absolute| self.origin.map(|origin| origin.plus(absolute)))
    }

    /// `min(exp, origin + A)`
    #[must_use]
    pub fn effective_exp(&self) -> UnixSeconds {
        self.cap().map_or(self.exp, |cap| self.exp.min(cap))
    }

    #[must_use]
    pub fn remaining(&self, now: UnixMillis) -> Span {
        now.until(self.effective_exp())
    }

    /// Whether `exp` lies further ahead than this policy would ever set it.
    #[must_use]
    pub fn outlives(&self, ttl: Span, now: UnixMillis) -> bool {
        self.exp > now.second().plus(ttl).plus(SKEW)
    }
}

/// Reads a request's cookie. A token whose text was verified before is only asked for its time; what else might end it is
/// the caller's to ask, as ever.
#[must_use]
pub fn read_known(rules: &Rules, verified: &dyn Verified, value: &[u8], now: UnixMillis) -> Reading {
    if let Some(token) = verified.find(value) {
        return timely(token, now);
    }
    let reading = read(rules, value, now);
    if let Reading::Session(token) = &reading
        && token.key == KeyRole::Active
    {
        verified.remember(token);
    }
    reading
}

/// Reads the value of a cookie as a session token.
#[must_use]
pub fn read(rules: &Rules, value: &[u8], now: UnixMillis) -> Reading {
    if value.len().saturating_add(rules.cookie.name.len()).saturating_add(1) > MAX_COOKIE_BYTES {
        return if starts_like_a_jwt(value) { Reading::Dead(Dead::TooLong) } else { Reading::NotOurs(NotOurs::NoJwt) };
    }
    if let Some(payload) = usual(rules, value) {
        return judge(rules, value, KeyRole::Active, payload, now);
    }
    let plain = undisguised(value);
    if !is_jwt(&plain) {
        return Reading::NotOurs(NotOurs::NoJwt);
    }
    if plain != value {
        // A lenient backend might read what we would not verify.
        return Reading::Dead(Dead::Unverified);
    }
    match verify(rules, value, now) {
        Some((key, payload)) => judge(rules, value, key, payload, now),
        None => Reading::Dead(Dead::Unverified),
    }
}

/// The `exp` that a JWT claims, verified or not. For the backend's own new cookies only, never for access.
#[must_use]
pub fn claimed_exp(value: &[u8], now: UnixMillis) -> Option<UnixSeconds> {
    let payload = value.split(|&byte| byte == b'.').nth(1)?;
    let payload = lenient().decode(payload).ok()?;
    date(Object::parse(&payload).ok()?.get("exp")?, now)
}

/// Whether a value is a JWT by its looks, in disguise or not.
#[must_use]
pub fn looks_like_jwt(value: &[u8]) -> bool {
    value.len() <= MAX_COOKIE_BYTES && is_jwt(&undisguised(value)) || starts_like_a_jwt(value)
}

/// A token, cut at its dots: what was signed, of which the first `header` bytes are its first segment, and the signature.
struct Segments<'a> {
    input: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Segments<'a> {
    fn of(value: &'a [u8]) -> Option<Self> {
        let dot = |text: &[u8]| text.iter().position(|&byte| byte == b'.');
        let (header, rest) = value.split_at_checked(dot(value)?)?;
        let (_, rest) = rest.split_first()?;
        let (payload, rest) = rest.split_at_checked(dot(rest)?)?;
        let (_, signature) = rest.split_first()?;
        let length = header.len().saturating_add(1).saturating_add(payload.len());
        Some(Self { input: value.get(..length)?, header, payload, signature })
    }
}

/// The payload of a token that begins as libraries write it and that the active key signed: the way of almost all. What
/// is not quite so takes the long way, which says why.
fn usual(rules: &Rules, value: &[u8]) -> Option<Vec<u8>> {
    let Segments { input, header, payload, signature } = Segments::of(value)?;
    if !rules.keys.verifies_usual(header, input, signature) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(payload).ok()
}

fn verify(rules: &Rules, value: &[u8], now: UnixMillis) -> Option<(KeyRole, Vec<u8>)> {
    let Segments { input, header, payload, signature } = Segments::of(value)?;
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let fields = Object::parse(&header).ok()?;
    // We implement no extension, so whatever asks for one cannot be honoured (RFC 7515 §4.1.11).
    if fields.has_duplicates() || ["crit", "b64", "zip", "enc"].iter().any(|name| fields.get(name).is_some()) {
        return None;
    }
    let algorithm = fields.get("alg")?.as_str()?;
    let id = match fields.get("kid") {
        Some(id) => Some(id.as_str()?),
        None => None,
    };
    let key = rules.keys.verify(&algorithm, id.as_deref(), input, signature, now.second())?;
    Some((key, URL_SAFE_NO_PAD.decode(payload).ok()?))
}

fn judge(rules: &Rules, value: &[u8], key: KeyRole, payload: Vec<u8>, now: UnixMillis) -> Reading {
    let claims = match Object::parse(&payload) {
        Ok(claims) if !claims.has_duplicates() => claims,
        _ => return Reading::Dead(Dead::Unverified),
    };
    if let Some(why) = foreign(&rules.token, &claims) {
        return Reading::NotOurs(why);
    }
    let Some(exp) = claims.get("exp").and_then(|exp| date(exp, now)) else {
        return Reading::NotOurs(NotOurs::MissingExp);
    };
    let (Ok(nbf), Ok(iat), Ok(origin)) = (optional_date(&claims, "nbf", now), optional_date(&claims, "iat", now), origin(&claims, now))
    else {
        return Reading::NotOurs(NotOurs::UnusableTime);
    };
    let latest_start = now.second().plus(SKEW);
    if [nbf, iat, origin].into_iter().flatten().any(|start| start > latest_start) {
        return Reading::Dead(Dead::NotYetValid);
    }
    let class = if rules.token.demo.as_ref().is_some_and(|demo| demo.holds(&claims)) { Class::Demo } else { Class::Standard };
    let token = SessionToken {
        text: value.to_vec(),
        key,
        exp,
        origin,
        class,
        family: Family::of(&claims, origin),
        subject: Subject::of(&claims),
        absolute: rules.policy.absolute(),
    };
    timely(Arc::new(token), now)
}

fn timely(token: Arc<SessionToken>, now: UnixMillis) -> Reading {
    if token.remaining(now) == Span::ZERO { Reading::Dead(Dead::Expired(token)) } else { Reading::Session(token) }
}

fn foreign(rules: &TokenRules, claims: &Object<'_>) -> Option<NotOurs> {
    let is = |value: Value<'_>, expected: &str| value.as_str().is_some_and(|text| text == expected);
    if let Some(issuer) = &rules.issuer
        && !claims.get("iss").is_some_and(|iss| is(iss, issuer))
    {
        return Some(NotOurs::WrongIssuer);
    }
    if let Some(audience) = &rules.audience {
        let named = claims.get("aud").is_some_and(|aud| match aud.as_array() {
            Some(all) => all.iter().all(|one| one.as_str().is_some()) && all.iter().any(|one| is(*one, audience)),
            None => is(aud, audience),
        });
        if !named {
            return Some(NotOurs::WrongAudience);
        }
    }
    // An operator who demands a mark by name knows what it means there.
    let marked = FOREIGN_MARKS.iter().any(|mark| claims.get(mark).is_some() && !rules.claims.iter().any(|rule| rule.demands(mark)));
    let outside = !rules.claims.iter().all(|rule| rule.holds(claims));
    (marked || outside).then_some(NotOurs::NotSession)
}

impl ClaimRule {
    #[must_use]
    pub fn holds(&self, claims: &Object<'_>) -> bool {
        let present = |name: &str| claims.get(name).filter(|value| value.raw() != b"null");
        match self {
            Self::Present(name) => present(name).is_some(),
            Self::Absent(name) => present(name).is_none(),
            // `admin=true` and `level=3` mean the JSON literals as well.
            Self::Equal(name, expected) => present(name).is_some_and(|value| match value.as_str() {
                Some(text) => text == *expected,
                None => value.raw() == expected.as_bytes(),
            }),
        }
    }

    fn demands(&self, claim: &str) -> bool {
        matches!(self, Self::Present(name) | Self::Equal(name, _) if name == claim)
    }
}

/// Start of the session: the first present of `auth_time`, `orig_iat`, `iat`.
pub(super) fn origin(claims: &Object<'_>, now: UnixMillis) -> Result<Option<UnixSeconds>, NotADate> {
    for name in ["auth_time", "orig_iat", "iat"] {
        if let Some(date) = optional_date(claims, name, now)? {
            return Ok(Some(date));
        }
    }
    Ok(None)
}

pub(super) struct NotADate;

fn optional_date(claims: &Object<'_>, name: &str, now: UnixMillis) -> Result<Option<UnixSeconds>, NotADate> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) if value.raw() == b"null" => Ok(None),
        Some(value) => date(value, now).map(Some).ok_or(NotADate),
    }
}

/// A NumericDate, floored; `None` if it is no number or too far ahead to be in seconds.
fn date(value: Value<'_>, now: UnixMillis) -> Option<UnixSeconds> {
    let date = UnixSeconds::new(value.as_floor()?);
    (date <= now.second().plus(FURTHEST_DATE)).then_some(date)
}

/// Three base64url parts whose first is a JSON object with a string `alg`. Signed cookies of Flask look alike and are none.
fn is_jwt(value: &[u8]) -> bool {
    let mut parts = value.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let base64url = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    base64url(payload) && base64url(signature) && lenient().decode(header).is_ok_and(|header| has_algorithm(&header))
}

fn has_algorithm(header: &[u8]) -> bool {
    Object::parse(header).is_ok_and(|fields| fields.members().any(|(name, value)| name == b"alg" && value.as_str().is_some()))
}

/// For values too long to decode: is the first segment one that a JWT begins with?
fn starts_like_a_jwt(value: &[u8]) -> bool {
    let mut parts = value.split(|&byte| byte == b'.');
    let header = parts.next().unwrap_or_default();
    let cut = header.len().min(MAX_HEADER_SEGMENT);
    // Four characters carry three bytes; a cut elsewhere would not decode.
    let head = &header[..cut.saturating_sub(cut % 4)];
    parts.count() == 2 && lenient().decode(head).is_ok_and(|head| head.trim_ascii_start().first() == Some(&b'{'))
}

/// Finds tokens; never decides about one.
const fn lenient() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet::URL_SAFE, config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::{NOW, OTHER_SECRET, Setup, at, sign, token_of};
    use proptest::prelude::*;

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn word(reading: &Reading) -> String {
        match reading {
            Reading::Session(_) => "session".to_owned(),
            Reading::NotOurs(why) => format!("not ours: {why:?}"),
            Reading::Dead(Dead::Expired(_)) => "dead: Expired".to_owned(),
            Reading::Dead(why) => format!("dead: {why:?}"),
        }
    }

    fn reads(setup: &Setup, value: &str) -> String {
        word(&read(&setup.rules, value.as_bytes(), at(0)))
    }

    #[test]
    fn q3_what_is_no_jwt_is_not_ours() {
        let setup = Setup::new();
        let good = setup.token(&format!(r#"{{"exp":{}}}"#, NOW + 9));
        for value in [
            "",
            "abc",
            "s%3Aabc.def",
            "a.b.c",
            "...",
            "1.2.3",
            "eyJ1c2VyIjoxfQ.ZzZz.c2ln", // itsdangerous: a JSON payload first
            "W10.e30.",
            "e30.e30.x",
            "eyJhbGciOjV9.e30.x",
            &format!("{good}.x"),
            &good[..20],
            "eyJhbGciOiJIUzI1NiJ9",
        ] {
            assert_eq!(reads(&setup, value), "not ours: NoJwt", "{value}");
        }
    }

    #[test]
    fn q3_what_does_not_verify_is_dead() {
        let setup = Setup::new();
        let claims = format!(r#"{{"sub":"a","exp":{}}}"#, NOW + 9);
        let good = setup.token(&claims);
        assert_eq!(reads(&setup, &good), "session");
        let (input, signature) = good.rsplit_once('.').unwrap();
        let mut dead = vec![
            format!("{input}."),
            format!("{input}.{}", &signature[..signature.len() - 1]),
            format!("{}.{signature}", input.replace("J9.", "J9.A")),
            token_of(OTHER_SECRET, HEADER, &claims),
        ];
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"nOnE"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"HS256","crit":["x"]}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","b64":true}"#,
            r#"{"alg":"HS256","zip":"DEF"}"#,
            r#"{"alg":"HS256","enc":"A"}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","\u0061lg":"none"}"#,
            r#"{"alg":"HS256","kid":5}"#,
        ] {
            dead.push(token_of(setup.secret(), header, &claims));
        }
        for payload in [
            "[1]",
            "null",
            "",
            "{",
            r#"{"exp":9999999999,"exp":9999999999}"#,
            r#"{"exp":9999999999,"a":{"b":1,"b":2}}"#,
            r#"{"exp":9999999999}x"#,
        ] {
            dead.push(token_of(setup.secret(), HEADER, payload));
        }
        for value in &dead {
            assert_eq!(reads(&setup, value), "dead: Unverified", "{value}");
        }
    }

    #[test]
    fn q3_a_token_in_disguise_is_dead() {
        let setup = Setup::new();
        let good = setup.token(&format!(r#"{{"sub":"a??>>","exp":{}}}"#, NOW + 9));
        let percent: String = good.replacen('e', "%65", 1);
        for value in [
            format!("\"{good}\""),
            format!("{good}="),
            format!("{good} "),
            percent.replacen('%', "%2525", 1),
            percent,
            good.replacen('.', "=.", 1),
            // Escapes in a quoted string, as Python undoes them.
            format!("\"{}\"", good.replacen('e', "\\145", 1)),
            format!("\"{}\"", good.replacen('.', "\\.", 1)),
            format!("\"{}\"", good.replacen('J', "\\J", 1)),
            good.replacen('.', "%2E", 1),
            // Padding within escapes of escapes.
            format!("{good}\\\\\\="),
            format!("{good}%255c%253d"),
        ] {
            assert_eq!(reads(&setup, &value), "dead: Unverified", "{value}");
        }
        let (input, signature) = good.rsplit_once('.').unwrap();
        // The last character of 32 bytes carries two bits that say nothing: another spelling of the same signature.
        let last = signature.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let other = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
        let twin = format!("{input}.{}{other}", &signature[..signature.len() - 1]);
        assert_eq!(reads(&setup, &twin), "dead: Unverified");
    }

    #[test]
    fn q3_length_is_capped_before_anything_is_decoded() {
        let setup = Setup::new();
        let of_length = |length: usize| {
            let empty = setup.token(&format!(r#"{{"exp":{},"x":""}}"#, NOW + 9)).len();
            let fills = (0..).map(|n| (length - empty) * 3 / 4 - 4 + n);
            fills
                .map(|fill| setup.token(&format!(r#"{{"exp":{},"x":"{}"}}"#, NOW + 9, "x".repeat(fill))))
                .find(|token| token.len() >= length)
                .unwrap()
        };
        let fits = MAX_COOKIE_BYTES - "session=".len();
        assert_eq!(reads(&setup, &of_length(fits - 2)), "session");
        assert_eq!(reads(&setup, &of_length(fits + 1)), "dead: TooLong");
        assert_eq!(reads(&setup, &of_length(60_000)), "dead: TooLong");
        assert_eq!(reads(&setup, &"x".repeat(60_000)), "not ours: NoJwt");
        assert_eq!(reads(&setup, &"a.b.c".repeat(6000)), "not ours: NoJwt");
        assert_eq!(reads(&setup, &format!("{}.b.c", "x".repeat(6000))), "not ours: NoJwt");
        // Whatever the length of the header.
        for fill in 0..8 {
            let header = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(fill));
            let long = token_of(setup.secret(), &header, &format!(r#"{{"x":"{}"}}"#, "x".repeat(5000)));
            assert_eq!(reads(&setup, &long), "dead: TooLong", "{header}");
        }
    }

    #[test]
    fn q3_exp_decides_strictly_and_must_be_a_date() {
        let setup = Setup::new();
        let with_exp = |exp: &str| reads(&setup, &setup.token(&format!(r#"{{"sub":"a","exp":{exp}}}"#)));
        let table = [
            (format!("{}", NOW + 1), "session"),
            (format!("{NOW}"), "dead: Expired"),
            (format!("{NOW}.9"), "dead: Expired"),
            (format!("{}.5", NOW + 1), "session"),
            (format!("{}e0", NOW + 1), "session"),
            ("-1".to_owned(), "dead: Expired"),
            ("0".to_owned(), "dead: Expired"),
            ("-1e400".to_owned(), "dead: Expired"),
            ("null".to_owned(), "not ours: MissingExp"),
            (format!("\"{}\"", NOW + 1), "not ours: MissingExp"),
            ("true".to_owned(), "not ours: MissingExp"),
            ("18446744073709551615".to_owned(), "not ours: MissingExp"),
            ("1e300".to_owned(), "not ours: MissingExp"),
            ("1e400".to_owned(), "not ours: MissingExp"),
            (format!("{}000", NOW + 1), "not ours: MissingExp"),
        ];
        for (exp, expected) in table {
            assert_eq!(with_exp(&exp), expected, "{exp}");
        }
        assert_eq!(reads(&setup, &setup.token(r#"{"sub":"a"}"#)), "not ours: MissingExp");
    }

    #[test]
    fn q3_a_date_of_more_than_a_hundred_years_is_in_milliseconds() {
        let setup = Setup::new();
        let years = |count: i64| reads(&setup, &setup.token(&format!(r#"{{"exp":{}}}"#, NOW + count * 365 * 86_400)));
        assert_eq!((years(1).as_str(), years(100).as_str(), years(101).as_str()), ("session", "session", "not ours: MissingExp"));
    }

    #[test]
    fn q6_a_token_outlives_the_policy_by_more_than_a_minute() {
        let setup = Setup::new();
        let value = setup.token(&format!(r#"{{"iat":{NOW},"exp":{}}}"#, NOW + 7260));
        let Reading::Session(token) = read(&setup.rules, value.as_bytes(), at(0)) else { panic!("a session") };
        assert_eq!(token.text(), value.as_bytes());
        assert!(!token.outlives(Span::from_secs(7200), at(0)) && token.outlives(Span::from_secs(7199), at(0)));
    }

    #[test]
    fn k4_what_a_backend_set_is_looked_at_without_its_key() {
        let foreign = token_of(OTHER_SECRET, HEADER, &format!(r#"{{"exp":{}}}"#, NOW + 9));
        let exp = |value: &str| claimed_exp(value.as_bytes(), at(0)).map(UnixSeconds::get);
        assert_eq!((exp(&foreign), exp("a.b.c"), exp("x")), (Some(NOW + 9), None, None));
        let looks = |value: &str| looks_like_jwt(value.as_bytes());
        let long = format!("{foreign}{}", "A".repeat(5000));
        assert!(looks(&foreign) && looks(&format!("\"{foreign}\"")) && looks(&long));
        assert!(!looks("abc") && !looks("s%3Aabc.def") && !looks(&"x".repeat(5000)) && !looks(&format!("{}.b.c", "x".repeat(5000))));
    }

    #[test]
    fn q3_starts_may_lie_a_minute_ahead() {
        let setup = Setup::new();
        for claim in ["nbf", "iat", "auth_time", "orig_iat"] {
            let with = |start: &str| reads(&setup, &setup.token(&format!(r#"{{"{claim}":{start},"exp":{}}}"#, NOW + 999)));
            assert_eq!(with(&(NOW + 60).to_string()), "session", "{claim}");
            assert_eq!(with(&(NOW + 61).to_string()), "dead: NotYetValid", "{claim}");
            assert_eq!(with("null"), "session", "{claim}");
            assert_eq!(with("\"yesterday\""), "not ours: UnusableTime", "{claim}");
            assert_eq!(with(&format!("{NOW}000")), "not ours: UnusableTime", "{claim}");
        }
    }

    #[test]
    fn q3_issuer_and_audience_are_required_with_the_right_type() {
        let mut setup = Setup::new();
        setup.rules.token.issuer = Some("me".to_owned());
        setup.rules.token.audience = Some("app".to_owned());
        let with = |claims: &str| reads(&setup, &setup.token(&format!(r#"{{{claims}"exp":{}}}"#, NOW + 9)));
        assert_eq!(with(r#""iss":"me","aud":"app","#), "session");
        assert_eq!(with(r#""iss":"m\u0065","aud":["x","app"],"#), "session");
        for claims in [r#""aud":"app","#, r#""iss":5,"aud":"app","#, r#""iss":["me"],"aud":"app","#, r#""iss":"you","aud":"app","#] {
            assert_eq!(with(claims), "not ours: WrongIssuer", "{claims}");
        }
        for claims in [
            r#""iss":"me","#,
            r#""iss":"me","aud":5,"#,
            r#""iss":"me","aud":[],"#,
            r#""iss":"me","aud":["app",5],"#,
            r#""iss":"me","aud":{},"#,
        ] {
            assert_eq!(with(claims), "not ours: WrongAudience", "{claims}");
        }
    }

    #[test]
    fn q4_other_tokens_of_our_key_are_no_sessions() {
        let mut setup = Setup::new();
        let with = |setup: &Setup, claims: &str| reads(setup, &setup.token(&format!(r#"{{{claims}"exp":{}}}"#, NOW + 9)));
        for mark in FOREIGN_MARKS {
            assert_eq!(with(&setup, &format!(r#""sub":"a","{mark}":"x","#)), "not ours: NotSession", "{mark}");
        }
        // A mark is foreign unless the operator asks for that very mark.
        setup.rules.token.claims = vec![ClaimRule::Present("sub".to_owned())];
        assert_eq!(with(&setup, r#""sub":"a","nonce":"x","#), "not ours: NotSession");
        setup.rules.token.claims = vec![ClaimRule::Present("nonce".to_owned())];
        assert_eq!(with(&setup, r#""sub":"a","nonce":"x","#), "session");
        setup.rules.token.claims = vec![
            ClaimRule::Present("sub".to_owned()),
            ClaimRule::Absent("reset".to_owned()),
            ClaimRule::Equal("typ".to_owned(), "session".to_owned()),
        ];
        assert_eq!(with(&setup, r#""sub":"a","typ":"session","#), "session");
        for claims in [
            r#""typ":"session","#,
            r#""sub":null,"typ":"session","#,
            r#""sub":"a","#,
            r#""sub":"a","typ":"Session","#,
            r#""sub":"a","typ":"session","reset":1,"#,
        ] {
            assert_eq!(with(&setup, claims), "not ours: NotSession", "{claims}");
        }
        setup.rules.token.claims =
            vec![ClaimRule::Equal("purpose".to_owned(), "session".to_owned()), ClaimRule::Equal("level".to_owned(), "3".to_owned())];
        assert_eq!(with(&setup, r#""purpose":"session","level":3,"#), "session");
        assert_eq!(with(&setup, r#""purpose":"reset","level":3,"#), "not ours: NotSession");
    }

    #[test]
    fn the_demo_claim_marks_the_class() {
        let mut setup = Setup::new();
        setup.rules.token.demo = Some(ClaimRule::Equal("role".to_owned(), "demo".to_owned()));
        for (role, class) in [("demo", Class::Demo), ("user", Class::Standard)] {
            let value = setup.token(&format!(r#"{{"role":"{role}","exp":{}}}"#, NOW + 9));
            let Reading::Session(token) = read(&setup.rules, value.as_bytes(), at(0)) else { panic!("{role}") };
            assert_eq!(token.class, class);
        }
    }

    #[test]
    fn r1_the_cap_ends_a_session_whatever_its_exp() {
        let mut setup = Setup::new();
        setup.cap(Span::from_secs(8000));
        let value = setup.token(&format!(r#"{{"iat":{},"exp":{}}}"#, NOW - 7999, NOW + 5000));
        assert_eq!(word(&read(&setup.rules, value.as_bytes(), at(0))), "session");
        assert_eq!(word(&read(&setup.rules, value.as_bytes(), at(1))), "dead: Expired");
    }

    proptest! {
        #[test]
        fn never_panics_and_never_accepts_what_the_key_did_not_sign(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let reading = read(&Setup::new().rules, &value, at(0));
            prop_assert!(!matches!(reading, Reading::Session(_)));
        }

        /// Whatever JSON the key signed: the reader answers, and a session has an end in the future.
        #[test]
        fn any_signed_payload_is_read(payload in r#"\{("(exp|iat|sub|sid)":(-?[0-9]{1,20}|"[a-z]{0,5}"|null|\[\]|1e9),?){0,4}\}"#) {
            let setup = Setup::new();
            if let Reading::Session(token) = read(&setup.rules, sign(setup.secret(), HEADER, payload.as_bytes()).as_bytes(), at(0)) {
                prop_assert!(token.remaining(at(0)) > Span::ZERO);
            }
        }
    }
}
