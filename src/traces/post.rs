//! One message to the collector: OTLP over HTTP.

use super::TraceSettings;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use std::error::Error;
use std::time::Duration;

/// Bytes of an answer that are read: it says little.
const LONGEST_ANSWER: usize = 64 * 1024;
/// A connection that was silent for longer is not used again.
const IDLE: Duration = Duration::from_secs(30);

pub struct Post {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
    patience: Duration,
}

/// What the collector took.
pub struct Taken {
    /// Spans that it did not take, and will not.
    pub refused: u64,
    pub why: String,
}

/// Why the collector did not take a message.
pub enum Failure {
    /// It may take the same later.
    Now { why: String, after: Option<Duration> },
    /// It never will.
    Ever { why: String },
}

impl Post {
    pub fn new(settings: TraceSettings) -> Self {
        let connector = HttpsConnectorBuilder::new().with_tls_config(settings.tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        let mut headers = settings.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("slidecar/", env!("CARGO_PKG_VERSION"))));
        Self { client, endpoint: settings.endpoint, headers, patience: settings.timeout.to_std() }
    }

    pub async fn send(&self, body: Bytes) -> Result<Taken, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| with_causes(&error))?;
            read(answer).await
        };
        let failed = |why: String| Failure::Now { why, after: None };
        let (head, body) = match tokio::time::timeout(self.patience, exchange).await {
            Ok(read) => read.map_err(failed)?,
            Err(_) => return Err(failed("no answer within OTEL_EXPORTER_OTLP_TIMEOUT".to_owned())),
        };
        judge(head.status, &head.headers, &body)
    }
}

async fn read(answer: Response<Incoming>) -> Result<(http::response::Parts, Bytes), String> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| with_causes(&*error))?;
    Ok((head, body.to_bytes()))
}

/// As OTLP says which answers are worth another try.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Taken, Failure> {
    if status.is_success() {
        let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|response| response.partial_success);
        let (refused, why) = partial.map_or((0, String::new()), |partial| (partial.rejected_spans, partial.error_message));
        return Ok(Taken { refused: u64::try_from(refused).unwrap_or(0), why });
    }
    let why = format!("the collector answered {status}");
    let is_passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT]
        .contains(&status);
    if !is_passing {
        return Err(Failure::Ever { why });
    }
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Err(Failure::Now { why, after: seconds.map(Duration::from_secs) })
}

/// The library's own words say only which part failed.
fn with_causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    fn shown(judged: Result<Taken, Failure>) -> String {
        match judged {
            Ok(taken) => format!("taken but {} {}", taken.refused, taken.why),
            Err(Failure::Now { after, .. }) => format!("again after {after:?}"),
            Err(Failure::Ever { why }) => why,
        }
    }

    #[test]
    fn o3_the_answer_says_what_becomes_of_a_message() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".to_owned() };
        let partial = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let mut soon = HeaderMap::new();
        soon.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let mut date = HeaderMap::new();
        date.insert(header::RETRY_AFTER, HeaderValue::from_static("Sat, 21 Nov 2026 00:00:00 GMT"));
        let none = HeaderMap::new();
        let table = [
            (200, &none, &b""[..], "taken but 0 "),
            (202, &none, b"<html>", "taken but 0 "),
            (200, &none, &partial, "taken but 3 too old"),
            (429, &soon, b"", "again after Some(7s)"),
            (503, &date, b"", "again after None"),
            (502, &none, b"", "again after None"),
            (500, &none, b"", "the collector answered 500 Internal Server Error"),
            (301, &none, b"", "the collector answered 301 Moved Permanently"),
            (404, &soon, b"", "the collector answered 404 Not Found"),
        ];
        for (status, headers, body, expected) in table {
            assert_eq!(shown(judge(StatusCode::from_u16(status).unwrap(), headers, body)), expected, "{status}");
        }
    }
}
