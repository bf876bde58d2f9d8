//! `GET /auth/session-client.js`: the browser client, with a policy to fall back on that is computed from the one in force.
//! The same under a name that holds its hash may be kept for ever.

use super::{Call, names};
use crate::session::hash::hex;
use crate::session::policy::{Class, PublicPolicy, SessionPolicy};
use aws_lc_rs::digest::{SHA256, SHA384, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, header};
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Built from `client/`, and compared with it by the tests.
const SOURCE: &str = include_str!("../../client/dist/served/session-client.js");
/// What the policy takes the place of.
const PLACEHOLDER: &str = "\"__SLIDECAR_POLICY__\"";
/// brotli's best, once for each policy: 11 KB take 20 ms.
const BEST: u32 = 11;

/// The script for one policy.
#[derive(Debug)]
pub struct ClientScript {
    version: String,
    plain: Vec<u8>,
    hash: String,
    compressed: OnceLock<[Vec<u8>; 2]>,
}

/// The one for the policy that was asked for last.
#[derive(Clone, Debug, Default)]
pub struct ClientScripts(Arc<Mutex<Option<Arc<ClientScript>>>>);

impl ClientScripts {
    /// The script for this policy.
    #[must_use]
    pub fn of(&self, policy: &SessionPolicy) -> Arc<ClientScript> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(script) if script.version == policy.version() => Arc::clone(script),
            _ => Arc::clone(last.insert(Arc::new(ClientScript::new(policy)))),
        }
    }
}

impl ClientScript {
    #[must_use]
    pub fn new(policy: &SessionPolicy) -> Self {
        // Four integers always serialise.
        let fallback = serde_json::to_string(&halved(&policy.public(Class::Standard))).unwrap_or_default();
        let plain = SOURCE.replace(PLACEHOLDER, &fallback).into_bytes();
        let hash = hex(&digest(&SHA256, &plain).as_ref()[..8]);
        Self { version: policy.version().to_owned(), plain, hash, compressed: OnceLock::new() }
    }

    /// Its name for ever, under the prefix of the endpoints.
    #[must_use]
    pub fn name(&self) -> String {
        format!("/session-client-{}.js", self.hash)
    }

    /// What a page that includes it by hand may pin (Subresource Integrity).
    #[must_use]
    pub fn integrity(&self) -> String {
        format!("sha384-{}", STANDARD.encode(digest(&SHA384, &self.plain)))
    }

    fn coded(&self, coding: Coding) -> &[u8] {
        let [brotli, gzip] = self.compressed.get_or_init(|| [brotli(&self.plain), gzip(&self.plain)]);
        match coding {
            Coding::Brotli => brotli,
            Coding::Gzip => gzip,
            Coding::Identity => &self.plain,
        }
    }
}

/// Whether this names the script, by whatever hash.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let hash =
        |rest: &str| rest.strip_suffix(".js").is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    name == "/session-client.js" || name.strip_prefix("/session-client-").is_some_and(hash)
}

pub fn answer(call: &Call<'_>, scripts: &ClientScripts, has_origins: bool) -> Response<Vec<u8>> {
    let script = scripts.of(&call.rules.policy);
    let coding = Coding::among(&call.head.headers);
    let etag = format!("\"{}{}\"", script.hash, coding.suffix());
    // An older page asks by an older name: it gets what holds now, and must not keep it under that name.
    let is_for_ever = call.head.uri.path().ends_with(&script.name());
    let unchanged = names(&call.head.headers, &etag);
    let mut response = Response::new(if unchanged { Vec::new() } else { script.coded(coding).to_vec() });
    if unchanged {
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    let cache = if is_for_ever { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if !unchanged {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(name) = coding.name() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if !has_origins {
            headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        }
    }
    response
}

/// Rule B1: a page that cannot ask ends early, never late.
fn halved(policy: &PublicPolicy) -> PublicPolicy {
    PublicPolicy {
        access_token_ttl_ms: policy.access_token_ttl_ms / 2,
        heartbeat_interval_ms: policy.heartbeat_interval_ms / 2,
        session_timeout_ms: policy.session_timeout_ms / 2,
        refresh_threshold_ms: policy.refresh_threshold_ms / 2,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Identity,
}

impl Coding {
    /// The smallest that the client takes (RFC 9110 §12.5.3).
    fn among(headers: &HeaderMap) -> Self {
        let accepted: Vec<&str> = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).collect();
        let takes = |name: &str| {
            accepted.iter().flat_map(|value| value.split(',')).any(|part| {
                let (coding, quality) = part.split_once(';').unwrap_or((part, ""));
                let quality = quality.trim().strip_prefix("q=").and_then(|quality| quality.trim().parse::<f32>().ok());
                coding.trim().eq_ignore_ascii_case(name) && quality.is_none_or(|quality| quality > 0.0)
            })
        };
        if takes("br") {
            Self::Brotli
        } else if takes("gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gz",
            Self::Identity => "",
        }
    }
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: i32::try_from(BEST).unwrap_or(9), ..Default::default() };
    // Into memory, which does not fail.
    let _ = brotli::BrotliCompress(&mut &plain[..], &mut coded, &parameters);
    coded
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let written = coder.write_all(plain).and_then(|()| coder.finish());
    written.unwrap_or_default() // Into memory, which does not fail.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_the_policy_takes_the_place_of_the_one_placeholder() {
        assert_eq!(SOURCE.matches(PLACEHOLDER).count(), 1);
    }

    #[test]
    fn e1_the_names_of_the_script() {
        for (name, is) in [
            ("/session-client.js", true),
            ("/session-client-0123456789abcdef.js", true),
            ("/session-client-0123456789abcde.js", false),
            ("/session-client-0123456789abcdeg.js", false),
            ("/session-client.js/", false),
            ("/session-client-.js", false),
        ] {
            assert_eq!(is_name(name), is, "{name}");
        }
    }

    #[test]
    fn the_smallest_coding_that_is_taken() {
        for (accepted, coding) in [
            ("", Coding::Identity),
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip", Coding::Gzip),
            ("br;q=0, GZIP;q=0.5", Coding::Gzip),
            ("br;q=0,gzip;q=0", Coding::Identity),
            ("*", Coding::Identity),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(Coding::among(&headers), coding, "{accepted}");
        }
    }
}
