//! The store that replicas share: Redis or Valkey. A request never waits for it.
//!
//! It holds what every replica should know, by key, and a log of what was said last. Each replica reads all of it when it
//! connects, adds what only it knew, and then follows the log, which answers as soon as there is something new (`XREAD`
//! with `BLOCK`) and every second if there is not: so push, poll and proof of life are one, nothing is lost between two of
//! them, and a silence is noticed. Where the end of the log is gone (emptied, restarted, failed over to one that had not heard
//! it), everything is read and added anew.
//!
//! `address` knows how to get there, `link` whether we are there.

mod address;
mod link;

pub use address::Address;
pub use link::Link;

use super::{Key, Memory, Record};
use crate::session::time::{Span, UnixMillis};
use address::Link as Connection;
use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{ErrorKind, RedisError, RedisResult, Value, cmd, pipe};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// How long the log is read before it says that there is nothing new.
const BLOCK: Duration = Duration::from_secs(1);
/// How long any other answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is asked whether the store is what it was.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what is over is removed here; and in the store, by one of all replicas.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// Waits between two tries; each is longer than the one before, and none like another replica's.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Entries that the log keeps, about: whoever missed more reads everything.
const LOG_LENGTH: usize = 10_000;
/// What is read or written at once.
const BATCH: usize = 256;

#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub address: Address,
    /// Roots that its certificate may have besides the public ones, PEM.
    pub ca: Option<Vec<u8>>,
    /// How long sessions are let in on what was last known.
    pub grace: Span,
    /// What its keys begin with.
    pub prefix: String,
}

/// Where news for the peers go.
#[derive(Clone, Debug)]
pub struct Outbox {
    sender: mpsc::UnboundedSender<News>,
    link: Arc<Link>,
}

/// What a peer is to hear.
#[derive(Debug)]
struct News {
    key: Key,
    record: Record,
    /// Whoever waits until the store has it.
    told: Option<oneshot::Sender<()>>,
}

/// The other end of the outbox: keeps this replica and its peers of one mind.
pub struct Store {
    settings: StoreSettings,
    inbox: mpsc::UnboundedReceiver<News>,
    link: Arc<Link>,
    names: Names,
}

struct Names {
    /// A hash: what holds.
    state: String,
    /// A stream: what was said last.
    log: String,
    /// There as long as nobody need tidy up.
    tidied: String,
}

/// What the store's work is done with.
struct Shared<'a> {
    memory: &'a Memory,
    now: &'a (dyn Fn() -> UnixMillis + Send + Sync),
    link: &'a Link,
    names: &'a Names,
    asks_role: bool,
}

impl Store {
    #[must_use]
    pub fn new(settings: StoreSettings) -> (Outbox, Self) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(settings.address.to_string(), settings.grace));
        // One slot of a cluster for both, for they are written together.
        let name = |what: &str| format!("{{{}}}:v1:{what}", settings.prefix);
        let names = Names { state: name("state"), log: name("log"), tidied: name("tidied") };
        (Outbox { sender, link: Arc::clone(&link) }, Self { settings, inbox, link, names })
    }

    #[must_use]
    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Connects, and connects again, for ever.
    pub async fn run(mut self, memory: Arc<Memory>, now: impl Fn() -> UnixMillis + Send + Sync) {
        let mut wait = FIRST_WAIT;
        loop {
            let error = self.talk(&memory, &now).await;
            if self.link.lost(&error.to_string()) {
                wait = FIRST_WAIT;
            }
            let until = Instant::now() + jittered(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
            // What is said meanwhile is in memory, and is added when the link is back; nobody waits for it.
            while let Ok(Some(_)) = tokio::time::timeout_at(until, self.inbox.recv()).await {}
            tokio::time::sleep_until(until).await;
        }
    }

    /// One connection's life.
    async fn talk(&mut self, memory: &Memory, now: &(dyn Fn() -> UnixMillis + Send + Sync)) -> RedisError {
        let shared = Shared { memory, now, link: &self.link, names: &self.names, asks_role: !self.settings.address.is_cluster() };
        let connected = async {
            let ca = self.settings.ca.as_deref();
            let mut commands = self.settings.address.connect(PATIENCE, ca).await?;
            // A connection of its own: whoever waits for the log holds up what comes after on the same one.
            let reader = self.settings.address.connect(BLOCK + PATIENCE, ca).await?;
            if shared.asks_role {
                shared.look_at(&mut commands, true).await?;
            }
            let end = shared.end_of_log(&mut commands).await?;
            shared.synchronise(&mut commands).await?;
            RedisResult::Ok((commands, reader, end))
        };
        let (commands, reader, end) = match timeout(Duration::from_secs(30), connected).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return error,
            Err(_) => return failure("it takes too long to read"),
        };
        shared.link.found();
        let written = shared.write(commands.clone(), &mut self.inbox);
        tokio::select! {
            Err(error) = shared.follow(reader, commands, end) => error,
            Err(error) = written => error,
            else => failure("it has nothing more to say"),
        }
    }
}

