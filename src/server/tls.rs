//! The certificate that clients see.

use super::deadline::Wire;
use super::socket::Socket;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_rustls::server::TlsStream;

/// What is wrong with a certificate or its key; says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsProblem {
    /// The fault is the key's, not the chain's.
    pub is_key: bool,
    pub remedy: String,
}

/// What a handshake needs, from a certificate chain and its key as PEM texts that belong together.
pub fn server_config(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsProblem> {
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
