//! slidecar gives any existing backend correct sliding sessions without touching its code.
//!
//! It stands in front of the backend in the same pod. The `exp` of the session token is the only clock: cookie
//! lifetime, renewal point, browser timer and published policy are all derived from it and from one
//! [`SessionPolicy`](session::policy::SessionPolicy), so that they cannot disagree. And it is never worse than before
//! its installation: what it does not understand, it passes on unchanged.
//!
//! # The life of a request
//!
//! [`server`] accepts a connection and gives each phase of it a deadline. For every request it calls
//! `proxy::handle`, the only place that knows the order:
//!
//! 1. **gate** refuses ambiguous messages: framing, Host, target, single-value fields.
//! 2. **Own endpoint?** Then [`endpoints`] answers, and the backend never sees the call.
//! 3. **facts** are found in the head, once: the cookie bytes, passive signs, the path.
//! 4. **now** is read from the [`clock`], the first of two readings.
//! 5. [`session::decide`] judges, purely: what is the cookie (not ours, dead, a session), is a renewal due, and with
//!    which cookies does the request go on?
//! 6. **prepare** writes the upstream request that the verdict asks for.
//! 7. [`upstream`] sends it and waits for the head of the answer; bodies stream both ways.
//! 8. [`session::settle`] decides, purely and with a second reading of the clock, what happens to each `Set-Cookie`:
//!    the backend's lines get their lifetime from the token, a logout is remembered, a due renewal is added.
//! 9. **finish** writes that on the head; one outcome word goes to the log. Where that is asked for, a page gets the browser
//!    client as it streams ([`rewrite`]).
//!
//! The rules with their keys and clocks are one generation ([`live`]), which changed files replace as a whole. A request ends
//! under the one that it began with.
//!
//! A worker is a thread with a runtime, connections to the backend and a memory of verified tokens of its own, so a request
//! is served from end to end without waiting for another thread. What sessions are over, and the numbers, all workers share.
//!
//! Way in and way out mirror each other; every file is entered once on the way in and at most once on the way out.
//!
//! # Floors
//!
//! A file imports from floors below or from its own folder; a test holds this. The one exception is `app`, which reads
//! the settings that `config` made.
//!
//! ```text
//!  7  main  cli        exit codes and what people read
//!  6  app ──► config   wiring: bind, serve, drain │ environment → settings; the only names of variables
//!  5  server  admin    connections │ health, numbers, the status page
//!  4  proxy            one request
//!  3  endpoints  rewrite  upstream      our own answers │ the browser client in pages │ the backend
//!  2  clock  drain  headers  live  memory  metrics  telemetry  traces
//!                                                        time, stages of a stop, header fields, the current
//!                                                        generation of keys and clocks, what the process remembers,
//!                                                        numbers, logs and the line of each request, its span
//!  1  session          THE RULES: bytes, values and `now` in, decisions out
//! ```
//!
//! Where does my line go? Knows a rule about sessions → `session`. Touches a header map or a body → `proxy`. Touches a
//! client's socket → `server`. Talks to the backend → `upstream`. Names a variable → `config`. Reads the clock → `clock`.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod drain;
pub mod endpoints;
pub mod headers;
pub mod live;
pub mod memory;
pub mod metrics;
pub mod proxy;
pub mod rewrite;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod traces;
pub mod upstream;
