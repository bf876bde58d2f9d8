//! Builders for the three parties of a test: a client that sends bytes, slidecar with a clock that the test moves, and
//! a backend that follows a script and records exactly what it got. And real programs, by the system's clock.

mod backend;
mod browser;
mod certificates;
mod client;
mod collector;
pub mod http2;
pub mod kubelet;
mod real;
pub mod redis;
mod sidecar;
mod tokens;

pub use backend::{Backend, Reply};
pub use browser::Browser;
pub use certificates::{Authority, Pair};
pub use client::{Answer, Client};
pub use collector::Collector;
pub use http2::{Http2, Http2Backend};
pub use real::{Process, bare, next_second, now, now_millis, signal, sleep_until};
pub use redis::Redis;
pub use sidecar::{ADMIN_TOKEN, Sidecar};
pub use tokens::{NOW, SECRET, claims, expiry, family, is_signed_by, issued, payload, session_token, shape, token, token_by};
