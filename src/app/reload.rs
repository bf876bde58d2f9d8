//! Takes up what changed in files while the program runs: keys, clocks and the certificate, all of them or none.
//!
//! A change is heard of by watching folders, by looking every few seconds (some file systems say nothing), or by SIGHUP. What
//! does not hold keeps the generation that was in use, and is reported until it is mended.

use super::state_the_clocks;
use crate::clock::Clock;
use crate::config::{self, Fingerprint, Source};
use crate::live::{Generation, Live};
use crate::memory::Memory;
use crate::metrics::Metrics;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often the files are looked at, whatever watching says.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Events of one change come together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Files that are not swapped as a whole are taken up when they have been the same for so long; or, if they never are, after
/// so many tries.
const SETTLED: Duration = Duration::from_millis(250);
const TRIES: usize = 8;

/// Asks for a reload; all clones are one.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

struct Inner {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
    seen: Mutex<Seen>,
}

struct Seen {
    source: Source,
    /// What the files held when they were last tried, whether it was taken up or not.
    tried: Fingerprint,
}

impl Reloader {
    pub fn new(source: Source, live: Arc<Live>, metrics: Arc<Metrics>, clock: Arc<dyn Clock>, memory: Arc<Memory>) -> Self {
        took_up(&metrics, &live.current());
        let seen = Mutex::new(Seen { tried: source.files.clone(), source });
        Self(Arc::new(Inner { live, metrics, clock, memory, seen }))
    }

    /// Reads the files now, or as soon as nobody writes them any more. What is the same as before is left alone.
    pub fn reload(&self) {
        self.settle();

        let inner = &*self.0;
        let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = seen.tried.look_again();
        if now == seen.tried {
            return;
        }
        seen.tried = now;
        match seen.source.load_again() {
            Ok(config) => {
                let generation = inner.live.replace(config.live_parts());
                inner.memory.renew_again();
                inner.metrics.reloaded(true);
                took_up(&inner.metrics, &generation);
                let version = config.rules.policy.version();
                tracing::info!(event = "reloaded", generation = generation.number, policy_version = version);
                let doubt = config::doubts(&config.rules, inner.clock.now().second());
                for warning in config.warnings.iter().chain(&doubt) {
                    tracing::warn!(event = "setting_warning", detail = warning);
                }
                for setting in config.wants_restart(&seen.source) {
                    tracing::warn!(
                        event = "restart_needed",
                        setting,
                        detail = "its file has changed; what is in use is what it held at the start"
                    );
                }
                state_the_clocks(&config.rules.policy);
                seen.tried = config.source.files.clone();
                seen.source = config.source;
            }
            Err(rejected) => {
                inner.metrics.reloaded(false);
                let kept = inner.live.current().number;
                for problem in &rejected.problems {
                    let detail = &problem.remedy;
                    tracing::error!(
                        event = "reload_failed",
                        setting = problem.setting,
                        value = problem.value,
                        detail,
                        kept_generation = kept
                    );
                }
                inner.live.complain(Some(rejected.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
            }
        }
    }

    /// Takes up changes as they come, for ever.
    pub async fn watch(self) {
        if self.files().is_empty() {
            return;
        }
        let (say, mut heard) = mpsc::channel(1);
        let (mut watched, mut watcher) = (Fingerprint::default(), None);
        loop {
            // The first time at once: what changed before anybody watched was heard by nobody. And anew after every change, which
            // may have put another folder in the place of the one that was watched.
            let files = self.files();
            if files != watched {
                // Without it, looking is all there is.
                drop(watcher);
                watcher = watch(&files, say.clone()).map_err(|error| tracing::warn!(event = "watch_failed", error = %error)).ok();
                watched = files;
            }
            let reloader = self.clone();
            // A file system may hang; the workers must not.
            let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
            tokio::select! {
                Some(()) = heard.recv() => tokio::time::sleep(TOGETHER).await,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let _ = heard.try_recv(); // What was heard meanwhile is looked at now.
        }
    }

    fn files(&self) -> Fingerprint {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).tried.clone()
    }

    /// Waits until nobody writes any more. What is swapped as a whole is never half written.
    fn settle(&self) {
        if self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).source.files_are_swapped {
            return;
        }
        let tried = self.files();
        let mut last = tried.look_again();
        if last == tried {
            return;
        }
        for _ in 0..TRIES {
            std::thread::sleep(SETTLED);
            let now = tried.look_again();
            if now == last {
                return;
            }
            last = now;
        }
    }
}

fn took_up(metrics: &Metrics, generation: &Generation) {
    metrics.took_up(generation.number, &generation.rules.policy, generation.rules.keys.previous_until());
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

fn watch(files: &Fingerprint, say: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // We read them ourselves.
        let is_reading = |kind| matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
        if !event.is_ok_and(|event| is_reading(event.kind)) {
            let _ = say.try_send(()); // One that waits to be heard says the same.
        }
    })?;
    for folder in files.folders() {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
