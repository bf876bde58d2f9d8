//! The embedded backend of `slidecar demo`: an ordinary legacy application whose session is governed by
//! four clocks that know nothing of each other ([`SickClocks`]). It knows nothing of slidecar either.
//! The demo runs it twice, once alone and once behind slidecar, and the page lays the two side by side.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One instance of the legacy application.
pub(crate) struct LegacyApp {
    /// Cookies do not tell ports apart, so two instances on one host need two names.
    pub(crate) cookie_name: String,
    /// The HS256 key.
    pub(crate) secret: Vec<u8>,
    /// The disease.
    pub(crate) clocks: SickClocks,
    /// `sick` or `healed`: under which title the page shows this instance.
    pub(crate) label: String,
    /// Where a browser reaches this instance, `http://host:port` (for the healed one that is slidecar).
    pub(crate) own_url: String,
    /// Where a browser reaches the other instance.
    pub(crate) other_url: String,
    /// Seconds since the epoch.
    pub(crate) now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// Four answers to one question, "how long does a session live?", each hard-coded in another layer.
/// The browser timer is only told to the page: it is the front end's constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SickClocks {
    /// How long one hour of the story lasts here.
    pub(crate) hour: Duration,
    pub(crate) token_ttl: Duration,
    pub(crate) cookie_max_age: Duration,
    pub(crate) refresh_threshold: Duration,
    pub(crate) browser_timer: Duration,
}

impl SickClocks {
    /// The story's constants (7 d, 1 h, 5 min, 65 min), with its hour shortened to `hour`.
    pub(crate) fn scaled(hour: Duration) -> Self {
        Self { hour, token_ttl: hour * (7 * 24), cookie_max_age: hour, refresh_threshold: hour * 5 / 60, browser_timer: hour * 65 / 60 }
    }
}

/// Serves `app` until `shutdown` completes; connections still open then are dropped.
/// A failed accept (the peer gone already, no descriptor left) is reported and does not end the server.
pub(crate) async fn serve(listener: TcpListener, app: Arc<LegacyApp>, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let app = Arc::clone(&app);
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(&app, &request);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let connection =
                        hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "demo backend: connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "demo backend: accept failed");
                // Without a pause, a lack of descriptors would make this loop spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

type Answer = Response<Full<Bytes>>;

/// Bodies are never read: no route needs one.
fn answer(app: &LegacyApp, request: &Request<Incoming>) -> Answer {
    let headers = request.headers();
    let outcome = match (request.method(), request.uri().path()) {
        // One document for both: it looks at its own address to know which part it plays.
        (&Method::GET, "/" | "/panel") => Ok(page()),
        (&Method::GET, "/api/config") => Ok(config(app, headers)),
        (&Method::GET, "/api/me") => me(app, headers),
        (&Method::POST, "/login") => login(app, headers),
        (&Method::POST, "/logout") => logout(app, headers),
        _ => Ok(json_answer(StatusCode::NOT_FOUND, &json!({ "error": "not found" }))),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "demo backend: request failed");
        json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "internal" }))
    })
}

/// What went wrong inside; the browser only learns that something did.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn page() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(include_bytes!("page.html"))));
    set(&mut answer, CONTENT_TYPE, "text/html; charset=utf-8");
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn config(app: &LegacyApp, headers: &HeaderMap) -> Answer {
    let clocks = &app.clocks;
    let body = json!({
        "label": app.label,
        "ownUrl": app.own_url,
        "otherUrl": app.other_url,
        // The cookie is HttpOnly: without this the page could only find out by running into a 401.
        "signedIn": session(app, headers).is_some(),
        "hourMs": millis(clocks.hour),
        "tokenTtlMs": millis(clocks.token_ttl),
        "cookieMaxAgeMs": millis(clocks.cookie_max_age),
        "refreshThresholdMs": millis(clocks.refresh_threshold),
        "browserTimerMs": millis(clocks.browser_timer),
    });
    json_answer(StatusCode::OK, &body)
}

/// The application's one useful call, and the only place where it refreshes: far too late to matter, for
/// the browser drops the cookie days before the token comes within the threshold.
fn me(app: &LegacyApp, headers: &HeaderMap) -> Result<Answer, Failure> {
    let Some(claims) = session(app, headers) else {
        return Ok(json_answer(StatusCode::UNAUTHORIZED, &json!({ "error": "not logged in" })));
    };
    let now = (app.now)();
    let mut answer = json_answer(StatusCode::OK, &about(&claims, now));
    let left = Duration::from_secs(claims.exp.saturating_sub(now));
    if left < app.clocks.refresh_threshold {
        let token = mint(app, claims.sid, now)?;
        answer.headers_mut().append(SET_COOKIE, login_cookie(app, &token)?);
    }
    Ok(answer)
}

fn login(app: &LegacyApp, headers: &HeaderMap) -> Result<Answer, Failure> {
    let mut random = [0u8; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "no random bytes for a session id")?;
    let now = (app.now)();
    let token = mint(app, URL_SAFE_NO_PAD.encode(random), now)?;
    let mut answer = home_or_json(headers, &json!({ "loggedIn": true, "now": now }));
    answer.headers_mut().append(SET_COOKIE, login_cookie(app, &token)?);
    Ok(answer)
}

