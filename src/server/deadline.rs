//! Deadlines that hyper alone does not give: one for the first byte of a connection, one for a whole head, one for
//! an idle connection, one for a client that does not read. hyper's own head timer starts with the first byte only, and
//! rules idle connections too.
//!
//! Between requests there is one slow tick instead of a clock that each request sets anew: requests come by the ten
//! thousand, ticks once a second. A connection of HTTP/1.1 that was quiet from one tick to the next is *parked*: hyper is
//! taken apart and gives its buffers back, and only the socket waits on.

use crate::session::time::Span;
use bytes::Bytes;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How often an open connection is looked at, and so how long one may be quiet before it is parked, about.
const TICK: Span = Span::from_secs(1);

/// How long a connection that is closed goes on reading.
const LINGER: Duration = Duration::from_secs(1);

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
    /// Requests being answered; more than one with HTTP/2 only.
    busy: AtomicUsize,
    /// Requests so far.
    begun: AtomicU64,
    /// HTTP/2: bytes on an idle connection are no head, for there are pings and settings.
    is_multiplexed: AtomicBool,
    is_tunnel: AtomicBool,
    /// Bytes were read, and nobody asked for more since.
    is_unheard: AtomicBool,
    /// An answer broke off that an old client could take for whole: only a reset tells it.
    is_broken: AtomicBool,
    /// The connection is quiet, and hyper shall let go of the socket without a word.
    is_parking: AtomicBool,
}

/// A request in the making: busy until it is dropped.
#[derive(Debug)]
pub struct Busy(Option<Progress>);

impl Progress {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(State {
            phase: AtomicU8::new(Phase::FirstByte as u8),
            busy: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            is_multiplexed: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
            is_unheard: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            is_parking: AtomicBool::new(false),
        }))
    }

    /// HTTP/2 is spoken from here on.
    pub fn multiplex(&self) {
        self.0.is_multiplexed.store(true, Ordering::Relaxed);
        self.set(Phase::Idle);
    }

    fn is_multiplexed(&self) -> bool {
        self.0.is_multiplexed.load(Ordering::Relaxed)
    }

    /// Ends when nothing has been asked for so long.
    pub async fn idle_for(&self, limit: Span) {
        let tick = limit.divided_by(4).to_std();
        let (mut seen, mut quiet) = (self.begun(), 0);
        while quiet < 4 {
            tokio::time::sleep(tick).await;
            let is_quiet = self.busy() == 0 && self.begun() == seen;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            seen = self.begun();
        }
    }

    /// A head is complete; what is returned goes with the answer to its end.
    #[must_use]
    pub fn begin(&self) -> Busy {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        // What follows when this one and all others are through.
        self.set(Phase::Idle);
        Busy(Some(self.clone()))
    }

    /// An answer is being made, and nobody listens to the client meanwhile.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.0.is_unheard.load(Ordering::Relaxed) && self.busy() > 0
    }

    /// Requests that are being answered.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.0.busy.load(Ordering::Relaxed)
    }

    /// Requests so far on this connection.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// The connection is quiet: whoever serves it should take the socket back.
    #[must_use]
    pub fn is_parking(&self) -> bool {
        self.0.is_parking.load(Ordering::Relaxed)
    }

    /// The connection ends by a reset.
    pub fn break_off(&self) {
        self.0.is_broken.store(true, Ordering::Relaxed);
    }

    fn set(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Phase {
        // The count decides: with several requests at once, the end of one may cross the beginning of another.
        if self.busy() > 0 {
            return Phase::Busy;
        }
        let phase = self.0.phase.load(Ordering::Relaxed);
        [Phase::FirstByte, Phase::Head].into_iter().find(|known| *known as u8 == phase).unwrap_or(Phase::Idle)
    }
}

