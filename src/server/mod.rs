//! The clients' sockets: accept, deadlines, and a stop that loses nobody.

mod accept;
mod deadline;
mod drain;

pub use accept::serve;
pub use drain::{Drain, Stage};

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
