//! From a listening socket to answered requests.

use super::ServerSettings;
use super::deadline::{Busy, DeadlineIo, Deadlines, Progress};
use crate::drain::{Drain, Stage, reached};
use crate::proxy::{AnswerBody, Peer, Proxy};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Pause after an accept that failed for want of file descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the drain is through; every connection has ended or was ended then.
pub async fn serve(listener: TcpListener, proxy: Arc<Proxy>, settings: ServerSettings, drain: Drain) {
    // Whoever holds a sender is in flight; the receiver hears when nobody does.
    let (in_flight, mut all_gone) = mpsc::channel::<()>(1);
    let slots = Arc::new(Semaphore::new(settings.max_connections));
    let mut closing = drain.watch();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = reached(&mut closing, Stage::Closing) => break,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(event = "accept_failed", error = %error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = connection(stream, Arc::clone(&proxy), settings, drain.clone());
        let guard = (in_flight.clone(), slot);
        tokio::spawn(async move {
            connection.await;
            drop(guard);
        });
    }
    drop((listener, in_flight));
    let mut over = drain.watch();
    tokio::select! {
        _ = all_gone.recv() => {}
        () = reached(&mut over, Stage::Over) => tracing::warn!(event = "drain_cut", detail = "SLIDECAR_DRAIN is over with requests in flight"),
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, proxy: Arc<Proxy>, settings: ServerSettings, drain: Drain) {
    let _ = stream.set_nodelay(true); // Only slower without.
    let progress = Progress::new();
    let deadlines = Deadlines { first_byte: settings.first_byte, head: settings.head, keepalive: settings.keepalive };
    let io = TokioIo::new(DeadlineIo::new(stream, progress.clone(), deadlines));
    let service = service_fn(|request: Request<Incoming>| {
        let (proxy, drain) = (Arc::clone(&proxy), drain.clone());
        let busy = progress.begin();
        async move { Ok::<_, Infallible>(answer(&proxy, request, &drain, busy).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(100)
            .max_buf_size(settings.max_head)
            .serve_connection(io, service)
            .with_upgrades()
    );
    let mut closing = drain.watch();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = reached(&mut closing, Stage::Closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(event = "connection_ended", error = %error);
    }
}

async fn answer(proxy: &Proxy, request: Request<Incoming>, drain: &Drain, busy: Busy) -> Response<Tracked> {
    let mut response = proxy.handle(request, Peer::default()).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        busy.for_good();
        return response.map(|body| Tracked { body, busy: None });
    }
    if drain.stage() >= Stage::Leaving {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Tracked { body, busy: Some(busy) })
}

/// A body that keeps its connection busy until it has gone.
struct Tracked {
    body: AnswerBody,
    busy: Option<Busy>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.busy.take();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
