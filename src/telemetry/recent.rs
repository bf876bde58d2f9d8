//! The last things that were said, for whoever looks at the status page before they look at the log.

use crate::session::time::UnixMillis;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// More than fit a screen.
const KEPT: usize = 50;

static RECENT: Mutex<VecDeque<Recent>> = Mutex::new(VecDeque::new());

/// One line of the log.
#[derive(Clone, Debug, Serialize)]
pub struct Recent {
    /// Epoch milliseconds.
    pub at: i64,
    pub level: &'static str,
    pub event: String,
    /// The other fields, as `name=value`; `detail` by itself.
    pub fields: Vec<(&'static str, String)>,
    pub detail: String,
}

/// The last lines, the newest first. The lines of requests are not among them.
#[must_use]
pub fn recent() -> Vec<Recent> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
}

/// Remembers what is said.
pub(super) struct Remembering {
    pub now: fn() -> UnixMillis,
}

impl<S: Subscriber> Layer<S> for Remembering {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO {
            return;
        }
        let mut recent = Recent {
            at: (self.now)().get(),
            level: event.metadata().level().as_str(),
            event: String::new(),
            fields: Vec::new(),
            detail: String::new(),
        };
        event.record(&mut recent);
        let mut kept = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(recent);
    }
}

impl Recent {
    fn hear(&mut self, field: &Field, text: String) {
        match field.name() {
            "event" => self.event = text,
            "detail" => self.detail = text,
            name => self.fields.push((name, text)),
        }
    }
}

impl Visit for Recent {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.hear(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.hear(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[test]
    fn o1_the_last_lines_are_kept_and_no_more() {
        let layer = Remembering { now: || UnixMillis::new(7) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::debug!(event = "not_kept");
            for n in 0..60 {
                tracing::warn!(event = "kept", n, error = %"e", detail = "why");
            }
        });
        let recent = recent();
        assert_eq!(recent.len(), KEPT);
        let newest = &recent[0];
        assert_eq!((newest.at, newest.level, newest.event.as_str(), newest.detail.as_str()), (7, "WARN", "kept", "why"));
        assert_eq!(newest.fields, [("n", "59".to_owned()), ("error", "e".to_owned())]);
    }
}
