//! Builders for the three parties of a test: a client that sends bytes, slidecar with a clock that the test moves, and
//! a backend that follows a script and records exactly what it got.

mod backend;
mod browser;
mod client;
mod sidecar;
mod tokens;

pub use backend::{Backend, Reply};
pub use browser::Browser;
pub use client::{Answer, Client};
pub use sidecar::Sidecar;
pub use tokens::{NOW, SECRET, claims, session_token, token, token_by};
