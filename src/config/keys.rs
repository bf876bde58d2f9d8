//! The keys: one that signs, and during a rotation one that still verifies, or already does.

use super::table;
use super::vars::Reader;
use crate::session::Rules;
use crate::session::keys::{Algorithm, Key, KeyProblem, KeyRing, PairProblem, PemProblem, Secret, weakness};
use crate::session::policy::Class;
use crate::session::time::UnixSeconds;

/// The active key, and during a rotation the other one.
pub fn read(r: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<KeyRing> {
    let algorithm = r.get(&table::JWT_ALGORITHM);
    let allow_weak = r.get(&table::JWT_ALLOW_WEAK_SECRET);
    let id = r.get(&table::JWT_KEY_ID);
    let is_hmac = algorithm.map(Algorithm::is_hmac);
    let secret = r.secret(&table::JWT_SECRET, is_hmac == Some(true));
    let private = r.secret(&table::JWT_PRIVATE_KEY, is_hmac == Some(false));
    let public = r.secret(&table::JWT_PUBLIC_KEY, false);
    let previous = Previous {
        secret: r.secret(&table::JWT_PREVIOUS_SECRET, false),
        public: r.secret(&table::JWT_PREVIOUS_PUBLIC_KEY, false),
        id: r.get(&table::JWT_PREVIOUS_KEY_ID),
        until: r.get(&table::JWT_PREVIOUS_UNTIL),
    };
    for setting in [&table::JWT_PREVIOUS_SECRET, &table::JWT_PREVIOUS_PUBLIC_KEY] {
        if let Some(path) = r.missing_file(setting) {
            let name = setting.about.name;
            warnings.push(format!("{name}_FILE names {}, which is not there: no key is being rotated out", path.display()));
        }
    }
    let (algorithm, allow_weak) = (algorithm?, allow_weak?);
    // A key of another kind is half of a migration, and nobody knows which half is meant.
    let strays = [
        ("JWT_SECRET", secret.is_some() && !algorithm.is_hmac()),
        ("JWT_PREVIOUS_SECRET", previous.secret.is_some() && !algorithm.is_hmac()),
        ("JWT_PRIVATE_KEY", private.is_some() && algorithm.is_hmac()),
        ("JWT_PREVIOUS_PUBLIC_KEY", previous.public.is_some() && algorithm.is_hmac()),
    ];
    for (name, _) in strays.into_iter().filter(|(_, is_stray)| *is_stray) {
        r.problem(name, None, format!("is set, but JWT_ALGORITHM={} has no use for it; remove one of the two", algorithm.name()));
    }
    let before = r.problems.len();
    for (name, id) in [("JWT_KEY_ID", &id), ("JWT_PREVIOUS_KEY_ID", &previous.id)] {
        let is_key = |key: &Option<Secret>| key.as_ref().zip(id.as_ref()).is_some_and(|(key, id)| key.expose() == id.as_bytes());
        if is_key(&secret) || is_key(&previous.secret) {
            r.problem(name, None, "is a key itself, and a kid stands in every token for all to read; were two files mixed up?".to_owned());
        }
    }
    let previous = previous.key(r, warnings, algorithm, allow_weak, secret.as_ref());
    let key = if algorithm.is_hmac() {
        hmac_key(r, warnings, "JWT_SECRET", algorithm, &secret?, allow_weak, id)
    } else {
        pair(r, algorithm, &private?, public.as_ref(), id)
    };
    (r.problems.len() == before).then(|| key.map(|key| KeyRing::new(key, previous)))?
}

/// The key that a rotation leaves behind, or that it is going to.
struct Previous {
    secret: Option<Secret>,
    public: Option<Secret>,
    id: Option<String>,
    until: Option<UnixSeconds>,
}

impl Previous {
    fn key(
        &self,
        r: &mut Reader<'_>,
        warnings: &mut Vec<String>,
        algorithm: Algorithm,
        allow_weak: bool,
        active: Option<&Secret>,
    ) -> Option<(Key, UnixSeconds)> {
        let (name, text) = if algorithm.is_hmac() {
            ("JWT_PREVIOUS_SECRET", self.secret.as_ref())
        } else {
            ("JWT_PREVIOUS_PUBLIC_KEY", self.public.as_ref())
        };
        let Some(text) = text else {
            if self.id.is_some() || self.until.is_some() {
                warnings
                    .push(format!("JWT_PREVIOUS_UNTIL or JWT_PREVIOUS_KEY_ID is set, but there is no {name}: no key is being rotated out"));
            }
            return None;
        };
        let Some(until) = self.until else {
            // A bad moment has been reported.
            if !r.problems.iter().any(|problem| problem.setting.starts_with("JWT_PREVIOUS_UNTIL")) {
                let remedy = format!("not set, but {name} is: say when it ends to verify, such as 2027-01-31T00:00:00Z");
                r.problem("JWT_PREVIOUS_UNTIL", None, remedy);
            }
            return None;
        };
        if active == Some(text) {
            warnings.push(format!("{name} is JWT_SECRET too: no key is being rotated"));
        }
        let id = self.id.clone();
        let key = if algorithm.is_hmac() {
            hmac_key(r, warnings, name, algorithm, text, allow_weak, id)
        } else {
            Key::public(algorithm, text.expose(), id).map_err(|PemProblem(remedy)| r.problem(name, None, remedy)).ok()
        };
        Some((key?, until))
    }
}

/// What is doubtful about the keys at this moment.
pub fn doubts(rules: &Rules, now: UnixSeconds) -> Option<String> {
    let until = rules.keys.previous_until()?;
    let shown = jiff::Timestamp::from_second(until.get()).map_or_else(|_| until.get().to_string(), |until| until.to_string());
    if until <= now {
        return Some(format!("JWT_PREVIOUS_UNTIL={shown} has passed: the previous key verifies nothing any more; remove it"));
    }
    let ttl = [Class::Standard, Class::Demo].map(|class| rules.policy.clocks(class).ttl).into_iter().max()?;
    let is_short = until.millis() < now.millis().plus(ttl);
    is_short.then(|| {
        format!("JWT_PREVIOUS_UNTIL={shown} is less than a token's life ({ttl}) away: whoever is idle until then is logged out, unless the key has not signed for as long already")
    })
}

fn hmac_key(
    r: &mut Reader<'_>,
    warnings: &mut Vec<String>,
    name: &'static str,
    algorithm: Algorithm,
    secret: &Secret,
    allow_weak: bool,
    id: Option<String>,
) -> Option<Key> {
    match weakness(algorithm, secret) {
        None => {}
        Some(problem) if allow_weak && problem != KeyProblem::Empty => {
            warnings.push(format!("{name} {problem} (accepted because of JWT_ALLOW_WEAK_SECRET=true)"));
        }
        Some(problem) => {
            r.problem(name, None, format!("{problem}; if the backend cannot change, JWT_ALLOW_WEAK_SECRET=true accepts it"));
            return None;
        }
    }
    // Of random bytes, any may be at an edge.
    let is_text = secret.expose().iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if is_text && secret.expose().trim_ascii() != secret.expose() {
        warnings.push(format!(
            "{name} begins or ends with a blank or a line break; if the backend's key does not, no session will verify (of a file, one trailing newline is left out)"
        ));
    }
    Key::hmac(algorithm, secret, id).map_err(|problem| r.problem(name, None, problem.to_string())).ok()
}

fn pair(r: &mut Reader<'_>, algorithm: Algorithm, private: &Secret, public: Option<&Secret>, id: Option<String>) -> Option<Key> {
    let problem = match Key::pair(algorithm, private, public.map(Secret::expose), id) {
        Ok(key) => return Some(key),
        Err(problem) => problem,
    };
    match problem {
        PairProblem::Private(PemProblem(remedy)) => r.problem("JWT_PRIVATE_KEY", None, remedy),
        PairProblem::Public(PemProblem(remedy)) => r.problem("JWT_PUBLIC_KEY", None, remedy),
        PairProblem::NoPair => r.problem(
            "JWT_PUBLIC_KEY",
            None,
            "is not the public key of JWT_PRIVATE_KEY; write it with openssl pkey -pubout, or leave it out".to_owned(),
        ),
        PairProblem::SelfTest => r.problem("JWT_PRIVATE_KEY", None, "does not verify what it signs".to_owned()),
    }
    None
}
