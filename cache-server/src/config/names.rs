//! Every setting, once: its name, its default and its meaning.
//!
//! `body_timeout` in the file is `CACHE_BODY_TIMEOUT` in the environment and `--body-timeout` on the command line.

/// What the names of environment variables begin with, unless an operator keeps their own prefix.
pub(super) const PREFIX: &str = "CACHE_";

/// A setting of the server as a whole.
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// Its text if nothing is said; empty if it is then unset.
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    /// A flag is visible to everyone on the machine, so a secret has none.
    pub(super) secret: bool,
}

const fn spec(name: &'static str, default: &'static str, help: &'static str) -> Spec {
    Spec { name, default, help, secret: false }
}

const fn secret(name: &'static str, help: &'static str) -> Spec {
    Spec { name, default: "", help, secret: true }
}

pub(super) const CORS_ORIGINS: &str = "cors_origins";

pub(super) const SPECS: &[Spec] = &[
    spec("listen", "127.0.0.1:7400", "Address and port; beyond loopback only with a token"),
    spec(
        "admin_listen",
        "",
        "Address and port for what administrators do, which is then answered there alone; or off [listen]",
    ),
    secret("token", "Bearer token that requests must carry (file and environment only)"),
    spec("token_file", "", "File that holds the bearer token"),
    spec("tls_cert_file", "", "Certificate and its chain, in PEM: the port then speaks TLS alone"),
    spec("tls_key_file", "", "Its private key, in PEM"),
    spec(
        "cors_origins",
        "",
        "Whose pages may use the server from a browser: https://app.example,https://b.example, or * with a token",
    ),
    spec("audit_log", "", "File for what administrators do, beside the log"),
    spec(
        "prefix_delimiter",
        ":",
        "A character: hit ratios are told by what keys begin with, up to the first one",
    ),
    spec("profile", "", "Figures for the token and report regions: high-volume, low-memory or ultra-fast"),
    spec("log", "info", "Log level (error, warn, info, debug, trace) or filter directives"),
    spec("log_format", "text", "Log lines as text or json"),
    spec("body_limit_bytes", "1048576", "Largest request body, in bytes"),
    spec("max_connections", "960", "Connections at once; more are refused"),
    spec(
        "max_connections_per_address",
        "",
        "Connections at once from one address; more are refused [as many as there may be at all]",
    ),
    spec(
        "max_requests",
        "",
        "Requests that are answered at once; more get 503 [as many as there are connections]",
    ),
    spec("limit", "off", "Where requests of each client are counted: off, local or shared (in Redis)"),
    spec("limit_window", "1m", "In what time a client may make so many requests"),
    spec("limit_anonymous", "60", "How many requests an address may make, without a token"),
    spec("limit_authenticated", "120", "How many requests a token may make"),
    spec("limit_premium", "300", "How many requests a token of the class premium may make"),
    spec("limit_admin", "1000", "How many requests a token of the class admin may make"),
    spec("trusted_hops", "0", "Proxies whose word in X-Forwarded-For is believed"),
    spec("header_timeout", "5s", "How long a request's header may take, and how long a connection may idle"),
    spec("body_timeout", "30s", "How long a request's body may take as a whole"),
    spec("drain_timeout", "10s", "How long requests may take to finish once the server is told to stop"),
    // A URL holds a password more often than not.
    secret(
        "redis_url",
        "Redis as a second tier, shared with other servers: redis:, redis+sentinel: or redis+cluster:",
    ),
    secret("redis_password", "Its password, if the URL has none (file and environment only)"),
    spec("redis_ca_file", "", "Whom to trust with rediss:, in PEM [whom the system trusts]"),
    spec("redis_db", "", "The number of its database, if the URL has none"),
    spec("redis_pool_size", "", "Connections to it [1]"),
    spec("redis_timeout", "", "How long a call to it may take [100ms]"),
    spec("redis_pool_timeout", "", "How long a call may wait for its turn on a connection"),
    secret(
        "bus_secret",
        "What servers over one Redis sign their news with, and whose news are heard (file and environment only)",
    ),
    secret("bus_secret_accepted", "Another one that is heard as well, while it is changed"),
    spec(
        "bus_unsigned_accepted",
        "false",
        "Whether news that are not signed are heard as well: true or false",
    ),
    spec(
        "fail_safe_for",
        "1h",
        "While Redis is away, a value stands in for as long again as it lived, at most this; 0 for never",
    ),
    spec("dir", "", "A folder as the last tier, which survives restarts"),
    spec("disk_max_bytes", "1073741824", "The most bytes of its files"),
    spec("enable_compression", "false", "Compress what goes to the tiers below memory: true or false"),
    spec(
        "warming_enabled",
        "true",
        "Whether warmers run by themselves, at start and by interval: true or false",
    ),
    spec("warming_interval", "300s", "How often a warmer runs that says nothing else"),
    spec("warming_deadline", "10m", "How long a run of a warmer may take that says nothing else"),
    spec("warming_max_concurrent", "5", "How many warmers run at the same time at most"),
];

