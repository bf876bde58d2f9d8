//! Sessions of every algorithm, signed and verified by another library.

use super::TTL;
use crate::harness::{Backend, NOW, SECRET, Sidecar, claims, expiry};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};

fn pem(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Algorithm, key pair.
const ALL: [(&str, &str); 12] = [
    ("HS256", ""),
    ("HS384", ""),
    ("HS512", ""),
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("EdDSA", "ed25519"),
];

/// Long enough for HS512.
const LONG: &str = "a secret of at least sixty-four bytes, which is what HS512 asks for, and then some";

fn library(algorithm: &str, name: &str) -> (EncodingKey, DecodingKey) {
    let (private, public) = if name.is_empty() {
        return (EncodingKey::from_secret(LONG.as_bytes()), DecodingKey::from_secret(LONG.as_bytes()));
    } else {
        (pem(name), pem(&format!("{name}-public")))
    };
    let (private, public) = (private.as_bytes(), public.as_bytes());
    match &algorithm[..2] {
        "ES" => (EncodingKey::from_ec_pem(private).unwrap(), DecodingKey::from_ec_pem(public).unwrap()),
        "Ed" => (EncodingKey::from_ed_pem(private).unwrap(), DecodingKey::from_ed_pem(public).unwrap()),
        _ => (EncodingKey::from_rsa_pem(private).unwrap(), DecodingKey::from_rsa_pem(public).unwrap()),
    }
}

async fn sidecar(backend: &Backend, algorithm: &str, name: &str) -> Sidecar {
    let (secret, key) = if name.is_empty() { (LONG, "-".to_owned()) } else { ("-", pem(name)) };
    let keys = [("JWT_ALGORITHM", algorithm), ("JWT_SECRET", secret), ("JWT_PRIVATE_KEY", key.as_str())];
    Sidecar::before(&backend.address, &[&keys[..], &[("SESSION_PROTECTED_PATHS", "/")]].concat()).await
}

#[tokio::test]
async fn m1_a_session_of_every_algorithm_slides() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    for (name, pair) in ALL {
        let algorithm: Algorithm = name.parse().unwrap();
        let (encoding, decoding) = library(name, pair);
        let session = serde_json::json!({ "sub": "ada", "sid": name, "iat": NOW, "exp": NOW + TTL });
        let token = jsonwebtoken::encode(&Header::new(algorithm), &session, &encoding).unwrap();
        let sidecar = sidecar(&backend, name, pair).await;
        sidecar.pass(4000);
        let answer = sidecar.get("/", &format!("session={token}")).await;
        assert_eq!(answer.status, 200, "{name}");
        let renewed = answer.cookie("session");
        assert_eq!((expiry(renewed), &claims(renewed)["sub"]), (NOW + 4000 + TTL, &serde_json::json!("ada")), "{name}");
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        jsonwebtoken::decode::<serde_json::Value>(renewed, &decoding, &validation).unwrap_or_else(|error| panic!("{name}: {error}"));
        // What another key signed, of the same algorithm or not, opens nothing.
        let mut forged = token.clone().into_bytes();
        let middle = token.rfind('.').unwrap() + 10;
        forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
        assert_eq!(sidecar.get("/", &format!("session={}", String::from_utf8(forged).unwrap())).await.status, 401, "{name}");
        let hmac = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &session, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        assert_eq!(sidecar.get("/", &format!("session={hmac}")).await.status, 401, "{name}");
    }
}

/// The oldest trick with keys of two halves: HMAC by the public one, which everybody knows.
#[tokio::test]
async fn q3_a_public_key_is_no_secret() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = sidecar(&backend, "RS256", "rsa").await;
    let session = serde_json::json!({ "sub": "ada", "exp": NOW + TTL });
    for secret in [pem("rsa-public"), pem("rsa-public").trim().to_owned()] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &session, &key).unwrap();
        assert_eq!(sidecar.get("/", &format!("session={token}")).await.status, 401);
    }
}

#[tokio::test]
async fn m4_a_burst_costs_one_signature_that_takes_long() {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = sidecar(&backend, "RS256", "rsa").await;
    let session = serde_json::json!({ "sub": "ada", "sid": "1", "iat": NOW, "exp": NOW + TTL });
    let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &session, &library("RS256", "rsa").0).unwrap();
    sidecar.pass(4000);
    let answers = sidecar.burst(&format!("session={token}")).await;
    let tokens: Vec<_> = answers.iter().map(|answer| answer.cookie("session")).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    let metrics = sidecar.metrics().await;
    assert!(metrics.contains("\nslidecar_signatures_total 1\n"), "{metrics}");
}
