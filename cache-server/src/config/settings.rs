//! Settings that hold: typed, complete and checked. Nothing here knows where they were said.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use cache_core::Quota;
use cache_http::limit::Hops;
use cache_memory::Policy;
use cache_ratelimit::{Class, Classes};
use strata::redis::Config;
use strata::{BusSecret, Presets, Ttl};

use super::cors::Cors;
use super::tls::Tls;
use crate::role::Role;

/// Everything an operator can say, settled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where to listen. Default: 127.0.0.1:7400.
    pub listen: SocketAddr,
    /// Where acts of administrators are answered. Default: where everything is.
    pub admin: Admin,
    /// What requests must carry. Default: none, which is legal on loopback alone.
    pub token: Option<Token>,
    /// More tokens, each with what it is good for. Default: none.
    pub tokens: Vec<Access>,
    /// What connections are sealed with. Default: nothing, and they are not.
    pub tls: Option<Tls>,
    /// Whose pages may use the server from a browser. Default: nobody's but its own.
    pub cors: Option<Cors>,
    /// Where what administrators do is written down, beside the log. Default: nowhere.
    pub audit_log: Option<PathBuf>,
    /// What each client may.
    pub clients: ClientSettings,
    /// Hit ratios are told by what keys begin with, up to the first of this. Default: a colon.
    pub prefix_delimiter: char,
    /// Filter directives for log lines. Default: `info`.
    pub log: String,
    /// The form of log lines. Default: text.
    pub log_format: LogFormat,
    /// The largest request body, in bytes. Default: 1 MiB.
    pub body_limit_bytes: usize,
    /// Connections at once. Default: 960, which fits into the usual limit of 1,024 open files.
    pub max_connections: usize,
    /// How long a request's header may take, and a connection may idle. Default: 5 s.
    pub header_timeout: Duration,
    /// How long a request's body may take as a whole. Default: 30 s.
    pub body_timeout: Duration,
    /// How long requests may take to finish once the server is told to stop. Default: 10 s.
    pub drain_timeout: Duration,
    /// The tiers below memory, which all regions share. Default: none.
    pub places: PlaceSettings,
    /// What is loaded before anybody asks for it. Default: nothing.
    pub warming: WarmingSettings,
    /// The regions that exist from the start, by name. Default: `default`, `token` and `report`.
    pub regions: BTreeMap<String, RegionSettings>,
    /// The time-to-live presets. Default: the standard ones.
    pub presets: Presets,
}

impl Settings {
    /// The names of what is said otherwise there and takes effect at a start alone.
    pub(crate) fn that_differ(&self, other: &Self) -> Vec<&'static str> {
        let places = (&self.places, &other.places);
        let pairs = [
            ("listen", self.listen != other.listen),
            ("admin_listen", self.admin != other.admin),
            ("tls_cert_file", self.tls.is_some() != other.tls.is_some()),
            ("cors_origins", self.cors != other.cors),
            ("audit_log", self.audit_log != other.audit_log),
            ("limit", self.clients.counting != other.clients.counting),
            ("trusted_hops", self.clients.hops != other.clients.hops),
            ("max_connections_per_address", self.clients.max_connections != other.clients.max_connections),
            ("max_requests", self.clients.max_requests != other.clients.max_requests),
            ("prefix_delimiter", self.prefix_delimiter != other.prefix_delimiter),
            ("log", self.log != other.log),
            ("log_format", self.log_format != other.log_format),
            ("body_limit_bytes", self.body_limit_bytes != other.body_limit_bytes),
            ("max_connections", self.max_connections != other.max_connections),
            ("header_timeout", self.header_timeout != other.header_timeout),
            ("body_timeout", self.body_timeout != other.body_timeout),
            ("drain_timeout", self.drain_timeout != other.drain_timeout),
            // Passwords are not shown, so a change of them alone is not noticed.
            ("redis_url", format!("{:?}", places.0.redis) != format!("{:?}", places.1.redis)),
            ("redis_timeout", places.0.redis_timeout != places.1.redis_timeout),
            ("bus_secret", places.0.bus_secret != places.1.bus_secret),
            ("fail_safe_for", places.0.fail_safe_for != places.1.fail_safe_for),
            ("dir", places.0.disk != places.1.disk),
            ("enable_compression", places.0.is_compressed != places.1.is_compressed),
            ("warming", self.warming != other.warming),
        ];
        pairs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }

    /// All addresses of this server, by the names of their settings.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        let admin = match self.admin {
            Admin::Apart(address) => Some(("admin_listen", address)),
            Admin::Beside | Admin::Off => None,
        };
        std::iter::once(("listen", self.listen)).chain(admin)
    }

    /// Whether requests must carry a token.
    pub fn is_guarded(&self) -> bool {
        self.token.is_some() || !self.tokens.is_empty()
    }
}

