//! What the targets share: rules with known keys, tokens as a backend would sign them, and judges that use no code of
//! slidecar's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::Sha256;
use slidecar::session::attributes::Attributes;
use slidecar::session::keys::{Algorithm, Key, KeyRing, Secret};
use slidecar::session::login::LoginUrl;
use slidecar::session::paths::{PathRules, Prefix};
use slidecar::session::policy::{PolicySettings, SessionPolicy};
use slidecar::session::time::{Span, UnixMillis, UnixSeconds};
use slidecar::session::token::{ClaimRule, IatMode, TokenRules};
use slidecar::session::{CookieRules, Persistence, Rules};
use std::ops::Range;
use std::sync::LazyLock;

/// 2026-11-21 00:00:00 UTC, in seconds: the one clock of every target, so that a corpus stays what it is.
pub const NOW: i64 = 1_795_219_200;
pub const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
/// Of the previous key, in the rules that rotate.
pub const OLD_SECRET: &[u8] = b"another one of at least thirty-two bytes";
/// Of nobody.
pub const FOREIGN_SECRET: &[u8] = b"a foreign one of at least thirty-two bytes";
pub const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
pub const TTL: u64 = 7200;

/// Installations that differ in what they ask of a token and do with it.
pub static RULES: LazyLock<[Rules; 4]> = LazyLock::new(|| [plain(), rotating(), strict(), host_prefixed()]);

#[must_use]
pub fn at(later: i64) -> UnixMillis {
    UnixSeconds::new(NOW + later).millis()
}

/// The rules that this byte stands for; digits are for people who write seeds.
#[must_use]
pub fn rules(choice: u8) -> &'static Rules {
    &RULES[usize::from(choice) % RULES.len()]
}

fn plain() -> Rules {
    Rules {
        policy: policy(None),
        keys: KeyRing::new(key(SECRET, None), None),
        token: TokenRules::default(),
        cookie: CookieRules::new("session".to_owned(), None, Persistence::Follow, None),
        paths: PathRules::default(),
        login: None,
    }
}

fn rotating() -> Rules {
    let until = UnixSeconds::new(NOW).plus(Span::from_secs(1_000_000));
    Rules {
        policy: policy(Some(43_200)),
        keys: KeyRing::new(key(SECRET, Some("new")), Some((key(OLD_SECRET, Some("old")), until))),
        token: TokenRules { iat: IatMode::Bump, ..TokenRules::default() },
        cookie: CookieRules::new("session".to_owned(), None, Persistence::Always, Some(Span::from_secs(60))),
        paths: paths("/"),
        login: LoginUrl::new("/login?next={return}"),
    }
}

fn strict() -> Rules {
    let claims = vec![ClaimRule::Present("sub".to_owned()), ClaimRule::Absent("admin".to_owned())];
    Rules {
        policy: policy(Some(86_400)),
        token: TokenRules {
            issuer: Some("app".to_owned()),
            audience: Some("web".to_owned()),
            claims,
            demo: Some(ClaimRule::Equal("role".to_owned(), "demo".to_owned())),
            iat: IatMode::Keep,
        },
        paths: paths("/app"),
        ..plain()
    }
}

fn host_prefixed() -> Rules {
    let attributes = Attributes::from_text(b"Path=/; Secure; HttpOnly; SameSite=Strict");
    let cookie = CookieRules::new("__Host-s".to_owned(), Some(attributes), Persistence::Follow, None);
    Rules { cookie, paths: paths("/app"), login: LoginUrl::new("https://id.example/start?rd={return}"), ..plain() }
}

#[must_use]
pub fn paths(protected: &str) -> PathRules {
    let prefix = |text: &str| Prefix::new(text).into_iter().collect();
    PathRules {
        protected: prefix(protected),
        public: prefix("/app/public"),
        passive: prefix("/poll"),
        logout: prefix("/logout"),
        expired: prefix("/app/refresh"),
    }
}

fn key(secret: &[u8], id: Option<&str>) -> Key {
    Key::hmac(Algorithm::Hs256, &Secret::new(secret.to_vec()), id.map(str::to_owned)).unwrap()
}

