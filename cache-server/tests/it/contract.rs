//! The document of the API as a contract: every answer that any test gets over a socket is held against it.

use std::sync::LazyLock;

use axum::body::Body;
use futures_util::FutureExt;
use hyper::Request;
use serde_json::Value;
use tower::ServiceExt;

use crate::client::Answer;
use crate::server::settings;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let router = cache_server::Server::new(settings("")).expect("legal regions").router();
    let request = Request::get("/v1/openapi.json").body(Body::empty()).expect("legal");
    let answer = async { Answer::of(router.oneshot(request).await.expect("infallible")).await };
    answer.now_or_never().expect("it waits for nothing").expect(200).json()
});

pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// All operations: path, method, and what is said of them.
pub(crate) fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// An answer with a status, a type or a body that the document does not have for this request fails the test that has asked.
#[track_caller]
pub(crate) fn check(method: &str, uri: &str, answer: &Answer) {
    let path = uri.split('?').next().unwrap_or_default();
    let method = method.to_lowercase();
    let candidates = || operations().filter(|(template, ..)| matches(template, path));
    // A template without parameters is nearer than one with.
    let found = candidates()
        .filter(|(_, known, _)| *known == method)
        .min_by_key(|(template, ..)| template.matches('{').count());
    let Some((template, _, operation)) = found else {
        let is_refused = [400, 401, 403, 404, 405, 429, 503].contains(&answer.status);
        let is_head = method == "head" && candidates().any(|(_, known, _)| known == "get");
        assert!(
            is_refused || is_head,
            "{method} {path} is not in the document and is answered with {}",
            answer.status
        );
        return;
    };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(
        response.is_object(),
        "{method} {template}: {} is not in the document: {}",
        answer.status,
        answer.text()
    );
    let response = response["$ref"].as_str().map_or(response, |reference| {
        document().pointer(reference.trim_start_matches('#')).expect("what is referred to")
    });
    let Some(content) = response["content"].as_object() else {
        assert!(
            answer.body.is_empty(),
            "{method} {template}: {} has a body: {}",
            answer.status,
            answer.text()
        );
        return;
    };
    let given = answer.header("content-type").split(';').next().unwrap_or_default();
    let is_known = content.keys().any(|known| known == "*/*" || known.split(';').next() == Some(given));
    assert!(is_known, "{method} {template}: {} is not in the document as {given:?}", answer.status);
}

fn matches(template: &str, path: &str) -> bool {
    let (mut left, mut right) = (template.split('/'), path.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}
