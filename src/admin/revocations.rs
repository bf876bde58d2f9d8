//! `POST /revocations`: an operator ends a session, or all sessions of a subject so far. It holds for the next request here,
//! and on the other replicas as soon as the store has it, which is what 204 says.

use super::{Admin, plain};
use crate::memory::{Told, bytes_of_hex};
use crate::session::family::{Family, Subject};
use crate::session::time::UnixSeconds;
use aws_lc_rs::{constant_time, digest};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use serde::Deserialize;
use std::time::Duration;

const LARGEST_BODY: usize = 16 * 1024;
/// How long the store is waited for. It is told in any case.
const PATIENCE: Duration = Duration::from_secs(2);
/// Clocks of operators differ from ours.
const SKEW_SECONDS: i64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    family: Option<String>,
    subject: Option<String>,
    before: Option<i64>,
}

/// What is to end.
enum Target {
    Family(Family),
    Subject(Subject, UnixSeconds),
}

/// A call that is not carried out: why, and what would be right.
struct Refusal(StatusCode, &'static str);

pub async fn answer(admin: &Admin, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match carry_out(admin, request).await {
        Ok(true) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Ok(false) => plain(
            StatusCode::ACCEPTED,
            Full::from(
                "it holds here; the store has not taken it yet, and the others hear of it when it does, unless this process ends before\n",
            ),
        ),
        Err(Refusal(status, detail)) => {
            let mut response = plain(status, Full::from(format!("{detail}\n")));
            let headers = response.headers_mut();
            match status {
                StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"slidecar\"")),
                StatusCode::METHOD_NOT_ALLOWED => headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
                _ => None,
            };
            response
        }
    }
}

/// Whether every replica that follows the store will know.
async fn carry_out(admin: &Admin, request: Request<Incoming>) -> Result<bool, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "POST"));
    }
    may_call(admin, request.headers())?;
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect().await;
    let body = body.map_err(|_| Refusal(StatusCode::PAYLOAD_TOO_LARGE, "an order is short; this one is not, or broke off"))?;
    let now = admin.process.clock.now();
    let target = read(&body.to_bytes(), now.second())?;
    let told = match &target {
        Target::Family(family) => admin.process.memory.revoke_family(family, now),
        Target::Subject(subject, before) => {
            admin.process.memory.revoke_subject(subject, *before, admin.process.live.current().rules.policy.longest_ttl(), now)
        }
    };
    match &target {
        Target::Family(family) => tracing::warn!(event = "revoked", what = "family", family = format!("{:08x}", family.prefix())),
        Target::Subject(_, before) => tracing::warn!(event = "revoked", what = "subject", before = before.get()),
    }
    match told {
        Told::Nobody => Ok(true),
        Told::Later(told) => Ok(matches!(tokio::time::timeout(PATIENCE, told).await, Ok(Ok(())))),
        Told::NoRoom => Err(Refusal(StatusCode::INSUFFICIENT_STORAGE, "too many are remembered as ended; raise SLIDECAR_MAX_REVOCATIONS")),
    }
}

fn may_call(admin: &Admin, headers: &HeaderMap) -> Result<(), Refusal> {
    let generation = admin.process.live.current();
    let Some(token) = &generation.admin_token else {
        return Err(Refusal(StatusCode::FORBIDDEN, "nobody may revoke: SLIDECAR_ADMIN_TOKEN is not set"));
    };
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, given) = given.split_at(given.len().min(7));
    // Of hashes, so that the time tells nothing of the length either.
    let hash = |bytes| digest::digest(&digest::SHA256, bytes);
    let is_right = constant_time::verify_slices_are_equal(hash(given).as_ref(), hash(token.expose()).as_ref()).is_ok();
    if scheme.eq_ignore_ascii_case(b"bearer ") && is_right {
        Ok(())
    } else {
        tracing::warn!(event = "revocation_refused", detail = "without the token of SLIDECAR_ADMIN_TOKEN");
        Err(Refusal(StatusCode::UNAUTHORIZED, "send Authorization: Bearer with the value of SLIDECAR_ADMIN_TOKEN"))
    }
}

fn read(body: &[u8], now: UnixSeconds) -> Result<Target, Refusal> {
    let bad = |detail| Refusal(StatusCode::BAD_REQUEST, detail);
    let order: Order = serde_json::from_slice(body).map_err(|_| {
        bad(r#"write {"family":"<32 hex digits>"} or {"subject":"<sub>","before":<seconds since 1970, or leave it out for now>}"#)
    })?;
    match order {
        Order { family: Some(family), subject: None, before: None } => {
            let id = bytes_of_hex(&family).ok_or_else(|| bad("a family is 32 hex digits, as slidecar inspect shows it"))?;
            Ok(Target::Family(Family::from_id(id)))
        }
        Order { family: None, subject: Some(subject), before } if !subject.is_empty() => {
            let before = before.unwrap_or_else(|| now.get());
            if before > now.get().saturating_add(SKEW_SECONDS) {
                return Err(bad("before lies in the future, so that nobody could log in until then; write seconds since 1970"));
            }
            Ok(Target::Subject(Subject::named(&subject), UnixSeconds::new(before)))
        }
        Order { family: Some(_), before: Some(_), .. } => Err(bad("before goes with a subject; a family ends as a whole")),
        _ => Err(bad("name a family or a subject, one of the two")),
    }
}