/// Settings whose variable is their name alone, whatever the prefix: what every program calls its Redis.
pub(super) const UNPREFIXED: &str = "redis_";

/// What can be said of a region, in the file under `[region.NAME]`.
pub(super) const REGION_FIELDS: &[&str] = &["max_entries", "max_bytes", "ttl", "policy"];

/// What can be said of a token, in the file under `[tokens.NAME]`.
pub(super) const TOKEN_FIELDS: &[&str] = &["role", "sha256", "class"];

/// What can be said of a warmer, in the file under `[warmer.NAME]`.
pub(super) const WARMER_FIELDS: &[&str] =
    &["file", "url", "region", "interval", "deadline", "token_file", "ca_file", "budget"];

/// What can be said of a budget, in the file under `[budget.NAME]`.
pub(super) const BUDGET_FIELDS: &[&str] = &["limit", "window", "burst_limit", "burst_window"];

/// The regions' fields that variables of the form `CACHE_<REGION>_<SUFFIX>` set.
pub(super) const REGION_SUFFIXES: &[(&str, &str)] = &[("_SIZE", "max_entries"), ("_TTL", "ttl")];

/// Variables of related caches (without the prefix) that have no effect in this version: a name that ends in `_`
/// stands for all that begin so.
pub(super) const IGNORED: &[&str] =
    &["ENABLED", "ENABLE_METRICS", "MONITORING_ENABLED", "REDIS_RETRY_ON_TIMEOUT"];

/// The names at the top of a configuration file.
pub(super) fn top_level() -> Vec<&'static str> {
    SPECS
        .iter()
        .map(|spec| spec.name)
        .chain(["env_prefix", "region", "tokens", "ttl", "warmer", "budget"])
        .collect()
}

/// Whether a setting is several texts: in the file a list, elsewhere with commas between them.
pub(super) fn is_list(name: &str) -> bool {
    name == CORS_ORIGINS
}

pub(super) fn is_secret(name: &str) -> bool {
    SPECS.iter().any(|spec| spec.name == name && spec.secret)
}

/// The known name that was probably meant: at most two letters away.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    const CLOSE: usize = 2;
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase();
    let distances = known.iter().map(|known| (distance(&name, known), *known));
    distances.min().filter(|(distance, _)| *distance <= CLOSE).map(|(_, known)| known)
}

/// How many letters must be added, dropped or changed to make one text the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = above + 1;
        for (at, other) in to.iter().enumerate() {
            let changed = corner + usize::from(letter != *other);
            corner = row[at + 1];
            row[at + 1] = changed.min(corner + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_name_and_nonsense_none() {
        let known = top_level();
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("max_conections", &known), Some("max_connections"));
        assert_eq!(nearest("Token", &known), Some("token"));
        assert_eq!(nearest("quantum", &known), None);
        assert_eq!(nearest(&"x".repeat(1000), &known), None);
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
