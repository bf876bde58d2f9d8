//! A client's socket, which can be asked whether the client is still there while nobody reads from it.

use super::deadline::Wire;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream with a second handle on it.
#[derive(Debug)]
pub struct Socket(Arc<TcpStream>);

/// The second handle.
#[derive(Clone, Debug)]
pub struct Presence(Arc<TcpStream>);

impl Socket {
    pub fn new(stream: TcpStream) -> (Self, Presence) {
        let stream = Arc::new(stream);
        (Self(Arc::clone(&stream)), Presence(stream))
    }
}

impl Presence {
    /// The client has said its last byte, read or not. What is half-closed counts, as it does for hyper.
    pub async fn is_gone(&self) -> bool {
        // Unread bytes make this return at once.
        self.0.ready(Interest::READABLE).await.is_ok_and(|ready| ready.is_read_closed())
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            let before = buffer.filled().len();
            let read = self.0.try_io(Interest::READABLE, || {
                self.0.try_read_buf(buffer)?;
                // What did not fill the buffer was all there is. Said to be so, the socket is not asked again until the
                // kernel says that there is more: one system call less for each request.
                let is_all = buffer.remaining() > 0 && buffer.filled().len() > before;
                if is_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && buffer.filled().len() == before => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write_with(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.write_with(context, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}

impl Socket {
    fn write_with(&self, context: &mut Context<'_>, write: impl Fn(&TcpStream) -> io::Result<usize>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl Wire for Socket {
    fn reset_on_close(&self) {
        let _ = self.0.set_zero_linger(); // Then it merely closes.
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(context)
    }
}
