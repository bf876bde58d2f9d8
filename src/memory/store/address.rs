//! Where the store is, and how one gets there.

use http::uri::Authority;
use percent_encoding::percent_decode_str;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, Pipeline, RedisFuture, RedisResult,
    TlsCertificates, TlsMode, Value,
};
use std::time::Duration;

/// A store that does not answer by then is lost.
const CONNECT: Duration = Duration::from_secs(2);

/// `SESSION_STORE`, but for `memory`.
#[derive(Clone)]
pub enum Address {
    One(ConnectionInfo),
    Sentinel { place: Place, master: String, database: i64 },
    Cluster(Place),
}

/// Several hosts that are one store.
#[derive(Clone)]
pub struct Place {
    hosts: Vec<(String, u16)>,
    user: Option<String>,
    password: Option<String>,
    is_tls: bool,
}

/// A connection, of whatever kind.
#[derive(Clone)]
pub enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Address {
    /// Reads an address; the error says what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(example)?;
        let is_tls = scheme.starts_with("rediss");
        match scheme {
            "redis" | "rediss" => {
                let info = text.into_connection_info().map_err(|_| example())?;
                Ok(Self::One(info))
            }
            "redis-sentinel" | "rediss-sentinel" => {
                let (login, place) = login_of(rest);
                let (hosts, path) = place.split_once('/').ok_or_else(|| format!("names no master; {}", example()))?;
                let (master, database) = path.split_once('/').unwrap_or((path, "0"));
                let database = database.parse().map_err(|_| "the part after the master is the number of a database".to_owned())?;
                if master.is_empty() {
                    return Err(format!("names no master; {}", example()));
                }
                Ok(Self::Sentinel { place: Place::parse(login, hosts, 26379, is_tls)?, master: master.to_owned(), database })
            }
            "redis-cluster" | "rediss-cluster" => {
                let (login, hosts) = login_of(rest);
                Ok(Self::Cluster(Place::parse(login, hosts.trim_end_matches('/'), 6379, is_tls)?))
            }
            _ => Err(example()),
        }
    }

    /// A new connection. `patience` is how long an answer may take; `ca` are roots besides the public ones, PEM.
    pub async fn connect(&self, patience: Duration, ca: Option<&[u8]>) -> RedisResult<Link> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(patience));
        let certificates = || TlsCertificates { client_tls: None, root_cert: ca.map(<[u8]>::to_vec) };
        match self {
            Self::One(info) => {
                let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
                let client = if is_tls { Client::build_with_tls(info.clone(), certificates())? } else { Client::open(info.clone())? };
                Ok(Link::One(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Self::Sentinel { place, master, database } => {
                let sentinels = place.hosts.iter().map(|(host, port)| ConnectionAddr::Tcp(host.clone(), *port));
                let mut builder =
                    SentinelClientBuilder::new(sentinels, master.clone(), SentinelServerType::Master)?.set_client_to_redis_db(*database);
                if let Some(user) = &place.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &place.password {
                    builder = builder.set_client_to_redis_password(password);
                }
                if place.is_tls {
                    builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_redis_certificates(certificates());
                    builder = builder.set_client_to_sentinel_tls_mode(TlsMode::Secure).set_client_to_sentinel_certificates(certificates());
                }
                let client = builder.build()?.async_get_client().await?;
                Ok(Link::One(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Self::Cluster(place) => {
                let scheme = if place.is_tls { "rediss" } else { "redis" };
                let nodes = place.hosts.iter().map(|(host, port)| format!("{scheme}://{host}:{port}"));
                let mut builder = ClusterClient::builder(nodes).connection_timeout(CONNECT).response_timeout(patience).retries(1);
                if let Some(user) = &place.user {
                    builder = builder.username(user);
                }
                if let Some(password) = &place.password {
                    builder = builder.password(password);
                }
                if place.is_tls {
                    builder = builder.certs(certificates());
                }
                Ok(Link::Cluster(builder.build()?.get_async_connection().await?))
            }
        }
    }

    /// One node is asked for its role; of a cluster, the client knows it.
    pub const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

fn example() -> String {
    "write memory, redis://host:6379/0, rediss://user:password@host:6379/0, redis-sentinel://host1,host2/master/0 or \
     redis-cluster://host1,host2"
        .to_owned()
}

/// The last `@` ends it: a password may hold anything.
fn login_of(rest: &str) -> (Option<&str>, &str) {
    rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place))
}

impl Place {
    fn parse(login: Option<&str>, hosts: &str, default_port: u16, is_tls: bool) -> Result<Self, String> {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = login.map_or((None, None), |login| {
            let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(decoded(password))));
            (Some(decoded(user)).filter(|user| !user.is_empty()), password)
        });
        // What is no host is not repeated, for it may be half of a password.
        let none = || format!("one of its hosts is none; {}", example());
        let host = |host: &str| {
            let authority: Authority = host.parse().map_err(|_| none())?;
            let name = authority.host();
            if name.is_empty() || (authority.as_str() != name && authority.port_u16().is_none()) {
                return Err(none());
            }
            Ok((name.to_owned(), authority.port_u16().unwrap_or(default_port)))
        };
        Ok(Self { hosts: hosts.split(',').map(host).collect::<Result<_, String>>()?, user, password, is_tls })
    }

    fn shown(&self) -> String {
        self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
    }
}

/// Without what it takes to log in.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = |is_tls| if is_tls { "rediss" } else { "redis" };
        match self {
            Self::One(info) => {
                let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
                write!(f, "{}://{}/{}", scheme(is_tls), info.addr(), info.redis_settings().db())
            }
            Self::Sentinel { place, master, database } => {
                write!(f, "{}-sentinel://{}/{master}/{database}", scheme(place.is_tls), place.shown())
            }
            Self::Cluster(place) => write!(f, "{}-cluster://{}", scheme(place.is_tls), place.shown()),
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(link) => link.req_packed_command(command),
            Self::Cluster(link) => link.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(&'a mut self, pipeline: &'a Pipeline, offset: usize, count: usize) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(link) => link.req_packed_commands(pipeline, offset, count),
            Self::Cluster(link) => link.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(link) => link.get_db(),
            Self::Cluster(link) => link.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_what_is_secret() {
        for (text, shown) in [
            ("redis://h", "redis://h:6379/0"),
            ("redis://:secret@h:1/3", "redis://h:1/3"),
            ("rediss://user:secret@h:1", "rediss://h:1/0"),
            ("redis-sentinel://user:se%40cret@a,b:27000/mymaster/2", "redis-sentinel://a:26379,b:27000/mymaster/2"),
            ("redis-sentinel://a/mymaster", "redis-sentinel://a:26379/mymaster/0"),
            ("redis-sentinel://user:se/cr@et@a/m", "redis-sentinel://a:26379/m/0"),
            ("redis-cluster://:secret@a,[::1]:7000", "redis-cluster://a:6379,[::1]:7000"),
            ("rediss-cluster://a/", "rediss-cluster://a:6379"),
        ] {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.to_string(), format!("{address:?}")), (shown.to_owned(), shown.to_owned()));
        }
        let Ok(Address::Cluster(place)) = Address::parse("redis-cluster://us%3Aer:se%40cret@a") else { panic!("it is good") };
        assert_eq!((place.user.as_deref(), place.password.as_deref()), (Some("us:er"), Some("se@cret")));
    }

    #[test]
    fn an_address_that_is_none_is_explained() {
        for text in [
            "",
            "redis",
            "http://h",
            "redis-sentinel://a",
            "redis-sentinel://a/",
            "redis-sentinel://a/m/x",
            "redis-cluster://",
            "redis-cluster://a,,b",
            "redis-cluster://user:secret",
            "redis-cluster://a,user:secret x",
            "redis-sentinel://a:secret/m",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!((error.contains("redis") || error.contains("database")) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
