//! From a setting's text to its value. An error says what would be right; it never repeats the value.

use super::traces::{Roots, SamplerName};
use crate::memory::store::Address;
use crate::proxy::{ClientMode, Mode, StreamMode};
use crate::session::Persistence;
use crate::session::attributes::Attributes;
use crate::session::duration;
use crate::session::keys::{Algorithm, Secret};
use crate::session::login::LoginUrl;
use crate::session::paths::Prefix;
use crate::session::set_cookie::SetCookie;
use crate::session::time::{Span, UnixSeconds};
use crate::session::token::{ClaimRule, IatMode};
use crate::telemetry::LogFormat;
use crate::upstream::Target;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

pub fn duration(text: &str) -> Result<Span, String> {
    duration::parse(text).map_err(|error| error.to_string())
}

pub fn duration_or_off(text: &str) -> Result<Option<Span>, String> {
    match text {
        "off" => Ok(None),
        "0" => Err("write off, or a duration above zero".to_owned()),
        _ => duration(text).map(Some),
    }
}

/// RFC 3339, in whole seconds.
pub fn moment(text: &str) -> Result<UnixSeconds, String> {
    let moment = text.trim().parse::<jiff::Timestamp>().map(|moment| UnixSeconds::new(moment.as_second()));
    moment.map_err(|_| "write a moment of RFC 3339, such as 2027-01-31T00:00:00Z".to_owned())
}

pub fn store(text: &str) -> Result<Option<Address>, String> {
    if text == "memory" { Ok(None) } else { Address::parse(text.trim()).map(Some) }
}

pub fn store_prefix(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
    if is_plain && !text.is_empty() { Ok(text.to_owned()) } else { Err("write letters, digits or any of - _ . : /".to_owned()) }
}

pub fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

pub fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.as_bytes().to_vec()))
}

pub fn algorithm(text: &str) -> Result<Algorithm, String> {
    let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == text);
    known.ok_or_else(|| format!("write one of {}", Algorithm::ALL.map(Algorithm::name).join(", ")))
}

pub fn text(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) { Err("must be one line of text".to_owned()) } else { Ok(text.to_owned()) }
}

pub fn demo_claim(text: &str) -> Result<ClaimRule, String> {
    match claim(text) {
        Some(rule @ ClaimRule::Equal(..)) => Ok(rule),
        _ => Err("write name=value, such as role=demo".to_owned()),
    }
}

pub fn claims(text: &str) -> Result<Vec<ClaimRule>, String> {
    list(text, claim, "write claims separated by commas: name, !name or name=value")
}

pub fn iat(text: &str) -> Result<IatMode, String> {
    one_of(text, &[("keep", IatMode::Keep), ("bump", IatMode::Bump)])
}

pub fn boolean(text: &str) -> Result<bool, String> {
    one_of(text, &[("true", true), ("false", false)])
}

/// RFC 6265bis §4.1.1: a cookie's name is a token.
pub fn cookie_name(text: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.len() <= 200 && text.bytes().all(token) {
        Ok(text.to_owned())
    } else {
        Err("a cookie name has 1 to 200 letters, digits or any of !#$%&'*+-.^_`|~".to_owned())
    }
}

pub fn attributes(text: &str) -> Result<Attributes, String> {
    let line = format!("c=v; {text}");
    let parsed = SetCookie::parse(line.as_bytes()).ok_or("write attributes separated by semicolons, such as Path=/; HttpOnly")?;
    if ["max-age", "expires"].iter().any(|name| parsed.attribute(name).is_some()) {
        return Err("leave Max-Age and Expires out: the token's exp is the only clock".to_owned());
    }
    if text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
        return Err("only printable ASCII can stand in a cookie's attributes".to_owned());
    }
    const KNOWN: [&str; 7] = ["path", "domain", "secure", "httponly", "samesite", "partitioned", "priority"];
    for (name, value) in parsed.identity() {
        let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
        if !KNOWN.iter().any(|known| known.as_bytes() == name) {
            return Err("write only Path, Domain, Secure, HttpOnly, SameSite, Partitioned and Priority".to_owned());
        }
        if name == b"path" && !value.starts_with(b"/") {
            return Err("Path must begin with /".to_owned());
        }
        if name == b"samesite" && ![&b"lax"[..], b"strict", b"none"].contains(&value.as_slice()) {
            return Err("SameSite is Lax, Strict or None".to_owned());
        }
    }
    Ok(Attributes::from_text(text.as_bytes()))
}

