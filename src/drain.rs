//! The stages of a graceful stop (rule T7): first answers say goodbye while connections are still accepted, so that a
//! load balancer can notice; then nothing new is accepted and idle connections close; at last whatever is left ends.

use crate::session::time::Span;
use tokio::sync::watch;

/// How long a stopping process still accepts: the time that endpoints take to reach every load balancer.
const STILL_ACCEPTING: Span = Span::from_secs(5);

/// What is left at the end for streams to be closed in their own protocol.
const FAREWELL: Span = Span::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Serving,
    /// Not ready; answers carry `Connection: close`.
    Leaving,
    /// Not accepting; idle connections close.
    Closing,
    /// The last second: tunnels and event streams, which never end by themselves, are said goodbye to.
    Ending,
    /// Over, whatever is in flight.
    Over,
}

/// Tells everyone the stage.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<Stage>);

impl Default for Drain {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Serving))
    }
}

impl Drain {
    #[must_use]
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.0.subscribe()
    }

    /// Walks through the stages; ends when it is over, within `limit`.
    pub async fn run(&self, limit: Span) {
        let accepting = STILL_ACCEPTING.min(limit.divided_by(2));
        self.0.send_replace(Stage::Leaving);
        tokio::time::sleep(accepting.to_std()).await;
        self.0.send_replace(Stage::Closing);
        let farewell = FAREWELL.min(limit.divided_by(4));
        tokio::time::sleep(limit.minus(accepting).minus(farewell).to_std()).await;
        self.0.send_replace(Stage::Ending);
        tokio::time::sleep(farewell.to_std()).await;
        self.0.send_replace(Stage::Over);
    }
}

/// Waits until the stage is reached.
pub async fn reached(watch: &mut watch::Receiver<Stage>, stage: Stage) {
    // The sender lives as long as the server; if it is gone, everything is over.
    let _ = watch.wait_for(|now| *now >= stage).await;
}