fn logout(app: &LegacyApp, headers: &HeaderMap) -> Result<Answer, Failure> {
    let mut answer = home_or_json(headers, &json!({ "loggedIn": false }));
    answer.headers_mut().append(SET_COOKIE, cookie(app, "", 0)?);
    Ok(answer)
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    name: String,
    role: String,
    sid: String,
    iat: u64,
    exp: u64,
}

fn about(claims: &Claims, now: u64) -> Value {
    let user = json!({ "sub": claims.sub, "name": claims.name, "role": claims.role });
    json!({ "user": user, "sid": claims.sid, "iat": claims.iat, "exp": claims.exp, "now": now })
}

fn mint(app: &LegacyApp, sid: String, now: u64) -> Result<String, Failure> {
    let claims = Claims {
        sub: "u-1815".to_owned(),
        name: "Ada Lovelace".to_owned(),
        role: "member".to_owned(),
        sid,
        iat: now,
        exp: now.saturating_add(app.clocks.token_ttl.as_secs()),
    };
    let key = EncodingKey::from_secret(&app.secret);
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

/// The session of the first cookie of our name whose token verifies.
fn session(app: &LegacyApp, headers: &HeaderMap) -> Option<Claims> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == app.cookie_name)
        .find_map(|(_, token)| verify(app, token))
}

fn verify(app: &LegacyApp, token: &str) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    // The library would ask the system's clock; this application has one of its own.
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(&app.secret);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?.claims;
    ((app.now)() < claims.exp).then_some(claims)
}

/// The bug in one line: the cookie's lifetime is a constant and never looks at the token's `exp`.
fn login_cookie(app: &LegacyApp, token: &str) -> Result<HeaderValue, Failure> {
    cookie(app, token, app.clocks.cookie_max_age.as_secs())
}

fn cookie(app: &LegacyApp, value: &str, max_age: u64) -> Result<HeaderValue, Failure> {
    let name = &app.cookie_name;
    Ok(HeaderValue::try_from(format!("{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Lax"))?)
}

/// A form goes back to the page, a script gets JSON.
fn home_or_json(headers: &HeaderMap, body: &Value) -> Answer {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("application/json")) {
        return json_answer(StatusCode::OK, body);
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    set(&mut answer, LOCATION, "/");
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    set(&mut answer, CONTENT_TYPE, "application/json");
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn set(answer: &mut Answer, name: http::HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(now: u64) -> LegacyApp {
        LegacyApp {
            cookie_name: "legacy_session".to_owned(),
            secret: b"an-hmac-key-of-thirty-two-bytes!".to_vec(),
            clocks: SickClocks::scaled(Duration::from_secs(20)),
            label: "sick".to_owned(),
            own_url: "http://127.0.0.1:1".to_owned(),
            other_url: "http://127.0.0.1:2".to_owned(),
            now: Arc::new(move || now),
        }
    }

    fn cookies(answer: &Answer) -> Vec<&str> {
        answer.headers().get_all(SET_COOKIE).iter().filter_map(|field| field.to_str().ok()).collect()
    }

    fn with_token(token: &str) -> HeaderMap {
        let field = HeaderValue::try_from(format!("theme=dark; legacy_session={token}")).unwrap();
        HeaderMap::from_iter([(COOKIE, field)])
    }

    #[test]
    fn a_login_carries_the_storys_disease() {
        let login = login(&app(1_000), &HeaderMap::new()).unwrap();
        assert_eq!(login.status(), StatusCode::SEE_OTHER);
        let cookies = cookies(&login);
        let [cookie] = cookies.as_slice() else { panic!("one cookie, not {cookies:?}") };
        let (pair, attributes) = cookie.split_once(';').unwrap();
        assert_eq!(attributes, " Max-Age=20; Path=/; HttpOnly; SameSite=Lax");

        let headers = with_token(pair.strip_prefix("legacy_session=").unwrap());
        let claims = session(&app(1_000), &headers).unwrap();
        assert_eq!((claims.iat, claims.exp), (1_000, 1_000 + 7 * 24 * 20));
        assert!(session(&app(claims.exp - 1), &headers).is_some());
        assert!(session(&app(claims.exp), &headers).is_none(), "exp is strict");
    }

    #[test]
    fn it_refreshes_only_within_the_last_moments_of_the_token() {
        let token = mint(&app(1_000), "s".to_owned(), 1_000).unwrap();
        let exp = 1_000 + 7 * 24 * 20;
        for (now, refreshed) in [(1_019, 0), (exp - 2, 0), (exp - 1, 1)] {
            let answer = me(&app(now), &with_token(&token)).unwrap();
            assert_eq!((answer.status(), cookies(&answer).len()), (StatusCode::OK, refreshed), "at {now}");
        }
        assert_eq!(me(&app(exp), &with_token(&token)).unwrap().status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_foreign_signature_is_nobody() {
        let forger = LegacyApp { secret: b"another-key-of-thirty-two-bytes!".to_vec(), ..app(1_000) };
        let token = mint(&forger, "s".to_owned(), 1_000).unwrap();
        assert!(session(&app(1_000), &with_token(&token)).is_none());
    }
}