impl Busy {
    /// The connection became a tunnel: it never waits for a head again, and what comes after our last word is the
    /// tunnel's to read.
    pub fn for_good(mut self) {
        if let Some(progress) = self.0.take() {
            progress.0.is_tunnel.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.0.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub first_byte: Span,
    pub head: Span,
    pub keepalive: Span,
    /// How long a client may leave bytes of an answer unread; `None` is for ever.
    pub unread: Option<Span>,
}

impl Deadlines {
    fn tick(&self) -> Span {
        TICK.min(self.keepalive.divided_by(2))
    }
}

/// What a client's connection is below HTTP.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// It shall end without the farewell that says all was sent: what is unsent is lost, and the peer sees a reset.
    fn reset_on_close(&self);

    /// There is something to read, if only an end.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A client's socket with deadlines on reading and on being read from.
#[derive(Debug)]
pub struct DeadlineIo<T: Wire> {
    io: T,
    /// Bytes that were read to find out what is spoken, or by a hyper that was taken apart.
    replay: Bytes,
    progress: Progress,
    deadlines: Deadlines,
    clock: Option<Clock>,
    /// There are bytes that the client has not taken, though their answer is made.
    is_writing: bool,
    /// Since when the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// All is said; for so long the client may finish what it was saying.
    lingering: Option<Pin<Box<Sleep>>>,
}

/// What is being timed.
#[derive(Debug)]
struct Clock {
    sleep: Pin<Box<Sleep>>,
    /// `None` for the tick.
    phase: Option<Phase>,
    /// Requests so far at the last tick, and ticks without a request since.
    seen: u64,
    quiet: u32,
}

impl<T: Wire> DeadlineIo<T> {
    pub fn new(io: T, progress: Progress, deadlines: Deadlines) -> Self {
        Self { io, replay: Bytes::new(), progress, deadlines, clock: None, is_writing: false, stalled: None, lingering: None }
    }

    /// Makes bytes that were read already the next ones to be read.
    pub fn replay(&mut self, bytes: Bytes) {
        // Nothing of a buffer is a buffer yet.
        self.replay = if bytes.is_empty() { Bytes::new() } else { bytes };
    }

    /// Waits for the next byte or the end, without a buffer. A parked connection has been quiet for a tick already.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.progress.0.is_parking.store(false, Ordering::Relaxed);
        self.clock = None;
        if !self.replay.is_empty() {
            return Ok(());
        }
        let limit = match self.progress.get() {
            Phase::FirstByte => self.deadlines.first_byte,
            _ => self.deadlines.keepalive.minus(self.deadlines.tick()),
        };
        let readable = std::future::poll_fn(|context| self.io.poll_readable(context));
        tokio::time::timeout(limit.to_std(), readable).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// What a write came to, with an end to the wait.
    fn within_patience<R>(&mut self, written: Poll<io::Result<R>>, context: &mut Context<'_>) -> Poll<io::Result<R>> {
        self.is_writing = written.is_pending();
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let Some(limit) = self.deadlines.unread else { return Poll::Pending };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit.to_std())));
        ready!(stalled.as_mut().poll(context));
        // The kernel would go on trying to deliver what was written, for minutes, beyond every limit of ours.
        self.progress.break_off();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether the phase that the connection is in has taken too long.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        match self.progress.get() {
            Phase::FirstByte => self.has_passed(Phase::FirstByte, self.deadlines.first_byte, context),
            Phase::Head => self.has_passed(Phase::Head, self.deadlines.head, context),
            Phase::Busy => self.is_quiet_too_long(true, context),
            Phase::Idle => self.is_quiet_too_long(false, context),
        }
    }

    fn has_passed(&mut self, phase: Phase, limit: Span, context: &mut Context<'_>) -> bool {
        let clock = match &mut self.clock {
            Some(clock) if clock.phase == Some(phase) => clock,
            other => other.insert(Clock::new(Some(phase), limit)),
        };
        clock.sleep.as_mut().poll(context).is_ready()
    }

    /// Looks at the tick. HTTP/1.1 is parked before it is late.
    fn is_quiet_too_long(&mut self, is_busy: bool, context: &mut Context<'_>) -> bool {
        let tick = self.deadlines.tick();
        let clock = match &mut self.clock {
            Some(clock) if clock.phase.is_none() => clock,
            other => other.insert(Clock::new(None, tick)),
        };
        while clock.sleep.as_mut().poll(context).is_ready() {
            let begun = self.progress.begun();
            clock.quiet = if is_busy || begun != clock.seen { 0 } else { clock.quiet.saturating_add(1) };
            clock.seen = begun;
            let next = clock.sleep.deadline() + tick.to_std();
            clock.sleep.as_mut().reset(next.max(Instant::now()));
        }
        if is_busy || self.is_writing || clock.quiet == 0 || self.progress.0.is_tunnel.load(Ordering::Relaxed) {
            return false;
        }
        if self.progress.is_multiplexed() {
            // HTTP/2 says goodbye in its own words, and has half as long again for it.
            let limit = self.deadlines.keepalive.plus(self.deadlines.keepalive.divided_by(2));
            return u64::from(clock.quiet).saturating_mul(tick.as_millis()) >= limit.as_millis();
        }
        self.progress.0.is_parking.store(true, Ordering::Relaxed);
        false
    }
}

