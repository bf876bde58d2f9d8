//! The settings of the sidecar, checked here by the parsers that it will read them with, so that a bad value is an error of this
//! command and not of the cluster.

use super::Options;
use crate::config::table::{self, ALL, About};
use crate::config::{self, Config};
use crate::session::time::Span;
use std::collections::HashMap;
use std::net::SocketAddr;

/// Stands for the key while the other settings are checked; the manifest never sees it.
const SOME_KEY: &str = "a key as long as the longest hash, which is that of HS512: 64 bytes";

/// What the options ask for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub image: Option<String>,
    pub container: Option<String>,
    pub secret: Option<String>,
    pub secret_key: Option<String>,
    pub upstream_port: Option<u16>,
    pub port: Option<u16>,
    /// Settings by name.
    pub given: Vec<(String, String)>,
}

impl Wanted {
    /// All problems at once.
    pub fn new(options: &Options) -> Result<Self, Vec<String>> {
        let mut wanted = Self {
            image: options.image.clone(),
            container: options.container.clone(),
            secret: options.secret.clone(),
            secret_key: options.secret_key.clone(),
            upstream_port: options.upstream_port,
            port: options.port,
            given: Vec::new(),
        };
        let mut problems = Vec::new();
        let named = [
            (&table::SESSION_COOKIE_NAME.about, &options.cookie_name),
            (&table::JWT_EXPIRES_IN.about, &options.expires_in),
            (&table::SESSION_REFRESH_THRESHOLD.about, &options.refresh_threshold),
            (&table::SLIDECAR_MODE.about, &options.mode),
        ];
        let named = named.into_iter().filter_map(|(about, value)| Some((about.name.to_owned(), value.clone()?)));
        let (set, unknown): (Vec<_>, Vec<_>) = options.set.iter().map(|text| setting(text)).partition(Result::is_ok);
        problems.extend(unknown.into_iter().filter_map(Result::err));
        for (name, value) in named.chain(set.into_iter().flatten()) {
            match wanted.given.iter().find(|(known, _)| *known == name) {
                Some((_, other)) if *other != value => problems.push(format!("{name} is given twice, as {other:?} and as {value:?}")),
                Some(_) => {}
                None => wanted.given.push((name, value)),
            }
        }
        if options.upstream_port.is_some() && wanted.value_of(&table::SLIDECAR_UPSTREAM.about).is_some() {
            problems.push("--upstream-port: SLIDECAR_UPSTREAM is set too; write only one of them".to_owned());
        }
        if options.port.is_some() && wanted.value_of(&table::SLIDECAR_LISTEN.about).is_some() {
            problems.push("--port: SLIDECAR_LISTEN is set too; write only one of them".to_owned());
        }
        for about in [&table::SLIDECAR_LISTEN.about, &table::SLIDECAR_ADMIN_LISTEN.about] {
            let address = wanted.value_of(about).and_then(|value| value.parse::<SocketAddr>().ok());
            if address.is_some_and(|address| address.ip().is_loopback() || address.port() == 0) {
                problems.push(format!("{}: others in the cluster cannot reach it; write 0.0.0.0 or [::], and a port", about.name));
            }
        }
        problems.extend(check(&wanted.given).err().unwrap_or_default());
        if problems.is_empty() { Ok(wanted) } else { Err(problems) }
    }

    pub fn value_of(&self, about: &About) -> Option<&str> {
        value_of(&self.given, about.name)
    }

    /// The port of an address that was set.
    pub fn port_of(&self, about: &About) -> Option<u16> {
        Some(self.value_of(about)?.parse::<SocketAddr>().ok()?.port())
    }

    /// Files whose mounting is left to people.
    pub fn files(&self) -> impl Iterator<Item = &(String, String)> {
        self.given.iter().filter(|(name, _)| name.ends_with("_FILE") || *name == table::SESSION_POLICY_DIR.about.name)
    }
}

pub fn value_of<'a>(values: &'a [(String, String)], name: &str) -> Option<&'a str> {
    values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Whether the key is one that both sides share.
