//! Settings: where each may be said, who wins, and what a wrong one is told.

use std::collections::BTreeMap;
use std::time::Duration;

use cache_server::config::{self, Flags, Loaded};
use cache_server::{Settings, SettingsError};
use strata::Ttl;

fn load(flags: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    let line = std::iter::once("cache-server").chain(flags.iter().copied());
    let flags = Flags::parse(line).expect("known flags");
    let variables: BTreeMap<_, _> =
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    config::load(&flags, &variables)
}

#[track_caller]
fn loaded(flags: &[&str], variables: &[(&str, &str)]) -> Settings {
    load(flags, variables).unwrap_or_else(|error| panic!("{error}")).settings
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("a writable file");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("a text")
}

#[test]
fn flags_win_over_variables_over_the_file_over_the_profile_over_the_defaults() {
    let file = file("profile = \"high-volume\"\nmax_connections = 3\n[region.token]\nttl = 30");
    let config = ["--config", path(&file)];
    let of_file = loaded(&config, &[]);
    assert_eq!(of_file.max_connections, 3);
    assert_eq!(of_file.regions["token"].max_entries.get(), 50_000);
    assert_eq!(of_file.regions["token"].ttl, Ttl::from_secs(30));
    assert_eq!(of_file.regions["report"].ttl, Ttl::from_secs(1800));
    assert_eq!(of_file.drain_timeout, Duration::from_secs(10));

    let variables =
        [("CACHE_MAX_CONNECTIONS", "4"), ("CACHE_TOKEN_TTL", "40"), ("CACHE_CONFIG", path(&file))];
    let of_variables = loaded(&[], &variables);
    assert_eq!(of_variables.max_connections, 4);
    assert_eq!(of_variables.regions["token"].ttl, Ttl::from_secs(40));

    let of_flags = loaded(&["--max-connections", "5"], &variables);
    assert_eq!(of_flags.max_connections, 5);
}

#[test]
fn profiles_have_their_figures() {
    let cases = [
        ("high-volume", [50_000, 300, 5000, 1800]),
        ("low-memory", [1000, 3600, 100, 3600]),
        ("ultra-fast", [100_000, 7200, 1000, 7200]),
    ];
    for (profile, [token_size, token_ttl, report_size, report_ttl]) in cases {
        let regions = loaded(&["--profile", profile], &[]).regions;
        let (token, report) = (&regions["token"], &regions["report"]);
        assert_eq!(
            (token.max_entries.get(), token.ttl),
            (token_size, Ttl::from_secs(token_ttl)),
            "{profile}"
        );
        assert_eq!(
            (report.max_entries.get(), report.ttl),
            (report_size, Ttl::from_secs(report_ttl)),
            "{profile}"
        );
    }
}

#[test]
fn regions_and_presets_come_from_the_file_and_the_environment() {
    let file = file(
        "[region.quotes]\nmax_bytes = 1_000\npolicy = \"sieve\"\nttl = \"tick\"\n[region.empty]\n[ttl]\ntick = \"1s\"\nhot = 1",
    );
    let variables = [("CACHE_USERS_SIZE", "7"), ("CACHE_TTL_HOT", "2"), ("CACHE_OHLCV_TTL", "3")];
    let settings = loaded(&["--config", path(&file)], &variables);
    let names: Vec<&str> = settings.regions.keys().map(String::as_str).collect();
    assert_eq!(names, ["default", "empty", "quotes", "report", "token", "users"]);
    assert_eq!(settings.regions["quotes"].max_bytes.get(), 1000);
    assert_eq!(settings.regions["quotes"].ttl, Ttl::from_secs(1), "by the preset's name");
    assert_eq!(settings.regions["users"].max_entries.get(), 7);
    let presets = [("tick", 1), ("hot", 2), ("ohlcv", 3), ("cold", 3600)];
    for (preset, seconds) in presets {
        assert_eq!(settings.presets.get(preset), Some(Ttl::from_secs(seconds)), "{preset}");
    }
}

#[test]
fn a_table_without_fields_changes_nothing_of_its_region() {
    let file = file("profile = \"high-volume\"\n[region.token]\n[region.a]\n[region.\"a.b\"]\nttl = 5");
    let regions = loaded(&["--config", path(&file)], &[]).regions;
    assert_eq!(regions["token"].ttl, Ttl::from_secs(300));
    assert_eq!(regions["token"].max_entries.get(), 50_000);
    assert_eq!(regions["a"].ttl, Ttl::FOREVER);
    assert_eq!(regions["a.b"].ttl, Ttl::from_secs(5));
}

