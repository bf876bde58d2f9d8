//! The certificate that clients see, and its renewal while connections live on.

use super::deadline::Wire;
use super::socket::Socket;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at; a signal asks at once.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where a PEM text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

/// A certificate chain and its key, as they stand now.
pub struct Certificates {
    chain: Pem,
    key: Pem,
    current: RwLock<Current>,
}

struct Current {
    texts: [Vec<u8>; 2],
    config: Arc<ServerConfig>,
}

/// What is wrong with a certificate or its key; says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsProblem {
    /// The fault is the key's, not the chain's.
    pub is_key: bool,
    pub remedy: String,
}

impl Pem {
    fn read(&self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path),
        }
    }
}

impl Certificates {
    /// Reads both and checks that they belong together.
    pub fn load(chain: Pem, key: Pem) -> Result<Self, TlsProblem> {
        let texts = Self::read(&chain, &key)?;
        let config = configured(&texts)?;
        Ok(Self { chain, key, current: RwLock::new(Current { texts, config }) })
    }

    /// For the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config))
    }

    /// Takes what the files hold now; a bad pair keeps the old one and is reported. Connections that are open live on.
    pub fn reload(&self) {
        let read = Self::read(&self.chain, &self.key);
        let is_same = read.as_ref().is_ok_and(|texts| *texts == self.current.read().unwrap_or_else(PoisonError::into_inner).texts);
        if is_same {
            return;
        }
        match read.and_then(|texts| configured(&texts).map(|config| Current { texts, config })) {
            Ok(current) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
                tracing::info!(event = "certificate_reloaded");
            }
            Err(problem) => {
                let setting = if problem.is_key { "SLIDECAR_TLS_KEY" } else { "SLIDECAR_TLS_CERT" };
                tracing::error!(event = "reload_failed", setting, detail = problem.remedy, kept = "the certificate that was in use");
            }
        }
    }

    /// Looks at the files now and then, for ever.
    pub async fn watch(self: Arc<Self>) {
        if matches!((&self.chain, &self.key), (Pem::Text(_), Pem::Text(_))) {
            return;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let certificates = Arc::clone(&self);
            // A file system may hang; the workers must not.
            let _ = tokio::task::spawn_blocking(move || certificates.reload()).await;
        }
    }

    fn read(chain: &Pem, key: &Pem) -> Result<[Vec<u8>; 2], TlsProblem> {
        let unreadable = |is_key| move |error: std::io::Error| TlsProblem { is_key, remedy: format!("cannot be read: {error}") };
        Ok([chain.read().map_err(unreadable(false))?, key.read().map_err(unreadable(true))?])
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

fn configured([chain, key]: &[Vec<u8>; 2]) -> Result<Arc<ServerConfig>, TlsProblem> {
    let problem = |is_key, remedy: String| TlsProblem { is_key, remedy };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| problem(false, format!("is no PEM certificate chain: {error}")))?;
    if chain.is_empty() {
        return Err(problem(false, "holds no certificate; write the chain as PEM, the server's own first".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| problem(true, "holds no private key; write it as PEM (PKCS#8, PKCS#1 or SEC1), without a passphrase".to_owned()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| problem(true, format!("does not go with SLIDECAR_TLS_CERT: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Wire for TlsStream<Socket> {
    /// Without `close_notify` a TLS client knows; the reset is for those that do not look.
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }

    /// What came with the end of the handshake was read from the socket already.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (socket, session) = self.get_mut();
        if session.wants_read() { socket.poll_readable(context) } else { Poll::Ready(Ok(())) }
    }
}
