//! From a listening socket to connections.

use super::workers::Worker;
use crate::drain::{Drain, Stage, reached};
use crate::metrics::Metrics;
use socket2::SockRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Pause after an accept that failed for want of file descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes that the kernel keeps unsent for one client. By itself it takes megabytes, and says that there is room again only
/// when a third of them has gone: a slow reader would look like one that does not read at all.
const MOST_UNSENT: u32 = 128 * 1024;

/// Serves until the drain is through; every connection has ended or was ended then.
pub async fn serve(listener: TcpListener, workers: Vec<Worker>, max_connections: usize, drain: Drain, metrics: &Metrics) {
    tune(&listener);
    // Whoever holds a sender is in flight; the receiver hears when nobody does.
    let (in_flight, mut all_gone) = mpsc::channel::<()>(1);
    let slots = Arc::new(Semaphore::new(max_connections));
    let mut closing = drain.watch();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = reached(&mut closing, Stage::Closing) => break,
        };
        // A connection that becomes a tunnel keeps its slot, and counts as in flight, for as long as the tunnel lives.
        let begun = accepted.and_then(|(stream, slot)| match least_busy(&workers) {
            Some(worker) => worker.take(stream, (in_flight.clone(), slot, metrics.open_connection())),
            None => Err(std::io::Error::other("there are no workers")),
        });
        if let Err(error) = begun {
            tracing::warn!(event = "accept_failed", error = %error);
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
    drop((listener, in_flight));
    let mut over = drain.watch();
    tokio::select! {
        _ = all_gone.recv() => {}
        () = reached(&mut over, Stage::Over) => tracing::warn!(event = "drain_cut", detail = "SLIDECAR_DRAIN is over with requests in flight"),
    }
}

/// One whose thread has died has the fewest connections of all, and would get every other one to lose.
fn least_busy(workers: &[Worker]) -> Option<&Worker> {
    workers.iter().filter(|worker| worker.is_alive()).min_by_key(|worker| worker.load())
}

/// What every connection inherits. Only slower to notice without.
fn tune(listener: &TcpListener) {
    let _ = SockRef::from(listener).set_tcp_notsent_lowat(MOST_UNSENT);
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn t4_the_kernel_keeps_little_unsent_so_that_a_slow_reader_is_seen_to_move() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tune(&listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), MOST_UNSENT);
    }
}
