//! A nonblocking socket of either family, and bytes that wait to be written to it.

use mio::{Interest, Registry, Token, event::Source};
use std::io::{self, ErrorKind, Read, Write};

pub trait Stream: Read + Write + Source {}
impl<S: Read + Write + Source> Stream for S {}

pub struct Socket {
    stream: Box<dyn Stream>,
    pending: Vec<u8>,
    written: usize,
}

pub enum Got {
    Bytes(usize),
    Nothing,
    End,
}

impl Socket {
    pub fn register(mut stream: Box<dyn Stream>, registry: &Registry, token: usize) -> io::Result<Self> {
        registry.register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, pending: Vec::new(), written: 0 })
    }

    pub fn connect(target: &str, registry: &Registry, token: usize) -> io::Result<Self> {
        // Blocking: on the loopback the kernel itself completes the handshake.
        let stream = std::net::TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Self::register(Box::new(mio::net::TcpStream::from_std(stream)), registry, token)
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Got> {
        loop {
            return match self.stream.read(buffer) {
                Ok(0) => Ok(Got::End),
                Ok(count) => Ok(Got::Bytes(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Got::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Writes, and keeps what the kernel does not take for `flush`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = self.take(bytes)?;
        if taken < bytes.len() {
            self.pending.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.written += self.take(&pending[self.written..])?;
        if self.written < pending.len() {
            self.pending = pending;
        } else {
            self.written = 0;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.stream.write(&bytes[taken..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }
}
