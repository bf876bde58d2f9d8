//! Limits and deadlines: every number that keeps one client or the backend from taking what others need.

use super::table;
use super::vars::Reader;
use crate::proxy::GateLimits;
use crate::server::ServerSettings;
use crate::session::time::Span;
use crate::upstream::{Target, UploadLimits, UpstreamSettings};
use rustls::pki_types::CertificateDer;

/// The limits, in the types of those who hold them.
#[derive(Debug)]
pub struct Limits {
    pub server: ServerSettings,
    pub gate: GateLimits,
    pub upstream: UpstreamSettings,
    /// `None` is for ever.
    pub tunnel_idle: Option<Span>,
}

/// Reads them all; `None` if anything is missing, which the reader knows.
pub fn read(r: &mut Reader<'_>, target: Option<Target>, extra_roots: Option<Vec<CertificateDer<'static>>>) -> Option<Limits> {
    let drain = positive(r, &table::SLIDECAR_DRAIN);
    let max_connections = r.get(&table::SLIDECAR_MAX_CONNECTIONS);
    let max_requests = r.get(&table::SLIDECAR_MAX_REQUESTS);
    let max_streams = r.get(&table::SLIDECAR_MAX_STREAMS);
    let max_head = r.get(&table::SLIDECAR_MAX_HEAD);
    let max_fields = r.get(&table::SLIDECAR_MAX_FIELDS);
    let max_target = r.get(&table::SLIDECAR_MAX_TARGET);
    let first_byte = positive(r, &table::SLIDECAR_FIRST_BYTE_TIMEOUT);
    let tls_handshake = positive(r, &table::SLIDECAR_TLS_HANDSHAKE_TIMEOUT);
    let head = positive(r, &table::SLIDECAR_HEAD_TIMEOUT);
    let body_idle = r.get(&table::SLIDECAR_BODY_IDLE_TIMEOUT);
    let rate = r.get(&table::SLIDECAR_MIN_BODY_RATE);
    let keepalive = positive(r, &table::SLIDECAR_KEEPALIVE_TIMEOUT);
    let tunnel_idle = r.get(&table::SLIDECAR_TUNNEL_IDLE_TIMEOUT);
    let connect = positive(r, &table::SLIDECAR_UPSTREAM_CONNECT_TIMEOUT);
    let response = r.get(&table::SLIDECAR_UPSTREAM_RESPONSE_TIMEOUT);
    let idle = positive(r, &table::SLIDECAR_UPSTREAM_IDLE_TIMEOUT);
    let max_idle = r.get(&table::SLIDECAR_UPSTREAM_MAX_IDLE);
    let upstream_head = r.get(&table::SLIDECAR_UPSTREAM_MAX_HEAD);
    let upstream_fields = r.get(&table::SLIDECAR_UPSTREAM_MAX_FIELDS);
    Some(Limits {
        server: ServerSettings {
            max_connections: max_connections?,
            max_head: max_head?,
            max_fields: max_fields?,
            max_streams: u32::try_from(max_streams?).unwrap_or(u32::MAX),
            max_requests: u64::try_from(max_requests?).unwrap_or(u64::MAX),
            first_byte: first_byte?,
            tls_handshake: tls_handshake?,
            head: head?,
            keepalive: keepalive?,
            unread: unless_zero(body_idle?),
            drain: drain?,
        },
        gate: GateLimits { max_fields: max_fields?, max_target: max_target? },
        tunnel_idle: unless_zero(tunnel_idle?),
        upstream: UpstreamSettings {
            target: target?,
            connect: connect?,
            response: unless_zero(response?),
            idle: idle?,
            max_idle: max_idle?,
            max_head: upstream_head?,
            max_fields: upstream_fields?,
            upload: UploadLimits { idle: unless_zero(body_idle?), rate: u64::try_from(rate?).unwrap_or(u64::MAX) },
            extra_roots: extra_roots?,
        },
    })
}

fn unless_zero(span: Span) -> Option<Span> {
    (span > Span::ZERO).then_some(span)
}

fn positive(r: &mut Reader<'_>, setting: &'static table::Setting<Span>) -> Option<Span> {
    let span = r.get(setting)?;
    if span == Span::ZERO {
        r.problem(setting.about.name, Some("0".to_owned()), "must be above zero".to_owned());
        return None;
    }
    Some(span)
}
