//! From the environment to settings: the only room that knows a variable's name.
//!
//! Each part of the program owns the type of its settings; this folder fills them in. Everything is read once, every
//! problem is found before any is reported, and a value that is present but bad never falls back to a default.

mod ends;
mod files;
mod keys;
mod limits;
pub mod parse;
mod store;
pub mod table;
mod traces;
mod unknown;
pub mod vars;

use crate::endpoints::{ClientScripts, EndpointSettings};
use crate::live::{Parts, Stated};
use crate::memory::store::StoreSettings;
use crate::proxy::{Mode, ProxySettings};
use crate::session::attributes::Attributes;
use crate::session::keys::{KeyRing, Secret};
use crate::session::paths::PathRules;
use crate::session::policy::{Class, PolicySettings, SessionPolicy};
use crate::session::token::TokenRules;
use crate::session::{CookieRules, Rules};
use crate::telemetry::LogSettings;
use crate::traces::TraceSettings;
use ends::Ends;
use files::Files;
pub use files::Fingerprint;
pub use keys::doubts;
use limits::Limits;
use std::net::SocketAddr;
use std::sync::Arc;
use table::About;
pub use unknown::hint;
use vars::{Entry, Problem, Reader, Vars};

/// So often files are read that move meanwhile, before it is given up.
const READS: usize = 10;

/// Everything that was set, in the types of those who use it.
#[derive(Debug)]
pub struct Config {
    pub rules: Arc<Rules>,
    pub proxy: ProxySettings,
    pub limits: Limits,
    pub ends: Ends,
    pub store: Option<StoreSettings>,
    pub traces: Option<TraceSettings>,
    pub max_revocations: usize,
    pub admin_token: Option<Secret>,
    pub workers: usize,
    pub log: LogSettings,
    /// Every setting with its value and source.
    pub entries: Vec<Entry>,
    pub warnings: Vec<String>,
    /// Where it was read from, and what stood in the files: what they hold may change while the program runs.
    pub source: Source,
}

/// Settings that do not hold: what is wrong, and the names that nobody reads, for a mistyped one may explain it.
#[derive(Debug)]
pub struct Rejected {
    pub problems: Vec<Problem>,
    pub unknown: Vec<String>,
}

/// Where settings come from.
#[derive(Clone)]
pub struct Source {
    vars: Arc<dyn Vars>,
    pub files: Fingerprint,
    /// Files appear whole; others may be seen half written.
    pub files_are_swapped: bool,
}

impl Source {
    /// The settings as they stand now.
    pub fn load_again(&self) -> Result<Config, Rejected> {
        load(&*self.vars)
    }
}

impl Config {
    /// What may change while the program runs.
    #[must_use]
    pub fn live_parts(&self) -> Parts {
        let stated = |entry: &Entry| Stated { name: entry.about.name, value: entry.value(), source: entry.words() };
        Parts {
            rules: Arc::clone(&self.rules),
            tls: self.ends.tls.clone(),
            admin_token: self.admin_token.clone(),
            settings: self.entries.iter().map(stated).collect(),
        }
    }

