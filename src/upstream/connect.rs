//! Sockets to the backend: TCP, TLS or a path in the file system, and which HTTP is spoken on them.

use super::again::Traffic;
use super::lease::{Http1, Lease};
use super::pool::{MOST_STREAMS, Multiplexed, Pool};
use super::{UpstreamError, UpstreamSettings};
use crate::headers::HYPERS_MAX_FIELDS;
use crate::session::time::Span;
use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::client::conn::{http1, http2};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::future::Future as _;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

/// Bytes on their way between one stream and its reader, either way.
const STREAM_WINDOW: u32 = 64 * 1024;
/// All streams of one connection together: those whose readers are slow must not stop the others.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const _: () = assert!(CONNECTION_WINDOW as usize >= MOST_STREAMS * STREAM_WINDOW as usize);
/// A backend that does not answer a ping within this is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// hyper reads this much of a body at once; it and its like in hyper are what a slow reader holds.
const READ_BUFFER: usize = 32 * 1024;

/// Where the backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Http(Authority),
    Https(Authority),
    /// HTTP/2 without TLS, by prior knowledge.
    H2c(Authority),
    Unix(PathBuf),
}

/// Which protocols may be spoken on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Any,
    /// A tunnel needs a connection of its own.
    Http1,
}

pub enum Dialed {
    Http1(Lease),
    Http2(Multiplexed),
}

#[derive(Debug)]
pub struct Connector {
    target: Target,
    tcp: HttpConnector,
    tls: Option<Tls>,
    patience: Span,
    max_head: usize,
    max_fields: usize,
}

struct Tls {
    any: TlsConnector,
    http1: TlsConnector,
    name: Option<ServerName<'static>>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Target {
    /// What a request names as host that came without one.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Http(authority) | Self::Https(authority) | Self::H2c(authority) => authority.as_str(),
            Self::Unix(_) => "localhost",
        }
    }

    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Https(_))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
            Self::H2c(authority) => write!(f, "h2c://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Connector {
    pub fn new(settings: &UpstreamSettings) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        Self {
            target: settings.target.clone(),
            tcp,
            tls: match &settings.target {
                Target::Https(authority) => Some(Tls::new(authority, settings)),
                _ => None,
            },
            patience: settings.connect,
            max_head: settings.max_head,
            max_fields: settings.max_fields,
        }
    }

    /// A fresh connection, ready for its first request.
    pub async fn dial(&self, offer: Offer, pool: &Arc<Pool>) -> Result<Dialed, UpstreamError> {
        match tokio::time::timeout(self.patience.to_std(), self.connect(offer, pool)).await {
            Ok(Ok(dialed)) => Ok(dialed),
            Ok(Err(error)) => {
                tracing::warn!(event = "upstream_unreachable", upstream = %self.target, error = %error);
                Err(UpstreamError::Unreachable)
            }
            Err(_) => {
                tracing::warn!(event = "upstream_unreachable", upstream = %self.target, error = "no connection within SLIDECAR_UPSTREAM_CONNECT_TIMEOUT");
                Err(UpstreamError::Unreachable)
            }
        }
    }

    async fn connect(&self, offer: Offer, pool: &Arc<Pool>) -> io::Result<Dialed> {
        match &self.target {
            Target::Unix(path) => self.http1(UnixStream::connect(path).await?, pool).await,
            Target::Http(authority) => self.http1(self.tcp(authority, 80).await?, pool).await,
            Target::H2c(authority) => self.http2(self.tcp(authority, 80).await?, pool).await,
            Target::Https(authority) => {
                let tcp = self.tcp(authority, 443).await?;
                let tls = self.tls.as_ref().ok_or_else(|| io::Error::other("no TLS"))?;
                let name = tls
                    .name
                    .clone()
                    .ok_or_else(|| io::Error::other("the host of SLIDECAR_UPSTREAM is no name that a certificate could have"))?;
                let connector = if offer == Offer::Any { &tls.any } else { &tls.http1 };
                let stream = connector.connect(name, tcp).await?;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.http2(stream, pool).await
                } else {
                    self.http1(stream, pool).await
                }
            }
        }
    }

    /// Tries the host's addresses of both families (RFC 8305).
    async fn tcp(&self, authority: &Authority, default_port: u16) -> io::Result<tokio::net::TcpStream> {
        let port = authority.port_u16().unwrap_or(default_port);
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(format!("{}:{port}", authority.host()).parse().map_err(io::Error::other)?);
        uri.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(uri).map_err(io::Error::other)?;
        self.tcp.clone().call(uri).await.map(TokioIo::into_inner).map_err(io::Error::other)
    }

    async fn http1(&self, io: impl Io + 'static, pool: &Arc<Pool>) -> io::Result<Dialed> {
        let traffic = Arc::new(Traffic::default());
        let io: Box<dyn Io> = Box::new(Counted { io, traffic: Arc::clone(&traffic), is_deaf: false });
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true).max_header_size(self.max_head).max_buf_size(self.max_head.max(READ_BUFFER));
        if self.max_fields != HYPERS_MAX_FIELDS {
            builder.max_headers(self.max_fields);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(event = "upstream_connection_ended", error = %error);
            }
        });
        Ok(Dialed::Http1(Lease::new(Http1::new(sender, traffic, task.abort_handle()), Arc::clone(pool))))
    }

    async fn http2(&self, io: impl Io + 'static, pool: &Arc<Pool>) -> io::Result<Dialed> {
        let io: Box<dyn Io> = Box::new(io);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(self.max_head).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(io))
            .await
            .map_err(io::Error::other)?;
        let allowed = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let said = Arc::clone(&allowed);
        let mut connection = Box::pin(connection);
        tokio::spawn(async move {
            let ended = std::future::poll_fn(|context| {
                let ended = connection.as_mut().poll(context);
                said.store(connection.current_max_send_streams(), Ordering::Relaxed);
                ended
            });
            if let Err(error) = ended.await {
                tracing::debug!(event = "upstream_connection_ended", error = %error);
            }
        });
        Ok(Dialed::Http2(pool.share(sender, allowed)))
    }
}

