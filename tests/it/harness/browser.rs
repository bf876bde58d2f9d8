//! A browser as far as sessions are concerned: a cookie jar that nobody wrote for slidecar's sake.

use super::{Answer, Sidecar};
use cookie_store::CookieStore;
use url::Url;

/// Keeps cookies by RFC 6265, for `https://app.example`, whichever replica answers.
#[derive(Clone, Default)]
pub struct Browser(CookieStore);

impl Browser {
    pub async fn get(&mut self, sidecar: &Sidecar, path: &str) -> Answer {
        self.request(sidecar, "GET", path).await
    }

    /// Sends what the jar holds for this path, and keeps what the answer sets.
    pub async fn request(&mut self, sidecar: &Sidecar, method: &str, path: &str) -> Answer {
        let answer = self.send(sidecar, method, path).await;
        self.keep(path, &answer);
        answer
    }

    /// Only sends: the answer is held somewhere, to be kept later or lost.
    pub async fn send(&self, sidecar: &Sidecar, method: &str, path: &str) -> Answer {
        let cookies = self.cookies(path);
        let mut fields = vec![("X-Forwarded-Proto", "https"), ("Content-Length", "0")];
        if !cookies.is_empty() {
            fields.push(("Cookie", &cookies));
        }
        sidecar.client().await.request(method, path, &fields).await
    }

    pub fn keep(&mut self, path: &str, answer: &Answer) {
        for line in answer.all("set-cookie") {
            // A line that the jar refuses is one that a browser ignores.
            let _ = self.0.parse(line, &url(path));
        }
    }

    pub fn cookies(&self, path: &str) -> String {
        let pairs = self.0.get_request_values(&url(path)).map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Everything that the jar holds under this name, wherever.
    pub fn named(&self, name: &str) -> Vec<&cookie_store::Cookie<'static>> {
        self.0.iter_any().filter(|cookie| cookie.name() == name).collect()
    }
}

fn url(path: &str) -> Url {
    Url::parse("https://app.example").and_then(|base| base.join(path)).expect("a path")
}