    /// Settings whose files hold something else than those of `earlier`, and which only a restart takes up.
    #[must_use]
    pub fn wants_restart(&self, earlier: &Source) -> Vec<&'static str> {
        const FIXED: [&About; 5] = [
            &table::SESSION_STORE.about,
            &table::SESSION_STORE_CA.about,
            &table::SLIDECAR_UPSTREAM_CA.about,
            &table::OTEL_EXPORTER_OTLP_HEADERS.about,
            &table::OTEL_EXPORTER_OTLP_CERTIFICATE.about,
        ];
        let fixed = self.entries.iter().filter(|entry| FIXED.iter().any(|about| about.name == entry.about.name));
        let changed = fixed.filter(|entry| match &entry.source {
            vars::Source::File(path) => self.source.files.differs_at(&earlier.files, path),
            vars::Source::Default | vars::Source::Environment => false,
        });
        changed.map(|entry| entry.about.name).collect()
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Reads and checks everything; answers all problems at once (rule S1). Files that move while they are read are read again,
/// so that what is taken up stood there together.
pub fn load(vars: &dyn Vars) -> Result<Config, Rejected> {
    for _ in 0..READS {
        let files = Files::default();
        let loaded = load_once(vars, &files);
        if !files.is_torn() {
            return loaded;
        }
    }
    let remedy = "the files of the settings change while they are read; write them elsewhere and move them into place".to_owned();
    Err(Rejected { problems: vec![Problem { setting: "NAME_FILE".to_owned(), value: None, remedy }], unknown: Vec::new() })
}

fn load_once(vars: &dyn Vars, files: &Files) -> Result<Config, Rejected> {
    let mut reader = Reader::new(vars, files);
    let mut warnings = Vec::new();
    let rules = rules(&mut reader, &mut warnings);
    let r = &mut reader;
    let origins = r.get(&table::SESSION_CLIENT_ORIGINS).unwrap_or_default();
    let endpoints = r.get(&table::SESSION_ENDPOINTS).map(|prefix| EndpointSettings { prefix, origins, client: ClientScripts::default() });
    if let (Some(rules), Some(endpoints)) = (&rules, &endpoints) {
        warnings.extend(out_of_reach(rules.cookie.attributes_for(false), &endpoints.prefix));
    }
    let streams = r.get(&table::SESSION_STREAMS);
    let client = r.get(&table::SESSION_CLIENT);
    let (ends, target) = ends::read(r);
    let extra_roots = ends::extra_roots(r, target.as_ref(), &mut warnings);
    let mode = r.get(&table::SLIDECAR_MODE);
    if mode == Some(Mode::Observe) {
        warnings.push("SLIDECAR_MODE=observe: nothing is enforced, the clocks are only watched".to_owned());
    }
    let workers = r.get(&table::SLIDECAR_WORKERS).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let level = r.get(&table::SLIDECAR_LOG);
    let format = r.get(&table::SLIDECAR_LOG_FORMAT);
    let store = store::read(r, &mut warnings);
    let admin_token = store::admin_token(r, &mut warnings);
    let traces = traces::read(r, &mut warnings);
    let max_revocations = r.get(&table::SLIDECAR_MAX_REVOCATIONS);
    let limits = limits::read(r, target, extra_roots);

    let unknown = unknown::warnings(&vars.names(), vars);
    warnings.extend(unknown.iter().cloned());
    if let Some(rules) = &rules {
        reader.derive(&derived(rules, workers));
    }
    let config = (|| {
        Some(Config {
            rules: Arc::new(rules?),
            proxy: ProxySettings {
                mode: mode?,
                endpoints: endpoints?,
                gate: limits.as_ref()?.gate,
                streams: streams?,
                client: client?,
                tunnel_idle: limits.as_ref()?.tunnel_idle,
            },
            limits: limits?,
            ends: ends?,
            store: store?,
            traces: traces?,
            max_revocations: max_revocations?,
            admin_token,
            workers,
            log: LogSettings { level: level?, format: format? },
            entries: std::mem::take(&mut reader.entries),
            warnings,
            source: Source { vars: vars.kept(), files: files.fingerprint(), files_are_swapped: files.are_swapped() },
        })
    })();
    match config {
        Some(config) if reader.problems.is_empty() => Ok(config),
        _ => Err(Rejected { problems: reader.problems, unknown }),
    }
}

/// Where the admin port is and what it asks for: all that a command needs that talks to a running slidecar.
pub fn admin_access(vars: &dyn Vars) -> Result<(SocketAddr, Option<Secret>), Rejected> {
    let files = Files::default();
    let mut reader = Reader::new(vars, &files);
    let address = reader.get(&table::SLIDECAR_ADMIN_LISTEN);
    let token = reader.secret(&table::SLIDECAR_ADMIN_TOKEN, false);
    match address {
        Some(address) if reader.problems.is_empty() => Ok((address, token)),
        _ => Err(Rejected { problems: reader.problems, unknown: Vec::new() }),
    }
}

/// Where the admin port listens: for commands that need no other setting.
pub fn admin_listen(vars: &dyn Vars) -> Result<SocketAddr, Rejected> {
    let files = Files::default();
    let mut reader = Reader::new(vars, &files);
    let address = reader.get(&table::SLIDECAR_ADMIN_LISTEN);
    address.ok_or(Rejected { problems: reader.problems, unknown: Vec::new() })
}

/// The keys, if there are any that hold: for commands that need no other setting.
#[must_use]
pub fn keys_alone(vars: &dyn Vars) -> Option<KeyRing> {
    let files = Files::default();
    keys::read(&mut Reader::new(vars, &files), &mut Vec::new())
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
    let keys = keys::read(r, warnings);
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
    policy_dir(r, warnings);
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

/// Looks into `SESSION_POLICY_DIR`, if there is one.
fn policy_dir(r: &mut Reader<'_>, warnings: &mut Vec<String>) {
    let about = &table::SESSION_POLICY_DIR.about;
    let Some(folder) = r.get(&table::SESSION_POLICY_DIR) else { return };
    let names = match r.look_for_clocks_in(&folder) {
        Ok(names) => names,
        Err(error) => {
            let remedy = format!("cannot be read: {error}; mount a ConfigMap there, with one file for each clock");
            return r.problem(about.name, Some(folder.display().to_string()), remedy);
        }
    };
    let is_clock = |name: &String| table::ALL.iter().any(|about| about.is_clock() && about.name == *name);
    let (clocks, others): (Vec<_>, Vec<_>) = names.into_iter().partition(is_clock);
    if clocks.is_empty() {
        warnings.push(format!("{}={} holds none of the clocks", about.name, folder.display()));
    }
    for name in others {
        warnings.push(format!("{}={} holds {name}, which is no clock and is ignored", about.name, folder.display()));
    }
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
        None if prefixed => attributes = Some(Attributes::default_for(true)),
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

/// A cookie that no own endpoint ever sees: every status would say that there is no session.
fn out_of_reach(attributes: &Attributes, endpoints: &str) -> Option<String> {
    let path = String::from_utf8_lossy(attributes.path());
    let (cookie, prefix) = (table::SESSION_COOKIE_ATTRIBUTES.about.name, table::SESSION_ENDPOINTS.about.name);
    (!attributes.reaches(format!("{endpoints}/session-status").as_bytes())).then(|| {
        format!(
            "{cookie}: with Path={path} the browser will not send the cookie to {endpoints}/session-status and the other own endpoints: set {prefix}={}{endpoints}",
            path.trim_end_matches('/')
        )
    })
}

fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
