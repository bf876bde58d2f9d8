//! What happens to a session between a browser and a backend. The clock stands still unless a test moves it.

mod algorithms;
mod answers;
mod cookies;
mod failing;
mod logout;
mod minting;
mod way_in;
mod way_out;

use crate::harness::{Answer, Backend, NOW, Reply, Sidecar, session_token};

const TTL: i64 = 7200;

/// slidecar before a backend that always says 200, with a session that is due in an hour.
async fn quiet(settings: &[(&str, &str)]) -> (Sidecar, Backend, String) {
    let backend = Backend::saying("200 OK", &[], "hello").await;
    let sidecar = Sidecar::before(&backend.address, settings).await;
    (sidecar, backend, format!("session={}", session_token(NOW, NOW + TTL)))
}

/// A backend that sets these cookies on every answer.
async fn setting(lines: &[&str]) -> Backend {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    Backend::start(move |_| {
        let fields: Vec<_> = lines.iter().map(|line| ("Set-Cookie", line.as_str())).collect();
        Reply::with("200 OK", &fields, "hello")
    })
    .await
}

fn max_age(answer: &Answer, name: &str) -> Option<i64> {
    let lines = answer.cookie_lines(name);
    assert_eq!(lines.len(), 1, "{:#?}", answer.fields);
    lines[0].split("; ").find_map(|part| part.strip_prefix("Max-Age=")).map(|age| age.parse().expect("a number"))
}

/// The `name=value` of a line that our answer set.
fn carried(answer: &Answer, name: &str) -> String {
    format!("{name}={}", answer.cookie(name))
}

/// Logs in at one slidecar, renews at another that knows nothing, and gives the renewed line of the cookie.
async fn renewed_elsewhere(login: &str, settings: &[(&str, &str)]) -> (String, Answer) {
    let value = session_token(NOW, NOW + TTL);
    let backend = setting(&[&format!("session={value}; {login}")]).await;
    let first = Sidecar::before(&backend.address, settings).await;
    let answer = first.get("/app/login", "").await;
    let carried: Vec<_> = answer.all("set-cookie").filter_map(|line| line.split(';').next()).collect();
    let cookies = carried.join("; ");

    let quiet = Backend::saying("200 OK", &[], "hello").await;
    let second = first.replica(&quiet.address, settings).await;
    second.pass(4000);
    let answer = second.get("/deep/down/here", &cookies).await;
    assert_eq!(quiet.last_cookies().unwrap(), format!("session={value}"), "companions stay here");
    let line = answer.cookie_lines("session")[0].split_once("; ").expect("attributes").1.to_owned();
    (line, answer)
}

/// A POST without a body to one of our own.
async fn post(sidecar: &Sidecar, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = [fields, &[("Content-Length", "0")]].concat();
    sidecar.client().await.request("POST", path, &fields).await
}

/// The decisions counted so far, as `decision reason count`.
async fn decisions(sidecar: &Sidecar) -> Vec<String> {
    let text = sidecar.metrics().await;
    let counted = text.lines().filter_map(|line| line.strip_prefix("slidecar_session_decisions_total{"));
    let words = counted.map(|line| line.replace("decision=\"", "").replace("\",reason=\"", " ").replace("\"}", ""));
    words.filter(|line| !line.ends_with(" 0")).collect()
}
