//! The keys and tokens that the RFCs print as examples: RFC 7515 appendix A, RFC 7520 section 4, RFC 8037 appendix A.4.
//!
//! Our other tests sign what they verify, and a mistake that both sides share would not show. Here the keys, the spelling and
//! the signatures are somebody else's. The JWKs of the RFCs stand in `tests/keys` as PEM.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use slidecar::config::{self, Config, Rejected};
use slidecar::session::family::Family;
use slidecar::session::json::Object;
use slidecar::session::keys::{Algorithm, DirectSigner, Key, KeyRing, KeyRole, Signer as _};
use slidecar::session::time::{UnixMillis, UnixSeconds};
use slidecar::session::token::{Dead, Reading, read};
use std::collections::HashMap;

/// A token in its three segments.
struct Token {
    place: &'static str,
    kid: Option<&'static str>,
    header: &'static str,
    payload: &'static str,
    signature: &'static str,
}

/// What an algorithm of ours signed. The key is a secret in base64url, or the name of a pair in `tests/keys`.
struct Vector {
    algorithm: Algorithm,
    key: &'static str,
    token: Token,
}

/// `{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}`
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const JOE_EXP: i64 = 1_300_819_380;
/// Plain text: advice to Frodo.
const FRODO: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9h\
    ZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
const BILBO: Option<&str> = Some("bilbo.baggins@hobbiton.example");

