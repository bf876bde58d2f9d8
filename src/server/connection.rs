//! One client's connection: which HTTP it speaks, and its requests.

use super::ServerSettings;
use super::deadline::{Busy, DeadlineIo, Deadlines, Progress, Reset};
use super::pump::{Pumped, pump};
use super::socket::Presence;
use crate::drain::{Drain, Stage, reached};
use crate::proxy::{AnswerBody, BodyError, Peer, Proxy};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

/// What a client that speaks HTTP/2 by prior knowledge says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read at once to find out what is spoken.
const FIRST_READ: usize = 4096;

/// Bytes on their way between one stream and its reader; all streams together.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Answer bytes that wait in one stream.
const SEND_BUFFER: usize = 32 * 1024;
/// Streams that a client reset before they were looked at, and errors of its own making, before its connection is
/// closed: rapid reset (CVE-2023-44487) and its like.
const MOST_RESETS: usize = 20;
const MOST_ERRORS: usize = 256;
/// A client that does not answer a ping within this is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that was just accepted may take to say something, when slidecar stops.
const FRESH: Duration = Duration::from_secs(1);

/// How often it is asked whether a client to whom nobody listens is still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What every connection needs.
#[derive(Clone)]
pub struct Service {
    pub proxy: Arc<Proxy>,
    pub settings: ServerSettings,
    pub drain: Drain,
    pub is_https: bool,
    pub presence: Presence,
    /// Kept for as long as anything of the connection lives.
    pub hold: Arc<dyn Any + Send + Sync>,
}

/// Talks until the connection ends. `is_http2` is what TLS agreed on; without TLS the first bytes tell.
pub async fn talk<T>(io: T, is_http2: Option<bool>, service: Service)
where
    T: AsyncRead + AsyncWrite + Reset + Send + Unpin + 'static,
{
    let settings = &service.settings;
    let progress = Progress::new();
    let deadlines =
        Deadlines { first_byte: settings.first_byte, head: settings.head, keepalive: settings.keepalive, unread: settings.unread };
    let mut io = DeadlineIo::new(io, progress.clone(), deadlines);
    let is_http2 = match is_http2 {
        Some(known) => known,
        None => {
            let found = tokio::select! {
                found = begins_with_preface(&mut io) => found,
                () = unused_for_good(&service.drain, Stage::Closing, &progress) => return,
            };
            match found {
                Ok(found) => found,
                Err(error) => return tracing::debug!(event = "connection_ended", error = %error),
            }
        }
    };
    let ended = if is_http2 {
        progress.multiplex();
        http2(io, &progress, service).await
    } else {
        http1(io, &progress, service).await
    };
    if let Err(error) = ended {
        tracing::debug!(event = "connection_ended", error = %error);
    }
}

async fn begins_with_preface<T>(io: &mut DeadlineIo<T>) -> std::io::Result<bool>
where
    T: AsyncRead + Reset + Unpin,
{
    let mut first = BytesMut::with_capacity(FIRST_READ);
    let is_preface = loop {
        if io.read_buf(&mut first).await? == 0 {
            break false;
        }
        let compared = first.len().min(PREFACE.len());
        if first[..compared] != PREFACE[..compared] {
            break false;
        }
        if compared == PREFACE.len() {
            break true;
        }
    };
    io.replay(first);
    Ok(is_preface)
}

/// Ends when a stopping process may close a connection that waits for a request. One that never carried any has just been
/// opened, perhaps because another answer said goodbye: its first request is on its way.
async fn unused_for_good(drain: &Drain, stage: Stage, progress: &Progress) {
    reached(&mut drain.watch(), stage).await;
    if progress.begun() == 0 {
        tokio::time::sleep(FRESH).await;
    }
}

/// Ends when the client went away while an answer was being made and nobody listened: hyper does not read on as long as
/// it holds bytes of a next request, so it does not see the end that follows them.
async fn deserted(presence: &Presence, progress: &Progress) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if progress.is_unheard() && presence.is_gone().await {
            return;
        }
    }
}

