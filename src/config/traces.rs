//! Where spans go, and which there are.

use super::table;
use super::vars::Reader;
use crate::traces::TraceSettings;
use crate::upstream::client_config;
use http::Uri;
use http::uri::PathAndQuery;
use opentelemetry_sdk::trace::Sampler;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Where collectors listen for gRPC, which is not spoken here.
const GRPC_PORT: u16 = 4317;
const PATH: &str = "/v1/traces";
const SERVICE_NAME: &str = "service.name";

/// `OTEL_TRACES_SAMPLER`
#[derive(Clone, Copy, Debug)]
pub struct SamplerName {
    pub roots: Roots,
    /// A request that says whether its trace is recorded is believed.
    pub follows_parent: bool,
}

/// Which traces are recorded that begin here.
#[derive(Clone, Copy, Debug)]
pub enum Roots {
    All,
    None,
    /// `OTEL_TRACES_SAMPLER_ARG`
    Part,
}

/// `None` if anything is wrong, which the reader knows; the inner one where nobody collects spans.
pub fn read(r: &mut Reader<'_>, warnings: &mut Vec<String>) -> Option<Option<TraceSettings>> {
    let before = r.problems.len();
    let base = r.get(&table::OTEL_EXPORTER_OTLP_ENDPOINT);
    let whole = r.get(&table::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT);
    r.get(&table::OTEL_EXPORTER_OTLP_PROTOCOL);
    let headers = r.get(&table::OTEL_EXPORTER_OTLP_HEADERS).unwrap_or_default();
    let extra_roots = roots(r);
    let timeout = r.get(&table::OTEL_EXPORTER_OTLP_TIMEOUT);
    let name = r.get(&table::OTEL_SERVICE_NAME);
    let mut resource = r.get(&table::OTEL_RESOURCE_ATTRIBUTES).unwrap_or_default();
    let sampler = r.get(&table::OTEL_TRACES_SAMPLER);
    let ratio = r.get(&table::OTEL_TRACES_SAMPLER_ARG);
    let delay = r.get(&table::OTEL_BSP_SCHEDULE_DELAY);
    let queue = r.get(&table::OTEL_BSP_MAX_QUEUE_SIZE);
    let is_off = r.get(&table::OTEL_SDK_DISABLED);
    let known = resource.iter().position(|(name, _)| name == SERVICE_NAME).map(|place| resource.remove(place).1);
    let name = name.or(known).unwrap_or_else(|| "slidecar".to_owned());
    r.derive(&[(table::OTEL_SERVICE_NAME.about.name, name.clone())]);
    if r.problems.len() > before {
        return None;
    }
    let Some(endpoint) = whole.or_else(|| base.map(with_path)).filter(|_| is_off != Some(true)) else { return Some(None) };
    if endpoint.port_u16() == Some(GRPC_PORT) {
        warnings.push(format!("{endpoint} is where collectors expect gRPC; slidecar speaks OTLP over HTTP, mostly on port 4318"));
    }
    resource.push((SERVICE_NAME.to_owned(), name));
    let sampler = sampler_of(sampler?, ratio?);
    Some(Some(TraceSettings {
        endpoint,
        headers,
        tls: client_config(extra_roots),
        timeout: timeout?,
        delay: delay?,
        queue: queue?,
        sampler,
        resource,
    }))
}

/// The base's own path stays before it.
fn with_path(base: Uri) -> Uri {
    let path = PathAndQuery::try_from(format!("{}{PATH}", base.path().trim_end_matches('/')));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = path.ok();
    Uri::from_parts(parts).unwrap_or(base)
}

fn sampler_of(name: SamplerName, ratio: f64) -> Sampler {
    let roots = match name.roots {
        Roots::All => Sampler::AlwaysOn,
        Roots::None => Sampler::AlwaysOff,
        Roots::Part => Sampler::TraceIdRatioBased(ratio),
    };
    if name.follows_parent { Sampler::ParentBased(Box::new(roots)) } else { roots }
}

fn roots(r: &mut Reader<'_>) -> Vec<CertificateDer<'static>> {
    let Some(text) = r.file_at(&table::OTEL_EXPORTER_OTLP_CERTIFICATE) else { return Vec::new() };
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(roots) if !roots.is_empty() => roots,
        _ => {
            r.problem(table::OTEL_EXPORTER_OTLP_CERTIFICATE.about.name, None, "holds no certificate; write the roots as PEM".to_owned());
            Vec::new()
        }
    }
}