pub fn has_hmac_key(values: &[(String, String)]) -> bool {
    value_of(values, table::JWT_ALGORITHM.about.name).is_none_or(|algorithm| algorithm.starts_with("HS"))
}

/// `NAME=VALUE`.
fn setting(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("--set {text}: write NAME=VALUE"));
    };
    let about = ALL.iter().find(|about| about.name == name || (about.file && name.strip_suffix("_FILE") == Some(about.name)));
    let Some(about) = about else {
        return Err(format!("--set {name}: is no setting{}", config::hint(name)));
    };
    // A store without a password is an address like another.
    let is_open = about.name == table::SESSION_STORE.about.name && !value.contains('@');
    if about.secret && name == about.name && !is_open {
        let remedy = "everybody who may read manifests could read it; put it in a Secret, mount that, and set";
        return Err(format!("--set {name}: {remedy} {name}_FILE to its path"));
    }
    if value.is_empty() {
        return Err(format!("--set {name}: has no value; leave it out"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The settings as slidecar would read them, or what it would say.
pub fn check(values: &[(String, String)]) -> Result<Config, Vec<String>> {
    let alone = [&table::JWT_ALGORITHM.about, &table::JWT_PREVIOUS_UNTIL.about, &table::JWT_PREVIOUS_KEY_ID.about];
    let is_elsewhere = |name: &str| name.ends_with("_FILE") || name == table::SESSION_POLICY_DIR.about.name;
    let mut vars: HashMap<String, String> = values.iter().filter(|(name, _)| !is_elsewhere(name)).cloned().collect();
    // These go with the key, which is not here.
    let mut problems = Vec::new();
    for about in alone {
        let Some(value) = vars.remove(about.name) else { continue };
        let parsed = match about.name {
            "JWT_ALGORITHM" => (table::JWT_ALGORITHM.parse)(&value).map(drop),
            "JWT_PREVIOUS_UNTIL" => (table::JWT_PREVIOUS_UNTIL.parse)(&value).map(drop),
            _ => (table::JWT_PREVIOUS_KEY_ID.parse)(&value).map(drop),
        };
        problems.extend(parsed.err().map(|remedy| format!("{}={value:?}: {remedy}", about.name)));
    }
    vars.insert(table::JWT_SECRET.about.name.to_owned(), SOME_KEY.to_owned());
    vars.entry(table::SLIDECAR_UPSTREAM.about.name.to_owned()).or_insert_with(|| "http://127.0.0.1:1".to_owned());
    match config::load(&vars) {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(problems),
        Err(rejected) => {
            problems.extend(rejected.problems.iter().map(ToString::to_string));
            Err(problems)
        }
    }
}

/// The clocks and the cookie as they hold, so that whoever reads the manifest sees them.
pub fn spelled_out(config: &Config, values: &[(String, String)]) -> Vec<(String, String)> {
    let has_policy_dir = value_of(values, table::SESSION_POLICY_DIR.about.name).is_some();
    let shown = [&table::SESSION_COOKIE_NAME.about, &table::JWT_EXPIRES_IN.about, &table::SESSION_REFRESH_THRESHOLD.about];
    let shown = shown.into_iter().filter(|about| !(has_policy_dir && about.is_clock()));
    shown
        .filter_map(|about| {
            Some((about.name.to_owned(), config.entries.iter().find(|entry| entry.about.name == about.name)?.shown.clone()?))
        })
        .collect()
}

/// Whole seconds of a drain, rounded up.
pub fn drain_seconds(values: &[(String, String)]) -> u64 {
    let text = value_of(values, table::SLIDECAR_DRAIN.about.name);
    let default = match table::SLIDECAR_DRAIN.about.default {
        table::Default::Text(text) => text,
        _ => "25s",
    };
    let drain = (table::SLIDECAR_DRAIN.parse)(text.unwrap_or(default)).unwrap_or_else(|_| Span::from_secs(25));
    drain.as_millis().div_ceil(1000)
}