async fn http1<T>(io: DeadlineIo<T>, progress: &Progress, service: Service) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Reset + Send + Unpin + 'static,
{
    let (drain, presence) = (service.drain.clone(), service.presence.clone());
    let settings = service.settings;
    let answering = service_fn(|request: Request<Incoming>| {
        let (service, progress, busy) = (service.clone(), progress.clone(), progress.begin());
        async move { Ok::<_, Infallible>(service.answer_http1(request, &progress, busy).await) }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(settings.max_fields)
            .max_buf_size(settings.max_head)
            .serve_connection(TokioIo::new(io), answering)
            .with_upgrades()
    );
    let deserted = deserted(&presence, progress);
    let serving = async {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = unused_for_good(&drain, Stage::Closing, progress) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    tokio::select! {
        ended = serving => ended,
        () = deserted => Ok(()),
    }
}

async fn http2<T>(io: DeadlineIo<T>, progress: &Progress, service: Service) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Reset + Send + Unpin + 'static,
{
    let drain = service.drain.clone();
    let settings = service.settings;
    let answering = service_fn(|request: Request<Incoming>| {
        let (service, busy) = (service.clone(), progress.begin());
        async move { Ok::<_, Infallible>(service.answer_http2(request, busy).await) }
    });
    let mut connection = std::pin::pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.max_streams)
            .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MOST_RESETS)
            .max_local_error_reset_streams(MOST_ERRORS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(io), answering)
    );
    // GOAWAY is what `Connection: close` is to HTTP/1.1: said at once, so that clients go elsewhere while we still serve.
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = unused_for_good(&drain, Stage::Leaving, progress) => {}
        () = progress.idle_for(settings.keepalive) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

impl Service {
    fn peer(&self) -> Peer {
        Peer { is_https: self.is_https, hold: Some(Arc::clone(&self.hold)) }
    }

    async fn answer_http1(&self, request: Request<Incoming>, progress: &Progress, busy: Busy) -> Response<Tracked> {
        // Such a client takes the end of the connection for the end of the answer.
        let broken = (request.version() == Version::HTTP_10).then(|| progress.clone());
        let mut response = self.proxy.handle(request, self.peer()).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            busy.for_good();
            return response.map(|body| Tracked { body: Flow::Direct(body), busy: None, broken: None });
        }
        if self.drain.stage() >= Stage::Leaving || progress.begun() >= self.settings.max_requests {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Tracked { body: Flow::Direct(body), busy: Some(busy), broken })
    }

    async fn answer_http2(&self, request: Request<Incoming>, busy: Busy) -> Response<Tracked> {
        let is_head = request.method() == Method::HEAD;
        let mut response = self.proxy.handle(request, self.peer()).await;
        // hyper leaves bodies out for HTTP/1.1 only.
        if is_head && !response.body().is_end_stream() {
            if let Some(length) = response.body().size_hint().exact() {
                response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
            }
            *response.body_mut() = AnswerBody::own("");
        }
        let unread = self.settings.unread.map(|span| span.to_std());
        response.map(|body| {
            let body = if body.is_end_stream() { Flow::Direct(body) } else { Flow::Pumped(pump(body, unread)) };
            Tracked { body, busy: Some(busy), broken: None }
        })
    }
}

/// A body that keeps its connection busy until it has gone.
struct Tracked {
    body: Flow,
    busy: Option<Busy>,
    broken: Option<Progress>,
}

enum Flow {
    Direct(AnswerBody),
    Pumped(Pumped),
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.body {
            Flow::Direct(body) => Pin::new(body).poll_frame(context),
            Flow::Pumped(body) => Pin::new(body).poll_frame(context),
        };
        if matches!(frame, Poll::Ready(Some(Err(_))))
            && let Some(progress) = &self.broken
        {
            progress.break_off();
        }
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.busy.take();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Flow::Direct(body) => body.is_end_stream(),
            Flow::Pumped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Flow::Direct(body) => body.size_hint(),
            Flow::Pumped(body) => body.size_hint(),
        }
    }
}