impl Outbox {
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    pub fn send(&self, key: Key, record: Record) {
        let _ = self.sender.send(News { key, record, told: None }); // Nobody listens at the end of the process.
    }

    /// What is returned hears when the store has it; it ends without, if that is not known soon.
    pub fn send_and_wait(&self, key: Key, record: Record) -> oneshot::Receiver<()> {
        let (told, wait) = oneshot::channel();
        let _ = self.sender.send(News { key, record, told: Some(told) });
        wait
    }
}

impl Shared<'_> {
    /// Whether this is a server that takes writes, and at the beginning whether it keeps what it is given (rule R5).
    async fn look_at(&self, commands: &mut Connection, is_first: bool) -> RedisResult<()> {
        let info: String = cmd("INFO").query_async(commands).await?;
        let about = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        if about("role").is_some_and(|role| role != "master") {
            return Err(failure("it is a replica, which takes no writes"));
        }
        if is_first && let Some(policy) = about("maxmemory_policy").filter(|policy| *policy != "noeviction") {
            tracing::error!(
                event = "store_evicts",
                maxmemory_policy = policy,
                detail = "what was revoked may be forgotten when its memory is full; set maxmemory-policy noeviction",
            );
        }
        Ok(())
    }

    /// The last entry of the log, which is begun if there is none. Asked before everything is read, so that nothing is missed.
    async fn end_of_log(&self, commands: &mut Connection) -> RedisResult<String> {
        let last: StreamRangeReply =
            cmd("XREVRANGE").arg(&self.names.log).arg("+").arg("-").arg("COUNT").arg(1).query_async(commands).await?;
        match last.ids.into_iter().next() {
            Some(entry) => Ok(entry.id),
            None => cmd("XADD").arg(&self.names.log).arg("*").arg("k").arg("").arg("r").arg("").query_async(commands).await,
        }
    }

    /// Takes up everything that the store holds, adds what only we know, and removes what is long over.
    async fn synchronise(&self, commands: &mut Connection) -> RedisResult<()> {
        let (mut held, mut over, mut cursor) = (HashMap::new(), Vec::new(), 0_u64);
        loop {
            let (next, fields): (u64, Vec<(String, String)>) =
                cmd("HSCAN").arg(&self.names.state).arg(cursor).arg("COUNT").arg(1000).query_async(commands).await?;
            let now = (self.now)();
            for (field, value) in fields {
                match (Key::decode(&field), Record::decode(&value)) {
                    (Some(_), Some(record)) if record.is_over(now.minus(Span::from_secs(600))) => over.push(field),
                    (Some(key), Some(record)) => {
                        self.memory.hear(key, record, now);
                        held.insert(key, record);
                    }
                    _ => tracing::warn!(event = "store_entry_unreadable", detail = "another program, or another version, writes there too"),
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        for some in over.chunks(BATCH) {
            cmd("HDEL").arg(&self.names.state).arg(some).exec_async(commands).await?;
        }
        let mut ours = self.memory.all((self.now)());
        ours.retain(|(key, record)| held.get(key).is_none_or(|held| held.merged(*record, key.kind) != *held));
        for some in ours.chunks(BATCH) {
            self.add(commands, some).await?;
        }
        tracing::info!(event = "store_synchronised", held = held.len(), added = ours.len());
        Ok(())
    }

    /// Together, so that whoever reads the log finds the same in the state.
    async fn add(&self, commands: &mut Connection, news: &[(Key, Record)]) -> RedisResult<()> {
        let mut adding = pipe();
        adding.atomic();
        for (key, record) in news {
            let (key, record) = (key.encode(), record.encode());
            adding.cmd("HSET").arg(&self.names.state).arg(&key).arg(&record).ignore();
            adding.cmd("XADD").arg(&self.names.log).arg("MAXLEN").arg("~").arg(LOG_LENGTH).arg("*");
            adding.arg("k").arg(key).arg("r").arg(record).ignore();
        }
        adding.exec_async(commands).await
    }

    /// Tells the store what is said here, for ever.
    async fn write(&self, mut commands: Connection, inbox: &mut mpsc::UnboundedReceiver<News>) -> RedisResult<()> {
        let (mut news, mut next_sweep) = (Vec::new(), Instant::now() + jittered(SWEEP_EVERY));
        loop {
            tokio::select! {
                count = inbox.recv_many(&mut news, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    let said: Vec<_> = news.iter().map(|news| (news.key, news.record)).collect();
                    self.add(&mut commands, &said).await?;
                    for told in news.drain(..).filter_map(|news| news.told) {
                        let _ = told.send(()); // Whoever wanted to know may have gone.
                    }
                }
                () = tokio::time::sleep_until(next_sweep) => {
                    next_sweep = Instant::now() + jittered(SWEEP_EVERY);
                    self.memory.sweep((self.now)());
                    let mut asking = cmd("SET");
                    asking.arg(&self.names.tidied).arg(1).arg("NX").arg("EX").arg(TIDY_EVERY.as_secs());
                    let is_our_turn: Option<String> = asking.query_async(&mut commands).await?;
                    if is_our_turn.is_some() {
                        self.synchronise(&mut commands).await?;
                    }
                }
            }
        }
    }

    /// Hears what peers say, for ever.
    async fn follow(&self, mut reader: Connection, mut commands: Connection, mut end: String) -> RedisResult<()> {
        let mut looked = Instant::now();
        loop {
            let mut reading = cmd("XREAD");
            reading.arg("COUNT").arg(BATCH).arg("BLOCK").arg(BLOCK.as_millis().to_string()).arg("STREAMS").arg(&self.names.log).arg(&end);
            let asked = Instant::now();
            let said: Option<StreamReadReply> = reading.query_async(&mut reader).await?;
            if said.is_none() && asked.elapsed() < BLOCK / 2 {
                // Something on the way does not wait, so we do.
                tokio::time::sleep(BLOCK / 4).await;
            }
            for entry in said.into_iter().flat_map(|said| said.keys).flat_map(|stream| stream.ids) {
                let text = |name: &str| match entry.map.get(name) {
                    Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes).ok(),
                    _ => None,
                };
                if let (Some(key), Some(record)) = (text("k").and_then(Key::decode), text("r").and_then(Record::decode)) {
                    self.memory.hear(key, record, (self.now)());
                }
                end = entry.id;
            }
            self.link.heard();
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                let there: StreamRangeReply = cmd("XRANGE").arg(&self.names.log).arg(&end).arg(&end).query_async(&mut commands).await?;
                if there.ids.is_empty() {
                    return Err(failure("what it knew is gone: it was emptied, or another took its place"));
                }
                if self.asks_role {
                    self.look_at(&mut commands, false).await?;
                }
            }
        }
    }
}

fn failure(detail: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, detail))
}

/// Between half of it and all of it: replicas that lost the store together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0) % 1000;
    wait / 2 + wait.mul_f64(0.0005 * f64::from(u32::try_from(chance).unwrap_or(0)))
}
