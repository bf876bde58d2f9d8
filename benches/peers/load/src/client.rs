//! One client connection: a request, an answer that is checked, and again.

use crate::Spec;
use crate::socket::{Got, Socket};
use std::fs;
use std::io;

/// What is asked, and what must come back.
pub struct Question {
    before: Vec<u8>,
    after: Vec<u8>,
    tokens: Vec<String>,
    cycle: bool,
    next: usize,
    body: usize,
    renewed: bool,
    pub websocket: bool,
    frame: Vec<u8>,
}

impl Question {
    pub fn new(spec: &Spec) -> io::Result<Self> {
        let (before, after) = spec.head.split_once("@TOKEN@").unwrap_or((&spec.head, ""));
        let tokens = match &spec.tokens {
            Some(path) => fs::read_to_string(path)?.lines().map(str::to_owned).collect(),
            None => vec![String::new()],
        };
        let mut frame = vec![0x82, 0x80 | u8::try_from(spec.body.min(125)).unwrap_or(125), 0, 0, 0, 0];
        frame.resize(6 + spec.body.min(125), b'x');
        Ok(Self {
            before: before.into(),
            after: after.into(),
            tokens,
            cycle: spec.cycle,
            next: spec.first,
            body: spec.body,
            renewed: spec.renewed,
            websocket: spec.websocket,
            frame,
        })
    }

    fn token(&mut self) -> usize {
        let token = self.next % self.tokens.len();
        self.next += 1;
        token
    }
}

pub struct Connection {
    socket: Socket,
    token: usize,
    request: Vec<u8>,
    /// Of a head that came in pieces.
    partial: Vec<u8>,
    /// Bytes of the body that are still to come; `None` before the head.
    remaining: Option<usize>,
    closes: bool,
    is_websocket: bool,
}

pub enum Step {
    /// Nothing is complete yet.
    Waiting,
    Answered,
    /// And the proxy says that it closes.
    AnsweredLast,
    Failed(String),
}

impl Connection {
    pub fn new(socket: Socket, question: &mut Question) -> Self {
        let token = question.token();
        Self { socket, token, request: Vec::new(), partial: Vec::new(), remaining: None, closes: false, is_websocket: false }
    }

    pub fn ask(&mut self, question: &mut Question) -> io::Result<()> {
        if self.is_websocket {
            return self.socket.write(&question.frame);
        }
        if question.cycle {
            self.token = question.token();
        }
        if question.cycle || self.request.is_empty() {
            self.request.clear();
            self.request.extend_from_slice(&question.before);
            self.request.extend_from_slice(question.tokens[self.token].as_bytes());
            self.request.extend_from_slice(&question.after);
        }
        self.socket.write(&self.request)
    }

    pub fn ready(&mut self, buffer: &mut [u8], question: &Question) -> Step {
        self.advance(buffer, question).unwrap_or_else(|error| Step::Failed(error.to_string()))
    }

    /// Whether the other side has neither closed nor said anything.
    pub fn is_quiet(&mut self) -> bool {
        matches!(self.socket.read(&mut [0]), Ok(Got::Nothing))
    }

    fn advance(&mut self, buffer: &mut [u8], question: &Question) -> io::Result<Step> {
        self.socket.flush()?;
        loop {
            let count = match self.socket.read(buffer)? {
                Got::Bytes(count) => count,
                Got::Nothing => return Ok(Step::Waiting),
                Got::End => return Ok(Step::Failed("closed before the answer was complete".into())),
            };
            match self.take(&buffer[..count], question) {
                Ok(true) if self.closes => return Ok(Step::AnsweredLast),
                Ok(true) => return Ok(Step::Answered),
                Ok(false) if count < buffer.len() => return Ok(Step::Waiting),
                Ok(false) => {}
                Err(why) => return Ok(Step::Failed(why)),
            }
        }
    }

    /// Whether these bytes complete an answer.
    fn take(&mut self, bytes: &[u8], question: &Question) -> Result<bool, String> {
        let left = match self.remaining {
            Some(remaining) => remaining.checked_sub(bytes.len()),
            None if self.is_websocket => (2 + question.frame.len() - 6).checked_sub(bytes.len()),
            None if self.partial.is_empty() => self.head(bytes, question)?,
            None => {
                let mut all = std::mem::take(&mut self.partial);
                all.extend_from_slice(bytes);
                self.head(&all, question)?
            }
        };
        match left {
            Some(0) => {
                self.remaining = None;
                Ok(true)
            }
            Some(_) if !self.partial.is_empty() => Ok(false),
            left => {
                self.remaining = Some(left.ok_or("more bytes than the answer has")?);
                Ok(false)
            }
        }
    }

    /// Bytes that are missing after these; keeps them if the head is not complete.
    fn head(&mut self, bytes: &[u8], question: &Question) -> Result<Option<usize>, String> {
        let mut fields = [httparse::EMPTY_HEADER; 48];
        let mut answer = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = answer.parse(bytes).map_err(|error| error.to_string())? else {
            self.partial = bytes.into();
            return Ok(Some(usize::MAX));
        };
        let status = answer.code.unwrap_or(0);
        let expected = if question.websocket { 101 } else { 200 };
        if status != expected {
            return Err(format!("status {status}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)])));
        }
        let (mut body, mut renewed) = (None, false);
        for field in answer.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                body = std::str::from_utf8(field.value).ok().and_then(|text| text.parse::<usize>().ok());
            } else if field.name.eq_ignore_ascii_case("connection") {
                self.closes = field.value.eq_ignore_ascii_case(b"close");
            } else if field.name.eq_ignore_ascii_case("set-cookie") {
                renewed = true;
            }
        }
        if question.websocket {
            self.is_websocket = true;
            return Ok(0_usize.checked_sub(bytes.len() - length));
        }
        if body != Some(question.body) {
            return Err(format!("a body of {body:?} bytes instead of {}", question.body));
        }
        if renewed != question.renewed {
            return Err(if renewed { "a Set-Cookie that was not asked for" } else { "no Set-Cookie" }.into());
        }
        Ok(question.body.checked_sub(bytes.len() - length))
    }
}
