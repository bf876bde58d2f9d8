//! Four other JWT libraries judge, by the test's clock, every token that slidecar hands on: what slidecar takes for a
//! living session must be one to any backend, and re-signing must change nothing that a library can see but `exp`.
//!
//! `tests/verifiers/install` brings them.

use crate::harness::{Backend, NOW, Reply, SECRET, Sidecar, bare, expiry, payload, token};
use serde::Deserialize;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const TTL: i64 = 2 * 3600;
const LIBRARIES: [&str; 4] = ["jsonwebtoken", "jose", "PyJWT", "python-jose"];
/// `exp <= now` ends a token (RFC 7519 §4.1.4: not on or after); this one waits for `exp < now`.
const A_SECOND_LATE: &str = "python-jose";

/// Claims that a re-encoder would spell differently or lose; `$iat` and `$exp` stand for the times.
const HARD_CLAIMS: [&str; 6] = [
    r#"{"sub":"ada","iat":$iat,"exp":$exp}"#,
    r#"{"exp":$exp,"big":9007199254740993,"bigger":123456789012345678901234567890,"negative":-9223372036854775809,"sub":"ada","iat":$iat}"#,
    r#"{"sub":"ada","rate":1.10,"whole":1.0,"tiny":1e-7,"plus":1E+2,"zero":-0.0,"long":0.1000000000000000055511151231257827,"iat":$iat,"exp":$exp}"#,
    r#"{"sub":"ada","escaped":"\u00e9\ud83d\ude00\/\u2028\u0000","plain":"é😀/","\u0065mail":"ada@example.org","exp" : $exp ,"iat":$iat}"#,
    "{ \"sub\" :\t\"ada\",\r\n\"nested\":{\"exp\":1,\"b\":[1,{\"exp\":[2,{}]}],\"a\":{\"\":null}},\n\"iat\":$iat,\"exp\":$exp,\"z\":\"\\\"exp\\\":3\" }",
    r#"{"sub":"ada","iat":$iat,"exp":$exp,"roles":["a","a"],"constructor":"x","EXP":7,"expires":true,"":"nameless","10":1,"9":2}"#,
];

#[tokio::test]
async fn q3_a_token_handed_on_is_alive_and_a_refused_one_is_over_for_every_library() {
    let forms = [format!("{}", NOW + TTL), format!("{}.0", NOW + TTL), "1.7952264e9".to_owned()];
    assert_eq!(forms[2].parse::<f64>().ok(), forms[0].parse().ok(), "another spelling of the same second");
    let stage = Stage::set(&[]).await;
    let tokens = forms.map(|exp| token(&HARD_CLAIMS[1].replace("$iat", &NOW.to_string()).replace("$exp", &exp)));

    let mut questions = Vec::new();
    for moment in [NOW + TTL - 2, NOW + TTL - 1, NOW + TTL, NOW + TTL + 1] {
        stage.move_to(moment);
        for token in &tokens {
            let handed_on = stage.handed_on(token, PASSIVE).await;
            assert_eq!(handed_on.as_ref(), (moment < NOW + TTL).then_some(token), "the client's own, or none");
            questions.push((token.clone(), moment));
        }
    }
    for ((token, moment), verdicts) in questions.iter().zip(judge(&questions)) {
        for verdict in verdicts {
            let end = NOW + TTL + i64::from(verdict.library == A_SECOND_LATE);
            assert_eq!(verdict.ok, *moment < end, "{} s from the end: {verdict:?} on {token}", moment - (NOW + TTL));
        }
    }
}

