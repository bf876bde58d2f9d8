//! Tests at the boundary: a client, slidecar and a backend, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic that says what was expected")]

mod acceptance;
mod boot;
mod caches;
mod harness;
mod house;
mod legacy;
mod proxying;
mod published;
mod sessions;
mod simulation;
mod verifiers;
