//! WebSocket: bytes both ways, from the backend's own 101 to the end of either side, or of what it was opened for.

use super::streams::{Farewell, Registration};
use super::websocket::{Frames, close_frame};
use crate::headers::{connection_options, list};
use crate::session::time::Span;
use http::{HeaderMap, HeaderValue, Method, Version, header, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;

/// The one protocol that is passed on; `h2c` would smuggle requests past the rules.
const PROTOCOL: &[u8] = b"websocket";
/// Bytes of each direction on their way.
const BUFFER: usize = 8 * 1024;
/// How long a tunnel may take to reach the end of a frame, and its peer to answer a farewell.
const FAREWELL: Duration = Duration::from_secs(1);

/// The `Upgrade` value to pass on, if the request asks for a tunnel that we make.
#[must_use]
pub fn asked_for(head: &request::Parts) -> Option<HeaderValue> {
    let asks = connection_options(&head.headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let has_body = head.headers.contains_key(header::TRANSFER_ENCODING)
        || head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    let protocol = head.headers.get(header::UPGRADE)?;
    // RFC 9110 §7.8: HTTP/1.0 knows no upgrade, HTTP/2 has one of its own.
    let is_ours =
        head.version == Version::HTTP_11 && head.method == Method::GET && !has_body && protocol.as_bytes().eq_ignore_ascii_case(PROTOCOL);
    (asks && is_ours).then(|| protocol.clone())
}

/// Whether a 101 grants what was asked for.
#[must_use]
pub fn is_granted(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| list(value).any(|protocol| protocol.eq_ignore_ascii_case(PROTOCOL)))
}

/// What a tunnel lives by.
pub struct Terms {
    pub registration: Registration,
    /// The longest silence; `None` is for ever.
    pub idle: Option<Span>,
    /// Kept for as long as the tunnel lives.
    #[expect(dead_code, reason = "its life is what it is for")]
    pub hold: Option<Arc<dyn Any + Send + Sync>>,
}

/// Copies both ways until both are done; an end on one side reaches the other.
pub async fn run(client: OnUpgrade, backend: OnUpgrade, mut terms: Terms) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(event = "tunnel_failed", error = %error);
            return;
        }
    };
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_backend, to_backend) = tokio::io::split(TokioIo::new(backend));
    let (farewell, hears) = watch::channel(None);
    let moved = AtomicU64::new(0);
    let down = Direction { from: from_backend, to: to_client, hears: hears.clone(), is_masked: false, moved: &moved };
    let up = Direction { from: from_client, to: to_backend, hears, is_masked: true, moved: &moved };
    // A clean end on one side is a half of the conversation; a broken one is the end of it, or the other side, with its
    // place among the connections, would wait for nobody.
    let copying = async { tokio::try_join!(down.copy(), up.copy()) };
    let mut copying = std::pin::pin!(copying);
    let reason = tokio::select! {
        ended = &mut copying => return report(ended),
        reason = &mut terms.registration.end => reason.unwrap_or(Farewell::GoingAway),
        () = silence(&moved, terms.idle) => Farewell::GoingAway,
    };
    // RFC 6455 §7.4.1: the session's end is a policy's; otherwise whoever leaves says so.
    let code = if reason == Farewell::SessionOver { 1008 } else { 1001 };
    tracing::debug!(event = "tunnel_closed", code);
    farewell.send_replace(Some(code));
    if let Ok(ended) = tokio::time::timeout(FAREWELL, copying).await {
        report(ended);
    }
}

fn report(ended: io::Result<((), ())>) {
    if let Err(error) = ended {
        tracing::debug!(event = "tunnel_broken", error = %error);
    }
}

/// Ends when nothing has moved for so long.
async fn silence(moved: &AtomicU64, limit: Option<Span>) {
    let Some(limit) = limit else { return std::future::pending().await };
    let mut last = None;
    loop {
        let now = moved.load(Ordering::Relaxed);
        if last == Some(now) {
            return;
        }
        last = Some(now);
        tokio::time::sleep(limit.to_std()).await;
    }
}

type Stream = TokioIo<Upgraded>;

/// One way through the tunnel.
struct Direction<'a> {
    from: ReadHalf<Stream>,
    to: WriteHalf<Stream>,
    /// Hears the code of our own farewell.
    hears: watch::Receiver<Option<u16>>,
    /// What we say ourselves has to be masked on this way.
    is_masked: bool,
    moved: &'a AtomicU64,
}

impl Direction<'_> {
    async fn copy(mut self) -> io::Result<()> {
        let mut frames = Frames::default();
        let mut buffer = vec![0; BUFFER];
        let mut code = None;
        loop {
            if let Some(code) = code.filter(|_| frames.is_between()) {
                return self.say_goodbye(code, frames, buffer).await;
            }
            let count = tokio::select! {
                count = self.from.read(&mut buffer) => count?,
                farewell = self.hears.wait_for(Option::is_some), if code.is_none() => {
                    code = farewell.ok().and_then(|code| *code);
                    continue;
                }
            };
            if count == 0 {
                return self.to.shutdown().await;
            }
            self.moved.fetch_add(1, Ordering::Relaxed);
            let mut end = 0;
            while end < count {
                end += frames.take(&buffer[end..count]);
                // What follows the frame that was under way is not passed on any more.
                if code.is_some() && frames.is_between() {
                    break;
                }
            }
            self.to.write_all(&buffer[..end]).await?;
        }
    }

    /// Closes, and reads on for as long as the peer answers: unread bytes would turn the farewell into a reset.
    async fn say_goodbye(mut self, code: u16, mut frames: Frames, mut buffer: Vec<u8>) -> io::Result<()> {
        if !frames.is_closed() {
            self.to.write_all(&close_frame(code, self.is_masked)).await?;
            self.to.flush().await?;
        }
        while !frames.is_closed() {
            let count = self.from.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            let mut end = 0;
            while end < count {
                end += frames.take(&buffer[end..count]);
            }
        }
        Ok(())
    }
}
