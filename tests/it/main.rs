//! Tests at the boundary: a client, slidecar and a backend, over real sockets.

mod boot;
mod harness;
mod legacy;
mod proxying;
mod sessions;
