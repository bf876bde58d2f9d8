//! When to stop: SIGTERM as from a kubelet, SIGINT as from a keyboard. A second one does not wait.

use tokio::signal::unix::{SignalKind, signal};

/// Ends at the first signal.
pub async fn asked_to_stop() {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!(event = "no_signals", detail = "signals cannot be heard; only SIGKILL ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!(event = "stopped_at_once", detail = "a second signal came during the drain");
        #[expect(clippy::exit, reason = "whoever asks twice does not want to wait for what is in flight")]
        std::process::exit(130);
    });
}
