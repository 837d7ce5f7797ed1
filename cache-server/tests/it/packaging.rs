//! What a server is deployed with: the files agree with each other, and the server takes what they say.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use yaml_rust2::{Yaml, YamlLoader};

use crate::server::settings;

const COMPOSE: &str = include_str!("../../../packaging/compose.yaml");
const PROMETHEUS: &str = include_str!("../../../packaging/prometheus.yml");
const DATASOURCE: &str = include_str!("../../../packaging/grafana/datasource.yml");
const DASHBOARDS: &str = include_str!("../../../packaging/grafana/dashboards.yml");
const DOCKERFILE: &str = include_str!("../../../packaging/Dockerfile");
const UNIT: &str = include_str!("../../../packaging/cache-server.service");
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");

fn yaml(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).expect("YAML").remove(0)
}

#[track_caller]
fn text(yaml: &Yaml) -> &str {
    yaml.as_str().unwrap_or_else(|| panic!("a text and not {yaml:?}"))
}

#[track_caller]
fn list(yaml: &Yaml) -> Vec<&str> {
    yaml.as_vec().unwrap_or_else(|| panic!("a list and not {yaml:?}")).iter().map(text).collect()
}

/// What the lines of a file say that begin so.
fn said<'a>(file: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    file.lines().filter_map(move |line| line.strip_prefix(begin))
}

/// The program takes these flags and variables, and has nothing to say against any of them.
#[track_caller]
fn is_taken(flags: &[&str], variables: &BTreeMap<String, String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cache-server"));
    command.args(flags).arg("--check").env_clear().envs(variables).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("WARN"), "{said}");
}

#[test]
fn the_compose_file_names_files_that_are_there_and_settings_that_the_server_knows() {
    let compose = yaml(COMPOSE);
    let services = compose["services"].as_hash().expect("services");
    let names: Vec<&str> = services.keys().map(text).collect();
    assert_eq!(names, ["strata", "redis", "prometheus", "grafana"]);
    let mut mounted = BTreeMap::new();
    for service in services.values() {
        for volume in service["volumes"].as_vec().map_or(&[][..], |all| all) {
            let parts: Vec<&str> = text(volume).split(':').collect();
            let (from, to) = (parts[0], parts[1]);
            if from.starts_with('.') {
                assert!(Path::new(PACKAGING).join(from).is_file(), "{from} is not there");
                mounted.insert(to, from);
            } else {
                assert!(!compose["volumes"][from].is_badvalue(), "the volume {from} is not declared");
            }
        }
        for port in service["ports"].as_vec().map_or(&[][..], |all| all) {
            assert!(text(port).starts_with("127.0.0.1:"), "{port:?} is open to others");
        }
    }
    let strata = &compose["services"]["strata"];
    assert!(
        Path::new(PACKAGING)
            .join(text(&strata["build"]["context"]))
            .join(text(&strata["build"]["dockerfile"]))
            .is_file()
    );

    let token = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(token.path(), "secret").expect("a writable file");
    let environment = strata["environment"].as_hash().expect("an environment");
    let mut variables: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| (text(name).to_owned(), text(value).to_owned())).collect();
    let inside = variables.insert("CACHE_TOKEN_FILE".to_owned(), token.path().display().to_string());
    let secret = list(&strata["secrets"])[0];
    assert_eq!(inside, Some(format!("/run/secrets/{secret}")));
    assert!(!compose["secrets"][secret].is_badvalue(), "the secret is not declared");
    variables.extend(of_the_image());
    is_taken(&[], &variables);

    let prometheus = yaml(PROMETHEUS);
    let rules = format!("/etc/prometheus/{}", list(&prometheus["rule_files"])[0]);
    assert_eq!(mounted.get(rules.as_str()), Some(&"../assets/alerts.yml"));
    let job = &prometheus["scrape_configs"][0];
    assert_eq!(text(&job["authorization"]["credentials_file"]), format!("/run/secrets/{secret}"));
    let port = settings("").listen.port();
    assert_eq!(list(&job["static_configs"][0]["targets"]), [format!("strata:{port}")]);
    assert_eq!(list(&strata["ports"]), [format!("127.0.0.1:{port}:{port}")]);
    assert_eq!(text(&yaml(DATASOURCE)["datasources"][0]["url"]), "http://prometheus:9090");
    let folder = yaml(DASHBOARDS)["providers"][0]["options"]["path"].as_str().expect("a folder").to_owned();
    assert_eq!(mounted.get(format!("{folder}/strata.json").as_str()), Some(&"../assets/grafana.json"));
}

