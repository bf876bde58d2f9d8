//! The clients' sockets: accept, TLS, which HTTP is spoken, deadlines, and a stop that loses nobody.
//!
//! In reading order: `accept` (from a listening socket to connections), `workers` (who talks to them), `connection` (from
//! a socket to answered requests), `progress`, `deadline`, `pump` and `socket` (what hyper lets wait for ever), `tls` (certificates).

mod accept;
mod connection;
mod deadline;
mod progress;
mod pump;
mod socket;
mod tls;
mod workers;

pub use accept::serve;
pub use connection::Service;
pub use tls::{TlsProblem, server_config};
pub use workers::Worker;

use crate::session::time::Span;

/// Limits and deadlines of clients' connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    pub max_connections: usize,
    /// Bytes of a request head.
    pub max_head: usize,
    /// Fields of a request head.
    pub max_fields: usize,
    /// Requests at once on one connection of HTTP/2.
    pub max_streams: u32,
    /// Requests after which a connection of HTTP/1.1 is closed.
    pub max_requests: u64,
    pub first_byte: Span,
    pub tls_handshake: Span,
    pub head: Span,
    pub keepalive: Span,
    /// How long a client may leave an answer unread; `None` is for ever.
    pub unread: Option<Span>,
    /// Hard end of a graceful stop.
    pub drain: Span,
}
