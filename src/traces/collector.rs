//! Spans on their way to the collector. A request leaves its span in a queue that has an end, and never waits.

use super::TraceSettings;
use super::post::{Failure, Post};
use bytes::Bytes;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus::IntCounter;
use prost::Message as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

/// Spans that are sent at once.
const BATCH: usize = 512;
/// Waits between two tries; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The log says again that spans do not arrive.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Where ended spans go.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::Sender<SpanData>,
    /// More wait than are sent at once: there is no need to wait for others.
    has_many: Arc<Notify>,
    dropped: IntCounter,
}

/// The other end of the queue.
pub struct Collector {
    inbox: mpsc::Receiver<SpanData>,
    has_many: Arc<Notify>,
    dropped: IntCounter,
    delay: Duration,
    resource: ResourceAttributesWithSchema,
    post: Post,
    /// Taken from the queue, and not made a message yet.
    spans: Vec<SpanData>,
    /// What is to be sent next.
    batch: Option<Batch>,
    troubles: Troubles,
}

#[derive(Clone)]
struct Batch {
    body: Bytes,
    spans: u64,
}

/// What the log has been told of spans that do not arrive.
#[derive(Default)]
struct Troubles {
    said: Option<Instant>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.sender.try_send(span).is_err() {
            self.dropped.inc();
        }
        // Nobody is woken for a single span: whoever empties the queue sleeps, and looks.
        if self.sender.max_capacity() - self.sender.capacity() >= BATCH.min(self.sender.max_capacity()) {
            self.has_many.notify_one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Collector {
    pub fn new(settings: TraceSettings, dropped: IntCounter) -> (Queue, Self) {
        let (sender, inbox) = mpsc::channel(settings.queue);
        let has_many = Arc::new(Notify::new());
        let own = settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        // Of the detectors only this one reads no environment.
        let resource = Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector)).with_attributes(own).build();
        let collector = Self {
            inbox,
            has_many: Arc::clone(&has_many),
            dropped: dropped.clone(),
            delay: settings.delay.to_std(),
            resource: (&resource).into(),
            post: Post::new(settings),
            spans: Vec::new(),
            batch: None,
            troubles: Troubles::default(),
        };
        (Queue { sender, has_many, dropped }, collector)
    }

    /// Sends what comes, until `stopped`; then what is left, once.
    pub async fn run(mut self, stopped: impl Future) {
        tokio::select! {
            () = self.work() => {}
            _ = stopped => {}
        }
        self.inbox.close();
        while self.batch.is_some() || self.gather() {
            // A collector that does not answer now will not take the others either.
            if self.send().await.is_err() {
                break;
            }
        }
        let left = self.inbox.len() as u64 + self.batch.take().map_or(0, |batch| batch.spans);
        self.dropped.inc_by(left);
    }

    async fn work(&mut self) {
        loop {
            if self.batch.is_none() && !self.wait_for_batch().await {
                return;
            }
            let mut wait = FIRST_WAIT;
            // A batch that will be taken later is kept for as long as it takes; the queue's end is what bounds all of it.
            while let Err(after) = self.send().await {
                sleep(after.unwrap_or(wait).min(LONGEST_WAIT)).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }

    /// `false` if there will be none.
    async fn wait_for_batch(&mut self) -> bool {
        let Some(first) = self.inbox.recv().await else { return false };
        // The others come while nobody listens for them, for to be woken is what costs.
        self.spans.push(first);
        let _ = timeout(self.delay, self.has_many.notified()).await;
        self.gather()
    }

    /// Whether there is a batch now.
    fn gather(&mut self) -> bool {
        while self.spans.len() < BATCH
            && let Ok(span) = self.inbox.try_recv()
        {
            self.spans.push(span);
        }
        let spans = std::mem::take(&mut self.spans);
        let count = spans.len() as u64;
        if count > 0 {
            let request = ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(spans, &self.resource) };
            self.batch = Some(Batch { body: request.encode_to_vec().into(), spans: count });
        }
        count > 0
    }

    /// One try. An error says that another is worth it, and after how long if the collector told.
    async fn send(&mut self) -> Result<(), Option<Duration>> {
        let Some(batch) = self.batch.clone() else { return Ok(()) };
        match self.post.send(batch.body).await {
            Ok(taken) => {
                self.dropped.inc_by(taken.refused.min(batch.spans));
                match taken.refused {
                    0 => self.troubles.over(),
                    refused => self.troubles.say(&format!("the collector refused {refused} of {}: {}", batch.spans, taken.why)),
                }
            }
            Err(Failure::Now { why, after }) => {
                self.troubles.say(&why);
                return Err(after);
            }
            Err(Failure::Ever { why }) => {
                self.troubles.say(&why);
                self.dropped.inc_by(batch.spans);
            }
        }
        self.batch = None;
        Ok(())
    }
}

impl Troubles {
    fn say(&mut self, why: &str) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_AGAIN) {
            self.said = Some(Instant::now());
            tracing::warn!(event = "spans_not_sent", error = why, detail = "requests are served all the same");
        }
    }

    fn over(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(event = "spans_sent_again");
        }
    }
}