/// The variables that the image has set.
fn of_the_image() -> BTreeMap<String, String> {
    let block = DOCKERFILE.split_once("\nENV ").expect("an environment").1;
    let lines: Vec<&str> = block
        .lines()
        .scan(true, |goes_on, line| std::mem::replace(goes_on, line.ends_with('\\')).then_some(line))
        .collect();
    let pairs = lines.iter().filter_map(|line| line.trim().trim_end_matches([' ', '\\']).split_once('='));
    let variables: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(variables.len() >= 3, "{variables:?}");
    variables
}

#[test]
fn the_image_starts_with_what_it_says_and_is_built_from_what_there_is() {
    let mut variables = of_the_image();
    let listen: std::net::SocketAddr = variables["CACHE_LISTEN"].parse().expect("an address");
    assert_eq!(said(DOCKERFILE, "EXPOSE ").next(), Some(listen.port().to_string().as_str()));
    let folder = said(DOCKERFILE, "VOLUME ").next().expect("a volume");
    assert!(
        variables["CACHE_DIR"] == folder
            && DOCKERFILE.contains(&format!("install -d -o strata -g strata -m 700 {folder}\n"))
    );
    // What its head says: not without a token.
    let refused =
        Command::new(env!("CARGO_BIN_EXE_cache-server")).arg("--check").env_clear().envs(&variables).output();
    assert_eq!(refused.expect("the program starts").status.code(), Some(2));
    variables.insert("CACHE_TOKEN".to_owned(), "secret".to_owned());
    is_taken(&[], &variables);

    let rust = said(WORKSPACE, "rust-version = \"").next().expect("a version").trim_end_matches('"');
    assert_eq!(said(DOCKERFILE, "ARG RUST_VERSION=").next(), Some(rust));
    let build = said(DOCKERFILE, "RUN cargo build ").next().expect("a build");
    let mut packages = build.split(" -p ").skip(1);
    assert!(packages.all(|package| WORKSPACE.contains(&format!("    \"{package}\",\n"))), "{build}");
    let healthcheck = "CMD [\"strata\", \"health\", \"--ready\"";
    assert!(
        DOCKERFILE.contains(healthcheck)
            && DOCKERFILE.contains("\nUSER 10001\n")
            && DOCKERFILE.contains("--uid 10001 ")
    );
}

#[test]
fn the_unit_starts_the_server_with_settings_that_hold_and_fit() {
    let own = format!("{PACKAGING}/strata.toml");
    let mut starts = said(UNIT, "ExecStart=").chain(said(UNIT, "ExecStartPre="));
    let is_taken_as_said = |line: &str| {
        let flags: Vec<&str> = line.split(' ').skip(1).filter(|flag| *flag != "--check").collect();
        let flags: Vec<&str> =
            flags.iter().map(|flag| if *flag == "/etc/strata/strata.toml" { &own } else { *flag }).collect();
        assert!(flags.contains(&own.as_str()), "{line}");
        is_taken(&flags, &BTreeMap::new());
    };
    is_taken_as_said(starts.next().expect("a start"));
    is_taken_as_said(starts.next().expect("a check before it"));
    let file = std::fs::read_to_string(&own).expect("it is there");
    let settings = settings(&file);
    let number = |name| said(UNIT, name).next().expect("it is said").parse::<usize>().expect("a number");
    assert!(number("LimitNOFILE=") >= settings.max_connections + 32);
    assert!(number("TimeoutStopSec=") as u64 > settings.drain_timeout.as_secs());
    assert_eq!(said(UNIT, "ExecReload=").next(), Some("/bin/kill -HUP $MAINPID"));
    for hardened in
        ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="]
    {
        assert!(UNIT.lines().any(|line| line == hardened), "{hardened}");
    }
}