/// Where acts of administrators are answered: all that asks for [`Role::Admin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Where everything is.
    Beside,
    /// There alone, and everything else as well.
    Apart(SocketAddr),
    /// Nowhere.
    Off,
}

/// What each client may.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientSettings {
    /// Where requests of each client are counted. Default: nowhere, and there is no limit.
    pub counting: Option<Counting>,
    /// How many each class may make. Default: 60, 120, 300 and 1000 a minute.
    pub classes: Classes,
    /// How many proxies there are whose word about addresses is believed. Default: none.
    pub hops: Hops,
    /// Connections at once from one address, or one network of 64 bits of IPv6. Default: as many as there may be at all.
    pub max_connections: Option<NonZeroUsize>,
    /// Requests that are answered at once. Default: as many as there are connections.
    pub max_requests: Option<NonZeroUsize>,
}

/// Where requests of clients are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// In this server.
    Local,
    /// In Redis, with all servers that share it; while that is away, in this server.
    Shared,
}

/// What is said of the tiers below memory.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PlaceSettings {
    /// What this server shares with others. Default: none.
    pub redis: Option<Config>,
    /// How long a call to it may take. Default: 100 ms, and with a second try and a reconnection a second.
    pub redis_timeout: Option<Duration>,
    /// What servers over one Redis sign their news with. Default: nothing, and whoever may publish there is heard.
    pub bus_secret: Option<BusSecret>,
    /// How long a value may stand in for what Redis does not say, beyond its life: as long again as it lived, at most this. Default:
    /// an hour.
    pub fail_safe_for: Duration,
    /// What survives a restart of this one. Default: none.
    pub disk: Option<DiskSettings>,
    /// Whether values are compressed there. Default: no.
    pub is_compressed: bool,
}

/// What is said of the disk tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSettings {
    /// The folder of its files, which no other process may use.
    pub folder: PathBuf,
    /// The most bytes of its files. Default: 1 GiB.
    pub max_bytes: NonZeroU64,
}

/// What is loaded before anybody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmingSettings {
    /// Whether warmers run by themselves, at start and by interval. Default: yes; if not, by hand alone.
    pub is_enabled: bool,
    /// How often a warmer runs that says nothing else. Default: 300 s.
    pub interval: Duration,
    /// How long a run may take of one that says nothing else. Default: 10 minutes.
    pub deadline: Duration,
    /// How many run at the same time at most. Default: 5.
    pub max_concurrent: usize,
    /// By name. Default: none.
    pub warmers: BTreeMap<String, WarmerSettings>,
    /// How often the sources of warmers may be called, by name. Default: none.
    pub budgets: BTreeMap<String, BudgetSettings>,
}

/// How often a source may be called, by all warmers that name it, and by all servers over one Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// In a window, which slides.
    pub quota: Quota,
    /// And in a shorter one. Default: no more than that.
    pub burst: Option<Quota>,
}

/// What is said of a warmer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmerSettings {
    /// Where its entries are.
    pub from: WarmFrom,
    /// Where they go. Default: `default`.
    pub region: String,
    /// How often it runs. Default: as all do.
    pub interval: Option<Duration>,
    /// How long a run may take, after which it is given up. Default: as all may.
    pub deadline: Option<Duration>,
    /// What is sent with the request for the URL. Default: nothing.
    pub token: Option<Token>,
    /// Whom to trust with https, in PEM. Default: whom the system trusts.
    pub authorities: Option<String>,
    /// The name of the budget that a run takes a call of. Default: none, and it always may.
    pub budget: Option<String>,
}

/// Where the entries of a warmer are: lines of JSON, as an export has them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarmFrom {
    /// In a file.
    File(PathBuf),
    /// Behind an address of http or https, such as the export of another server.
    Url(axum::http::Uri),
}

/// What is said of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionSettings {
    /// Most entries. Default: 1,000,000.
    pub max_entries: NonZeroU64,
    /// Most bytes: keys, values, content types and 128 bytes for each entry's bookkeeping. Default: 256 MiB.
    pub max_bytes: NonZeroU64,
    /// How long an entry lives that does not say so itself. Default: for ever.
    pub ttl: Ttl,
    /// Who is evicted first. Default: whatever does best here.
    pub policy: Policy,
}

impl Default for RegionSettings {
    fn default() -> Self {
        const MAX_ENTRIES: NonZeroU64 = NonZeroU64::new(1_000_000).unwrap();
        const MAX_BYTES: NonZeroU64 = NonZeroU64::new(256 << 20).unwrap();
        Self { max_entries: MAX_ENTRIES, max_bytes: MAX_BYTES, ttl: Ttl::FOREVER, policy: Policy::default() }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: an object per line.
    Json,
}

/// A token of which only the digest is known, and what it is good for.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// What it is called in logs.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// How often it may be used. Default: `admin` for the role of that name, else `authenticated`.
    pub class: Class,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A bearer token. Shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