const OURS: [Vector; 7] = [
    Vector {
        algorithm: Algorithm::Hs256,
        key: "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        token: Token {
            place: "RFC 7515 A.1",
            kid: None,
            header: "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            payload: JOE,
            signature: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        },
    },
    Vector {
        algorithm: Algorithm::Rs256,
        key: "rfc7515-a2",
        token: Token {
            place: "RFC 7515 A.2",
            kid: None,
            header: "eyJhbGciOiJSUzI1NiJ9",
            payload: JOE,
            signature: "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
                F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
                LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
                wlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        },
    },
    Vector {
        algorithm: Algorithm::Es256,
        key: "rfc7515-a3",
        token: Token {
            place: "RFC 7515 A.3",
            kid: None,
            header: "eyJhbGciOiJFUzI1NiJ9",
            payload: JOE,
            signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        },
    },
    Vector {
        algorithm: Algorithm::Rs256,
        key: "rfc7520-rsa",
        token: Token {
            place: "RFC 7520 4.1",
            kid: BILBO,
            header: "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            payload: FRODO,
            signature: "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB\
                -BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxn\
                t8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcI\
                e8u9ipH84ogoree7vjbU5y18kDquDg",
        },
    },
    Vector {
        algorithm: Algorithm::Ps384,
        key: "rfc7520-rsa",
        token: Token {
            place: "RFC 7520 4.2",
            kid: BILBO,
            header: "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            payload: FRODO,
            signature: "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6\
                _1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3\
                lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6G\
                YmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        },
    },
    Vector {
        algorithm: Algorithm::Hs256,
        key: "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
        token: Token {
            place: "RFC 7520 4.4",
            kid: Some("018c0ae5-4d9b-471b-bfd6-eef314bc7037"),
            header: "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
            payload: FRODO,
            signature: "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
        },
    },
    Vector {
        algorithm: Algorithm::EdDsa,
        key: "rfc8037",
        token: Token {
            place: "RFC 8037 A.4",
            kid: None,
            header: "eyJhbGciOiJFZERTQSJ9",
            // Plain text: Example of Ed25519 signing.
            payload: "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        },
    },
];

/// What no algorithm of ours signed: ES512 and `none`, as their headers say.
const FOREIGN: [(&str, Token); 3] = [
    (
        "ES512",
        Token {
            place: "RFC 7515 A.4",
            kid: None,
            header: "eyJhbGciOiJFUzUxMiJ9",
            payload: "UGF5bG9hZA",
            signature: "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgo\
                XD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        },
    ),
    ("none", Token { place: "RFC 7515 A.5", kid: None, header: "eyJhbGciOiJub25lIn0", payload: JOE, signature: "" }),
    (
        "ES512",
        Token {
            place: "RFC 7520 4.3",
            kid: BILBO,
            header: "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            payload: FRODO,
            signature: "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDy\
                YjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
        },
    ),
];

/// The keys of the RFCs' ES512.
const P521: [&str; 2] = ["rfc7515-a4", "rfc7520-p521"];

fn path(pair: &str, half: &str) -> String {
    format!("{}/tests/keys/{pair}-{half}.pem", env!("CARGO_MANIFEST_DIR"))
}

fn pem(pair: &str, half: &str) -> Vec<u8> {
    std::fs::read(path(pair, half)).unwrap()
}

fn seconds(at: i64) -> UnixMillis {
    UnixSeconds::new(at).millis()
}

/// The last second of Joe's session.
fn in_time() -> UnixMillis {
    seconds(JOE_EXP - 1)
}

fn load(settings: &[(&str, &str)]) -> Result<Config, Rejected> {
    let settings = [settings, &[("SLIDECAR_UPSTREAM", "http://127.0.0.1:3000")]].concat();
    config::load(&settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<HashMap<_, _>>())
}

impl Token {
    fn segments(&self) -> [Vec<u8>; 3] {
        [self.header, self.payload, self.signature].map(|segment| segment.as_bytes().to_vec())
    }

    fn text(&self) -> Vec<u8> {
        self.segments().join(&b'.')
    }
}

impl Vector {
    fn is_session(&self) -> bool {
        self.token.payload == JOE
    }

    /// As an operator sets it: the key from a file, since not every secret is text.
    fn config(&self) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let key = if self.algorithm.is_hmac() {
            std::fs::write(&secret, BASE64.decode(self.key).unwrap()).unwrap();
            vec![("JWT_SECRET_FILE", secret.to_str().unwrap().to_owned())]
        } else {
            vec![("JWT_PRIVATE_KEY_FILE", path(self.key, "private")), ("JWT_PUBLIC_KEY_FILE", path(self.key, "public"))]
        };
        let mut settings = vec![("JWT_ALGORITHM", self.algorithm.name())];
        settings.extend(key.iter().map(|(name, value)| (*name, value.as_str())));
        settings.extend(self.token.kid.map(|kid| ("JWT_KEY_ID", kid)));
        load(&settings).unwrap_or_else(|rejected| panic!("{}: {rejected:#?}", self.token.place))
    }

    /// Whether this ring, asked for this very algorithm and key, takes a token: the short way or the long one.
    fn verifies(&self, ring: &KeyRing, [header, payload, signature]: &[Vec<u8>; 3]) -> bool {
        let input = [header.as_slice(), payload].join(&b'.');
        let role = ring.verify(self.algorithm.name(), self.token.kid, &input, signature, in_time().second());
        assert_ne!(role, Some(KeyRole::Previous), "{}", self.token.place);
        role.is_some() || ring.verifies_usual(header, &input, signature)
    }
}

/// Every token that differs from this one by a bit: of a segment's text, or of what the text encodes.
fn changed(token: &Token) -> Vec<[Vec<u8>; 3]> {
    let flipped = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        (0..bytes.len() * 8).map(move |bit| {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        })
    };
    let segments = token.segments();
    let mut all = Vec::new();
    for (place, text) in segments.iter().enumerate() {
        let encoded = flipped(&BASE64.decode(text).unwrap()).map(|bytes| BASE64.encode(bytes).into_bytes());
        for other in flipped(text).chain(encoded) {
            let mut segments = segments.clone();
            segments[place] = other;
            all.push(segments);
        }
    }
    all
}

#[test]
fn q3_published_tokens_verify() {
    for vector in &OURS {
        let (rules, place) = (vector.config().rules, vector.token.place);
        assert!(vector.verifies(&rules.keys, &vector.token.segments()), "{place}");
        let [header, payload, signature] = vector.token.segments();
        // Of all these headers, one has a line break in it, which no library writes.
        let is_usual = rules.keys.verifies_usual(&header, &[header.as_slice(), &payload].join(&b'.'), &signature);
        assert_eq!(is_usual, place != "RFC 7515 A.1", "{place}");
        if !vector.algorithm.is_hmac() {
            let public = Key::public(vector.algorithm, &pem(vector.key, "public"), vector.token.kid.map(str::to_owned)).unwrap();
            assert!(vector.verifies(&KeyRing::new(public, None), &vector.token.segments()), "{place}");
        }
    }
}

