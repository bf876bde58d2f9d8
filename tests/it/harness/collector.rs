//! A collector of spans: OTLP over HTTP, in protobuf.

use super::{Backend, Reply};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

pub struct Collector {
    backend: Backend,
    heard: UnboundedReceiver<String>,
}

/// One message, and what it holds.
pub struct Export {
    pub head: String,
    pub body: Vec<u8>,
    pub resource: BTreeMap<String, String>,
    pub spans: Vec<Seen>,
}

/// A span, for people.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for the first of its trace.
    pub parent: String,
    pub state: String,
    pub kind: i32,
    pub status: i32,
    pub nanos: u64,
    pub begun: u64,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::answering(|_| Reply::with("200 OK", &[("Content-Type", "application/x-protobuf")], "")).await
    }

    /// Each message is answered by the script.
    pub async fn answering(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let (say, heard) = unbounded_channel();
        let backend = Backend::start(move |request| {
            let _ = say.send(request.to_owned()); // The test may be over.
            script(request)
        })
        .await;
        Self { backend, heard }
    }

    pub fn address(&self) -> &str {
        &self.backend.address
    }

    /// The settings that lead here, with a moment's patience.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.backend.address)), ("OTEL_BSP_SCHEDULE_DELAY", "1".to_owned())]
    }

    pub async fn export(&mut self) -> Export {
        let said = timeout(Duration::from_secs(20), self.heard.recv()).await.expect("spans come").expect("it runs");
        let (head, body) = said.split_once("\r\n\r\n").expect("a head");
        let body: Vec<u8> = body.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect();
        let message = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP");
        let of = |list: &[KeyValue]| list.iter().map(|one| (one.key.clone(), shown(one.value.as_ref()))).collect();
        let [all] = message.resource_spans.as_slice() else { panic!("one resource: {message:#?}") };
        let spans = all.scope_spans.iter().flat_map(|scope| &scope.spans).map(|span| Seen::of(span, of(&span.attributes))).collect();
        Export { head: head.to_owned(), resource: of(&all.resource.as_ref().expect("a resource").attributes), spans, body }
    }

    /// So many spans, in the order in which they began, and no more.
    pub async fn spans(&mut self, count: usize) -> Vec<Seen> {
        let mut spans = Vec::new();
        while spans.len() < count {
            spans.extend(self.export().await.spans);
        }
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans.sort_by_key(|span| span.begun);
        spans
    }

    pub async fn span(&mut self) -> Seen {
        self.spans(1).await.remove(0)
    }

    /// Messages that came and were not looked at.
    pub fn unread(&self) -> usize {
        self.heard.len()
    }
}

impl Seen {
    fn of(span: &Span, attributes: BTreeMap<String, String>) -> Self {
        Self {
            name: span.name.clone(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            state: span.trace_state.clone(),
            kind: span.kind,
            status: span.status.as_ref().map_or(0, |status| status.code),
            nanos: span.end_time_unix_nano - span.start_time_unix_nano,
            begun: span.start_time_unix_nano,
            attributes,
        }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

fn shown(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => panic!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
