//! What to connect to and how: every setting with its range, checked once, before anything is connected.

mod error;
#[cfg(feature = "tls")]
mod tls;
mod url;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::driver::Driver;

pub use error::ConfigError;
#[cfg(feature = "tls")]
pub use tls::{Identity, Tls};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Address {
    /// An address. An IPv6 address stands without its brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Who answers at the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Standalone,
    /// Sentinels, which say where the primary of this name is.
    Sentinel {
        /// The name under which the Sentinels know it.
        name: String,
    },
    /// Servers of a Cluster, which know all others.
    Cluster,
}

/// The settings of a [`Connection`](crate::Connection). Shows no secret when printed.
///
/// ```
/// use cache_redis::{Config, Mode};
/// use std::time::Duration;
///
/// let config = Config::from_url("redis://app:secret@cache.internal:6380/2")?
///     .with_command_timeout(Duration::from_millis(200))
///     .with_pool_size(4);
/// assert!(config.check().is_ok() && !format!("{config:?}").contains("secret"));
///
/// let config = Config::from_url("redis+sentinel://s1:26379,s2:26379,s3:26379/orders/0")?;
/// assert_eq!(config.mode(), &Mode::Sentinel { name: "orders".into() });
///
/// let error = Config::from_url("redis://localhost")?.with_pool_size(0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`pool_size` is 0; use 1 to 256");
/// # Ok::<(), cache_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) addresses: Vec<Address>,
    pub(crate) mode: Mode,
    pub(crate) database: u32,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) sentinel_user: Option<String>,
    pub(crate) sentinel_password: Option<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    pub(crate) client_name: Option<String>,
    pub(crate) prefix: String,
    pub(crate) pool_size: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) pool_timeout: Duration,
    pub(crate) first_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) nodelay: bool,
    pub(crate) driver: Driver,
    pub(crate) note_life: Duration,
}

