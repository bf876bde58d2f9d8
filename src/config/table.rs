//! Every setting, once: name, default, parser, secrecy and meaning. The reference file, the README's table and
//! `slidecar check` come from here or are held to it by a test.

use super::parse;
use super::traces::SamplerName;
use crate::memory::store::Address;
use crate::proxy::{ClientMode, Mode, StreamMode};
use crate::session::Persistence;
use crate::session::attributes::Attributes;
use crate::session::keys::{Algorithm, Secret};
use crate::session::login::LoginUrl;
use crate::session::paths::Prefix;
use crate::session::time::{Span, UnixSeconds};
use crate::session::token::{ClaimRule, IatMode};
use crate::telemetry::LogFormat;
use crate::upstream::Target;
use http::{HeaderMap, Uri};
use std::net::SocketAddr;
use std::path::PathBuf;

/// One setting: how people know it, and how its text becomes a value.
pub struct Setting<T: 'static> {
    pub about: About,
    pub parse: fn(&str) -> Result<T, String>,
}

/// What there is to say about a setting.
#[derive(Debug)]
pub struct About {
    pub name: &'static str,
    pub group: Group,
    pub default: Default,
    /// Its value is never shown. Holds for PEM texts too, which are no secrets all.
    pub secret: bool,
    /// It can be given as a file by `NAME_FILE`, which is looked at again while the program runs.
    pub file: bool,
    /// That file need not be there: it comes and goes with a rotation.
    pub may_be_missing: bool,
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Policy,
    Token,
    Cookie,
    Proxy,
    Store,
    Traces,
    Limits,
}

/// What holds where nothing is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This text, read by the same parser.
    Text(&'static str),
    /// Follows from other settings or from the machine, in these words.
    Derived(&'static str),
    /// Nothing.
    Off,
    /// There is none: the setting has to be given.
    Required,
}

impl About {
    /// One of the settings that may stand in `SESSION_POLICY_DIR`.
    #[must_use]
    pub fn is_clock(&self) -> bool {
        self.group == Group::Policy && self.name != SESSION_POLICY_DIR.about.name
    }
}

impl Group {
    pub const ALL: [Self; 7] = [Self::Policy, Self::Token, Self::Cookie, Self::Proxy, Self::Store, Self::Traces, Self::Limits];

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Policy => "Policy: the clocks",
            Self::Token => "Token",
            Self::Cookie => "Cookie and paths",
            Self::Proxy => "Proxy",
            Self::Store => "Store: what replicas share",
            Self::Traces => "Traces: where spans go",
            Self::Limits => "Limits",
        }
    }
}

macro_rules! settings {
    ($($group:ident { $($name:ident: $type:ty = $default:expr, $parse:expr, $secret:ident, $meaning:literal;)+ })+) => {
        $($(
            pub static $name: Setting<$type> = Setting {
                about: About { name: stringify!($name), group: Group::$group, default: $default, secret: settings!(@secret $secret), file: settings!(@file $secret), may_be_missing: settings!(@missing $secret), meaning: $meaning },
                parse: $parse,
            };
        )+)+

        /// All settings, in the order in which people should read them.
        pub static ALL: &[&About] = &[$($(&$name.about),+),+];
    };
    (@secret secret) => { true };
    (@secret passing_secret) => { true };
    (@secret $other:ident) => { false };
    (@file plain) => { false };
    (@file $other:ident) => { true };
    (@missing passing_secret) => { true };
    (@missing passing_file) => { true };
    (@missing $other:ident) => { false };
}

