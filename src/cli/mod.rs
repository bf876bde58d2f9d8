//! The commands: what people type and read. Each answers with an [`Exit`]; the program's last line turns it into a
//! number.

mod admin;
pub mod check;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod health;
pub mod inject;
pub mod inspect;
pub mod revoke;
pub mod run;
mod shutdown;
mod timeline;

/// Exit codes, after sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// Something inside failed; of `doctor`: something disagrees.
    Failure = 1,
    /// The settings or the arguments are wrong (EX_USAGE).
    Settings = 64,
    /// There is no session to examine (EX_DATAERR).
    NoSession = 65,
    /// An address could not be listened on, or not be reached (EX_UNAVAILABLE).
    Unavailable = 69,
}