impl Clock {
    fn new(phase: Option<Phase>, limit: Span) -> Self {
        // Whatever came before counts as a request: the first tick finds nobody quiet.
        Self { sleep: Box::pin(tokio::time::sleep(limit.to_std())), phase, seen: u64::MAX, quiet: 0 }
    }
}

impl<T: Wire> Drop for DeadlineIo<T> {
    fn drop(&mut self) {
        if self.progress.0.is_broken.load(Ordering::Relaxed) {
            self.io.reset_on_close();
        }
    }
}

impl<T: Wire> AsyncRead for DeadlineIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.replay.is_empty() {
            let count = self.replay.len().min(buffer.remaining());
            let rest = self.replay.split_off(count);
            buffer.put_slice(&self.replay);
            self.replay(rest);
            self.progress.0.is_unheard.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(context, buffer) {
            let is_head = match self.progress.get() {
                Phase::FirstByte => true,
                Phase::Idle => !self.progress.is_multiplexed(),
                Phase::Head | Phase::Busy => false,
            };
            self.progress.0.is_unheard.store(buffer.filled().len() > before, Ordering::Relaxed);
            if is_head && buffer.filled().len() > before {
                self.progress.set(Phase::Head);
            }
            return Poll::Ready(read);
        }
        self.progress.0.is_unheard.store(false, Ordering::Relaxed);
        // Nothing came: the timer wakes this task if nothing comes in time.
        if self.is_late(context) { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }
}

