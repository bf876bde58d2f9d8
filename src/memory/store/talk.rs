//! What is said on one connection: everything is read and added once, then the log is followed and news are written.

use super::address::Link as Connection;
use super::link::Link;
use super::{BLOCK, News, jittered};
use crate::memory::{Key, Memory, Record};
use crate::session::time::{Span, UnixMillis};
use redis::{ErrorKind, RedisError, RedisResult, Value, cmd, pipe};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often what is over is removed here; and in the store, by one of all replicas.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How often it is asked whether the store is what it was.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries that the log keeps, about: whoever missed more reads everything.
const LOG_LENGTH: usize = 10_000;
/// What is read or written at once.
const BATCH: usize = 512;
/// How long what is over stays in the store: longer than any clock of a replica is wrong.
const KEPT: Span = Span::from_secs(24 * 3600);
/// Says that the state is the one that was read; it goes with it.
const MARK: &str = "!";

/// The names of its keys, in one slot of a cluster, for they are written together.
pub(super) struct Names {
    /// A hash: what holds.
    pub state: String,
    /// A stream: what was said last.
    pub log: String,
    /// There as long as nobody need tidy up.
    pub tidied: String,
}

/// What the store's work is done with.
pub(super) struct Shared<'a> {
    pub memory: &'a Memory,
    pub now: &'a (dyn Fn() -> UnixMillis + Send + Sync),
    pub link: &'a Link,
    pub names: &'a Names,
    pub asks_role: bool,
}