#[test]
fn files_that_are_too_large_are_not_read_to_their_end() {
    let large = file(&"#".repeat((1 << 20) + 1));
    let token = file(&format!("token_file = {:?}", path(&large)));
    for config in [&large, &token] {
        let error = load(&["--config", path(config)], &[]).expect_err("too large").to_string();
        assert!(error.contains("is too large: expected at most"), "{error}");
    }
}

#[test]
fn names_of_variables_are_shown_on_one_line() {
    let loaded = load(&[], &[("CACHE_\u{1b}[31m", "x"), ("REDIS_\n", "y")]).expect("no setting is wrong");
    let warnings = loaded.warnings.concat();
    assert!(warnings.contains(r"CACHE_\u{1b}[31m") && warnings.contains(r"REDIS_\n"), "{warnings}");
    assert!(!warnings.contains(char::is_control), "{warnings}");
}

#[test]
fn a_prefix_of_ones_own_is_kept() {
    let variables = [("SHIVX_TTL_SHORT", "9"), ("SHIVX_TOKEN_SIZE", "5"), ("CACHE_MAX_CONNECTIONS", "x")];
    let file = file("env_prefix = \"SHIVX_\"");
    for flags in [["--env-prefix", "SHIVX_"], ["--config", path(&file)]] {
        let settings = loaded(&flags, &variables);
        assert_eq!(settings.presets.get("short"), Some(Ttl::from_secs(9)));
        assert_eq!(settings.regions["token"].max_entries.get(), 5);
    }
}

#[test]
fn the_token_of_the_higher_layer_wins() {
    let secret = file("of-a-file\n");
    let both = file(&format!("token_file = {:?}", path(&secret)));
    let exposed = ["--listen", "0.0.0.0:0", "--config", path(&both)];
    assert!(loaded(&exposed, &[]).token.is_some());
    assert!(loaded(&exposed, &[("CACHE_TOKEN", "x")]).token.is_some());
    let twice = file(&format!("token = \"secret\"\ntoken_file = {:?}", path(&secret)));
    let error = load(&["--config", path(&twice)], &[]).expect_err("two tokens").to_string();
    assert!(error.contains("keep one of them") && !error.contains("secret"), "{error}");
}