/// For TLS to a server whose certificate comes from a public root, or from one of these.
#[must_use]
pub fn client_config(extra_roots: impl IntoIterator<Item = CertificateDer<'static>>) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(extra_roots);
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

impl Tls {
    fn new(authority: &Authority, settings: &UpstreamSettings) -> Self {
        let config = client_config(settings.extra_roots.iter().cloned());
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Self { any: offering(&[b"h2", b"http/1.1"]), http1: offering(&[b"http/1.1"]), name: ServerName::try_from(host).ok() }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Tells what passes: whoever got a byte of an answer must not ask again, and whoever asks again says the same. And goes on
/// listening to a backend that takes no more: it may have answered an upload before it hung up.
struct Counted<T> {
    io: T,
    traffic: Arc<Traffic>,
    is_deaf: bool,
}

impl<T> Counted<T> {
    /// What cannot be written any more counts as written; the answer, or its absence, tells.
    fn heard(&mut self, written: Poll<io::Result<usize>>, length: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.is_deaf = true;
                Poll::Ready(Ok(length))
            }
            other => other,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let count = buffer.filled().len().saturating_sub(before);
        self.traffic.receive(count);
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = if self.is_deaf {
            Poll::Ready(Ok(bytes.len()))
        } else {
            let written = Pin::new(&mut self.io).poll_write(context, bytes);
            self.heard(written, bytes.len())
        };
        self.traffic.send(&written, [bytes]);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        let written = if self.is_deaf {
            Poll::Ready(Ok(length))
        } else {
            let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
            self.heard(written, length)
        };
        self.traffic.send(&written, slices.iter().map(|slice| &**slice));
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