impl Config {
    /// A server, Sentinels or a Cluster at these addresses, with the defaults of everything else.
    pub fn new(mode: Mode, addresses: impl IntoIterator<Item = Address>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            mode,
            database: 0,
            user: None,
            password: None,
            sentinel_user: None,
            sentinel_password: None,
            #[cfg(feature = "tls")]
            tls: None,
            client_name: None,
            prefix: "strata:".into(),
            pool_size: 1,
            max_in_flight: 4096,
            connect_timeout: Duration::from_millis(500),
            command_timeout: Duration::from_millis(100),
            pool_timeout: Duration::from_millis(50),
            first_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_millis(200),
            heartbeat: Duration::from_secs(5),
            nodelay: false,
            driver: Driver::default(),
            note_life: Duration::from_mins(1),
        }
    }

    /// Reads a URL: `redis://[[user]:password@]host[:port][/database]`, with `rediss` for TLS.
    ///
    /// `redis+sentinel://host:port,host:port/name[/database]` names Sentinels, whose user and password are set apart, and
    /// `redis+cluster://host:port,host:port` some servers of a Cluster; with `rediss+…` for TLS. User and password may
    /// be percent-encoded. Ports are 6379, or 26379 of Sentinels, where none is given.
    ///
    /// # Errors
    /// Anything else. The message has no part of the URL that may be secret.
    pub fn from_url(text: &str) -> Result<Self, ConfigError> {
        url::read(text)
    }

    /// Who answers at the addresses.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The addresses that are known beforehand.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The database of this number. Default 0, the only one that a Cluster has.
    #[must_use]
    pub fn with_database(mut self, database: u32) -> Self {
        self.database = database;
        self
    }

    /// Who we are. Default: who needs no name, as far as there is a password.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password. Default none.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Who we are to the Sentinels. Default: who needs no name.
    #[must_use]
    pub fn with_sentinel_user(mut self, user: impl Into<String>) -> Self {
        self.sentinel_user = Some(user.into());
        self
    }

    /// The password of the Sentinels. Default none.
    #[must_use]
    pub fn with_sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Talks TLS, to the servers and to the Sentinels.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The name of our connections in `CLIENT LIST`. Default none.
    #[must_use]
    pub fn with_client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = Some(name.into());
        self
    }

    /// What the names of everything we keep begin with. Default `strata:`. At most 64 bytes.
    ///
    /// Two prefixes of which one begins the other share what the longer one names.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many connections to each server. All calls share them. Default 1, range 1 to 256.
    ///
    /// One carries about as many calls as a server answers; more help where large values hold up small ones. All about one key
    /// goes by one connection, which is chosen by the key's slot, so that it takes effect in the order in which it was asked for;
    /// a key whose connection is being made again waits for that one. What reads many keys, which has no order to keep, goes by
    /// that of its first key; what writes or removes many is split. A removal by prefix waits first until what was on its way
    /// has arrived.
    #[must_use]
    pub fn with_pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// How many calls may be on their way at a time. Default 4096, range 1 to 1,000,000.
    ///
    /// At the bound a further one waits for at most the [pool timeout](Self::with_pool_timeout).
    #[must_use]
    pub fn with_max_in_flight(mut self, calls: usize) -> Self {
        self.max_in_flight = calls;
        self
    }

    /// How long making a connection may take, TLS and authentication included. Default 500 ms, range 1 ms to 1 min.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a call may take, whatever it spends its time on. Default 100 ms, range 1 ms to 1 min.
    ///
    /// A batch of more than 512 keys and a removal by prefix are several calls.
    #[must_use]
    pub fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// How long a call may wait until it may begin. Default 50 ms, at most 1 min. Never prolongs a call.
    #[must_use]
    pub fn with_pool_timeout(mut self, timeout: Duration) -> Self {
        self.pool_timeout = timeout;
        self
    }

    /// How long to wait before connecting again: at first, and at most. It doubles in between, and each pause is shortened by
    /// up to a half at random. Default 20 ms and 200 ms, range 1 ms to 1 min. What is back is found within the second one and the time
    /// that it takes to connect; a server that is away is asked that often by each connection.
    #[must_use]
    pub fn with_backoff(mut self, first: Duration, max: Duration) -> Self {
        (self.first_backoff, self.max_backoff) = (first, max);
        self
    }

    /// How often each connection is asked for a sign of life and the server for its time. Default 5 s, range 10 ms to 1 min.
    #[must_use]
    pub fn with_heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = every;
        self
    }

    /// Sends small packets at once (`TCP_NODELAY`). Default no: calls at the same time then share packets, which doubled
    /// the throughput of 32 callers on the loopback interface.
    #[must_use]
    pub fn with_nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Who speaks the protocol. Default [`Driver::RedisRs`].
    #[must_use]
    pub fn with_driver(mut self, driver: Driver) -> Self {
        self.driver = driver;
        self
    }

    /// How long a note of a missing key is good for, and so how long reading the source may take at most. Default 1 min,
    /// range 1 ms to 1 h.
    ///
    /// For so long a placeholder of 16 bytes is kept for each key whose load has brought nothing.
    #[must_use]
    pub fn with_note_life(mut self, life: Duration) -> Self {
        self.note_life = life;
        self
    }

    /// Checks everything, without connecting.
    ///
    /// # Errors
    /// A setting out of its range, or two that contradict each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let field = |field, value: &dyn fmt::Display, use_: &'static str| {
            Err(ConfigError::Field { field, value: value.to_string(), use_ })
        };
        let (addresses, databases) = (self.addresses.len(), self.database);
        if !(1..=64).contains(&addresses) {
            return field("addresses", &format!("a list of {addresses}"), "1 to 64 of them");
        }
        if let Some(address) = self.addresses.iter().find(|it| it.host.is_empty() || it.port == 0) {
            return field(
                "addresses",
                &format!("{:?}", address.to_string()),
                "a host, and a port of 1 to 65535",
            );
        }
        if matches!(&self.mode, Mode::Sentinel { name } if name.is_empty()) {
            return field("mode", &"a Sentinel without a name", "the name of the primary");
        }
        if self.mode == Mode::Cluster && databases > 0 {
            return field("database", &databases, "0, the only one that a Cluster has");
        }
        #[cfg(feature = "fred")]
        if self.driver == Driver::Fred && databases > 255 {
            return field("database", &databases, "0 to 255 over fred, which knows no others");
        }
        for (name, user, password) in [
            ("user", &self.user, &self.password),
            ("sentinel_user", &self.sentinel_user, &self.sentinel_password),
        ] {
            if user.is_some() && password.is_none() {
                return field(name, &"set without a password", "both or neither");
            }
        }
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(name) = self.client_name.as_ref().filter(|name| name.is_empty() || !is_plain(name)) {
            return field("client_name", &format!("{name:?}"), "visible ASCII characters without blanks");
        }
        if self.prefix.len() > 64 || self.prefix.contains(|c: char| c.is_control() || "{}".contains(c)) {
            let rule = "at most 64 bytes without control characters and braces";
            return field("prefix", &format!("{:?}", self.prefix), rule);
        }
        if !(1..=256).contains(&self.pool_size) {
            return field("pool_size", &self.pool_size, "1 to 256");
        }
        if !(1..=1_000_000).contains(&self.max_in_flight) {
            return field("max_in_flight", &self.max_in_flight, "1 to 1,000,000");
        }
        self.check_times()
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        const MINUTE: Duration = Duration::from_mins(1);
        const MILLI: Duration = Duration::from_millis(1);
        let times: [(&'static str, Duration, RangeInclusive<Duration>, &'static str); 7] = [
            ("connect_timeout", self.connect_timeout, MILLI..=MINUTE, "1 ms to 1 min"),
            ("command_timeout", self.command_timeout, MILLI..=MINUTE, "1 ms to 1 min"),
            ("pool_timeout", self.pool_timeout, Duration::ZERO..=MINUTE, "at most 1 min"),
            ("first_backoff", self.first_backoff, MILLI..=MINUTE, "1 ms to 1 min"),
            ("max_backoff", self.max_backoff, self.first_backoff..=MINUTE, "the first one to 1 min"),
            ("heartbeat", self.heartbeat, MILLI * 10..=MINUTE, "10 ms to 1 min"),
            ("note_life", self.note_life, MILLI..=MINUTE * 60, "1 ms to 1 h"),
        ];
        let wrong = times.into_iter().find(|(_, value, range, _)| !range.contains(value));
        wrong.map_or(Ok(()), |(field, value, _, use_)| {
            Err(ConfigError::Field { field, value: format!("{value:?}"), use_ })
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |set: &Option<String>| set.as_ref().map(|_| "…");
        let mut out = f.debug_struct("Config");
        out.field("addresses", &self.addresses)
            .field("mode", &self.mode)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("password", &secret(&self.password))
            .field("sentinel_user", &self.sentinel_user)
            .field("sentinel_password", &secret(&self.sentinel_password));
        #[cfg(feature = "tls")]
        out.field("tls", &self.tls);
        out.field("client_name", &self.client_name)
            .field("prefix", &self.prefix)
            .field("pool_size", &self.pool_size)
            .field("max_in_flight", &self.max_in_flight)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("pool_timeout", &self.pool_timeout)
            .field("first_backoff", &self.first_backoff)
            .field("max_backoff", &self.max_backoff)
            .field("heartbeat", &self.heartbeat)
            .field("nodelay", &self.nodelay)
            .field("driver", &self.driver)
            .field("note_life", &self.note_life)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(Config) -> Config, expected: &str) {
        let config = Config::from_url("redis://localhost").expect("legal");
        assert_eq!(change(config).check().expect_err("out of range").to_string(), expected);
    }

    #[test]
    fn what_is_back_is_looked_for_at_least_every_200_ms() {
        let config = Config::from_url("redis://localhost").expect("legal");
        let mut backoff = crate::backoff::Backoff::new(config.first_backoff, config.max_backoff);
        for _ in 0..1000 {
            assert!(backoff.next(0) <= Duration::from_millis(200), "docs/operations.md adds up with that");
        }
    }

    #[test]
    fn what_is_out_of_range_is_named_with_what_would_be_right() {
        let second = Duration::from_secs(1);
        refused(|it| it.with_pool_size(257), "`pool_size` is 257; use 1 to 256");
        refused(|it| it.with_max_in_flight(0), "`max_in_flight` is 0; use 1 to 1,000,000");
        refused(|it| it.with_connect_timeout(Duration::ZERO), "`connect_timeout` is 0ns; use 1 ms to 1 min");
        refused(|it| it.with_command_timeout(second * 61), "`command_timeout` is 61s; use 1 ms to 1 min");
        refused(|it| it.with_pool_timeout(second * 61), "`pool_timeout` is 61s; use at most 1 min");
        refused(
            |it| it.with_backoff(second, second / 2),
            "`max_backoff` is 500ms; use the first one to 1 min",
        );
        refused(|it| it.with_heartbeat(Duration::ZERO), "`heartbeat` is 0ns; use 10 ms to 1 min");
        refused(|it| it.with_note_life(second * 3601), "`note_life` is 3601s; use 1 ms to 1 h");
        refused(
            |it| it.with_prefix("{a}"),
            "`prefix` is \"{a}\"; use at most 64 bytes without control characters and braces",
        );
        refused(
            |it| it.with_client_name("a b"),
            "`client_name` is \"a b\"; use visible ASCII characters without blanks",
        );
        refused(|it| it.with_user("app"), "`user` is set without a password; use both or neither");
        refused(
            |_| Config::new(Mode::Cluster, [Address::new("a", 1)]).with_database(1),
            "`database` is 1; use 0, the only one that a Cluster has",
        );
        refused(|_| Config::new(Mode::Standalone, []), "`addresses` is a list of 0; use 1 to 64 of them");
        refused(
            |_| Config::new(Mode::Standalone, [Address::new("", 1)]),
            "`addresses` is \":1\"; use a host, and a port of 1 to 65535",
        );
        refused(
            |it| Config::new(Mode::Sentinel { name: String::new() }, it.addresses),
            "`mode` is a Sentinel without a name; use the name of the primary",
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let config = Config::from_url("redis://app:secret@localhost").expect("legal");
        let shown = format!("{:?}", config.with_sentinel_password("hidden"));
        assert!(!shown.contains("secret") && !shown.contains("hidden") && shown.contains("app"), "{shown}");
    }
}