#[tokio::test]
async fn q3_the_last_millisecond_and_the_fraction_of_a_second_are_safe_in_every_library() {
    let stage = Stage::set(&[]).await;
    let whole = session(HARD_CLAIMS[0], NOW + TTL);
    let fraction = token(&format!(r#"{{"sub":"ada","iat":{NOW},"exp":{}.9}}"#, NOW + TTL));
    stage.move_to(NOW + TTL - 1);
    stage.sidecar.pass_millis(999);
    for token in [&whole, &fraction] {
        assert_eq!(stage.handed_on(token, PASSIVE).await.as_ref(), Some(token));
        assert_accepted(&judge_at_millis(token, (NOW + TTL) * 1000 - 1));
    }
    stage.sidecar.pass_millis(1);
    for token in [&whole, &fraction] {
        assert_eq!(stage.handed_on(token, PASSIVE).await, None, "slidecar floors, as the strictest of them does");
    }
}

#[tokio::test]
async fn q7_a_handed_off_token_is_good_in_every_library_and_so_is_the_old_one_till_its_end() {
    let mut pairs = Vec::new();
    for claims in HARD_CLAIMS {
        let stage = Stage::set(&[]).await;
        let old = session(claims, NOW + TTL);
        let moment = NOW + TTL - 1;
        stage.move_to(moment);
        let new = stage.handed_on(&old, ACTIVE).await.expect("a session");
        assert_ne!(new, old, "the old one would die under the backend");
        assert_eq!(expiry(&new), moment + TTL);
        pairs.push(Pair { old, new, moment });
    }
    assert_each_pair_is_one_session(&pairs);
}

#[tokio::test]
async fn m1_m3_a_renewed_token_is_good_in_every_library_and_so_is_the_old_one_till_its_end() {
    let mut pairs = Vec::new();
    for claims in HARD_CLAIMS {
        let stage = Stage::set(&[]).await;
        let old = session(claims, NOW + TTL);
        let moment = NOW + TTL / 2 + 1;
        stage.move_to(moment);
        let answer = stage.sidecar.get("/", &format!("session={old}")).await;
        let new = answer.cookie("session").to_owned();
        assert_eq!(expiry(&new), moment + TTL);
        stage.move_to(NOW + TTL - 1);
        for token in [&old, &new] {
            assert_eq!(stage.handed_on(token, PASSIVE).await.as_ref(), Some(token), "both live");
        }
        pairs.push(Pair { old, new, moment });
    }
    assert_each_pair_is_one_session(&pairs);
}

#[tokio::test]
async fn k3_a_clamped_login_is_good_in_every_library_and_over_with_the_policy() {
    let mut pairs = Vec::new();
    for claims in HARD_CLAIMS {
        let week = session(claims, NOW + 7 * 24 * 3600);
        let stage = Stage::logging_in(format!("session={week}; Path=/; Max-Age=604800")).await;
        let answer = stage.sidecar.client().await.request("POST", "/login", &[]).await;
        let clamped = answer.cookie("session").to_owned();
        assert_eq!(expiry(&clamped), NOW + TTL);
        pairs.push(Pair { old: week, new: clamped, moment: NOW });
    }
    assert_each_pair_is_one_session(&pairs);
}

#[tokio::test]
async fn m1_a_bumped_iat_is_good_in_every_library() {
    let stage = Stage::set(&[("JWT_IAT", "bump")]).await;
    let old = session(HARD_CLAIMS[0], NOW + TTL);
    stage.move_to(NOW + TTL / 2 + 1);
    let moment = NOW + TTL / 2 + 1;
    let new = stage.sidecar.get("/", &format!("session={old}")).await.cookie("session").to_owned();
    let verdicts = judge_one(&new, moment);
    assert_accepted(&verdicts);
    for verdict in &verdicts {
        let claims: serde_json::Value = serde_json::from_str(&verdict.claims).expect("JSON");
        assert_eq!(claims, json!({ "sub": "ada", "iat": moment, "orig_iat": NOW }), "{}", verdict.library);
    }
}

#[test]
fn the_libraries_refuse_what_is_forged() {
    let good = session(HARD_CLAIMS[0], NOW + TTL);
    let (signed, signature) = good.rsplit_once('.').expect("a token");
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", signed.split('.').nth(1).expect("a payload"));
    let other = session(HARD_CLAIMS[0], NOW + TTL + 1);
    let mixed = format!("{}.{signature}", other.rsplit_once('.').expect("a token").0);
    let all = judge(&[&good, &mixed, &unsigned, &signed.to_owned()].map(|token| (token.clone(), NOW)));
    assert_accepted(&all[0]);
    all[1..].iter().for_each(|verdicts| assert_refused(verdicts));
}

/// One session before and after slidecar re-signed it.
struct Pair {
    old: String,
    new: String,
    moment: i64,
}

/// Each library accepts both at that moment and each till its own end, no longer, and sees the same claims in both but
/// for `exp`.
fn assert_each_pair_is_one_session(pairs: &[Pair]) {
    let questions: Vec<_> = pairs.iter().flat_map(Pair::questions).collect();
    for (pair, all) in pairs.iter().zip(judge(&questions).chunks(6)) {
        all[..4].iter().for_each(|verdicts| assert_accepted(verdicts));
        all[4..].iter().for_each(|verdicts| assert_refused(verdicts));
        for (before, after) in all[0].iter().zip(&all[1]) {
            assert_eq!(before.claims, after.claims, "as {} reads them", before.library);
            assert_eq!((before.second(), after.second()), (expiry(&pair.old), expiry(&pair.new)), "{}", before.library);
        }
        assert_digits_survive(&pair.old, &all[1]);
    }
}

impl Pair {
    fn questions(&self) -> [(String, i64); 6] {
        let (old_end, new_end) = (expiry(&self.old), expiry(&self.new));
        let Self { old, new, moment } = self;
        [(old, *moment), (new, *moment), (old, old_end - 1), (new, new_end - 1), (old, old_end + 1), (new, new_end + 1)]
            .map(|(token, moment)| (token.clone(), moment))
    }
}

/// Equal texts would prove little if a library had lost the digits of both: Python's keep every integer.
fn assert_digits_survive(old: &str, verdicts: &[Verdict]) {
    for digits in ["9007199254740993", "123456789012345678901234567890", "-9223372036854775809"] {
        if payload(old).contains(digits) {
            for verdict in &verdicts[2..] {
                assert!(verdict.claims.contains(digits), "{digits}: {verdict:?}");
            }
        }
    }
}

fn assert_accepted(verdicts: &[Verdict]) {
    assert!(verdicts.iter().all(|verdict| verdict.ok), "{verdicts:#?}");
}

fn assert_refused(verdicts: &[Verdict]) {
    assert!(verdicts.iter().all(|verdict| !verdict.ok), "{verdicts:#?}");
}

fn session(claims: &str, exp: i64) -> String {
    token(&claims.replace("$iat", &NOW.to_string()).replace("$exp", &exp.to_string()))
}

type Fields = &'static [(&'static str, &'static str)];

const ACTIVE: Fields = &[];
/// Never renewed and never handed off.
const PASSIVE: Fields = &[("Session-Passive", "1")];

/// slidecar by a manual clock, before a backend that records what it gets.
struct Stage {
    sidecar: Sidecar,
    backend: Backend,
}

impl Stage {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let backend = Backend::start(|_| Reply::ok()).await;
        Self { sidecar: Sidecar::before(&backend.address, settings).await, backend }
    }

    async fn logging_in(line: String) -> Self {
        let backend = Backend::start(move |_| Reply::with("200 OK", &[("Set-Cookie", &line)], "hello")).await;
        Self { sidecar: Sidecar::before(&backend.address, &[]).await, backend }
    }

    fn move_to(&self, moment: i64) {
        self.sidecar.pass(moment - self.sidecar.pass(0));
    }

    /// The session that the backend sees when a client comes with this one.
    async fn handed_on(&self, token: &str, fields: Fields) -> Option<String> {
        let cookies = format!("session={token}");
        let fields = [&[("Cookie", cookies.as_str())], fields].concat();
        let answer = self.sidecar.client().await.request("GET", "/", &fields).await;
        assert_eq!(answer.status, 200);
        self.backend.last_cookies().map(|cookies| cookies.strip_prefix("session=").expect("only the session").to_owned())
    }
}

/// What one library said.
#[derive(Debug, Deserialize)]
struct Verdict {
    library: String,
    ok: bool,
    /// As the library read it, fractions included.
    #[serde(default)]
    exp: Option<serde_json::Number>,
    /// All but `exp`, as the library would print them.
    #[serde(default)]
    claims: String,
    #[expect(dead_code, reason = "for the message of a failing test")]
    #[serde(default)]
    error: String,
}

impl Verdict {
    fn second(&self) -> i64 {
        self.exp.as_ref().and_then(serde_json::Number::as_i64).expect("a whole second")
    }
}

fn judge_one(token: &str, now: i64) -> Vec<Verdict> {
    judge_at_millis(token, now * 1000)
}

/// For each token the verdicts in the order of `LIBRARIES`; each library takes the given second for now.
fn judge(questions: &[(String, i64)]) -> Vec<Vec<Verdict>> {
    ask(&questions.iter().map(|(token, now)| (token.as_str(), now * 1000)).collect::<Vec<_>>())
}

fn judge_at_millis(token: &str, now: i64) -> Vec<Verdict> {
    ask(&[(token, now)]).remove(0)
}

fn ask(questions: &[(&str, i64)]) -> Vec<Vec<Verdict>> {
    let lines: String = questions.iter().map(|(token, now)| question(token, *now)).collect();
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifiers");
    for stamp in ["node/node_modules/.installed", ".venv/.installed"] {
        assert!(home.join(stamp).exists(), "the JWT libraries are not installed: run tests/verifiers/install");
    }
    let mut node = bare("node");
    node.arg(home.join("node/verify.mjs"));
    let mut python = bare(home.join(".venv/bin/python"));
    python.arg(home.join("python/verify.py"));

    let mut verdicts: Vec<Vec<Verdict>> = questions.iter().map(|_| Vec::new()).collect();
    for said in [converse(node, &lines), converse(python, &lines)] {
        assert_eq!(said.len(), 2 * questions.len(), "two libraries for each token: {said:#?}");
        for (number, verdict) in said.into_iter().enumerate() {
            verdicts[number / 2].push(verdict);
        }
    }
    for verdicts in &verdicts {
        assert!(verdicts.iter().map(|verdict| verdict.library.as_str()).eq(LIBRARIES), "{verdicts:#?}");
    }
    verdicts
}

fn question(token: &str, now_millis: i64) -> String {
    let (seconds, millis) = (now_millis.div_euclid(1000), now_millis.rem_euclid(1000));
    let token = json!(token);
    let secret = json!(SECRET);
    format!("{{\"token\":{token},\"secret\":{secret},\"now\":{seconds}.{millis:03}}}\n")
}

fn converse(mut command: Command, lines: &str) -> Vec<Verdict> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started ({error}): run tests/verifiers/install"));
    // Dropped at once, so that the program sees the end.
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(|line| serde_json::from_str(line).expect("a verdict")).collect()
}
