//! A span for each request, if somebody collects them: OTLP over HTTP, in protobuf.
//!
//! The SDK makes spans, samples them and knows OTLP's messages. What brings them to the collector is ours (`collector`, `post`):
//! the SDK's own queue does not tell how many spans it dropped, and `opentelemetry-otlp` reads the process's environment
//! beside the settings, tries again past the end of a stop, and hides what the collector answered. `parent` reads what a
//! request says of where it comes from.

mod collector;
mod parent;
mod post;

pub use collector::Collector;
pub use parent::{TRACEPARENT, TRACESTATE};

use crate::session::outcome::Outcome;
use crate::session::time::Span as TimeSpan;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, TraceFlags, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use prometheus::IntCounter;
use rustls::ClientConfig;
use std::time::{Duration, SystemTime};

/// Attributes that a span may have.
const MOST_ATTRIBUTES: usize = 10;

#[derive(Clone, Debug)]
pub struct TraceSettings {
    pub endpoint: Uri,
    /// What the collector asks for, secrets among it.
    pub headers: HeaderMap,
    /// Whose certificates are taken from it.
    pub tls: ClientConfig,
    /// How long it may take to answer.
    pub timeout: TimeSpan,
    /// How long a span may wait for others.
    pub delay: TimeSpan,
    /// Spans that wait; more are dropped.
    pub queue: usize,
    pub sampler: Sampler,
    /// Who it is that makes the spans.
    pub resource: Vec<(String, String)>,
}

/// Makes spans.
pub struct Traces {
    tracer: SdkTracer,
}

/// A request's span. Without an [`end`](Self::end), nobody got an answer.
pub struct Span {
    span: opentelemetry_sdk::trace::Span,
    /// What the sender said of the trace.
    came: Option<TraceFlags>,
    method: &'static str,
    begun: SystemTime,
}

/// How a request ended.
pub struct Ended<'a> {
    pub status: u16,
    /// The path without what tells one from its like.
    pub route: Option<&'a str>,
    pub is_https: bool,
    pub outcome: Option<Outcome>,
    pub error: Option<&'static str>,
    /// Nothing was done about the session; the outcome is what would have been.
    pub observed: bool,
    pub took: Duration,
}

impl Traces {
    /// And what has to run so that spans get to the collector. `dropped` counts those that do not.
    #[must_use]
    pub fn new(settings: TraceSettings, dropped: IntCounter) -> (Self, Collector) {
        let sampler = settings.sampler.clone();
        let (queue, collector) = Collector::new(settings, dropped);
        let provider = SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(queue).build();
        let scope = InstrumentationScope::builder("slidecar").with_version(env!("CARGO_PKG_VERSION")).build();
        (Self { tracer: provider.tracer_with_scope(scope) }, collector)
    }

    /// A request came in.
    #[must_use]
    pub fn begin<B>(&self, request: &Request<B>, now: SystemTime) -> Box<Span> {
        let context = parent::read(request.headers());
        let came = context.as_ref().map(SpanContext::trace_flags);
        let context = context.map_or_else(Context::new, |context| Context::new().with_remote_span_context(context));
        let method = known_method(request.method());
        let name = method.unwrap_or("HTTP");
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server).with_start_time(now);
        let mut span = self.tracer.build_with_context(builder.with_attributes(Vec::with_capacity(MOST_ATTRIBUTES)), &context);
        if span.is_recording() {
            span.set_attribute(KeyValue::new("http.request.method", method.unwrap_or("_OTHER")));
            if method.is_none() {
                span.set_attribute(KeyValue::new("http.request.method_original", request.method().as_str().to_owned()));
            }
            span.set_attribute(KeyValue::new("url.path", request.uri().path().to_owned()));
            span.set_attribute(KeyValue::new("network.protocol.version", version(request.version())));
        }
        Box::new(Span { span, came, method: name, begun: now })
    }
}

impl Span {
    /// What the backend is to hear in place of what came; `None` where that can stay, for nobody records anything.
    #[must_use]
    pub fn traceparent(&self) -> Option<HeaderValue> {
        let context: &SpanContext = self.span.span_context();
        if !context.is_sampled() && self.came.is_some_and(|flags| !flags.is_sampled()) {
            return None;
        }
        // What else the sender says of the trace holds for its next part too.
        parent::write(context, self.came.unwrap_or_default().with_sampled(context.is_sampled()))
    }

    /// Whether this is the first span of its trace, as far as anyone knows.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.came.is_none()
    }

    pub fn end(mut self, ended: &Ended<'_>) {
        if !self.span.is_recording() {
            return;
        }
        let span = &mut self.span;
        if let Some(route) = ended.route {
            span.update_name(format!("{} {route}", self.method));
        }
        span.set_attribute(KeyValue::new("url.scheme", if ended.is_https { "https" } else { "http" }));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(ended.status)));
        if let Some(outcome) = ended.outcome {
            span.set_attribute(KeyValue::new("slidecar.session.decision", outcome.decision()));
            span.set_attribute(KeyValue::new("slidecar.session.reason", outcome.reason()));
        }
        if ended.observed {
            span.set_attribute(KeyValue::new("slidecar.observed", true));
        }
        let is_failure = ended.status >= 500;
        if let Some(error) = ended.error {
            span.set_attribute(KeyValue::new("error.type", error));
        } else if is_failure {
            span.set_attribute(KeyValue::new("error.type", ended.status.to_string()));
        }
        if is_failure {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(self.begun + ended.took);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.span.is_recording() {
            self.span.set_attribute(KeyValue::new("error.type", "unanswered"));
        }
    }
}

/// By the semantic conventions: another word could be anything, and many.
fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
