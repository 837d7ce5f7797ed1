//! The documentation names every route and every setting.

const DOCS: &str = include_str!("../../../docs/server.md");
const ROUTES: [&str; 3] = [
    include_str!("../../src/api/mod.rs"),
    include_str!("../../src/api/aliases.rs"),
    include_str!("../../src/api/page.rs"),
];
const NAMES: &str = include_str!("../../src/config/names.rs");

/// The first text in quotes behind each `marker`.
fn quoted(source: &'static str, marker: &'static str) -> impl Iterator<Item = &'static str> {
    source.split(marker).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}

#[test]
fn every_route_is_documented() {
    let routes: Vec<&str> = ROUTES.iter().flat_map(|source| quoted(source, ".route(")).collect();
    assert!(routes.len() > 15, "{routes:?}");
    for route in routes {
        assert!(DOCS.contains(route), "{route} is not in docs/server.md");
    }
}

#[test]
fn every_setting_is_documented() {
    let settings: Vec<&str> = quoted(NAMES, "spec(").chain(quoted(NAMES, "secret(")).collect();
    assert!(settings.len() > 10, "{settings:?}");
    for setting in settings {
        for name in [format!("`{setting}`"), format!("CACHE_{}", setting.to_uppercase())] {
            assert!(DOCS.contains(&name), "{name} is not in docs/server.md");
        }
    }
}