/// The text of a file, and parts of what is said of it.
const WRONG: &[(&str, &[&str])] = &[
    ("listen = \"nowhere\"", &[":1: listen = \"nowhere\": expected an IP address and a port"]),
    ("\n\nlisten = 7400", &[":3: listen = \"7400\""]),
    ("lisen = \"127.0.0.1:1\"", &[":1: `lisen` is not a setting; did you mean `listen`?"]),
    ("quantum = 1", &["`quantum` is not a setting; there are listen, admin_listen, token"]),
    ("[region.a]\nmax_entrys = 5", &[":2: `max_entrys`", "did you mean `max_entries`?"]),
    ("[region.a]\nmax_entries = 0", &[":2: region.a.max_entries = \"0\"", "at least 1"]),
    ("[region.a]\nmax_bytes = 0x10", &[":2: region.a.max_bytes", "a decimal whole number"]),
    ("[region.a]\nttl = 1.5", &[":2: region.a.ttl = \"1.5\"", "not the type float"]),
    ("[region.\"a\\nb\"]\nttl = 1.5", &["region.a\\nb.ttl = \"1.5\""]),
    ("token = [\"top secret\"]", &["token = (hidden)", "not the type array"]),
    ("[region.a]\nttl = \"-5\"", &["region.a.ttl = \"-5\"", "300", "forever"]),
    ("[region.a]\npolicy = \"mru\"", &["region.a.policy", "lru or lfu"]),
    ("[region.\"a b\"]\nttl = 5", &["namespace \"a b\"", "letters, digits"]),
    ("region = 5", &["region = \"5\": expected tables", "[region.users]", "not the type integer"]),
    ("[region]\na = 5", &["region.a = \"5\"", "max_entries", "not the type integer"]),
    ("[ttl]\ntick = \"soon\"", &[":2: ttl.tick = \"soon\""]),
    ("[ttl]\n\"5m\" = 5", &["is not a preset's name"]),
    ("profile = \"high-volum\"", &["high-volume, low-memory, ultra-fast", "did you mean high-volume?"]),
    ("token = \"\"", &["token = (hidden): expected at least one visible"]),
    ("token = \"top secret\"", &["token = (hidden)", "no spaces"]),
    ("token_file = \"/no/such/file\"", &["token_file = \"/no/such/file\": cannot be read"]),
    ("body_limit_bytes = 0", &["a whole number of bytes, at least 1"]),
    ("max_connections = \"many\"", &["a whole number of connections"]),
    ("header_timeout = 0", &["more than zero"]),
    ("drain_timeout = \"forever\"", &["at most a day"]),
    ("log = \"loud=loudest\"", &["log = ", "error, warn, info"]),
    ("log = \"verbose\"", &["log = \"verbose\": expected off, error, warn, info"]),
    ("log = \"info,cache_server\"", &["such as info,cache_server=debug"]),
    ("token_file = \"/dev/zero\"", &["token_file = \"/dev/zero\": is not a regular file"]),
    ("log_format = \"xml\"", &["text or json"]),
    ("redis_url = \"http://x\"", &["redis_url = (hidden)", "redis"]),
    ("redis_url = \"redis://:top secret@\"", &["redis_url = (hidden)"]),
    ("redis_pool_size = 0", &["redis_pool_size = \"0\"", "at least 1, at most 256"]),
    ("redis_db = -1", &["redis_db", "a whole number of database"]),
    ("redis_timeout = \"soon\"", &["redis_timeout = \"soon\"", "500ms"]),
    ("redis_url = \"redis://x\"\nredis_timeout = \"2m\"", &["redis_url = (hidden)", "command_timeout"]),
    ("limit = \"on\"", &["limit = \"on\": expected off, local or shared"]),
    ("limit = \"shared\"", &[":1: limit = \"shared\"", "set redis_url"]),
    ("limit_premium = -1", &["limit_premium = \"-1\": expected a whole number of requests"]),
    ("limit_window = \"10ms\"", &["limit_window = \"10ms\": expected at least a second"]),
    ("trusted_hops = 33", &["trusted_hops = \"33\"", "at most 32"]),
    ("max_connections_per_address = 0", &["max_connections_per_address = \"0\"", "at least 1"]),
    ("max_requests = \"few\"", &["a whole number of requests, at least 1"]),
    ("cors_origins = \"https://a.example/\"", &["cors_origins = ", "\"https://a.example\" by browsers"]),
    (
        "cors_origins = [\"https://a.example\", 5]",
        &["cors_origins = \"5\": expected a text", "not the type integer"],
    ),
    ("listen = [\"127.0.0.1:1\"]", &["listen = ", "not the type array"]),
    ("\ncors_origins = \"*\"", &[":2: cors_origins = \"*\" lets every page", "set a token"]),
    ("audit_log = \"\"", &["audit_log = \"\": expected the path of a file"]),
    ("tls_cert_file = \"/no/such\"", &["tls_cert_file is given and tls_key_file is not"]),
    (
        "tls_cert_file = \"/dev/zero\"\ntls_key_file = \"x\"",
        &[":1: tls_cert_file = \"/dev/zero\": is not a regular file"],
    ),
    (
        "redis_url = \"redis://x\"\nredis_ca_file = \"x\"",
        &[":2: redis_ca_file = \"x\"", "has to begin with rediss:"],
    ),
    (
        "redis_url = \"rediss://x\"\nredis_ca_file = \"/no/such\"",
        &["redis_ca_file = \"/no/such\": cannot be read"],
    ),
    ("bus_secret = \"password\"", &[":1: bus_secret = (hidden)", "8 bytes", "32 to 1024 bytes"]),
    ("bus_secret_accepted = \"x\"", &["bus_secret_accepted is given and bus_secret is not"]),
    ("bus_unsigned_accepted = true", &["bus_unsigned_accepted is given and bus_secret is not"]),
    ("bus_unsigned_accepted = \"maybe\"", &["true or false"]),
    ("fail_safe_for = \"forever\"", &["fail_safe_for = \"forever\": expected 0, or more than zero"]),
    ("dir = \"\"", &["dir = \"\"", "the path of a folder"]),
    ("dir = \"Cargo.toml\"", &["dir = \"Cargo.toml\"", "the path of a folder, and this is a file"]),
    ("disk_max_bytes = 0", &["disk_max_bytes = \"0\"", "bytes, at least 1"]),
    ("enable_compression = \"maybe\"", &["true or false"]),
    ("[tokens.ci]\nrole = \"root\"\nsha256 = \"00\"", &["tokens.ci.role = \"root\"", "read, write or admin"]),
    ("[tokens.ci]\nrole = \"read\"", &["tokens.ci.sha256 is missing", "sha256sum"]),
    ("[tokens.ci]\nrole = \"read\"\nsha256 = \"+1\"", &["tokens.ci.sha256", "64 hexadecimal digits"]),
    (
        "[tokens.ci]\nrole = \"read\"\nclass = \"gold\"",
        &["tokens.ci.class = \"gold\": expected anonymous, authenticated, premium, admin"],
    ),
    ("[tokens.ci]\nsha265 = \"00\"", &["did you mean `sha256`?"]),
    ("[tokens.\"a b\"]", &["\"a b\" is not a name"]),
    ("tokens = 5", &["[tokens.ci]"]),
    ("env_prefix = \"a-b\"", &["env_prefix = \"a-b\"", "underscores"]),
    ("listen = \"0.0.0.0:1\"", &[":1: ", "without a token", "set a token", "listen on 127.0.0.1"]),
    ("listen = \"[::]:1\"", &["without a token"]),
    ("admin_listen = \"0.0.0.0:1\"", &[":1: admin_listen = \"0.0.0.0:1\" is reachable", "without a token"]),
    ("admin_listen = \"on\"", &["admin_listen = \"on\": expected off, or an IP address and a port"]),
    ("admin_listen = \"127.0.0.1:7400\"", &["another address or port than listen"]),
    ("prefix_delimiter = \"::\"", &["prefix_delimiter = \"::\": expected a single character"]),
    ("prefix_delimiter = \"\"", &["a single character"]),
    ("prefix_delimiter = \"\\u0007\"", &["no control character"]),
    ("listen = ", &[":1: not TOML"]),
    ("max_connections = 1\nmax_connections = 2", &[":2: not TOML: duplicate key"]),
];