impl Shared<'_> {
    /// Whether this is a server that takes writes, and at the beginning whether it keeps what it is given (rule R5).
    pub async fn look_at(&self, commands: &mut Connection, is_first: bool) -> RedisResult<()> {
        // A cluster answers for each of its nodes.
        let section = if is_first { "default" } else { "replication" };
        let info = text_of(cmd("INFO").arg(section).query_async(commands).await?);
        let about = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        if self.asks_role && about("role").is_some_and(|role| role != "master") {
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
    pub async fn end_of_log(&self, commands: &mut Connection) -> RedisResult<String> {
        let last: Vec<Entry> = cmd("XREVRANGE").arg(&self.names.log).arg("+").arg("-").arg("COUNT").arg(1).query_async(commands).await?;
        match last.into_iter().next() {
            Some((id, _)) => Ok(id),
            None => cmd("XADD").arg(&self.names.log).arg("*").arg("k").arg("").arg("r").arg("").query_async(commands).await,
        }
    }

    /// Takes up everything that the store holds, adds what only we know, and removes what is long over.
    pub async fn synchronise(&self, commands: &mut Connection) -> RedisResult<()> {
        // What is found in the store needs not be added.
        let mut ours: HashMap<Key, Record> = self.memory.all((self.now)()).into_iter().collect();
        let (mut held, mut unreadable, mut cursor) = (0_usize, 0_usize, 0_u64);
        loop {
            let (next, fields): Page =
                cmd("HSCAN").arg(&self.names.state).arg(cursor).arg("COUNT").arg(BATCH).query_async(commands).await?;
            self.link.alive();
            let (now, mut over) = ((self.now)(), Vec::new());
            for (field, value) in fields {
                match (decoded(&field, Key::decode), decoded(&value, Record::decode)) {
                    (Some(_), Some(record)) if record.is_over(now.minus(KEPT)) => over.push(field),
                    (Some(key), Some(record)) => {
                        held = held.saturating_add(1);
                        self.memory.hear(key, record, now);
                        if ours.get(&key).is_some_and(|own| record.merged(*own, key.kind) == record) {
                            ours.remove(&key);
                        }
                    }
                    _ if field == MARK.as_bytes() => {}
                    _ => unreadable = unreadable.saturating_add(1),
                }
            }
            if !over.is_empty() {
                cmd("HDEL").arg(&self.names.state).arg(over).exec_async(commands).await?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        cmd("HSET").arg(&self.names.state).arg(MARK).arg(1).exec_async(commands).await?;
        let ours: Vec<_> = ours.into_iter().collect();
        for some in ours.chunks(BATCH) {
            self.add(commands, some).await?;
            self.link.alive();
        }
        if unreadable > 0 {
            tracing::warn!(
                event = "store_entries_unreadable",
                count = unreadable,
                detail = "another program, or another version, writes there too"
            );
        }
        tracing::info!(event = "store_synchronised", held, added = ours.len());
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
    pub async fn write(&self, mut commands: Connection, inbox: &mut mpsc::Receiver<News>) -> RedisResult<()> {
        let (mut news, mut next_sweep) = (Vec::new(), Instant::now() + jittered(SWEEP_EVERY));
        loop {
            tokio::select! {
                count = inbox.recv_many(&mut news, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                    let said: Vec<_> = news.iter().filter_map(|news| news.said).collect();
                    if !said.is_empty() {
                        self.add(&mut commands, &said).await?;
                    }
                    if self.link.take_overflow() {
                        self.synchronise(&mut commands).await?;
                    }
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
    pub async fn follow(&self, mut reader: Connection, mut commands: Connection, mut end: String) -> RedisResult<()> {
        let mut looked = Instant::now();
        loop {
            let asked = Instant::now();
            let mut reading = cmd("XREAD");
            reading.arg("COUNT").arg(BATCH).arg("BLOCK").arg(BLOCK.as_millis().to_string()).arg("STREAMS").arg(&self.names.log).arg(&end);
            let said: Option<Vec<(Vec<u8>, Vec<Entry>)>> = reading.query_async(&mut reader).await?;
            self.link.alive();
            let said: Vec<Entry> = said.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
            let is_time = looked.elapsed() >= LOOK_EVERY;
            if !said.is_empty() || is_time {
                // What follows an entry that is gone need not be what followed it.
                self.is_there(&mut commands, &end, is_time).await?;
            } else if asked.elapsed() < BLOCK / 2 {
                // Something on the way does not wait, so we do.
                tokio::time::sleep(BLOCK / 4).await;
            }
            let mut better = Vec::new();
            for (id, fields) in said {
                let field = |name: &str| fields.chunks_exact(2).find(|pair| pair[0] == name.as_bytes()).map(|pair| pair[1].as_slice());
                let key = field("k").and_then(|bytes| decoded(bytes, Key::decode));
                if let Some((key, record)) = key.zip(field("r").and_then(|bytes| decoded(bytes, Record::decode))) {
                    better.extend(self.memory.hear(key, record, (self.now)()));
                }
                end = id;
            }
            self.mend(&mut commands, &better).await?;
            if is_time {
                looked = Instant::now();
                self.look_at(&mut commands, false).await?;
                self.link.alive();
            }
        }
    }

    /// Whether the log still holds this entry, and if asked for, whether the state is the one that was read.
    async fn is_there(&self, commands: &mut Connection, end: &str, and_state: bool) -> RedisResult<()> {
        let there: Vec<Entry> = cmd("XRANGE").arg(&self.names.log).arg(end).arg(end).query_async(commands).await?;
        let is_marked = !and_state || cmd("HEXISTS").arg(&self.names.state).arg(MARK).query_async(commands).await?;
        self.link.alive();
        if there.is_empty() || !is_marked {
            return Err(failure("what it knew is gone: it was cut, emptied, or another took its place"));
        }
        Ok(())
    }

    /// An older word came to the store after a newer one, and stands there. Whoever follows the log has heard both.
    async fn mend(&self, commands: &mut Connection, better: &[(Key, Record)]) -> RedisResult<()> {
        if better.is_empty() {
            return Ok(());
        }
        let mut mending = cmd("HSET");
        mending.arg(&self.names.state);
        for (key, record) in better {
            mending.arg(key.encode()).arg(record.encode());
        }
        mending.exec_async(commands).await
    }
}

/// One of the log: its id, names and values by turns.
type Entry = (String, Vec<Vec<u8>>);

/// A part of the state: where the next begins, names and values.
type Page = (u64, Vec<(Vec<u8>, Vec<u8>)>);

/// What others write there need not be text.
fn decoded<T>(bytes: &[u8], decode: impl Fn(&str) -> Option<T>) -> Option<T> {
    decode(std::str::from_utf8(bytes).ok()?)
}

fn text_of(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::VerbatimString { text, .. } => text,
        Value::Map(nodes) => nodes.into_iter().map(|(_, node)| text_of(node)).collect::<Vec<_>>().join("\r\n"),
        Value::Array(nodes) => nodes.into_iter().map(text_of).collect::<Vec<_>>().join("\r\n"),
        _ => String::new(),
    }
}

pub(super) fn failure(detail: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, detail))
}
