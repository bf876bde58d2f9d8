//! One client's connection: which HTTP it speaks, and its requests.

use super::ServerSettings;
use super::deadline::{DeadlineIo, Deadlines, Wire};
use super::progress::{Busy, Progress};
use super::pump::{Pumped, pump};
use super::socket::Presence;
use crate::drain::{Drain, Stage, reached};
use crate::headers::HYPERS_MAX_FIELDS;
use crate::live::Live;
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
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

/// What every connection of a worker needs.
pub struct Service {
    pub proxy: Arc<Proxy>,
    pub live: Arc<Live>,
    pub settings: ServerSettings,
    pub drain: Drain,
    pub is_https: bool,
}

/// What the requests of one connection share.
struct Connection {
    service: Arc<Service>,
    progress: Progress,
    presence: Presence,
    hold: Hold,
}

/// Kept for as long as a connection lives, or the tunnel that it became.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// Talks until the connection ends. `is_http2` is what TLS agreed on; without TLS the first bytes tell.
///
/// It goes from one time of waiting to the next. Only while there is something to do are there buffers; most connections
/// wait, and what waits should be small. So this is no `async fn`: that would keep room for its arguments beside that for
/// what became of them, ten thousand times.
pub fn talk<T: Wire>(
    io: T,
    mut is_http2: Option<bool>,
    service: Arc<Service>,
    presence: Presence,
    hold: Hold,
) -> impl Future<Output = ()> + Send {
    let settings = &service.settings;
    let deadlines =
        Deadlines { first_byte: settings.first_byte, head: settings.head, keepalive: settings.keepalive, unread: settings.unread };
    let progress = Progress::new();
    let mut io = DeadlineIo::new(io, progress.clone(), deadlines);
    let connection = Arc::new(Connection { service, progress, presence, hold });
    async move {
        loop {
            let readable = tokio::select! {
                readable = io.readable() => readable,
                () = connection.unused_for_good(Stage::Closing) => return drop(Box::pin(io.shutdown()).await),
            };
            let went_on = match readable {
                Ok(()) => Box::pin(Arc::clone(&connection).go_on(io, &mut is_http2)).await,
                Err(error) => Err(error.into()),
            };
            match went_on {
                Ok(Some(parked)) => io = parked,
                Ok(None) => return,
                Err(error) => return tracing::debug!(event = "connection_ended", error = %error),
            }
        }
    }
}

async fn begins_with_preface<T: Wire>(io: &mut DeadlineIo<T>) -> std::io::Result<bool> {
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
    io.replay(first.freeze());
    Ok(is_preface)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    /// As long as there is something to do.
    async fn go_on<T: Wire>(
        self: Arc<Self>,
        mut io: DeadlineIo<T>,
        is_http2: &mut Option<bool>,
    ) -> Result<Option<DeadlineIo<T>>, BoxError> {
        let speaks_http2 = match *is_http2 {
            Some(known) => known,
            None => begins_with_preface(&mut io).await?,
        };
        *is_http2 = Some(speaks_http2);
        if speaks_http2 {
            self.progress.multiplex();
            self.http2(io).await?;
            return Ok(None);
        }
        Ok(self.http1(io).await?)
    }

    /// Until the connection ends, or is quiet and can be parked.
    async fn http1<T: Wire>(self: &Arc<Self>, io: DeadlineIo<T>) -> hyper::Result<Option<DeadlineIo<T>>> {
        let settings = &self.service.settings;
        let answering = service_fn(|request: Request<Incoming>| {
            let (connection, busy) = (Arc::clone(self), self.progress.begin());
            async move { Ok::<_, Infallible>(connection.answer_http1(request, busy).await) }
        });
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(true).max_buf_size(settings.max_head);
        if settings.max_fields != HYPERS_MAX_FIELDS {
            builder.max_headers(settings.max_fields);
        }
        let mut connection = builder.serve_connection(TokioIo::new(io), answering).with_upgrades();
        let talking = poll_fn(|context| {
            let ended = Pin::new(&mut connection).poll(context);
            if ended.is_pending() && self.progress.is_parking() {
                // Nothing is under way, so hyper ends at once, and the socket does not hear of it.
                Pin::new(&mut connection).graceful_shutdown();
                return Pin::new(&mut connection).poll(context);
            }
            ended
        });
        tokio::select! {
            biased;
            ended = talking => ended?,
            () = self.unused_for_good(Stage::Closing) => {
                Pin::new(&mut connection).graceful_shutdown();
                connection.await?;
                return Ok(None);
            }
            () = self.deserted() => return Ok(None),
        }
        if !self.progress.is_parking() {
            return Ok(None);
        }
        Ok(connection.into_parts().map(|parts| {
            let mut io = parts.io.into_inner();
            io.replay(parts.read_buf);
            io
        }))
    }

    async fn http2<T: Wire>(self: &Arc<Self>, io: DeadlineIo<T>) -> hyper::Result<()> {
        let settings = &self.service.settings;
        let answering = service_fn(|request: Request<Incoming>| {
            let (connection, busy) = (Arc::clone(self), self.progress.begin());
            async move { Ok::<_, Infallible>(connection.answer_http2(request, busy).await) }
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
            biased;
            ended = connection.as_mut() => return ended,
            () = self.unused_for_good(Stage::Leaving) => {}
            () = self.progress.idle_for(settings.keepalive) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }

    /// Ends when a stopping process may close a connection that waits for a request. One that never carried any has just
    /// been opened, perhaps because another answer said goodbye: its first request is on its way.
    async fn unused_for_good(&self, stage: Stage) {
        reached(&mut self.service.drain.watch(), stage).await;
        if self.progress.begun() == 0 {
            tokio::time::sleep(FRESH).await;
        }
    }

    /// Ends when the client went away while an answer was being made and nobody listened: hyper does not read on as long
    /// as it holds bytes of a next request, so it does not see the end that follows them.
    async fn deserted(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.progress.is_unheard() && self.presence.is_gone().await {
                return;
            }
        }
    }

    fn peer(&self) -> Peer<'_> {
        Peer { is_https: self.service.is_https, hold: Some(&self.hold) }
    }

    async fn answer_http1(&self, request: Request<Incoming>, busy: Busy) -> Response<Tracked> {
        let (service, progress) = (&self.service, &self.progress);
        // Such a client takes the end of the connection for the end of the answer.
        let broken = (request.version() == Version::HTTP_10).then(|| progress.clone());
        let mut response = service.proxy.handle(request, self.peer()).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            busy.for_good();
            return response.map(|body| Tracked { body: Flow::Direct(body), busy: None, broken: None });
        }
        if service.drain.stage() >= Stage::Leaving || progress.begun() >= service.settings.max_requests {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| Tracked { body: Flow::Direct(body), busy: Some(busy), broken })
    }

    async fn answer_http2(&self, request: Request<Incoming>, busy: Busy) -> Response<Tracked> {
        let is_head = request.method() == Method::HEAD;
        let mut response = self.service.proxy.handle(request, self.peer()).await;
        // hyper leaves bodies out for HTTP/1.1 only.
        if is_head && !response.body().is_end_stream() {
            if let Some(length) = response.body().size_hint().exact() {
                response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
            }
            *response.body_mut() = AnswerBody::own("");
        }
        let unread = self.service.settings.unread.map(|span| span.to_std());
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
