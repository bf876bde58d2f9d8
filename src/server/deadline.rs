//! Deadlines that hyper alone does not give: one for the first byte of a connection, one for a whole head, one for
//! an idle connection, one for a client that does not read. hyper's own head timer starts with the first byte only, and
//! rules idle connections too.
//!
//! Between requests there is one slow tick instead of a clock that each request sets anew: requests come by the ten
//! thousand, ticks once a second. A connection of HTTP/1.1 that was quiet from one tick to the next is *parked*: hyper is
//! taken apart and gives its buffers back, and only the socket waits on.

use super::progress::{Phase, Progress};
use crate::session::time::Span;
use bytes::Bytes;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How often an open connection is looked at, and so how long one may be quiet before it is parked, about.
const TICK: Span = Span::from_secs(1);

/// How long a connection that is closed goes on reading.
const LINGER: Duration = Duration::from_secs(1);

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
    /// How long it may wait as it does now, and how many requests came before.
    idle: Option<(u64, Instant)>,
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
        Self { io, replay: Bytes::new(), progress, deadlines, clock: None, idle: None, is_writing: false, stalled: None, lingering: None }
    }

    /// Makes bytes that were read already the next ones to be read.
    pub fn replay(&mut self, bytes: Bytes) {
        // Nothing of a buffer is a buffer yet.
        self.replay = if bytes.is_empty() { Bytes::new() } else { bytes };
    }

    /// Waits for the next byte or the end, without a buffer. A parked connection has been quiet for a tick already.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.progress.park(false);
        self.clock = None;
        if !self.replay.is_empty() {
            return Ok(());
        }
        let begun = self.progress.begun();
        let until = match self.idle {
            // What woke it last time was no request: TLS has messages of its own, and they must not buy time.
            Some((seen, until)) if seen == begun => until,
            _ => {
                let limit = match self.progress.get() {
                    Phase::FirstByte => self.deadlines.first_byte,
                    _ => self.deadlines.keepalive.minus(self.deadlines.tick()),
                };
                Instant::now() + limit.to_std()
            }
        };
        self.idle = Some((begun, until));
        let readable = std::future::poll_fn(|context| self.io.poll_readable(context));
        tokio::time::timeout_at(until, readable).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
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
        if is_busy || self.is_writing || clock.quiet == 0 || self.progress.is_tunnel() {
            return false;
        }
        if self.progress.is_multiplexed() {
            // HTTP/2 says goodbye in its own words, and has half as long again for it.
            let limit = self.deadlines.keepalive.plus(self.deadlines.keepalive.divided_by(2));
            return u64::from(clock.quiet).saturating_mul(tick.as_millis()) >= limit.as_millis();
        }
        self.progress.park(true);
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
        if self.progress.is_broken() {
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
            self.progress.hear(true);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(context, buffer) {
            let is_head = match self.progress.get() {
                Phase::FirstByte => true,
                Phase::Idle => !self.progress.is_multiplexed(),
                Phase::Head | Phase::Busy => false,
            };
            self.progress.hear(buffer.filled().len() > before);
            if is_head && buffer.filled().len() > before {
                self.progress.set(Phase::Head);
            }
            return Poll::Ready(read);
        }
        self.progress.hear(false);
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
        if self.progress.is_broken() || self.progress.is_parking() {
            // A farewell would say that all was sent, or that nothing more will be.
            return Poll::Ready(Ok(()));
        }
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
            if self.progress.is_tunnel() {
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

    /// TLS is readable when it renews its keys, and nothing comes of it.
    #[tokio::test(start_paused = true)]
    async fn t4_what_is_no_request_keeps_no_idle_connection() {
        let (mut client, mut io, progress) = connection();
        client.write_all(b"G").await.unwrap();
        io.read_u8().await.unwrap();
        drop(progress.begin());
        let start = Instant::now();
        loop {
            tokio::select! {
                readable = io.readable() => break assert_eq!(readable.unwrap_err().kind(), io::ErrorKind::TimedOut),
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
        }
        assert!((59..=61).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        drop(progress.begin());
        let request = tokio::time::timeout(Duration::from_secs(50), io.readable()).await;
        assert!(request.is_err(), "a request begins the time anew");
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