#[test]
fn a_wrong_setting_says_where_it_is_and_what_would_be_right() {
    for (text, parts) in WRONG {
        let file = file(text);
        let error = load(&["--config", path(&file)], &[]).expect_err(text).to_string();
        assert!(error.starts_with(path(&file)), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        assert!(!error.contains("top secret") && !error.contains('\n'), "{error}");
    }
}

/// Flags, variables, and how the error begins.
type Said = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

#[test]
fn variables_and_flags_are_named_as_they_were_written() {
    let cases: &[Said] = &[
        (&["--listen", "x"], &[], "--listen: listen = \"x\""),
        (&["--config", "/no\nsuch"], &[], "--config: /no\\nsuch: cannot be read"),
        (&["--config", "/dev/zero"], &[], "--config: /dev/zero: is not a regular file"),
        (&["--config", "/no/such"], &[], "--config: /no/such: cannot be read"),
        (&[], &[("CACHE_CONFIG", "/no/such")], "CACHE_CONFIG: /no/such: cannot be read"),
        (&[], &[("CACHE_TOKEN_SIZE", "many")], "CACHE_TOKEN_SIZE: region.token.max_entries = \"many\""),
        (&[], &[("CACHE_TTL_HOT", "x")], "CACHE_TTL_HOT: ttl.hot = \"x\""),
        (&[], &[("CACHE_TOKEN", "a b")], "CACHE_TOKEN: token = (hidden)"),
        (&[], &[("CACHE_LISTEN", "0.0.0.0:1")], "CACHE_LISTEN: listen = \"0.0.0.0:1\" is reachable"),
        (&["--env-prefix", ""], &[], "--env-prefix: env_prefix = \"\""),
        (&["--env-prefix", "X_"], &[("X_BODY_TIMEOUT", "0")], "X_BODY_TIMEOUT: body_timeout = \"0\""),
    ];
    for (flags, variables, start) in cases {
        let error = load(flags, variables).expect_err(start).to_string();
        assert!(error.starts_with(start), "{error}");
    }
}
