//! Deadlines that hyper alone does not give: one for the first byte of a connection, one for a whole head, one for
//! an idle connection. hyper's own head timer starts with the first byte only, and rules idle connections too.

use crate::session::time::Span;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    FirstByte,
    Head,
    /// A request is being answered: other clocks rule.
    Busy,
    Idle,
}

/// Shared by a connection's socket and its service.
#[derive(Clone, Debug)]
pub struct Progress(Arc<State>);

#[derive(Debug)]
struct State {
    phase: AtomicU8,
    /// Who reads: hyper does not read again when an answer is through, so the clock of an idle connection would not start.
    reader: Mutex<Option<Waker>>,
}

/// A request in the making: busy until it is dropped.
#[derive(Debug)]
pub struct Busy(Option<Progress>);

impl Progress {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(State { phase: AtomicU8::new(Phase::FirstByte as u8), reader: Mutex::default() }))
    }

    /// A head is complete; what is returned goes with the answer to its end.
    #[must_use]
    pub fn begin(&self) -> Busy {
        self.set(Phase::Busy);
        Busy(Some(self.clone()))
    }

    fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Phase {
        let phase = self.0.phase.load(Ordering::Relaxed);
        [Phase::FirstByte, Phase::Head, Phase::Busy, Phase::Idle].into_iter().find(|known| *known as u8 == phase).unwrap_or(Phase::Busy)
    }
}

impl Busy {
    /// The connection became a tunnel: it never waits for a head again.
    pub fn for_good(mut self) {
        self.0 = None;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(progress) = &self.0 else { return };
        progress.set(Phase::Idle);
        let reader = progress.0.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub first_byte: Span,
    pub head: Span,
    pub keepalive: Span,
}

/// A client's socket with deadlines on reading.
#[derive(Debug)]
pub struct DeadlineIo<T> {
    io: T,
    progress: Progress,
    deadlines: Deadlines,
    armed: Option<(Phase, Pin<Box<Sleep>>)>,
}

impl<T> DeadlineIo<T> {
    pub const fn new(io: T, progress: Progress, deadlines: Deadlines) -> Self {
        Self { io, progress, deadlines, armed: None }
    }

    /// Whether the phase that the connection is in has taken too long.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let phase = self.progress.get();
        let limit = match phase {
            Phase::FirstByte => self.deadlines.first_byte,
            Phase::Head => self.deadlines.head,
            Phase::Idle => self.deadlines.keepalive,
            Phase::Busy => {
                self.armed = None;
                *self.progress.0.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
                return false;
            }
        };
        if self.armed.as_ref().is_none_or(|(armed, _)| *armed != phase) {
            self.armed = Some((phase, Box::pin(tokio::time::sleep(limit.to_std()))));
        }
        self.armed.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DeadlineIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(context, buffer) {
            if buffer.filled().len() > before && matches!(self.progress.get(), Phase::FirstByte | Phase::Idle) {
                self.progress.set(Phase::Head);
            }
            return Poll::Ready(read);
        }
        // Nothing came: the timer wakes this task if nothing comes in time.
        if self.is_late(context) { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for DeadlineIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    fn connection() -> (DuplexStream, DeadlineIo<DuplexStream>, Progress) {
        let (client, server) = tokio::io::duplex(64);
        let progress = Progress::new();
        let deadlines = Deadlines { first_byte: Span::from_secs(10), head: Span::from_secs(5), keepalive: Span::from_secs(60) };
        (client, DeadlineIo::new(server, progress.clone(), deadlines), progress)
    }

    /// How many seconds a read waits before it fails; `None` if it waits for an hour.
    async fn patience(io: &mut DeadlineIo<DuplexStream>) -> Option<u64> {
        let start = tokio::time::Instant::now();
        let read = tokio::time::timeout(Span::from_secs(3600).to_std(), io.read_u8()).await;
        let error = read.ok()?.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        Some(start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn t4_each_phase_has_its_own_deadline() {
        let (_client, mut io, _) = connection();
        assert_eq!(patience(&mut io).await, Some(10), "first byte");

        let (mut client, mut io, progress) = connection();
        client.write_all(b"G").await.unwrap();
        io.read_u8().await.unwrap();
        assert_eq!(patience(&mut io).await, Some(5), "head");

        let busy = progress.begin();
        assert_eq!(patience(&mut io).await, None, "busy");
        drop(busy);
        assert_eq!(patience(&mut io).await, Some(60), "idle");
        progress.begin().for_good();
        assert_eq!(patience(&mut io).await, None, "tunnel");
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_byte_now_and_then_does_not_stretch_the_head() {
        let (mut client, mut io, _) = connection();
        let start = tokio::time::Instant::now();
        let drip = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Span::from_secs(1).to_std()).await;
            }
        });
        while io.read_u8().await.is_ok() {}
        assert_eq!(start.elapsed().as_secs(), 5);
        drip.abort();
    }
}
