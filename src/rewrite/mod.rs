//! Puts the browser client into the backend's pages as they stream (rule B8). What cannot be done safely is left alone:
//! `csp` knows whether the page lets the script run, `html` writes it.

mod csp;
mod html;

pub use html::Injected;

use crate::headers::retain;
use csp::Pass;
use encoding_rs::Encoding;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use lol_html::AsciiCompatibleEncoding;

/// What is to be put into a page.
#[derive(Debug)]
pub struct Injection {
    pub element: String,
    pub encoding: AsciiCompatibleEncoding,
}

/// Why a page stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// Its policy lets no script of ours run.
    Policy,
    /// It is written in what no ASCII can stand in.
    Encoding,
    /// The backend compressed it although it was asked not to.
    Compressed,
}

impl Left {
    pub const ALL: [Self; 3] = [Self::Policy, Self::Encoding, Self::Compressed];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Policy => "csp",
            Self::Encoding => "encoding",
            Self::Compressed => "compressed",
        }
    }
}

/// What a page of this head gets; `None` for what is no page.
#[must_use]
pub fn plan(status: StatusCode, headers: &HeaderMap, script: &str) -> Option<Result<Injection, Left>> {
    if status != StatusCode::OK || is_download(headers) {
        return None;
    }
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("text/html") {
        return None;
    }
    Some(injection(headers, parameters, script))
}

fn injection(headers: &HeaderMap, parameters: &str, script: &str) -> Result<Injection, Left> {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    if codings.iter().any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(Left::Compressed);
    }
    let policies = headers.get_all(header::CONTENT_SECURITY_POLICY).iter().map(HeaderValue::to_str).collect::<Result<Vec<_>, _>>();
    let pass = csp::pass(policies.map_err(|_| Left::Policy)?.into_iter()).ok_or(Left::Policy)?;
    let nonce = match pass {
        Pass::Free => String::new(),
        Pass::Nonce(nonce) => format!(" nonce=\"{nonce}\""),
    };
    Ok(Injection { element: format!("<script src=\"{script}\" defer{nonce}></script>"), encoding: encoding(parameters)? })
}

/// The one that the head names. Where it names none, the page may, or the browser guesses: all of those hold ASCII as it is.
fn encoding(parameters: &str) -> Result<AsciiCompatibleEncoding, Left> {
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset {
        None => Ok(AsciiCompatibleEncoding::utf_8()),
        Some(label) => Encoding::for_label(label.as_bytes()).and_then(AsciiCompatibleEncoding::new).ok_or(Left::Encoding),
    }
}

fn is_download(headers: &HeaderMap) -> bool {
    let disposition = headers.get(header::CONTENT_DISPOSITION).map(HeaderValue::as_bytes).unwrap_or_default();
    disposition.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"attachment"))
}

/// The head of a page that is no longer byte for byte the backend's.
pub fn changed(headers: &mut HeaderMap) {
    const OF_THE_BYTES: [HeaderName; 5] = [
        header::CONTENT_LENGTH,
        header::ACCEPT_RANGES,
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("digest"),
    ];
    retain(headers, |name, _| !OF_THE_BYTES.contains(name));
    if let Some(tag) = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"))
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}
