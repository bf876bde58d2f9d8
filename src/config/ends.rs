//! The two ends: where slidecar listens and with which certificate, and where the backend is.

use super::table;
use super::vars::Reader;
use crate::server::server_config;
use crate::upstream::Target;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Where slidecar listens, and what for.
#[derive(Debug)]
pub struct Ends {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// Present where clients speak TLS.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Reads and compares the addresses. The backend's own comes beside, for its limits are read elsewhere.
pub fn read(r: &mut Reader<'_>) -> (Option<Ends>, Option<Target>) {
    let target = r.get(&table::SLIDECAR_UPSTREAM);
    let listen = r.get(&table::SLIDECAR_LISTEN);
    let admin_listen = r.get(&table::SLIDECAR_ADMIN_LISTEN);
    if listen.is_some() && listen == admin_listen && listen.is_some_and(|address| address.port() != 0) {
        r.problem(
            table::SLIDECAR_ADMIN_LISTEN.about.name,
            admin_listen.map(|address| address.to_string()),
            "is SLIDECAR_LISTEN too; choose another port".to_owned(),
        );
    }
    if let (Some(target), Some(listen)) = (&target, listen)
        && is_own(target, listen)
    {
        r.problem(
            table::SLIDECAR_UPSTREAM.about.name,
            Some(target.to_string()),
            format!("is SLIDECAR_LISTEN={listen} too: slidecar would call itself; give the backend a port of its own"),
        );
    }
    let before = r.problems.len();
    let tls = tls(r);
    let ends = (|| Some(Ends { listen: listen?, admin_listen: admin_listen?, tls }))();
    (ends.filter(|_| r.problems.len() == before), target)
}

/// Roots that the backend's certificate may have besides the public ones.
pub fn extra_roots(r: &mut Reader<'_>, target: Option<&Target>, warnings: &mut Vec<String>) -> Option<Vec<CertificateDer<'static>>> {
    let name = table::SLIDECAR_UPSTREAM_CA.about.name;
    let before = r.problems.len();
    let Some(text) = r.secret(&table::SLIDECAR_UPSTREAM_CA, false) else {
        return (r.problems.len() == before).then(Vec::new);
    };
    if target.is_some_and(|target| !target.is_tls()) {
        warnings.push(format!("{name} is set, but SLIDECAR_UPSTREAM is no https address: it has no effect"));
    }
    match CertificateDer::pem_slice_iter(text.expose()).collect::<Result<Vec<_>, _>>() {
        Ok(roots) if !roots.is_empty() => Some(roots),
        _ => {
            r.problem(name, None, "holds no certificate; write the roots as PEM".to_owned());
            None
        }
    }
}

fn tls(r: &mut Reader<'_>) -> Option<Arc<ServerConfig>> {
    let (chain_name, key_name) = (table::SLIDECAR_TLS_CERT.about.name, table::SLIDECAR_TLS_KEY.about.name);
    let before = r.problems.len();
    let (chain, key) = (r.secret(&table::SLIDECAR_TLS_CERT, false), r.secret(&table::SLIDECAR_TLS_KEY, false));
    if r.problems.len() > before {
        return None;
    }
    match (chain, key) {
        (None, None) => None,
        (Some(_), None) => {
            r.problem(key_name, None, format!("not set, but {chain_name} is: give the certificate's private key"));
            None
        }
        (None, Some(_)) => {
            r.problem(chain_name, None, format!("not set, but {key_name} is: give the certificate chain"));
            None
        }
        (Some(chain), Some(key)) => server_config(chain.expose(), key.expose())
            .map_err(|problem| r.problem(if problem.is_key { key_name } else { chain_name }, None, problem.remedy))
            .ok(),
    }
}

/// Whether that address is the one that we listen on, as far as its spelling tells.
fn is_own(target: &Target, listen: SocketAddr) -> bool {
    let (authority, default_port) = match target {
        Target::Http(authority) | Target::H2c(authority) => (authority, 80),
        Target::Https(authority) => (authority, 443),
        Target::Unix(_) => return false,
    };
    let host = authority.host().trim_matches(['[', ']']);
    let ip: Option<IpAddr> = if host.eq_ignore_ascii_case("localhost") { Some(Ipv4Addr::LOCALHOST.into()) } else { host.parse().ok() };
    let same_host = ip.is_some_and(|ip| ip == listen.ip() || ip.is_unspecified() || (listen.ip().is_unspecified() && ip.is_loopback()));
    listen.port() != 0 && authority.port_u16().unwrap_or(default_port) == listen.port() && same_host
}
