//! The threads that talk to clients. Each has a runtime, a pool of connections to the backend and a memory of verified
//! tokens of its own, so that a request is served from its first byte to its last without waiting for another thread.
//!
//! A new connection goes to the worker that has the fewest. A load balancer opens few and keeps them for long, so chance
//! (`SO_REUSEPORT`) would often give most of them to one worker, for as long as they live.

use super::connection::{Hold, Service, talk};
use super::socket::Socket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// One that connections can be given to.
pub struct Worker {
    service: Arc<Service>,
    /// Connections that it has.
    load: Arc<AtomicUsize>,
    /// `None`: the thread that accepts works too.
    inbox: Option<mpsc::UnboundedSender<Arrival>>,
}

/// A connection on its way to its worker.
struct Arrival {
    stream: std::net::TcpStream,
    hold: Hold,
}

/// A connection's place among those of its worker, with whatever else ends with it.
struct Place<T> {
    load: Arc<AtomicUsize>,
    _also: T,
}

impl Worker {
    /// The runtime that this is called on.
    #[must_use]
    pub fn here(service: Service) -> Self {
        Self { service: Arc::new(service), load: Arc::default(), inbox: None }
    }

    /// A thread of its own, which ends with this.
    pub fn elsewhere(service: Service) -> std::io::Result<Self> {
        let (service, (inbox, mut arrivals)) = (Arc::new(service), mpsc::unbounded_channel::<Arrival>());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = Arc::clone(&service);
        std::thread::Builder::new().name("worker".to_owned()).spawn(move || {
            runtime.block_on(async {
                while let Some(arrival) = arrivals.recv().await {
                    match TcpStream::from_std(arrival.stream) {
                        Ok(stream) => begin(stream, &own, arrival.hold),
                        Err(error) => tracing::warn!(event = "accept_failed", error = %error),
                    }
                }
            });
            // A resolver that hangs must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { service, load: Arc::default(), inbox: Some(inbox) })
    }

    #[must_use]
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Whether its thread is there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.inbox.as_ref().is_none_or(|inbox| !inbox.is_closed())
    }

    /// Gives it a connection. `also` is kept for as long as that lives, or the tunnel that it becomes.
    pub fn take(&self, stream: TcpStream, also: impl Send + Sync + 'static) -> std::io::Result<()> {
        self.load.fetch_add(1, Ordering::Relaxed);
        let hold: Hold = Arc::new(Place { load: Arc::clone(&self.load), _also: also });
        match &self.inbox {
            None => begin(stream, &self.service, hold),
            Some(inbox) => {
                let arrival = Arrival { stream: stream.into_std()?, hold };
                inbox.send(arrival).map_err(|_| std::io::Error::other("a worker has died"))?;
            }
        }
        Ok(())
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

fn begin(stream: TcpStream, service: &Arc<Service>, hold: Hold) {
    let _ = stream.set_nodelay(true); // Only slower without.
    let (stream, presence) = Socket::new(stream);
    let service = Arc::clone(service);
    let Some(tls) = service.live.current().tls.clone() else {
        tokio::spawn(talk(stream, None, service, presence, hold));
        return;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    tokio::spawn(async move {
        // Boxed, for the task keeps the room that it ever needed.
        let handshake = Box::pin(tokio::time::timeout(service.settings.tls_handshake.to_std(), handshake));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(event = "tls_handshake_failed", error = %error),
            Err(_) => return tracing::debug!(event = "tls_handshake_failed", error = "it took too long"),
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        talk(stream, Some(is_http2), service, presence, hold).await;
    });
}
