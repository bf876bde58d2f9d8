//! Tests at the boundary: a client, slidecar and a backend, over real sockets.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic that says what was expected")]

mod acceptance;
mod admin;
mod boot;
mod breaker;
mod caches;
mod client;
mod costs;
mod doctor;
mod faults;
mod harness;
mod house;
mod http2;
mod inject;
mod legacy;
mod limits;
mod multiplexed;
mod proxying;
mod published;
mod reload;
mod revocations;
mod rotation;
mod sessions;
mod simulation;
mod smuggling;
mod store;
mod streams;
mod tls;
mod traces;
mod upstreams;
mod vectors;
mod verifiers;
mod workers;