fn policy(absolute: Option<u64>) -> SessionPolicy {
    let settings = PolicySettings {
        ttl: Span::from_secs(TTL),
        demo_ttl: Some(Span::from_secs(1800)),
        threshold: Some(Span::from_secs(3600)),
        heartbeat: None,
        buffer: Span::from_secs(300),
        absolute: absolute.map(Span::from_secs),
    };
    SessionPolicy::new(settings).unwrap()
}

#[must_use]
pub fn mac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A token as a backend signs it.
#[must_use]
pub fn sign(secret: &[u8], header: &[u8], payload: &[u8]) -> Vec<u8> {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac(secret, input.as_bytes()))).into_bytes()
}

/// Whether one of these secrets signed the token, by another library than slidecar's.
#[must_use]
pub fn is_signed_by(secrets: &[&[u8]], token: &[u8]) -> bool {
    let Some(dot) = token.iter().rposition(|&byte| byte == b'.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(&token[dot + 1..]) else { return false };
    secrets.iter().any(|secret| mac(secret, &token[..dot]) == signature)
}

/// Header and payload of a token that is known to be one.
#[must_use]
pub fn opened(token: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut parts = token.split(|&byte| byte == b'.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Name and place of each member's value in a JSON object, as serde_json sees them; `None` where it sees no object.
#[must_use]
pub fn members(text: &[u8]) -> Option<Vec<(String, Range<usize>)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(&'de RawValue, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(member) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                all.push(member);
            }
            Ok(all)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let all = reader.deserialize_map(Members).ok()?;
    reader.end().ok()?;
    let place = |raw: &str| {
        let start = raw.as_ptr() as usize - text.as_ptr() as usize;
        start..start + raw.len()
    };
    // A name that no Rust string can hold (a lone surrogate) stays as it is written.
    let text_of = |name: &RawValue| serde_json::from_str(name.get()).unwrap_or_else(|_| name.get().to_owned());
    Some(all.into_iter().map(|(name, raw)| (text_of(name), place(raw.get()))).collect())
}

/// The text with every `<json>` replaced by a token with that payload: `<-json>` by the previous key, `<?json>` by a
/// foreign one. A fuzzer cannot sign, but it can write claims.
#[must_use]
pub fn with_tokens(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(start) = rest.iter().position(|&byte| byte == b'<') {
        out.extend_from_slice(&rest[..start]);
        rest = &rest[start + 1..];
        let Some(end) = rest.iter().position(|&byte| byte == b'>') else { break };
        let (secret, payload) = match rest[..end].split_first() {
            Some((b'-', payload)) => (OLD_SECRET, payload),
            Some((b'?', payload)) => (FOREIGN_SECRET, payload),
            _ => (SECRET, &rest[..end]),
        };
        out.extend_from_slice(&sign(secret, HEADER.as_bytes(), payload));
        rest = &rest[end + 1..];
    }
    out.extend_from_slice(rest);
    out
}

/// The parts of a cookie line and their names, as RFC 6265 reads them; no name where there is no `=`.
pub fn parts(text: &[u8]) -> impl Iterator<Item = (Option<&[u8]>, &[u8])> {
    text.split(|&byte| byte == b';').map(|part| (part.iter().position(|&byte| byte == b'=').map(|at| blanked(&part[..at])), part))
}

/// Without the blanks around it.
#[must_use]
pub fn blanked(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The attributes of a Set-Cookie line but its lifetime, byte for byte with the blanks before them.
#[must_use]
pub fn lasting_attributes(line: &[u8]) -> Vec<&[u8]> {
    let is_lifetime = |part: &[u8]| {
        let name = blanked(part.split(|&byte| byte == b'=').next().unwrap_or_default());
        name.eq_ignore_ascii_case(b"max-age") || name.eq_ignore_ascii_case(b"expires")
    };
    line.split(|&byte| byte == b';').skip(1).filter(|part| !is_lifetime(part)).collect()
}

/// Shown where a check fails.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
