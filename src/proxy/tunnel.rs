//! WebSocket: bytes both ways, from the backend's own 101 to the end of either side.

use super::headers::{connection_options, list};
use http::{HeaderMap, HeaderValue, Method, header, request};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// The one protocol that is passed on; `h2c` would smuggle requests past the rules.
const PROTOCOL: &[u8] = b"websocket";

/// The `Upgrade` value to pass on, if the request asks for a tunnel that we make.
#[must_use]
pub fn asked_for(head: &request::Parts) -> Option<HeaderValue> {
    let asks = connection_options(&head.headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let protocol = head.headers.get(header::UPGRADE)?;
    (asks && head.method == Method::GET && protocol.as_bytes().eq_ignore_ascii_case(PROTOCOL)).then(|| protocol.clone())
}

/// Whether a 101 grants what was asked for.
#[must_use]
pub fn is_granted(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| list(value).any(|protocol| protocol.eq_ignore_ascii_case(PROTOCOL)))
}

/// Copies both ways until both are done; an end on one side reaches the other.
pub async fn run(client: OnUpgrade, backend: OnUpgrade) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(event = "tunnel_failed", error = %error);
            return;
        }
    };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(event = "tunnel_broken", error = %error);
    }
}
