//! The store that replicas share: Redis or Valkey. A request never waits for it.
//!
//! It holds what every replica should know, by key, and a log of what was said last. Each replica reads all of it when it
//! connects, adds what only it knew, and then follows the log, which answers as soon as there is something new (`XREAD`
//! with `BLOCK`) and every second if there is not: so push, poll and proof of life are one, and a silence is noticed. Where
//! the last entry that was read is gone (the log was cut, emptied, restarted, or failed over to one that had not heard it),
//! something may have been missed, and everything is read and added anew.
//!
//! `address` knows how to get there, `link` whether we are there, `talk` what is said.

mod address;
mod link;
mod talk;

pub use address::Address;
pub use link::Link;

use super::{Key, Memory, Record};
use crate::session::time::{Span, UnixMillis};
use redis::{RedisError, RedisResult};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use talk::{Names, Shared, failure};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long the log is read before it says that there is nothing new.
const BLOCK: Duration = Duration::from_secs(1);
/// How long any other answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Waits between two tries; each is longer than the one before, and none like another replica's.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// News that wait to be written. Beyond that, none is kept here, for all are in memory: they are found there when there is time.
const MOST_NEWS: usize = 16 * 1024;
/// A link that ends sooner than this was none: the next try waits longer than the one before.
const GOOD_LINK: Duration = Duration::from_secs(10);

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
    sender: mpsc::Sender<News>,
    link: Arc<Link>,
}

/// What a peer is to hear.
#[derive(Debug)]
struct News {
    /// `None`: only to know that all before was written.
    said: Option<(Key, Record)>,
    /// Whoever waits until the store has it.
    told: Option<oneshot::Sender<()>>,
}

/// The other end of the outbox: keeps this replica and its peers of one mind.
pub struct Store {
    settings: StoreSettings,
    inbox: mpsc::Receiver<News>,
    link: Arc<Link>,
    names: Names,
}

impl Store {
    #[must_use]
    pub fn new(settings: StoreSettings) -> (Outbox, Self) {
        let (sender, inbox) = mpsc::channel(MOST_NEWS);
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
            let begun = Instant::now();
            let error = self.talk(&memory, &now).await;
            self.link.lost(&error.to_string());
            if begun.elapsed() >= GOOD_LINK {
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
            shared.look_at(&mut commands, true).await?;
            let end = shared.end_of_log(&mut commands).await?;
            shared.synchronise(&mut commands).await?;
            RedisResult::Ok((commands, reader, end))
        };
        // Each answer has its limit; all of them together take as long as there is much to read.
        let (commands, reader, end) = match connected.await {
            Ok(connected) => connected,
            Err(error) => return error,
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
        self.put(News { said: Some((key, record)), told: None });
    }

    /// What is returned hears when the store has it; it ends without, if that is not known soon.
    pub fn send_and_wait(&self, key: Key, record: Record) -> oneshot::Receiver<()> {
        let (told, wait) = oneshot::channel();
        self.put(News { said: Some((key, record)), told: Some(told) });
        wait
    }

    /// The same for all that was sent before.
    pub fn flush(&self) -> oneshot::Receiver<()> {
        let (told, wait) = oneshot::channel();
        self.put(News { said: None, told: Some(told) });
        wait
    }

    fn put(&self, news: News) {
        if self.sender.try_send(news).is_err() {
            self.link.overflow();
        }
    }
}

/// Between half of it and all of it: replicas that lost the store together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0) % 1000;
    wait / 2 + wait.mul_f64(0.0005 * f64::from(u32::try_from(chance).unwrap_or(0)))
}