impl<T: Wire> AsyncWrite for DeadlineIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.within_patience(written, context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.within_patience(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.within_patience(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress.0.is_broken.load(Ordering::Relaxed) || self.progress.is_parking() {
            // A farewell would say that all was sent, or that nothing more will be.
            return Poll::Ready(Ok(()));
        }
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
            if self.progress.0.is_tunnel.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        // RFC 9112 §9.6: what the client still sends has to be read, or closing would reset the connection and take the
        // end of the answer with it.
        if self.lingering.as_mut().is_some_and(|lingering| lingering.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufRead as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

    /// A connection in memory, which can be asked whether it is readable.
    type Pipe = BufReader<DuplexStream>;

    impl Wire for Pipe {
        fn reset_on_close(&self) {}

        fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(self).poll_fill_buf(context).map_ok(|_| ())
        }
    }

    fn connection() -> (DuplexStream, DeadlineIo<Pipe>, Progress) {
        let (client, server) = tokio::io::duplex(64);
        let progress = Progress::new();
        let deadlines = Deadlines {
            first_byte: Span::from_secs(10),
            head: Span::from_secs(5),
            keepalive: Span::from_secs(60),
            unread: Some(Span::from_secs(30)),
        };
        (client, DeadlineIo::new(BufReader::new(server), progress.clone(), deadlines), progress)
    }

    /// How many seconds a read waits before it fails; `None` if it waits for an hour.
    async fn patience(io: &mut DeadlineIo<Pipe>) -> Option<u64> {
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
        assert!(!progress.is_parking());
        progress.begin().for_good();
        drop(busy);
        assert_eq!((patience(&mut io).await, progress.is_parking()), (None, false), "tunnel");
    }

    #[tokio::test(start_paused = true)]
    async fn t4_an_idle_connection_is_parked_and_then_closed() {
        let (mut client, mut io, progress) = connection();
        client.write_all(b"G").await.unwrap();
        io.read_u8().await.unwrap();
        let busy = progress.begin();
        assert_eq!(patience(&mut io).await, None, "busy");
        drop(busy);
        let start = Instant::now();
        while !progress.is_parking() {
            let _ = tokio::time::timeout(Duration::from_millis(100), io.read_u8()).await;
        }
        assert!((900..=2100).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        // Whoever serves it lets go, and nothing is said to the client.
        io.shutdown().await.unwrap();
        assert_eq!(io.readable().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((60..=61).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert!(!progress.is_parking());

        client.write_all(b"x").await.unwrap();
        io.readable().await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_connection_with_something_left_to_say_is_not_parked() {
        let (mut client, mut io, progress) = connection();
        client.write_all(b"G").await.unwrap();
        io.read_u8().await.unwrap();
        drop(progress.begin());
        let wait = async |io: &mut DeadlineIo<Pipe>| {
            for _ in 0..50 {
                let _ = tokio::time::timeout(Duration::from_millis(100), io.read_u8()).await;
            }
        };
        io.write_all(&[0; 64]).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), io.write_all(&[0; 64])).await.is_err(), "nobody reads");
        wait(&mut io).await;
        assert!(!progress.is_parking());
        client.read_exact(&mut [0; 64]).await.unwrap();
        io.write_all(&[0; 64]).await.unwrap();
        wait(&mut io).await;
        assert!(progress.is_parking());
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_connection_in_use_is_not_parked() {
        let (mut client, mut io, progress) = connection();
        for _ in 0..100 {
            client.write_all(b"G").await.unwrap();
            io.read_u8().await.unwrap();
            drop(progress.begin());
            let _ = tokio::time::timeout(Duration::from_millis(600), io.read_u8()).await;
            assert!(!progress.is_parking());
        }
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

    #[tokio::test(start_paused = true)]
    async fn t4_an_idle_connection_of_http2_may_say_hello_without_a_head() {
        let (mut client, mut io, progress) = connection();
        progress.multiplex();
        client.write_all(b"ping").await.unwrap();
        let mut ping = [0; 4];
        io.read_exact(&mut ping).await.unwrap();
        assert!(matches!(patience(&mut io).await, Some(90..=91)), "60, and time for a farewell");
        let (one, two) = (progress.begin(), progress.begin());
        drop(one);
        assert_eq!(patience(&mut io).await, None, "one of two is under way");
        drop(two);
        assert!(matches!(patience(&mut io).await, Some(90..=91)));
    }

    #[tokio::test(start_paused = true)]
    async fn t4_a_client_that_does_not_read_is_given_up() {
        let (mut client, mut io, _) = connection();
        let start = tokio::time::Instant::now();
        let reader = tokio::spawn(async move {
            // Slow, but it moves.
            for _ in 0..4 {
                tokio::time::sleep(Span::from_secs(29).to_std()).await;
                client.read_exact(&mut [0; 64]).await.unwrap();
            }
            client
        });
        let error = loop {
            if let Err(error) = io.write_all(&[0; 64]).await {
                break error;
            }
        };
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 4 * 29 + 30));
        drop(reader.await);
    }

    #[tokio::test]
    async fn bytes_that_were_peeked_at_are_read_again() {
        let (mut client, mut io, _) = connection();
        io.replay(Bytes::from_static(b"GET "));
        client.write_all(b"/ HTTP/1.1").await.unwrap();
        let mut all = [0; 14];
        io.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"GET / HTTP/1.1");
    }
}
