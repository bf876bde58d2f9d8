//! The loop: events of both sides, connections that open a few at a time, and the window that is measured.

use crate::backend::{self, Answer};
use crate::client::{self, Question, Step};
use crate::cpu::Cpu;
use crate::socket::{Socket, Stream};
use crate::{Mode, Result, Spec};
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Connections that open at once: more would overflow a proxy's queue of those that it has not accepted.
const OPENING: usize = 32;
/// An answer that takes longer will not come.
const STUCK: Duration = Duration::from_secs(5);

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

pub struct Engine {
    spec: Spec,
    poll: Poll,
    events: Events,
    listener: Option<Listener>,
    answer: Answer,
    question: Question,
    clients: Vec<client::Connection>,
    /// When each client's request was due.
    due: Vec<Instant>,
    /// Clients with nothing to do.
    idle: VecDeque<usize>,
    /// Token `1 + spec.connections + i` is `backends[i]`.
    backends: Vec<Option<backend::Connection>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    unanswered_first: usize,
    latencies: Vec<u32>,
    result: Result,
}

impl Engine {
    pub fn new(spec: Spec) -> io::Result<Self> {
        let poll = Poll::new()?;
        let listener = spec.backend.as_deref().map(|address| listen(address, &poll)).transpose()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            listener,
            answer: Answer::new(spec.body),
            question: Question::new(&spec)?,
            clients: Vec::new(),
            due: Vec::new(),
            idle: VecDeque::new(),
            backends: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; 256 * 1024],
            unanswered_first: 0,
            latencies: Vec::new(),
            result: Result::default(),
            spec,
        })
    }

    pub fn run(&mut self) -> io::Result<Result> {
        if self.spec.mode == Mode::Serve {
            loop {
                self.turn(None)?;
            }
        }
        self.open_all()?;
        if self.spec.mode == Mode::Ask {
            self.measure()?;
        }
        Ok(std::mem::take(&mut self.result))
    }

    /// Held connections that the proxy has ended.
    pub fn lost(&mut self) -> u64 {
        self.clients.iter_mut().map(|client| u64::from(!client.is_quiet())).sum()
    }

    /// Until every connection has had its first answer.
    fn open_all(&mut self) -> io::Result<()> {
        let mut last = Instant::now();
        while self.clients.len() < self.spec.connections || self.unanswered_first > 0 {
            if self.clients.len() < self.spec.connections && self.unanswered_first < OPENING {
                let index = self.clients.len();
                let client = self.connect(index)?;
                self.clients.push(client);
                self.due.push(Instant::now());
                self.unanswered_first += 1;
                self.ask(index, Instant::now());
                last = Instant::now();
            }
            let before = self.unanswered_first;
            self.turn(Some(Duration::ZERO))?;
            if before != self.unanswered_first {
                last = Instant::now();
            }
            if self.result.errors > 0 || last.elapsed() > STUCK {
                self.fail("a first answer did not come".into());
                return Ok(());
            }
        }
        Ok(())
    }

    fn measure(&mut self) -> io::Result<()> {
        if self.result.errors > 0 {
            return Ok(());
        }
        // A client whose first answer came while others were still opening waits for all to start at once.
        if self.spec.rate.is_none() {
            for index in std::mem::take(&mut self.idle) {
                self.ask(index, Instant::now());
            }
        }
        self.pace(Duration::from_secs_f64(self.spec.warmup), u64::MAX)?;
        self.result = Result { errors: self.result.errors, first_error: self.result.first_error.take(), ..Result::default() };
        self.latencies.clear();
        let before = Cpu::of(&self.spec.pids);
        let start = Instant::now();
        self.pace(Duration::from_secs_f64(self.spec.seconds), self.spec.requests.unwrap_or(u64::MAX))?;
        let after = Cpu::of(&self.spec.pids);
        self.result.seconds = start.elapsed().as_secs_f64();
        self.result.cpu_ns = after.ns.saturating_sub(before.ns);
        self.result.user_ms = after.user_ms.saturating_sub(before.user_ms);
        self.result.system_ms = after.system_ms.saturating_sub(before.system_ms);
        self.percentiles();
        Ok(())
    }

    /// Runs for so long, or until so many were answered.
    fn pace(&mut self, time: Duration, requests: u64) -> io::Result<()> {
        let start = Instant::now();
        let gap = self.spec.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let mut next = start;
        let (mut seen, mut last) = (self.result.requests, start);
        while self.result.requests < requests {
            let now = Instant::now();
            if now - start >= time {
                break;
            }
            if let Some(gap) = gap {
                // Latency counts from when a request was due: a proxy that stalls delays those that follow, too.
                while next <= now {
                    let Some(index) = self.idle.pop_front() else { break };
                    self.ask(index, next);
                    next += gap;
                }
            }
            if self.result.requests != seen {
                (seen, last) = (self.result.requests, now);
            } else if now - last > STUCK {
                self.fail("no answer for five seconds".into());
                break;
            }
            self.turn(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Handles what happened.
    fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // Taken out, so that what the events lead to may change the rest; an empty one costs nothing.
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.poll.poll(&mut events, timeout)?;
        let first_backend = 1 + self.spec.connections;
        for event in &events {
            let Token(token) = event.token();
            if token == 0 {
                self.accept()?;
            } else if token < first_backend {
                self.client_ready(token - 1)?;
            } else if let Some(Some(backend)) = self.backends.get_mut(token - first_backend)
                && !backend.ready(&mut self.buffer, &self.answer)
            {
                self.backends[token - first_backend] = None;
                self.free.push(token - first_backend);
            }
        }
        self.events = events;
        Ok(())
    }

    fn client_ready(&mut self, index: usize) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        let step = client.ready(&mut self.buffer, &self.question);
        match step {
            Step::Waiting => return Ok(()),
            Step::Answered => {}
            Step::AnsweredLast => self.clients[index] = self.connect(index)?,
            Step::Failed(why) => {
                self.fail(why);
                self.clients[index] = self.connect(index)?;
            }
        }
        self.result.requests += 1;
        if self.unanswered_first > 0 || self.spec.mode == Mode::Hold {
            self.unanswered_first -= 1;
            self.idle.push_back(index);
        } else if self.spec.rate.is_some() {
            self.latencies.push(u32::try_from(self.due[index].elapsed().as_nanos()).unwrap_or(u32::MAX));
            self.idle.push_back(index);
        } else {
            self.ask(index, Instant::now());
        }
        Ok(())
    }

    fn ask(&mut self, index: usize, due: Instant) {
        self.due[index] = due;
        if let Err(error) = self.clients[index].ask(&mut self.question) {
            self.fail(error.to_string());
        }
    }

    fn connect(&mut self, index: usize) -> io::Result<client::Connection> {
        let socket = Socket::connect(&self.spec.target, self.poll.registry(), 1 + index)?;
        Ok(client::Connection::new(socket, &mut self.question))
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let accepted: io::Result<Box<dyn Stream>> = match &self.listener {
                Some(Listener::Tcp(listener)) => listener.accept().and_then(|(stream, _)| {
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                }),
                Some(Listener::Unix(listener)) => listener.accept().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
                None => return Ok(()),
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let place = self.free.pop().unwrap_or(self.backends.len());
            let token = 1 + self.spec.connections + place;
            let connection = backend::Connection::new(Socket::register(stream, self.poll.registry(), token)?);
            match self.backends.get_mut(place) {
                Some(free) => *free = Some(connection),
                None => self.backends.push(Some(connection)),
            }
        }
    }

    fn fail(&mut self, why: String) {
        self.result.errors += 1;
        self.result.first_error.get_or_insert(why);
    }

    fn percentiles(&mut self) {
        self.latencies.sort_unstable();
        let at = |part: f64| {
            let place = (self.latencies.len() as f64 * part) as usize;
            self.latencies.get(place).map_or(0.0, |ns| f64::from(*ns) / 1000.0)
        };
        (self.result.p50_us, self.result.p90_us, self.result.p99_us) = (at(0.5), at(0.9), at(0.99));
    }
}

fn listen(address: &str, poll: &Poll) -> io::Result<Listener> {
    let mut listener = match address.strip_prefix("unix:") {
        Some(path) => {
            let _ = std::fs::remove_file(path);
            Listener::Unix(UnixListener::bind(path)?)
        }
        None => Listener::Tcp(TcpListener::bind(address.parse().map_err(io::Error::other)?)?),
    };
    match &mut listener {
        Listener::Tcp(listener) => poll.registry().register(listener, Token(0), Interest::READABLE)?,
        Listener::Unix(listener) => poll.registry().register(listener, Token(0), Interest::READABLE)?,
    }
    Ok(listener)
}
