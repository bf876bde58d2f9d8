//! `slidecar inspect`: what a token says of itself, and what the settings say of it.

use super::Exit;
use crate::clock::{Clock as _, SystemClock};
use crate::config;
use crate::config::vars::Vars;
use crate::session::inspect::inspect;
use crate::session::keys::KeyRole;
use crate::session::time::{Span, UnixMillis, UnixSeconds};
use std::io::Read as _;

/// No token that is longer fits into a cookie.
const LONGEST: u64 = 16 * 1024;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The token, or `name=token` as in a cookie. Default: read from standard input, where no list of processes shows it
    token: Option<String>,
}

pub fn run(options: &Options, vars: &dyn Vars) -> Exit {
    let mut text = options.token.clone().unwrap_or_default();
    if options.token.is_none()
        && let Err(error) = std::io::stdin().take(LONGEST).read_to_string(&mut text)
    {
        eprintln!("slidecar: standard input cannot be read: {error}");
        return Exit::Failure;
    }
    let text = text.trim();
    // A cookie's name holds no dot as a rule, and a token's first part no equals sign.
    let token = text.split_once('=').filter(|(name, _)| !name.contains('.')).map_or(text, |(_, value)| value);
    let token = token.split(';').next().unwrap_or_default().trim();
    let keys = config::keys_alone(vars);
    let now = SystemClock.now();
    let inspected = match inspect(token.as_bytes(), keys.as_ref(), now) {
        Ok(inspected) => inspected,
        Err(what) => {
            eprintln!("slidecar: this is no token: {what}");
            return Exit::Failure;
        }
    };
    let family: String = inspected.family.id().iter().map(|byte| format!("{byte:02x}")).collect();
    let weak = if inspected.family.is_weak() { "  (weak: others may share it; give tokens a sid, jti or iat)" } else { "" };
    println!("family     {family}{weak}");
    println!("algorithm  {}", inspected.algorithm.as_deref().unwrap_or("-"));
    println!("kid        {}", inspected.key_id.as_deref().unwrap_or("-"));
    println!("began      {}", moment(inspected.origin, now));
    println!("issued     {}", moment(inspected.issued, now));
    println!("expires    {}", moment(inspected.expires, now));
    let verdict = match (&keys, inspected.verified) {
        (None, _) => "not looked at: the environment holds no key",
        (Some(_), Some(KeyRole::Active)) => "verifies with the key",
        (Some(_), Some(KeyRole::Previous)) => "verifies with the previous key",
        (Some(_), None) => "does NOT verify: forged, or signed with another key",
    };
    println!("signature  {verdict}");
    if keys.is_some() && inspected.verified.is_none() { Exit::Failure } else { Exit::Ok }
}

fn moment(moment: Option<UnixSeconds>, now: UnixMillis) -> String {
    let Some(moment) = moment else { return "-".to_owned() };
    let shown = jiff::Timestamp::from_second(moment.get()).map_or_else(|_| moment.get().to_string(), |moment| moment.to_string());
    let distance = if moment.millis() > now {
        format!("in {}", Span::from_secs(now.until(moment).as_secs()))
    } else {
        format!("{} ago", now.second().since(moment))
    };
    format!("{shown}  ({distance})")
}
