//! The few requests that the doctor makes: one origin, one connection for each, nothing sent anywhere else.

use crate::clock::{Clock as _, SystemClock};
use crate::session::set_cookie::http_date;
use crate::session::time::{Span, UnixMillis};
use crate::upstream::client_config;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service as _;
use url::Url;

/// No page or script that is worth reading is longer.
const LONGEST_BODY: usize = 4 * 1024 * 1024;
const MOST_REDIRECTS: usize = 5;
/// Clocks that differ by less do not differ: `Date` is in whole seconds.
const SAME_CLOCK: u64 = 2000;

/// Speaks with one origin.
pub struct Client {
    url: Url,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// What the operator wants on every request.
    fields: Vec<(HeaderName, HeaderValue)>,
    patience: Span,
}

/// A request, as far as one differs from another.
pub struct Ask<'a> {
    pub method: Method,
    pub url: Url,
    pub cookies: Option<HeaderValue>,
    /// Content-Type and content.
    pub body: Option<(&'static str, &'a [u8])>,
}

pub struct Answer {
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// When it came, by the server's clock as far as that can be told.
    pub at: UnixMillis,
    /// How far the server's clock is ahead of ours, in milliseconds.
    pub ahead: i64,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl Client {
    pub fn new(
        url: Url,
        roots: Vec<CertificateDer<'static>>,
        fields: Vec<(HeaderName, HeaderValue)>,
        patience: Span,
    ) -> Result<Self, String> {
        let tls = if url.scheme() == "https" {
            let mut config = client_config(roots);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(host).map_err(|_| "its host is no name that a certificate could have".to_owned())?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        Ok(Self { url, tls, fields, patience })
    }

    /// A place of the same origin. The path is the operator's, or one that a page of this origin names.
    pub fn place(&self, path: &str) -> Option<Url> {
        self.url.join(path).ok().filter(|url| self.is_own(url))
    }

    pub fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
    }

    pub fn get(&self, url: &Url, cookies: Option<HeaderValue>) -> Ask<'static> {
        Ask { method: Method::GET, url: url.clone(), cookies, body: None }
    }

    /// One answer; redirects are the caller's to judge.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer, Unreachable> {
        // A cookie goes nowhere else, whatever a caller computed.
        if !self.is_own(&ask.url) {
            return Err(Unreachable(format!("{} is another origin", ask.url.origin().ascii_serialization())));
        }
        match tokio::time::timeout(self.patience.to_std(), self.exchange(ask)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let causes = causes(&*error);
                let hint = match () {
                    () if causes.contains("invalid peer certificate") => "; --ca FILE names a root certificate of your own",
                    () if causes.contains("InvalidContentType") => "; does it speak https?",
                    () => "",
                };
                Err(Unreachable(causes + hint))
            }
            Err(_) => Err(Unreachable(format!("no whole answer within {}; --timeout waits longer", self.patience))),
        }
    }

    /// Where an answer leads, as long as that is this origin; the cookies of the way are the caller's to keep.
    pub async fn follow(&self, mut answer: Answer, mut keep: impl FnMut(&Answer) -> Option<HeaderValue>) -> Result<Answer, Unreachable> {
        for _ in 0..MOST_REDIRECTS {
            let cookies = keep(&answer);
            let Some(next) = answer.leads_to().filter(|next| self.is_own(next)) else { return Ok(answer) };
            answer = self.send(self.get(&next, cookies)).await?;
        }
        keep(&answer);
        Ok(answer)
    }

    async fn exchange(&self, ask: Ask<'_>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let tcp = self.tcp().await?;
        match &self.tls {
            Some((connector, name)) => self.talk(connector.connect(name.clone(), tcp).await?, ask).await,
            None => self.talk(tcp, ask).await,
        }
    }

    async fn talk<T>(&self, io: T, ask: Ask<'_>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection);
        let target = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = Request::builder().method(ask.method).uri(target);
        let authority = &ask.url[url::Position::BeforeHost..url::Position::AfterPort];
        request = request
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("slidecar-doctor/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "text/html, application/json;q=0.9, */*;q=0.8")
            .header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        if let Some(cookies) = ask.cookies {
            request = request.header(header::COOKIE, cookies);
        }
        let content = ask.body.map(|(kind, content)| {
            // The operator's own word on it counts more.
            let is_said = self.fields.iter().any(|(name, _)| *name == header::CONTENT_TYPE);
            (kind, content, is_said)
        });
        if let Some((kind, _, false)) = content {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let body = Bytes::copy_from_slice(content.map_or(&[], |(_, content, _)| content));
        let sent = SystemClock.now();
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let came = SystemClock.now();
        let (head, body) = response.into_parts();
        let ahead = head.headers.get(header::DATE).and_then(|date| ahead(date, sent, came)).unwrap_or(0);
        let body = read(body).await?;
        Ok(Answer {
            url: ask.url,
            status: head.status,
            headers: head.headers,
            body,
            at: UnixMillis::new(came.get().saturating_add(ahead)),
            ahead,
        })
    }

    /// Tries the host's addresses of both families (RFC 8305).
    async fn tcp(&self) -> io::Result<tokio::net::TcpStream> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        let port = self.url.port_or_known_default().unwrap_or(80);
        uri.authority = Some(format!("{}:{port}", self.url.host_str().unwrap_or_default()).parse().map_err(io::Error::other)?);
        uri.path_and_query = Some(PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(uri).map_err(io::Error::other)?;
        tcp.call(uri).await.map(TokioIo::into_inner).map_err(io::Error::other)
    }
}

impl Answer {
    /// The place that a redirect names.
    pub fn leads_to(&self) -> Option<Url> {
        let is_redirect = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let location = self.headers.get(header::LOCATION).filter(|_| is_redirect)?;
        self.url.join(location.to_str().ok()?).ok()
    }

    pub fn is(&self, kind: &str) -> bool {
        let own = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        own.is_some_and(|own| own.to_ascii_lowercase().contains(kind))
    }

    pub fn set_cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(header::SET_COOKIE).iter().map(HeaderValue::as_bytes)
    }
}

/// A longer body is cut: what is looked for stands near the beginning of it or in another file.
async fn read(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() >= LONGEST_BODY {
            bytes.truncate(LONGEST_BODY);
            break;
        }
    }
    Ok(bytes)
}

fn ahead(date: &HeaderValue, sent: UnixMillis, came: UnixMillis) -> Option<i64> {
    let date = http_date(date.as_bytes())?.millis().get();
    let middle = sent.get().midpoint(came.get());
    // The second that the date names has passed by half, on average.
    let ahead = date.saturating_add(500).saturating_sub(middle);
    Some(if ahead.unsigned_abs() <= SAME_CLOCK { 0 } else { ahead })
}

/// What went wrong, with what is behind it: "client error" alone helps nobody.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = vec![error.to_string()];
    let mut at = error;
    while let Some(cause) = at.source() {
        let cause_words = cause.to_string();
        if !words.iter().any(|known| known.contains(&cause_words)) {
            words.push(cause_words);
        }
        at = cause;
    }
    words.join(": ")
}
