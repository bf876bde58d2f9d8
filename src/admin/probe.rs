//! `GET /probe/upstream?path=…`: a kubelet's probe of a backend that listens on loopback, where no kubelet reaches it. The answer is
//! the backend's status and nothing else of it.

use crate::upstream::{Upstream, UpstreamError};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri, header};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

/// The status to answer with, and a line that says whose it is.
pub(super) async fn relay(upstream: &Upstream, request: Request<Incoming>) -> (StatusCode, String) {
    let Some(path) = asked_for(request.uri()) else {
        return (StatusCode::BAD_REQUEST, "say which: /probe/upstream?path=/healthz (a query of its own as %3F…)\n".to_owned());
    };
    let (mut head, body) = request.into_parts();
    // The backend sees a probe, not somebody's cookies or this port's name.
    let agent = head.headers.get(header::USER_AGENT).cloned();
    head.headers.clear();
    head.headers.extend(agent.map(|agent| (header::USER_AGENT, agent)));
    head.method = Method::GET;
    head.uri = Uri::from(path);
    match upstream.send(Request::from_parts(head, body)).await {
        Ok(response) => (response.status(), format!("the backend answered {}\n", response.status().as_u16())),
        Err(UpstreamError::Silent) => (StatusCode::GATEWAY_TIMEOUT, "the backend did not answer in time\n".to_owned()),
        Err(UpstreamError::Unreachable) => (StatusCode::BAD_GATEWAY, "the backend does not accept connections\n".to_owned()),
        Err(_) => (StatusCode::BAD_GATEWAY, "the backend's answer broke off before it began\n".to_owned()),
    }
}

fn asked_for(uri: &Uri) -> Option<PathAndQuery> {
    let value = uri.query()?.split('&').find_map(|part| part.strip_prefix("path="))?;
    let path = percent_decode_str(value).decode_utf8().ok()?;
    path.starts_with('/').then(|| PathAndQuery::try_from(path.as_ref()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_a_probe_names_a_path_of_the_backend() {
        let path = |uri: &str| asked_for(&uri.parse().unwrap()).map(|path| path.to_string());
        assert_eq!(path("/probe/upstream?path=/healthz").as_deref(), Some("/healthz"));
        assert_eq!(path("/probe/upstream?x=1&path=%2Fhealth%3Fdeep%3D1").as_deref(), Some("/health?deep=1"));
        for bad in ["", "?path=", "?path=healthz", "?path=http://evil/", "?path=%2F%0D%0AX:%20y", "?path=/%20a", "?path=%ff"] {
            assert_eq!(path(&format!("/probe/upstream{bad}")), None, "{bad}");
        }
    }
}