/// Joe's is a session until the very millisecond that it names. The others hold plain text; that a key of ours signed it makes
/// it no session, and not the backend's business either.
#[test]
fn q3_a_published_token_is_a_session_until_its_exp_or_none() {
    for vector in &OURS {
        let (rules, place) = (vector.config().rules, vector.token.place);
        let reads = |now| read(&rules, &vector.token.text(), now);
        if !vector.is_session() {
            assert!(matches!(reads(in_time()), Reading::Dead(Dead::Unverified)), "{place}");
            continue;
        }
        for now in [in_time(), UnixMillis::new(JOE_EXP * 1000 - 1)] {
            let Reading::Session(token) = reads(now) else { panic!("{place}: {:?}", reads(now)) };
            assert_eq!((token.exp.get(), token.origin, token.key), (JOE_EXP, None, KeyRole::Active), "{place}");
            assert_eq!(token.remaining(now), now.until(UnixSeconds::new(JOE_EXP)), "{place}");
        }
        assert!(matches!(reads(seconds(JOE_EXP)), Reading::Dead(Dead::Expired(_))), "{place}");
    }
}

#[test]
fn q3_no_bit_of_a_published_token_may_change() {
    for vector in &OURS {
        let (rules, place) = (vector.config().rules, vector.token.place);
        for segments in changed(&vector.token) {
            let shown = || format!("{place}: {}", String::from_utf8_lossy(&segments.join(&b'.')));
            assert!(!vector.verifies(&rules.keys, &segments), "{}", shown());
            assert!(!matches!(read(&rules, &segments.join(&b'.'), in_time()), Reading::Session(_)), "{}", shown());
        }
    }
}

/// Even where the names fit: one pair of these keys signs RS256 and PS384, and each ring only knows one of the two.
#[test]
fn q3_a_published_token_is_dead_to_every_other_key() {
    for vector in &OURS {
        let rules = vector.config().rules;
        for token in OURS.iter().map(|other| &other.token).filter(|token| token.place != vector.token.place) {
            let place = format!("{} by the key of {}", token.place, vector.token.place);
            assert!(!vector.verifies(&rules.keys, &token.segments()), "{place}");
            assert!(matches!(read(&rules, &token.text(), in_time()), Reading::Dead(Dead::Unverified)), "{place}");
        }
    }
}

#[test]
fn q3_published_tokens_of_es512_and_none_are_dead() {
    for vector in &OURS {
        let rules = vector.config().rules;
        for (algorithm, token) in &FOREIGN {
            let place = format!("{} by the key of {}", token.place, vector.token.place);
            let input = [token.header, token.payload].join(".");
            let role = rules.keys.verify(algorithm, token.kid, input.as_bytes(), token.signature.as_bytes(), in_time().second());
            assert_eq!(role, None, "{place}");
            assert!(matches!(read(&rules, &token.text(), in_time()), Reading::Dead(Dead::Unverified)), "{place}");
        }
    }
}

#[test]
fn s4_settings_refuse_es512_and_none() {
    let known = Algorithm::ALL.map(Algorithm::name).join(", ");
    for algorithm in ["ES512", "none"] {
        for pair in P521 {
            let rejected = load(&[("JWT_ALGORITHM", algorithm), ("JWT_PRIVATE_KEY_FILE", &path(pair, "private"))]).unwrap_err();
            let problems: Vec<String> = rejected.problems.iter().map(ToString::to_string).collect();
            assert_eq!(problems, [format!("JWT_ALGORITHM={algorithm:?}: write one of {known}")]);
        }
    }
}

#[test]
fn s4_published_keys_on_another_curve_are_refused() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_hmac()) {
        for pair in P521 {
            let rejected = load(&[("JWT_ALGORITHM", algorithm.name()), ("JWT_PRIVATE_KEY_FILE", &path(pair, "private"))]).unwrap_err();
            let [problem] = rejected.problems.as_slice() else { panic!("{rejected:#?}") };
            let start = format!("JWT_PRIVATE_KEY: is no key for JWT_ALGORITHM={}, which needs ", algorithm.name());
            assert!(problem.to_string().starts_with(&start), "{problem}");
            assert!(Key::public(algorithm, &pem(pair, "public"), None).is_err(), "{algorithm:?} {pair}");
        }
    }
}

/// HMAC, PKCS#1 and Ed25519 draw no lots: of one key and one text there is one signature.
#[test]
fn s4_a_published_key_signs_what_was_published() {
    let family = Family::of(&Object::parse(b"{}").unwrap(), None);
    for vector in OURS.iter().filter(|vector| matches!(vector.algorithm, Algorithm::Hs256 | Algorithm::Rs256 | Algorithm::EdDsa)) {
        let input = [vector.token.header, vector.token.payload].join(".");
        let rules = vector.config().rules;
        let signature = DirectSigner.sign(rules.keys.active(), &family, input.as_bytes()).unwrap();
        assert_eq!(BASE64.encode(signature), vector.token.signature, "{}", vector.token.place);
    }
}
