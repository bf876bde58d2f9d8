//! `slidecar demo`: one sick legacy application, twice. Alone, its four clocks end an active session after a minute's
//! third; behind slidecar the same application's session slides. An hour of the story takes 20 seconds here.

mod legacy;

use super::Exit;
use super::run::{report, runtime};
use super::shutdown::Signals;
use crate::app::App;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config};
use crate::telemetry;
use legacy::{LegacyApp, SickClocks};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// One hour of the story.
const HOUR: Duration = Duration::from_secs(20);
/// The story's policy on that scale: TTL 2 h, threshold 1 h 30, heartbeat 10 min, buffer 5 min. A warning is never shorter than
/// 20 s, so a threshold of 20 s would show it to people at work, in the two seconds before the click that renews.
const POLICY: [(&str, &str); 5] = [
    ("JWT_EXPIRES_IN", "40s"),
    ("SESSION_REFRESH_THRESHOLD", "30s"),
    ("SESSION_HEARTBEAT_INTERVAL", "3s"),
    ("SESSION_TIMEOUT_BUFFER", "2s"),
    ("SESSION_CLIENT", "inject"),
];

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port of the healed application; the sick one gets the next. Default: 8080, or any two if they are taken
    #[arg(long)]
    port: Option<u16>,
}

pub fn run(options: &Options) -> Exit {
    if let Err(error) = telemetry::init_for_people() {
        eprintln!("slidecar: cannot log: {error}");
        return Exit::Failure;
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("slidecar: cannot start threads: {error}");
            return Exit::Failure;
        }
    };
    match runtime.block_on(serve(options)) {
        Ok(()) => Exit::Ok,
        Err(exit) => exit,
    }
}

async fn serve(options: &Options) -> Result<(), Exit> {
    let signals = Signals::listen().map_err(|error| fail(Exit::Failure, &error))?;
    let (healed_listener, sick_listener) = match options.port {
        Some(port) => match port.checked_add(1) {
            Some(next) => bind(options.host, port, next).await,
            None => Err(std::io::Error::other("--port needs the next port too; 65534 is the last")),
        },
        None => match bind(options.host, 8080, 8081).await {
            Ok(both) => Ok(both),
            Err(_) => bind(options.host, 0, 0).await,
        },
    }
    .map_err(|error| fail(Exit::Unavailable, &format!("cannot listen on two ports of {}: {error}", options.host)))?;
    let hidden_listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| fail(Exit::Unavailable, &error))?;
    let address = |listener: &TcpListener| listener.local_addr().map_err(|error| fail(Exit::Failure, &error));
    let (healed, sick, hidden) = (address(&healed_listener)?, address(&sick_listener)?, address(&hidden_listener)?);

    let secret = fresh_secret().ok_or_else(|| fail(Exit::Failure, &"no random bytes for a key"))?;
    let config = settings(&secret, healed, hidden).map_err(|rejected| report(&rejected))?;
    // The public port is bound already, so that its number is known to the pages.
    let app = App::with_listener(&config, healed_listener, Arc::new(SystemClock)).await.map_err(|error| fail(Exit::Unavailable, &error))?;

    println!("http://{healed}/  <- open this: the same application behind slidecar");
    println!("http://{sick}/  <- the sick application alone");
    println!();
    println!("What to watch: press \"Log in\" and stay active. One hour of the story takes 20 seconds here.");
    println!("  alone            the cookie is dropped after 20 s, though the token would live for a week of the story");
    println!("  behind slidecar  token, cookie, renewal point and browser timer follow one clock, and the session slides;");
    println!("                   who goes away is asked 20 s before the end, by a dialog that the app knows nothing of");
    println!("Ctrl-C ends it.");

    let instance = |label: &str, cookie_name: &str, own: SocketAddr, other: SocketAddr| {
        Arc::new(LegacyApp {
            cookie_name: cookie_name.to_owned(),
            secret: secret.clone().into_bytes(),
            clocks: SickClocks::scaled(HOUR),
            label: label.to_owned(),
            own_url: format!("http://{own}"),
            other_url: format!("http://{other}"),
            now: Arc::new(|| SystemClock.now().second().get().unsigned_abs()),
        })
    };
    let behind = legacy::serve(hidden_listener, instance("healed", "session", healed, sick), std::future::pending());
    let alone = legacy::serve(sick_listener, instance("sick", "legacy_session", sick, healed), std::future::pending());
    tokio::select! {
        () = app.run(signals.asked_to_stop()) => Ok(()),
        ended = behind => ended.map_err(|error| fail(Exit::Failure, &error)),
        ended = alone => ended.map_err(|error| fail(Exit::Failure, &error)),
    }
}

fn settings(secret: &str, healed: SocketAddr, hidden: SocketAddr) -> Result<Config, config::Rejected> {
    let mut vars: HashMap<String, String> = POLICY.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut set = |name: &str, value: String| vars.insert(name.to_owned(), value);
    set("JWT_SECRET", secret.to_owned());
    set("SLIDECAR_UPSTREAM", format!("http://{hidden}"));
    set("SLIDECAR_LISTEN", healed.to_string());
    set("SLIDECAR_ADMIN_LISTEN", "127.0.0.1:0".to_owned());
    set("SLIDECAR_DRAIN", "1s".to_owned());
    config::load(&vars)
}

async fn bind(host: IpAddr, healed: u16, sick: u16) -> std::io::Result<(TcpListener, TcpListener)> {
    Ok((TcpListener::bind((host, healed)).await?, TcpListener::bind((host, sick)).await?))
}

/// A key of this run only.
fn fresh_secret() -> Option<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(crate::session::hash::hex(&bytes))
}

fn fail(exit: Exit, error: &dyn std::fmt::Display) -> Exit {
    eprintln!("slidecar: {error}");
    exit
}
