//! When to reload: SIGHUP. When to stop: SIGTERM as from a kubelet, SIGINT as from a keyboard. A second one does not wait.

use std::future::Future;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Heard from the moment it is made, so that a signal during the start is not the end of the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Until somebody cares for them.
    hangups: Option<Signal>,
}

impl Signals {
    /// Must be called within a runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangups: Some(signal(SignalKind::hangup())?),
        })
    }

    /// Ends at the first signal.
    pub async fn asked_to_stop(mut self) {
        self.next().await;
        tokio::spawn(async move {
            // Supervisors that signal a process and then its group mean one signal.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let Ok(mut again) = Self::listen() else { return };
            again.next().await;
            tracing::warn!(event = "stopped_at_once", detail = "a second signal came during the drain");
            // Whoever asks twice does not want to wait for what is in flight.
            std::process::exit(130);
        });
    }

    /// Reloads at every SIGHUP, for ever.
    pub fn hangups(&mut self, reload: impl Fn() + Clone + Send + 'static) -> impl Future<Output = ()> + Send + 'static {
        let hangups = self.hangups.take();
        async move {
            let Some(mut hangups) = hangups else { return };
            while hangups.recv().await.is_some() {
                tracing::info!(event = "reload_asked");
                // Files are read, which may take its time; the workers must not wait for it.
                let reload = reload.clone();
                tokio::task::spawn_blocking(reload);
            }
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
