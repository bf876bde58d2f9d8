//! What the rules cost, each by itself: `cargo bench`. For a comparison with other proxies see `benches/peers`.

use divan::{Bencher, black_box};
use slidecar::memory::{Memory, SignatureMemo, VerifiedTokens};
use slidecar::session::attributes::Attributes;
use slidecar::session::cache::CacheFacts;
use slidecar::session::cookie::Cookies;
use slidecar::session::decide::{RequestFacts, decide};
use slidecar::session::keys::{Algorithm, DirectSigner, Key, KeyRing, Secret};
use slidecar::session::mint::{mint, renewed_exp};
use slidecar::session::paths::{PathRules, Prefix};
use slidecar::session::policy::{PolicySettings, SessionPolicy};
use slidecar::session::set_cookie::SetCookie;
use slidecar::session::settle::{ResponseFacts, settle};
use slidecar::session::signs::{Method, Signs};
use slidecar::session::time::{Span, UnixMillis, UnixSeconds};
use slidecar::session::token::{Reading, TokenRules, read, read_known};
use slidecar::session::{CookieRules, Forgetful, Persistence, Rules, Surroundings};

/// 2026-11-21 00:00:00 UTC, in seconds.
const NOW: i64 = 1_795_219_200;
const SECRET: &str = "a secret of sixty-four bytes, which is as many as HS512 asks for";
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];

fn main() {
    divan::main();
}

fn now() -> UnixMillis {
    UnixSeconds::new(NOW).millis()
}

fn rules(algorithm: Algorithm) -> Rules {
    let policy = PolicySettings {
        ttl: Span::from_secs(7200),
        demo_ttl: None,
        threshold: Some(Span::from_secs(3600)),
        heartbeat: None,
        buffer: Span::from_secs(300),
        absolute: None,
    };
    let key = Key::hmac(algorithm, &Secret::new(SECRET.as_bytes().to_vec()), None).expect("a key");
    Rules {
        policy: SessionPolicy::new(policy).expect("a policy"),
        keys: KeyRing::new(key, None),
        token: TokenRules {
            issuer: Some("https://id.example.com".to_owned()),
            audience: Some("https://app.example.com".to_owned()),
            ..TokenRules::default()
        },
        cookie: CookieRules::new("session".to_owned(), None, Persistence::Follow, None),
        paths: PathRules { protected: Prefix::new("/").into_iter().collect(), ..PathRules::default() },
        login: None,
    }
}

/// About 330 bytes, with seven claims; so many seconds are left to it.
fn token(algorithm: Algorithm, left: i64) -> Vec<u8> {
    let header = jsonwebtoken::Header::new(algorithm.name().parse().expect("a name"));
    let claims = serde_json::json!({
        "iss": "https://id.example.com", "aud": "https://app.example.com", "sub": "user-000001", "sid": "5a1c0f6d2b7e4890a3c4",
        "role": "user", "iat": NOW - 7200 + left, "exp": NOW + left,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&header, &claims, &key).expect("a token").into_bytes()
}

fn cookies(token: &[u8]) -> Vec<u8> {
    [b"theme=dark; session=".as_slice(), token, b"; locale=en-GB; consent=1"].concat()
}

fn request(cookies: &[u8]) -> RequestFacts<'_> {
    let signs = Signs { method: Method::Get, accept: Some(b"application/json, text/plain, */*"), ..Signs::default() };
    RequestFacts { cookies, path: b"/app/orders", query: None, secure: true, signs }
}

fn response<'a>(set_cookies: &'a [&'a [u8]]) -> ResponseFacts<'a> {
    ResponseFacts {
        request_path: b"/app/orders",
        status: 200,
        own: false,
        set_cookies,
        cache: CacheFacts::default(),
        clears_cookies: false,
    }
}

#[divan::bench(args = ALGORITHMS)]
fn token_check_uncached(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (rules, token) = (rules(algorithm), token(algorithm, 7000));
    bencher.bench(|| read(&rules, black_box(&token), now()));
}

#[divan::bench]
fn token_check_cached(bencher: Bencher<'_, '_>) {
    let (rules, token, known) = (rules(Algorithm::Hs256), token(Algorithm::Hs256, 7000), VerifiedTokens::default());
    bencher.bench(|| read_known(&rules, &known.under(1), black_box(&token), now()));
}

#[divan::bench(args = ALGORITHMS)]
fn mint_a_token(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let rules = rules(algorithm);
    let Reading::Session(token) = read(&rules, &token(algorithm, 1000), now()) else { unreachable!("it is good") };
    let exp = renewed_exp(&rules, &token, now()).expect("no cap");
    bencher.bench(|| mint(&rules, &DirectSigner, black_box(&token), exp, now()));
}

#[divan::bench]
fn find_a_cookie_in_400_bytes(bencher: Bencher<'_, '_>) {
    let cookies = cookies(&token(Algorithm::Hs256, 7000));
    bencher.bench(|| Cookies::parse(black_box(&cookies)).named(b"session").next().map(|(_, value)| value.len()));
}

/// The whole of the rules for a request and its answer.
fn round_trip(bencher: Bencher<'_, '_>, left: i64, lines: &[&[u8]]) {
    let (rules, cookies) = (rules(Algorithm::Hs256), cookies(&token(Algorithm::Hs256, left)));
    let (memory, verified, signer) = (Memory::default(), VerifiedTokens::default(), SignatureMemo::default());
    let (verified, signer) = (verified.under(1), signer.under(1));
    let around = Surroundings { ended: &memory, verified: &verified, signer: &signer, learned: None };
    bencher.bench(|| {
        let verdict = decide(&rules, &around, black_box(&request(&cookies)), now());
        settle(&rules, &around, &verdict, &response(lines), now())
    });
}

#[divan::bench]
fn decide_and_settle_kept(bencher: Bencher<'_, '_>) {
    round_trip(bencher, 7000, &[]);
}

#[divan::bench]
fn decide_and_settle_renewed(bencher: Bencher<'_, '_>) {
    round_trip(bencher, 1000, &[]);
}

#[divan::bench]
fn decide_and_settle_renewed_and_signed(bencher: Bencher<'_, '_>) {
    let (rules, cookies) = (rules(Algorithm::Hs256), cookies(&token(Algorithm::Hs256, 1000)));
    let memory = Memory::default();
    let around = Surroundings { ended: &memory, verified: &Forgetful, signer: &DirectSigner, learned: None };
    bencher.bench(|| {
        let verdict = decide(&rules, &around, black_box(&request(&cookies)), now());
        settle(&rules, &around, &verdict, &response(&[]), now())
    });
}

#[divan::bench]
fn edit_a_set_cookie_line(bencher: Bencher<'_, '_>) {
    let token = token(Algorithm::Hs256, 7000);
    let line = [b"session=".as_slice(), &token, b"; Max-Age=604800; Path=/; HttpOnly; Secure; SameSite=Lax"].concat();
    bencher.bench(|| {
        let line = SetCookie::parse(black_box(&line)).expect("a cookie");
        (line.with_max_age(Span::from_secs(7000)), Attributes::of(&line, b"/app"))
    });
}
