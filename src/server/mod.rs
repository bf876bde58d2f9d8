//! The clients' sockets: accept, deadlines, and a stop that loses nobody.

mod accept;
mod deadline;

pub use accept::serve;

use crate::session::time::Span;

#[derive(Clone, Copy, Debug)]
pub struct ServerSettings {
    pub max_connections: usize,
    /// Bytes.
    pub max_head: usize,
    pub first_byte: Span,
    pub head: Span,
    pub keepalive: Span,
    /// Hard end of a graceful stop.
    pub drain: Span,
}