settings! {
    Policy {
        JWT_EXPIRES_IN: Span = Default::Text("2h"), parse::duration, plain, "token TTL";
        JWT_DEMO_EXPIRES_IN: Span = Default::Derived("JWT_EXPIRES_IN"), parse::duration, plain, "TTL of the demo class; needs JWT_DEMO_CLAIM";
        SESSION_REFRESH_THRESHOLD: Span = Default::Derived("half of JWT_EXPIRES_IN"), parse::duration, plain, "renew when less than this remains; the idle time that is promised";
        SESSION_HEARTBEAT_INTERVAL: Span = Default::Derived("10m, or half of the threshold if smaller"), parse::duration, plain, "how often the browser reports a person at work";
        SESSION_TIMEOUT_BUFFER: Span = Default::Text("5m"), parse::duration, plain, "grace of the browser timer beyond the TTL";
        SESSION_ABSOLUTE_TIMEOUT: Span = Default::Off, parse::duration, plain, "no session outlives this, however active";
        SESSION_POLICY_DIR: PathBuf = Default::Off, parse::path, plain, "a folder with one file for each of the names above (a mounted ConfigMap), looked at again while running";
    }
    Token {
        JWT_SECRET: Secret = Default::Off, parse::secret, secret, "HMAC key of HS256, HS384 and HS512, the one that the backend signs its session tokens with";
        JWT_ALGORITHM: Algorithm = Default::Text("HS256"), parse::algorithm, plain, "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA; exactly one";
        JWT_PRIVATE_KEY: Secret = Default::Off, parse::secret, secret, "private key of the other algorithms, the one that the backend signs with; PEM";
        JWT_PUBLIC_KEY: Secret = Default::Off, parse::secret, secret, "its public key, PEM; may be left out";
        JWT_KEY_ID: String = Default::Off, parse::text, file, "kid of the key";
        JWT_PREVIOUS_SECRET: Secret = Default::Off, parse::secret, passing_secret, "the other HMAC key of a rotation, which verifies and never signs; its file may be missing while there is none";
        JWT_PREVIOUS_PUBLIC_KEY: Secret = Default::Off, parse::secret, passing_secret, "the same for the other algorithms, PEM";
        JWT_PREVIOUS_KEY_ID: String = Default::Off, parse::text, passing_file, "its kid";
        JWT_PREVIOUS_UNTIL: UnixSeconds = Default::Off, parse::moment, passing_file, "when it ends to verify, such as 2027-01-31T00:00:00Z; needed with it, and best one TTL after the last token that it signed";
        JWT_ISSUER: String = Default::Off, parse::text, plain, "if set, a session token must carry it as iss";
        JWT_AUDIENCE: String = Default::Off, parse::text, plain, "if set, a session token must carry it in aud";
        JWT_DEMO_CLAIM: ClaimRule = Default::Off, parse::demo_claim, plain, "name=value that marks a demo token, such as role=demo";
        SESSION_TOKEN_CLAIMS: Vec<ClaimRule> = Default::Off, parse::claims, plain, "what makes a token a session token: sub, !purpose, typ=session (present, absent, equal)";
        JWT_IAT: IatMode = Default::Text("keep"), parse::iat, plain, "keep, or bump for backends that measure a token's age from iat (orig_iat then keeps the origin)";
        JWT_ALLOW_WEAK_SECRET: bool = Default::Text("false"), parse::boolean, plain, "accept an HMAC key that is shorter than the hash";
    }
    Cookie {
        SESSION_COOKIE_NAME: String = Default::Text("session"), parse::cookie_name, plain, "the session cookie";
        SESSION_COOKIE_ATTRIBUTES: Attributes = Default::Derived("Path=/; HttpOnly; SameSite=Lax, and Secure where the request came over https"), parse::attributes, plain, "attributes of a renewed cookie whose own are unknown";
        SESSION_COOKIE_PERSISTENCE: Persistence = Default::Text("follow"), parse::persistence, plain, "follow: a cookie that the backend set without a lifetime ends with the browser; always: it gets one too";
        SESSION_COOKIE_FALLBACK: Option<Span> = Default::Text("off"), parse::duration_or_off, plain, "longest lifetime left to a cookie whose token states none, such as 1h";
        SESSION_PROTECTED_PATHS: Vec<Prefix> = Default::Off, parse::prefixes, plain, "prefixes that need a session at the edge";
        SESSION_PUBLIC_PATHS: Vec<Prefix> = Default::Off, parse::prefixes, plain, "exceptions inside them";
        SESSION_PASSIVE_PATHS: Vec<Prefix> = Default::Off, parse::prefixes, plain, "requests there never slide (polling)";
        SESSION_LOGOUT_PATHS: Vec<Prefix> = Default::Off, parse::prefixes, plain, "a 2xx or 3xx answer there is a logout even if the cookie is not deleted";
        SESSION_EXPIRED_PATHS: Vec<Prefix> = Default::Off, parse::prefixes, plain, "prefixes where a merely expired cookie still reaches the backend (legacy refresh and logout handlers)";
        SESSION_LOGIN_URL: LoginUrl = Default::Off, parse::login_url, plain, "where a navigation without a session is sent; {return} is replaced by the return address";
        SESSION_CLIENT_ORIGINS: Vec<String> = Default::Off, parse::origins, plain, "other origins that may call the own endpoints with credentials, such as https://app.example.com";
        SESSION_STREAMS: StreamMode = Default::Text("ignore"), parse::streams, plain, "ignore, or close: a WebSocket or event stream ends with its session (SESSION_TIMEOUT_BUFFER later), and at once when it is logged out";
        SESSION_CLIENT: ClientMode = Default::Text("off"), parse::client, plain, "off, or inject: put the browser client into HTML pages; it warns before the session ends and follows its clock";
        SESSION_ENDPOINTS: String = Default::Text("/auth"), parse::endpoints, plain, "prefix of slidecar's own endpoints";
    }
    Proxy {
        SLIDECAR_UPSTREAM: Target = Default::Required, parse::upstream, plain, "the backend: http://host:port, https://host:port, h2c://host:port (HTTP/2 without TLS) or unix:/path";
        SLIDECAR_LISTEN: SocketAddr = Default::Text("0.0.0.0:8080"), parse::address, plain, "where clients connect";
        SLIDECAR_ADMIN_LISTEN: SocketAddr = Default::Text("0.0.0.0:9180"), parse::address, plain, "health and metrics";
        SLIDECAR_ADMIN_TOKEN: Secret = Default::Off, parse::secret, secret, "what POST /revocations on the admin port asks for as bearer token; without it nobody can revoke";
        SLIDECAR_MODE: Mode = Default::Text("enforce"), parse::mode, plain, "enforce, or observe: everything but the own endpoints passes as it came, and log and counters say what enforce would have done";
        SLIDECAR_TLS_CERT: Secret = Default::Off, parse::secret, secret, "certificate chain, PEM: clients speak TLS 1.2 or 1.3 then; a changed file is taken up while running";
        SLIDECAR_TLS_KEY: Secret = Default::Off, parse::secret, secret, "private key of the certificate, PEM";
        SLIDECAR_UPSTREAM_CA: Secret = Default::Off, parse::secret, secret, "root certificates that an https backend may have besides the public ones, PEM";
        SLIDECAR_WORKERS: usize = Default::Derived("CPUs allowed to the container"), parse::count, plain, "threads that serve requests";
        SLIDECAR_LOG: tracing::Level = Default::Text("info"), parse::level, plain, "error, warn, info, debug or trace";
        SLIDECAR_LOG_FORMAT: LogFormat = Default::Text("json"), parse::log_format, plain, "json or text";
        SLIDECAR_DRAIN: Span = Default::Text("25s"), parse::duration, plain, "hard end of a graceful stop; for its first 5s new requests are still served while /readyz says no";
    }
    Store {
        SESSION_STORE: Option<Address> = Default::Text("memory"), parse::store, secret, "memory, or what replicas share: redis://host:port/0, rediss://user:password@host, redis-sentinel://host1,host2/master/0, redis-cluster://host1,host2 (rediss- for TLS); Redis or Valkey";
        SESSION_STORE_CA: Secret = Default::Off, parse::secret, secret, "root certificates that the store may have besides the public ones, PEM";
        SESSION_STORE_GRACE: Span = Default::Text("60s"), parse::duration, plain, "how long sessions are let in on what was last known when the store is lost; then requests with a session get 503";
        SESSION_STORE_PREFIX: String = Default::Text("slidecar"), parse::store_prefix, plain, "what its keys begin with: one for each application, if several share a store";
    }
    // The names and their meaning are OpenTelemetry's; an empty one is not set.
    Traces {
        OTEL_EXPORTER_OTLP_ENDPOINT: Uri = Default::Off, parse::collector, plain, "the collector of spans, such as http://collector:4318; /v1/traces is added; without one there are no spans";
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Uri = Default::Off, parse::collector, plain, "the same with its whole path; of both, this one is taken";
        OTEL_EXPORTER_OTLP_PROTOCOL: () = Default::Text("http/protobuf"), parse::otlp_protocol, plain, "http/protobuf; no other is spoken";
        OTEL_EXPORTER_OTLP_HEADERS: HeaderMap = Default::Off, parse::otlp_headers, secret, "what the collector asks for, such as authorization=Bearer%20secret";
        OTEL_EXPORTER_OTLP_CERTIFICATE: PathBuf = Default::Off, parse::path, plain, "a file with root certificates that an https collector may have besides the public ones, PEM";
        OTEL_EXPORTER_OTLP_TIMEOUT: Span = Default::Text("10000"), parse::milliseconds, plain, "milliseconds that the collector may take to answer";
        OTEL_SERVICE_NAME: String = Default::Derived("service.name in OTEL_RESOURCE_ATTRIBUTES, or slidecar"), parse::text, plain, "whose spans they are";
        OTEL_RESOURCE_ATTRIBUTES: Vec<(String, String)> = Default::Off, parse::resource, plain, "what else to say of it, such as deployment.environment.name=production,k8s.pod.name=shop-1";
        OTEL_TRACES_SAMPLER: SamplerName = Default::Text("parentbased_always_on"), parse::sampler, plain, "always_on, always_off or traceidratio, and parentbased_ before it: as the sender decided, if there is one";
        OTEL_TRACES_SAMPLER_ARG: f64 = Default::Text("1"), parse::ratio, plain, "the part of all traces that traceidratio takes, 0 to 1";
        OTEL_BSP_SCHEDULE_DELAY: Span = Default::Text("5000"), parse::milliseconds, plain, "milliseconds that a span waits for others";
        OTEL_BSP_MAX_QUEUE_SIZE: usize = Default::Text("2048"), parse::count, plain, "spans that wait; more are dropped and counted";
        OTEL_SDK_DISABLED: bool = Default::Text("false"), parse::boolean, plain, "true: no spans, whatever else is set";
    }
    Limits {
        SLIDECAR_MAX_CONNECTIONS: usize = Default::Text("10000"), parse::count, plain, "client connections at once, tunnels included; further ones wait to be accepted";
        SLIDECAR_MAX_REVOCATIONS: usize = Default::Text("100000"), parse::count, plain, "sessions that are remembered as ended; beyond that, a logout ends all sessions of its subject so far";
        SLIDECAR_MAX_REQUESTS: usize = Default::Text("1000"), parse::count, plain, "requests on one HTTP/1.1 connection; the last answer carries Connection: close";
        SLIDECAR_MAX_STREAMS: usize = Default::Text("100"), parse::count, plain, "requests at once on one HTTP/2 connection; further ones are refused to be sent again";
        SLIDECAR_MAX_HEAD: usize = Default::Text("32768"), parse::head_bytes, plain, "bytes of a request head; longer ones get 431";
        SLIDECAR_MAX_FIELDS: usize = Default::Text("100"), parse::count, plain, "fields of a request head, each cookie crumb counted; more get 431";
        SLIDECAR_MAX_TARGET: usize = Default::Text("8192"), parse::target_bytes, plain, "bytes of a request target; longer ones get 414";
        SLIDECAR_FIRST_BYTE_TIMEOUT: Span = Default::Text("10s"), parse::duration, plain, "a connection that says nothing for this long is closed";
        SLIDECAR_TLS_HANDSHAKE_TIMEOUT: Span = Default::Text("5s"), parse::duration, plain, "a TLS handshake that is not complete by then is closed";
        SLIDECAR_HEAD_TIMEOUT: Span = Default::Text("10s"), parse::duration, plain, "a request head that is not complete by then is closed";
        SLIDECAR_BODY_IDLE_TIMEOUT: Span = Default::Text("30s"), parse::duration, plain, "the longest pause of a request body before its answer begins (408), and of a client that leaves an answer unread (closed); 0 waits for ever";
        SLIDECAR_MIN_BODY_RATE: usize = Default::Text("500"), parse::number, plain, "bytes per second that a request body keeps up over ten seconds before its answer begins, or 408; 0 is no limit";
        SLIDECAR_KEEPALIVE_TIMEOUT: Span = Default::Text("60s"), parse::duration, plain, "an idle client connection is closed after this";
        SLIDECAR_TUNNEL_IDLE_TIMEOUT: Span = Default::Text("1h"), parse::duration, plain, "a WebSocket on which nothing moves for this long is closed; 0 waits for ever";
        // A backend whose queue is full, as many are that keep 128, drops the first packet; the kernel sends it again after 1 and 3 s.
        SLIDECAR_UPSTREAM_CONNECT_TIMEOUT: Span = Default::Text("4s"), parse::duration, plain, "a backend that does not accept by then, TLS included, is answered for with 502";
        SLIDECAR_UPSTREAM_RESPONSE_TIMEOUT: Span = Default::Text("60s"), parse::duration, plain, "a backend that does not begin to answer this long after the request's end is answered for with 504; 0 waits for ever";
        SLIDECAR_UPSTREAM_IDLE_TIMEOUT: Span = Default::Text("3s"), parse::duration, plain, "an idle backend connection is used no more; keep it below the backend's own keep-alive (Node: 5 s)";
        SLIDECAR_UPSTREAM_MAX_IDLE: usize = Default::Text("256"), parse::count, plain, "idle backend connections that are kept";
        SLIDECAR_UPSTREAM_MAX_HEAD: usize = Default::Text("65536"), parse::head_bytes, plain, "bytes of an answer's head; longer ones get 502";
        SLIDECAR_UPSTREAM_MAX_FIELDS: usize = Default::Text("100"), parse::count, plain, "fields of an answer's head; more get 502";
    }
}