pub fn persistence(text: &str) -> Result<Persistence, String> {
    one_of(text, &[("follow", Persistence::Follow), ("always", Persistence::Always)])
}

pub fn prefixes(text: &str) -> Result<Vec<Prefix>, String> {
    list(
        text,
        Prefix::new,
        "write paths separated by commas, each beginning with / and spelled plainly (no escapes, dots, wildcards or query)",
    )
}

pub fn login_url(text: &str) -> Result<LoginUrl, String> {
    LoginUrl::new(text).ok_or_else(|| "write a path such as /login?next={return}, or an http(s) URL".to_owned())
}

pub fn endpoints(text: &str) -> Result<String, String> {
    match Prefix::new(text) {
        Some(_) if text.len() > 1 => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("write a path such as /auth".to_owned()),
    }
}

pub fn mode(text: &str) -> Result<Mode, String> {
    one_of(text, &[("enforce", Mode::Enforce), ("observe", Mode::Observe)])
}

pub fn client(text: &str) -> Result<ClientMode, String> {
    one_of(text, &[("off", ClientMode::Off), ("inject", ClientMode::Inject)])
}

pub fn streams(text: &str) -> Result<StreamMode, String> {
    one_of(text, &[("ignore", StreamMode::Ignore), ("close", StreamMode::Close)])
}

pub fn origins(text: &str) -> Result<Vec<String>, String> {
    list(text, origin, "write origins separated by commas, such as https://app.example.com, without a path")
}

/// As browsers write it: scheme, host, and the port where it is not the scheme's own.
fn origin(text: &str) -> Option<String> {
    let uri: http::Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/') && !text.contains('@');
    (is_web && is_bare).then(|| text.to_ascii_lowercase())
}

pub fn upstream(text: &str) -> Result<Target, String> {
    let right = "write http://host:port, such as http://127.0.0.1:3000, or https://, h2c:// or unix:/path";
    if let Some(path) = text.strip_prefix("unix:") {
        // `unix:///path` is what URL writers write.
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.starts_with('/') { Ok(Target::Unix(path.into())) } else { Err(right.to_owned()) };
    }
    let (scheme, _) = text.split_once("://").ok_or(right)?;
    let target = match scheme {
        "http" => Target::Http,
        "https" => Target::Https,
        "h2c" => Target::H2c,
        _ => return Err(right.to_owned()),
    };
    let uri: http::Uri = text.parse().map_err(|_| right)?;
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err(format!("has a path, but requests keep their own; {right}"));
    }
    match uri.authority() {
        Some(authority) if !authority.as_str().contains('@') && !authority.host().is_empty() => Ok(target(authority.clone())),
        _ => Err(right.to_owned()),
    }
}

pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write address:port, such as 0.0.0.0:8080 or [::]:8080".to_owned())
}

pub fn count(text: &str) -> Result<usize, String> {
    whole(text, 1..=1_000_000, "a whole number")
}

pub fn number(text: &str) -> Result<usize, String> {
    whole(text, 0..=1_000_000_000, "a whole number")
}

/// More than this, the parser does not read.
pub fn target_bytes(text: &str) -> Result<usize, String> {
    whole(text, 256..=65_534, "a number of bytes")
}

/// hyper needs 8 KiB to read at all, and nobody needs a mebibyte of head.
pub fn head_bytes(text: &str) -> Result<usize, String> {
    whole(text, 8192..=1_048_576, "a number of bytes")
}

