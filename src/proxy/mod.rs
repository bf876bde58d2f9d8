//! One request, from its head to its answer. `handle` is the only file that knows the order; every other is entered
//! once on the way in and at most once on the way out.

mod body;
mod error;
mod facts;
mod finish;
mod gate;
mod handle;
mod prepare;
mod process;
mod report;
mod streams;
mod tunnel;
mod websocket;

pub use body::{AnswerBody, BodyError};
pub use gate::GateLimits;
pub use handle::{Peer, Proxy};
pub use process::{ClientMode, Mode, Process, ProxySettings};
pub use streams::StreamMode;
