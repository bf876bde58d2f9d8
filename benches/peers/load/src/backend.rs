//! The backend: the same answer to every request, or an echo once a WebSocket was asked for.

use crate::socket::{Got, Socket};
use memchr::memmem;
use std::io;

/// The answer that fits the one key that the client sends (RFC 6455, section 1.3).
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub struct Answer(Vec<u8>);

impl Answer {
    pub fn new(body: usize) -> Self {
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n\
             Cache-Control: no-store\r\nX-Request-Cost: 3\r\nContent-Length: {body}\r\n\r\n"
        )
        .into_bytes();
        bytes.resize(bytes.len() + body, b'x');
        Self(bytes)
    }
}

pub struct Connection {
    socket: Socket,
    partial: Vec<u8>,
    echoes: bool,
}

impl Connection {
    pub fn new(socket: Socket) -> Self {
        Self { socket, partial: Vec::new(), echoes: false }
    }

    /// Whether it is still open.
    pub fn ready(&mut self, buffer: &mut [u8], answer: &Answer) -> bool {
        self.advance(buffer, answer).unwrap_or(false)
    }

    fn advance(&mut self, buffer: &mut [u8], answer: &Answer) -> io::Result<bool> {
        self.socket.flush()?;
        loop {
            let count = match self.socket.read(buffer)? {
                Got::Bytes(count) => count,
                Got::Nothing => return Ok(true),
                Got::End => return Ok(false),
            };
            let bytes = &buffer[..count];
            if self.echoes {
                echo(&mut self.socket, &mut self.partial, bytes)?;
            } else if self.partial.is_empty() && bytes.ends_with(b"\r\n\r\n") {
                self.echoes = reply(&mut self.socket, bytes, answer)?;
            } else {
                self.partial.extend_from_slice(bytes);
                if self.partial.ends_with(b"\r\n\r\n") {
                    let head = std::mem::take(&mut self.partial);
                    self.echoes = reply(&mut self.socket, &head, answer)?;
                }
            }
            // Less than was asked for: the socket is empty, and what comes later is a new event.
            if count < buffer.len() {
                return Ok(true);
            }
        }
    }
}

/// Whether this made it a WebSocket.
fn reply(socket: &mut Socket, head: &[u8], answer: &Answer) -> io::Result<bool> {
    let is_upgrade = memmem::find(head, b"Sec-WebSocket-Key").or_else(|| memmem::find(head, b"sec-websocket-key")).is_some();
    socket.write(if is_upgrade { SWITCH } else { &answer.0 })?;
    Ok(is_upgrade)
}

/// Frames of up to 125 bytes, masked with zeros: unmasking is cutting the mask out.
fn echo(socket: &mut Socket, partial: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    partial.extend_from_slice(bytes);
    while partial.len() >= 2 {
        let length = usize::from(partial[1] & 0x7f);
        if partial.len() < 6 + length {
            break;
        }
        let mut frame = vec![partial[0], partial[1] & 0x7f];
        frame.extend_from_slice(&partial[6..6 + length]);
        partial.drain(..6 + length);
        socket.write(&frame)?;
    }
    Ok(())
}