fn whole(text: &str, range: RangeInclusive<usize>, what: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("write {what} from {} to {}", range.start(), range.end()))
}

/// An address of OTLP over HTTP.
pub fn collector(text: &str) -> Result<http::Uri, String> {
    let right = "write http://host:port or https://host:port, such as http://collector:4318";
    let uri: http::Uri = text.trim().parse().map_err(|_| right)?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("holds a password, which would be shown; put it into OTEL_EXPORTER_OTLP_HEADERS as authorization=Basic%20...".to_owned())
        }
        Some(authority) if is_web && !authority.host().is_empty() && uri.query().is_none() => Ok(uri),
        _ => Err(right.to_owned()),
    }
}

pub fn otlp_protocol(text: &str) -> Result<(), String> {
    match text {
        "http/protobuf" => Ok(()),
        _ => Err("write http/protobuf, and the collector's port for it (4318 where gRPC has 4317)".to_owned()),
    }
}

pub fn otlp_headers(text: &str) -> Result<http::HeaderMap, String> {
    let right = "write name=value, several separated by commas; a value's spaces and commas as %20 and %2C";
    let mut headers = http::HeaderMap::new();
    for (name, value) in pairs(text, right)? {
        let name = http::HeaderName::try_from(name).map_err(|_| right)?;
        let mut value = http::HeaderValue::try_from(value).map_err(|_| right)?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

pub fn resource(text: &str) -> Result<Vec<(String, String)>, String> {
    pairs(text, "write name=value, several separated by commas; a value's commas as %2C")
}

/// As W3C Baggage writes them, as far as OpenTelemetry takes them.
fn pairs(text: &str, right: &str) -> Result<Vec<(String, String)>, String> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    let pair = |member: &str| {
        let (name, value) = member.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
    };
    members.map(|member| pair(member).ok_or_else(|| right.to_owned())).collect()
}

/// OpenTelemetry's numbers are milliseconds, where ours without a unit are seconds.
pub fn milliseconds(text: &str) -> Result<Span, String> {
    let millis = text.parse().ok().filter(|millis| (1..=3_600_000).contains(millis));
    millis.map(Span::from_millis).ok_or_else(|| "write a number of milliseconds from 1 to 3600000, without a unit".to_owned())
}

pub fn sampler(text: &str) -> Result<SamplerName, String> {
    let (rest, follows_parent) = text.strip_prefix("parentbased_").map_or((text, false), |rest| (rest, true));
    let roots = [("always_on", Roots::All), ("always_off", Roots::None), ("traceidratio", Roots::Part)];
    match one_of(rest, &roots) {
        Ok(roots) => Ok(SamplerName { roots, follows_parent }),
        Err(_) => Err("write always_on, always_off or traceidratio, with or without parentbased_ before it".to_owned()),
    }
}

pub fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "write a number from 0 to 1, such as 0.1".to_owned())
}

pub fn level(text: &str) -> Result<tracing::Level, String> {
    use tracing::Level;
    let levels = [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG), ("trace", Level::TRACE)];
    one_of(text, &levels)
}

pub fn log_format(text: &str) -> Result<LogFormat, String> {
    one_of(text, &[("json", LogFormat::Json), ("text", LogFormat::Text)])
}

fn one_of<T: Clone>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| value.clone());
    found.ok_or_else(|| format!("write one of {}", choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")))
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>, right: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|one| item(one.trim()).ok_or_else(|| right.to_owned())).collect()
}

fn claim(text: &str) -> Option<ClaimRule> {
    let named = |name: &str| (!name.is_empty() && !name.contains(['!', ' ', '"'])).then(|| name.to_owned());
    if let Some((name, value)) = text.split_once('=') {
        Some(ClaimRule::Equal(named(name)?, value.to_owned()))
    } else if let Some(name) = text.strip_prefix('!') {
        named(name).map(ClaimRule::Absent)
    } else {
        named(text).map(ClaimRule::Present)
    }
}
