//! From the environment to settings: the only room that knows a variable's name.
//!
//! Each part of the program owns the type of its settings; this folder fills them in. Everything is read once, every
//! problem is found before any is reported, and a value that is present but bad never falls back to a default.

mod ends;
mod limits;
pub mod parse;
pub mod table;
mod unknown;
pub mod vars;

use crate::endpoints::EndpointSettings;
use crate::proxy::{Mode, ProxySettings};
use crate::session::keys::{Algorithm, Key, KeyProblem, KeyRing, PairProblem, PemProblem, Secret, weakness};
use crate::session::paths::PathRules;
use crate::session::policy::{Class, PolicySettings, SessionPolicy};
use crate::session::token::TokenRules;
use crate::session::{CookieRules, Rules};
use crate::telemetry::LogSettings;
use ends::Ends;
use limits::Limits;
use std::sync::Arc;
use vars::{Entry, Problem, Reader, Vars};

/// Everything that was set, in the types of those who use it.
#[derive(Debug)]
pub struct Config {
    pub proxy: ProxySettings,
    pub limits: Limits,
    pub ends: Ends,
    pub workers: usize,
    pub log: LogSettings,
    /// Every setting with its value and source.
    pub entries: Vec<Entry>,
    pub warnings: Vec<String>,
}

/// Settings that do not hold: what is wrong, and the names that nobody reads, for a mistyped one may explain it.
#[derive(Debug)]
pub struct Rejected {
    pub problems: Vec<Problem>,
    pub unknown: Vec<String>,
}

/// Reads and checks everything; answers all problems at once (rule S1).
pub fn load(vars: &dyn Vars) -> Result<Config, Rejected> {
    let mut reader = Reader::new(vars);
    let mut warnings = Vec::new();
    let rules = rules(&mut reader, &mut warnings);
    let r = &mut reader;
    let origins = r.get(&table::SESSION_CLIENT_ORIGINS).unwrap_or_default();
    let endpoints = r.get(&table::SESSION_ENDPOINTS).map(|prefix| EndpointSettings { prefix, origins });
    let streams = r.get(&table::SESSION_STREAMS);
    let (ends, target) = ends::read(r);
    let extra_roots = ends::extra_roots(r, target.as_ref(), &mut warnings);
    let mode = r.get(&table::SLIDECAR_MODE);
    if mode == Some(Mode::Observe) {
        warnings.push("SLIDECAR_MODE=observe: nothing is enforced, the clocks are only watched".to_owned());
    }
    let workers = r.get(&table::SLIDECAR_WORKERS).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let level = r.get(&table::SLIDECAR_LOG);
    let format = r.get(&table::SLIDECAR_LOG_FORMAT);
    let limits = limits::read(r, target, extra_roots);

    let unknown = unknown::warnings(&vars.names(), vars);
    warnings.extend(unknown.iter().cloned());
    if let Some(rules) = &rules {
        reader.derive(&derived(rules, workers));
    }
    let config = (|| {
        Some(Config {
            proxy: ProxySettings {
                rules: Arc::new(rules?),
                mode: mode?,
                endpoints: endpoints?,
                gate: limits.as_ref()?.gate,
                streams: streams?,
                tunnel_idle: limits.as_ref()?.tunnel_idle,
            },
            limits: limits?,
            ends: ends?,
            workers,
            log: LogSettings { level: level?, format: format? },
            entries: std::mem::take(&mut reader.entries),
            warnings,
        })
    })();
    match config {
        Some(config) if reader.problems.is_empty() => Ok(config),
        _ => Err(Rejected { problems: reader.problems, unknown }),
    }
}

