//! What the operator gives, read and checked before anything is sent.

use super::jar::Jar;
use super::{Options, Trouble};
use crate::session::keys::Secret;
use crate::session::time::Span;
use http::{HeaderName, HeaderValue, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::io::Read as _;
use std::path::Path;
use url::Url;
use zeroize::Zeroizing;

/// Nothing that is given here is longer; a larger file is another one.
const LONGEST: u64 = 256 * 1024;

pub struct Input {
    pub url: Url,
    pub way: Way,
    pub fields: Vec<(HeaderName, HeaderValue)>,
    pub name: Option<String>,
    pub probe: Option<String>,
    pub key: Option<Secret>,
    pub watch: Option<Span>,
    pub endpoints: Vec<String>,
    pub roots: Vec<CertificateDer<'static>>,
    pub timeout: Span,
}

/// Where the session comes from.
pub enum Way {
    Cookies(Jar),
    Login(Login),
}

pub struct Login {
    pub method: Method,
    pub path: String,
    pub data: Option<Secret>,
}

impl Input {
    pub fn read(options: &Options) -> Result<Self, Trouble> {
        let url = page(&options.url)?;
        let from_input = [&options.cookie_file, &options.data_file, &options.key_file].into_iter().flatten().filter(|path| is_input(path));
        let from_input = from_input.count() + usize::from(options.cookie.as_deref() == Some("-"));
        if from_input > 1 {
            return Err(Trouble::Usage("only one of the files can be standard input (-)".to_owned()));
        }
        let text = |path: &Path, option: &str| {
            let bytes = file(path, option)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| Trouble::Usage(format!("{option}: is no text")))
        };
        let cookies = match (&options.cookie, &options.cookie_file) {
            (Some(cookies), _) if cookies == "-" => Some(text(Path::new("-"), "--cookie")?),
            (Some(cookies), _) => Some(cookies.clone()),
            (None, Some(path)) => Some(text(path, "--cookie-file")?),
            (None, None) => None,
        };
        let way = match (cookies, &options.login) {
            (Some(cookies), _) => Way::Cookies(Jar::from_text(&cookies).map_err(|remedy| Trouble::Usage(format!("the cookie: {remedy}")))?),
            (None, Some(login)) => Way::Login(Self::login(options, login)?),
            (None, None) => {
                return Err(Trouble::Usage(
                    "there is no session to examine: give --cookie-file FILE (copy the Cookie field from the browser's tools), or --login POST /login --data-file FILE".to_owned(),
                ));
            }
        };
        let mut fields = Vec::new();
        for field in &options.header {
            let lines = match field.strip_prefix('@') {
                Some(path) => text(Path::new(path), "--header")?,
                None => field.clone(),
            };
            for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                fields.push(header(line)?);
            }
        }
        Ok(Self {
            url,
            way,
            fields,
            name: options.name.clone(),
            probe: options.probe.as_deref().map(|probe| path(probe, "--probe")).transpose()?,
            key: options.key_file.as_deref().map(|path| file(path, "--key-file").map(|bytes| Secret::new(trimmed(&bytes)))).transpose()?,
            watch: options.watch,
            endpoints: match &options.endpoints {
                Some(prefix) => vec![path(prefix, "--endpoints")?.trim_end_matches('/').to_owned()],
                None => vec!["/auth".to_owned(), "/api/auth".to_owned()],
            },
            roots: options.ca.as_deref().map(roots).transpose()?.unwrap_or_default(),
            timeout: options.timeout,
        })
    }

    fn login(options: &Options, login: &[String]) -> Result<Login, Trouble> {
        let [method, place] = login else { return Err(Trouble::Usage("--login: write a method and a path".to_owned())) };
        let data = match (&options.data, &options.data_file) {
            (Some(data), _) => Some(Secret::new(data.clone().into_bytes())),
            (None, Some(path)) => Some(Secret::new(trimmed(&file(path, "--data-file")?))),
            (None, None) => None,
        };
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
        let method =
            method.map_err(|_| Trouble::Usage("--login: write the method first, then the path: --login POST /login".to_owned()))?;
        Ok(Login { method, path: path(place, "--login")?, data })
    }
}

impl Login {
    /// Without its query, which may hold a secret.
    pub fn shown(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap_or_default())
    }
}

/// What an address bar would hold; a name without a scheme is one of the web.
fn page(text: &str) -> Result<Url, Trouble> {
    let remedy = || Trouble::Usage("the URL: write the page's address, such as https://app.example/ or http://127.0.0.1:3000/".to_owned());
    let mut url = Url::parse(text).map_err(|_| remedy())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(remedy());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Trouble::Usage("the URL: leave user and password out; --header 'Authorization: Basic …' sends them".to_owned()));
    }
    url.set_fragment(None);
    Ok(url)
}

fn path(text: &str, option: &str) -> Result<String, Trouble> {
    // Two slashes would be another host.
    if text.starts_with('/') && !text.starts_with("//") && !text.bytes().any(|byte| byte.is_ascii_control() || byte == b'\\') {
        Ok(text.to_owned())
    } else {
        Err(Trouble::Usage(format!("{option}: write a path of the same host, such as /account")))
    }
}

/// Never repeats the value: it may be a secret in the wrong place.
fn header(line: &str) -> Result<(HeaderName, HeaderValue), Trouble> {
    let remedy = || Trouble::Usage("--header: write name: value, such as 'X-Requested-With: fetch'".to_owned());
    let (name, value) = line.split_once(':').ok_or_else(remedy)?;
    let name: HeaderName = name.trim().parse().map_err(|_| remedy())?;
    if name == http::header::COOKIE {
        return Err(Trouble::Usage("--header: give cookies with --cookie-file".to_owned()));
    }
    let mut value: HeaderValue = value.trim().parse().map_err(|_| remedy())?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn is_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn file(path: &Path, option: &str) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if is_input(path) {
        std::io::stdin().take(LONGEST).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
    };
    match read {
        Ok(0) => Err(Trouble::Usage(format!("{option}: {} is empty", path.display()))),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Trouble::Usage(format!("{option}: {} cannot be read: {error}", path.display()))),
    }
}

/// One newline at the end is the editor's, as in all files of settings.
fn trimmed(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec()
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let pem = file(path, "--ca")?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(Trouble::Usage(format!("--ca: {} holds no certificate; write the roots as PEM", path.display()))),
    }
}
