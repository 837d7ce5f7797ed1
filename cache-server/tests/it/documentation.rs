//! The documentation names every route and every setting, and the document of the API is what is served.

use std::collections::BTreeSet;

use axum::body::Body;
use hyper::Request;
use tower::ServiceExt;

use crate::client::Answer;
use crate::contract;
use crate::server::settings;

const DOCS: &str = include_str!("../../../docs/server.md");
const ROUTES: [&str; 3] = [
    include_str!("../../src/api/mod.rs"),
    include_str!("../../src/api/aliases.rs"),
    include_str!("../../src/api/page.rs"),
];
/// The one place where routes are given to axum.
const TABLE: &str = include_str!("../../src/api/route.rs");
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

#[test]
fn no_route_goes_past_the_table() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = [source.join("api"), source];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let mut seen = 0;
    for file in files.map(|file| file.expect("a file").path()).filter(|path| path.is_file()) {
        // What an application mounts is no route of the server.
        if file.file_name() == Some("monitor.rs".as_ref()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("text");
        let own = text.split("#[cfg(test)]").next().unwrap_or_default();
        seen += usize::from(own.contains("Router"));
        if own != TABLE {
            // The one thing that is served and not documented is a refusal.
            let known = own.matches("axum::routing::any;").count();
            assert_eq!(own.matches("axum::routing").count(), known, "{}", file.display());
            assert!(!own.contains("Router::new()"), "{}", file.display());
        }
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn the_document_has_every_route_and_its_operations_have_names_of_their_own() {
    let paths = contract::document()["paths"].as_object().expect("paths");
    let routes: BTreeSet<&str> = ROUTES.iter().flat_map(|source| quoted(source, ".route(")).collect();
    for route in &routes {
        let is_there = paths.keys().any(|path| path == route || path.ends_with(route));
        assert!(is_there, "{route} is not in the document");
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in contract::operations() {
        assert!(ids.insert(operation["operationId"].as_str().expect("a name")), "{method} {path}");
        let summary = operation["summary"].as_str().expect("a summary");
        assert!(summary.len() > 5 && !summary.ends_with('.'), "{method} {path}: {summary}");
        let answers = operation["responses"].as_object().expect("answers");
        assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path} never answers well");
        for parameter in path.split('{').skip(1).filter_map(|part| part.split('}').next()) {
            let parameters = operation["parameters"].as_array().expect("a list");
            let is_named = parameters.iter().any(|named| named["name"] == parameter && named["in"] == "path");
            assert!(is_named, "{method} {path} does not describe {parameter}");
        }
    }
    assert!(ids.len() > 60, "{}", ids.len());
    let text = contract::document().to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(contract::document().pointer(reference).is_some(), "{reference} is not there");
    }
}

#[tokio::test]
async fn every_operation_of_the_document_is_served_and_no_other_method() {
    const METHODS: [&str; 7] = ["get", "head", "put", "patch", "post", "delete", "options"];
    let router = cache_server::Server::new(settings("")).expect("legal regions").router();
    let documented: BTreeSet<(&str, &str)> =
        contract::operations().map(|(path, method, _)| (path, method)).collect();
    let paths: BTreeSet<&str> = documented.iter().map(|(path, _)| *path).collect();
    for path in paths {
        for method in METHODS {
            let uri = path
                .replace("{region}", "default")
                .replace("{key}", "k")
                .replace("{tag}", "t")
                .replace("{id}", "1");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(uri);
            let request = request.body(Body::empty()).expect("legal");
            let response = router.clone().oneshot(request).await.expect("infallible");
            // A GET is answered to a HEAD as well.
            let is_known = documented.contains(&(path, method))
                || method == "head" && documented.contains(&(path, "get"));
            assert_eq!(response.status() == 405, !is_known, "{method} {path}: {}", response.status());
            if response.status() == 404 && method != "head" {
                let detail = Answer::of(response).await.problem(404)["detail"].to_string();
                assert!(!detail.contains("no such route"), "{method} {path}");
            }
        }
    }
}