/// What holds where a default follows from other settings or from the machine.
fn derived(rules: &Rules, workers: usize) -> [(&'static str, String); 4] {
    let clocks = rules.policy.clocks(Class::Standard);
    [
        (table::JWT_DEMO_EXPIRES_IN.about.name, rules.policy.clocks(Class::Demo).ttl.to_string()),
        (table::SESSION_REFRESH_THRESHOLD.about.name, clocks.threshold.to_string()),
        (table::SESSION_HEARTBEAT_INTERVAL.about.name, clocks.heartbeat.to_string()),
        (table::SLIDECAR_WORKERS.about.name, workers.to_string()),
    ]
}

/// The rules of sessions, from their settings. `None` if anything they need is missing; the reader knows why.
fn rules(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<Rules> {
    let r = reader;
    let policy = policy(r, warnings);
    let keys = keys(r, warnings);
    let token = TokenRules {
        issuer: r.get(&table::JWT_ISSUER),
        audience: r.get(&table::JWT_AUDIENCE),
        claims: r.get(&table::SESSION_TOKEN_CLAIMS).unwrap_or_default(),
        demo: r.get(&table::JWT_DEMO_CLAIM),
        iat: r.get(&table::JWT_IAT).unwrap_or_default(),
    };
    if let Some(policy) = &policy
        && policy.clocks(Class::Demo) != policy.clocks(Class::Standard)
        && token.demo.is_none()
    {
        r.problem(
            "JWT_DEMO_CLAIM",
            None,
            "not set, but JWT_DEMO_EXPIRES_IN differs from JWT_EXPIRES_IN: say what marks a demo token, such as role=demo".to_owned(),
        );
    }
    let cookie = cookie(r);
    let paths = PathRules {
        protected: r.get(&table::SESSION_PROTECTED_PATHS).unwrap_or_default(),
        public: r.get(&table::SESSION_PUBLIC_PATHS).unwrap_or_default(),
        passive: r.get(&table::SESSION_PASSIVE_PATHS).unwrap_or_default(),
        logout: r.get(&table::SESSION_LOGOUT_PATHS).unwrap_or_default(),
        expired: r.get(&table::SESSION_EXPIRED_PATHS).unwrap_or_default(),
    };
    let login = r.get(&table::SESSION_LOGIN_URL);
    Some(Rules { policy: policy?, keys: keys?, token, cookie: cookie?, paths, login })
}

fn policy(r: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<SessionPolicy> {
    let before = r.problems.len();
    let ttl = r.get(&table::JWT_EXPIRES_IN);
    let demo_ttl = r.get(&table::JWT_DEMO_EXPIRES_IN);
    let threshold = r.get(&table::SESSION_REFRESH_THRESHOLD);
    let heartbeat = r.get(&table::SESSION_HEARTBEAT_INTERVAL);
    let buffer = r.get(&table::SESSION_TIMEOUT_BUFFER);
    let absolute = r.get(&table::SESSION_ABSOLUTE_TIMEOUT);
    if r.problems.len() > before {
        return None; // Contradictions with a value that is not known would only mislead.
    }
    match SessionPolicy::new(PolicySettings { ttl: ttl?, demo_ttl, threshold, heartbeat, buffer: buffer?, absolute }) {
        Ok(policy) => {
            warnings.extend(policy.warnings());
            Some(policy)
        }
        Err(problems) => {
            for problem in problems {
                r.problem(problem.setting, Some(problem.value.to_string()), problem.remedy);
            }
            None
        }
    }
}

fn keys(r: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<KeyRing> {
    let algorithm = r.get(&table::JWT_ALGORITHM);
    let allow_weak = r.get(&table::JWT_ALLOW_WEAK_SECRET);
    let id = r.get(&table::JWT_KEY_ID);
    let is_hmac = algorithm.map(Algorithm::is_hmac);
    let secret = r.secret(&table::JWT_SECRET, is_hmac == Some(true));
    let private = r.secret(&table::JWT_PRIVATE_KEY, is_hmac == Some(false));
    let public = r.secret(&table::JWT_PUBLIC_KEY, false);
    let (algorithm, allow_weak) = (algorithm?, allow_weak?);
    // A key of another kind is half of a migration, and nobody knows which half is meant.
    let strays = [("JWT_SECRET", secret.is_some() && !algorithm.is_hmac()), ("JWT_PRIVATE_KEY", private.is_some() && algorithm.is_hmac())];
    for (name, _) in strays.into_iter().filter(|(_, is_stray)| *is_stray) {
        r.problem(name, None, format!("is set, but JWT_ALGORITHM={} has no use for it; remove one of the two", algorithm.name()));
    }
    let key = if algorithm.is_hmac() {
        hmac_key(r, warnings, algorithm, &secret?, allow_weak, id)
    } else {
        pair(r, algorithm, &private?, public.as_ref(), id)
    };
    key.map(|key| KeyRing::new(key, None))
}

fn hmac_key(
    r: &mut Reader<'_>,
    warnings: &mut Vec<String>,
    algorithm: Algorithm,
    secret: &Secret,
    allow_weak: bool,
    id: Option<String>,
) -> Option<Key> {
    match weakness(algorithm, secret) {
        None => {}
        Some(problem) if allow_weak && problem != KeyProblem::Empty => {
            warnings.push(format!("JWT_SECRET {problem} (accepted because of JWT_ALLOW_WEAK_SECRET=true)"));
        }
        Some(problem) => {
            r.problem("JWT_SECRET", None, format!("{problem}; if the backend cannot change, JWT_ALLOW_WEAK_SECRET=true accepts it"));
            return None;
        }
    }
    let edges = [secret.expose().first(), secret.expose().last()];
    if edges.into_iter().flatten().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        warnings.push(
            "JWT_SECRET begins or ends with a blank or a line break; if the backend's key does not, no session will verify (of a file, one trailing newline is left out)".to_owned(),
        );
    }
    Key::hmac(algorithm, secret, id).map_err(|problem| r.problem("JWT_SECRET", None, problem.to_string())).ok()
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

/// Rule S5: what a name promises, its attributes must keep, or browsers drop the cookie.
fn cookie(r: &mut Reader<'_>) -> Option<CookieRules> {
    let name = r.get(&table::SESSION_COOKIE_NAME);
    let before = r.problems.len();
    let mut attributes = r.get(&table::SESSION_COOKIE_ATTRIBUTES);
    if r.problems.len() > before {
        return None;
    }
    let persistence = r.get(&table::SESSION_COOKIE_PERSISTENCE);
    let fallback = r.get(&table::SESSION_COOKIE_FALLBACK);
    let name = name?;
    let host = starts_with_ignore_case(&name, "__Host-");
    let prefixed = host || starts_with_ignore_case(&name, "__Secure-");
    match &attributes {
        // Such a name only ever works over https, whatever the request says.
        None if prefixed => attributes = Some(crate::session::attributes::Attributes::default_for(true)),
        None => {}
        Some(given) => {
            let secure = given.get("secure").is_some();
            let shown = Some(String::from_utf8_lossy(&given.text()).into_owned());
            let setting = table::SESSION_COOKIE_ATTRIBUTES.about.name;
            if prefixed && !secure {
                r.problem(setting, shown.clone(), format!("a cookie named {name} must have Secure"));
            }
            if host && (given.path() != b"/" || given.domain().is_some()) {
                r.problem(setting, shown.clone(), format!("a cookie named {name} must have Path=/ and no Domain"));
            }
            if given.get("samesite").is_some_and(|value| value.eq_ignore_ascii_case(b"none")) && !secure {
                r.problem(setting, shown, "SameSite=None needs Secure".to_owned());
            }
        }
    }
    Some(CookieRules::new(name, attributes, persistence?, fallback?))
}

fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
