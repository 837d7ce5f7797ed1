//! The OpenAPI 3.1 document, made of the route table and the types of its handlers.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::answer::MSGPACK_NAMES;
use super::route::{Operation, Routes};
use crate::auth;

/// One operation, as it is being described.
pub(super) struct Description<'a> {
    /// The route's template.
    path: &'a str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    failures: Vec<u16>,
}

/// The whole document.
pub(super) fn document(routes: &Routes) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (path, operation) in &routes.operations {
        let described = describe(path, operation);
        paths.entry(path).or_default().insert(operation.method.to_owned(), described);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strata cache server",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Named regions of a cache over HTTP. Errors are problems (RFC 9457). Structured answers come as JSON, or as \
                            MessagePack to who asks for it; structured bodies may be either.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": GROUPS.map(|(_, name, description)| json!({"name": name, "description": description})),
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer", "description": "Needed where the server was given a token.",
            }},
            "schemas": {"Problem": problem()},
            "responses": FAILURES.iter().map(failure).collect::<Map<_, _>>(),
        },
    })
}

/// Groups of operations, by what their path begins with: the first that fits.
const GROUPS: [(&str, &str, &str); 7] = [
    ("/v1/regions/{region}/", "region", "The keys of one region."),
    ("/v1/regions", "regions", "Regions: which there are, making and removing them."),
    ("/v1/", "default region", "The keys of the region `default`, and the server as a whole."),
    ("/api/v1/enhanced-cache/", "enhanced-cache", "Names of an earlier system."),
    ("/api/", "api/cache", "Names of earlier systems."),
    ("/cache/", "cache", "Names of an earlier system."),
    ("/", "server", "Probes, figures and pages."),
];

fn describe(path: &str, operation: &Operation) -> Value {
    let mut described = Description {
        path,
        parameters: path_parameters(path),
        body: None,
        answers: BTreeMap::new(),
        failures: vec![500, 503],
    };
    let method: Method = operation.method.to_uppercase().parse().unwrap_or_default();
    let is_open = auth::is_open_path(path);
    if !is_open {
        described.fails(&[401, 403]);
    } else if !method.is_safe() {
        described.fails(&[403]);
    }
    if !auth::is_probe_path(path) {
        described.fails(&[429]);
    }
    operation.describe.iter().for_each(|describe| describe(&mut described));
    let Description { parameters, body, mut answers, failures, .. } = described;
    for status in failures {
        answers
            .entry(status)
            .or_insert_with(|| json!({"$ref": format!("#/components/responses/Problem{status}")}));
    }
    let group = GROUPS.iter().find(|(base, ..)| path.starts_with(base)).map_or("server", |(_, name, _)| name);
    let mut value = json!({
        "operationId": id(operation.method, path),
        "summary": operation.summary,
        "tags": [group],
        "parameters": parameters,
        "responses": answers,
    });
    if is_open {
        value["security"] = json!([]);
    } else {
        value["description"] = format!("For the role {}.", operation.role(path)).into();
    }
    if let Some(body) = body {
        value["requestBody"] = body;
    }
    value
}

/// A name of its own for each operation: `get /v1/entries/{key}` is `get_v1_entries_key`.
fn id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

fn path_parameters(path: &str) -> Vec<Value> {
    let named = |name: &&(&str, &str, &str, u32)| path.contains(&format!("{{{}}}", name.0));
    let parameter = |(name, description, pattern, longest): &(&str, &str, &str, u32)| {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern});
        json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
    };
    PATH_PARAMETERS.iter().filter(named).map(parameter).collect()
}

/// Text without control characters.
pub(super) const TEXT: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// What stands in braces in the templates: name, meaning, form, most characters.
const PATH_PARAMETERS: [(&str, &str, &str, u32); 4] = [
    ("id", "The number of a job.", "^[1-9][0-9]*$", 18),
    ("region", "The name of a region.", r"^[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$", 64),
    ("key", "A key: at most 1,024 bytes of UTF-8 without control characters, percent-encoded.", TEXT, 1024),
    ("tag", "A tag: at most 256 bytes of UTF-8 without control characters, percent-encoded.", TEXT, 256),
];

impl Description<'_> {
    /// Whether the route's template names this parameter.
    pub(super) fn has_in_path(&self, name: &str) -> bool {
        self.path.contains(&format!("{{{name}}}"))
    }

    /// Takes the fields of this type as parameters of the query.
    pub(super) fn takes_query<T: JsonSchema>(&mut self) {
        let schema = schema_of::<T>(false);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, mut schema) in schema["properties"].as_object().cloned().unwrap_or_default() {
            let is_required = required.iter().any(|required| *required == *name);
            // What is left out of a query is not null.
            if let Some(kinds) = schema["type"].as_array().cloned() {
                schema["type"] = kinds.into_iter().find(|kind| kind != "null").unwrap_or_default();
            }
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut parameter =
                json!({"name": name, "in": "query", "required": is_required, "schema": schema});
            if let Some(description) = description {
                parameter["description"] = description;
            }
            self.parameters.push(parameter);
        }
    }

    pub(super) fn takes_header(&mut self, name: &str, description: &str) {
        let schema = json!({"type": "string"});
        let parameter = json!({"name": name, "in": "header", "description": description, "schema": schema});
        self.parameters.push(parameter);
    }

    /// Takes a structured body.
    pub(super) fn takes_body<T: JsonSchema>(&mut self) {
        let schema = schema_of::<T>(false);
        let content = json!({"application/json": {"schema": schema}, MSGPACK_NAMES[0]: {"schema": schema}});
        self.body = Some(json!({"required": true, "content": content}));
    }

    /// The body may be left out.
    pub(super) fn may_be_without_body(&mut self) {
        if let Some(body) = &mut self.body {
            body["required"] = false.into();
        }
    }

    /// Takes a body of this type as it is.
    pub(super) fn takes_bytes(&mut self, content_type: &str, description: &str) {
        self.body = Some(
            json!({"description": description, "required": true, "content": {content_type: {"schema": {}}}}),
        );
    }

    /// Takes entries, a line each.
    pub(super) fn takes_lines(&mut self, description: &str) {
        // A few of the lines that are taken, for who makes requests of the document.
        let lines = r#"^(\{"key":"[a-z]{1,8}","value":[1-9][0-9]{0,6}\}\n){0,5}$"#;
        let schema = json!({"type": "string", "pattern": lines});
        let content = json!({"application/x-ndjson": {"schema": schema}, "text/plain": {"schema": schema}});
        self.body = Some(json!({"description": description, "content": content}));
    }

    /// Answers with this structure.
    pub(super) fn answers<T: JsonSchema>(&mut self, status: u16, description: &str) {
        let schema = schema_of::<T>(true);
        let content = json!({"application/json": {"schema": schema}, MSGPACK_NAMES[0]: {"schema": schema}});
        self.answers.insert(status, json!({"description": description, "content": content}));
        self.fails(&[406]);
    }

    /// Answers with this structure, in JSON alone.
    pub(super) fn answers_json<T: JsonSchema>(&mut self, status: u16, description: &str) {
        let content = json!({"application/json": {"schema": schema_of::<T>(true)}});
        self.answers.insert(status, json!({"description": description, "content": content}));
    }

    /// Answers with bytes of this type; `*/*` if the client has said which.
    pub(super) fn answers_bytes(&mut self, status: u16, description: &str, content_type: &str) {
        let content = json!({content_type: {"schema": {}}});
        self.answers.insert(status, json!({"description": description, "content": content}));
    }

    /// Answers without a body.
    pub(super) fn answers_nothing(&mut self, status: u16, description: &str) {
        self.answers.insert(status, json!({"description": description}));
    }

    /// Answers of this status carry this header.
    pub(super) fn with_header(&mut self, status: u16, name: &str, description: &str) {
        let header = json!({"description": description, "schema": {"type": "string"}});
        if let Some(answer) = self.answers.get_mut(&status) {
            answer["headers"][name] = header;
        }
    }

    /// May end in problems with these statuses.
    pub(super) fn fails(&mut self, statuses: &[u16]) {
        self.failures.extend(statuses);
    }
}

/// The schema of a type, as it is written by the server or as it is read by it.
fn schema_of<T: JsonSchema>(written: bool) -> Value {
    let mut settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    if written {
        settings = settings.for_serialize();
    }
    let settings = settings.with_transform(RecursiveTransform(bound_integers));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}

/// JSON's integers have no end, and ours have.
fn bound_integers(schema: &mut Schema) {
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint64") => u64::MAX,
        Some("uint32") => u32::MAX.into(),
        Some("uint16") => u16::MAX.into(),
        _ => return,
    };
    schema.remove("format");
    if schema.get("maximum").is_none() {
        schema.insert("maximum".to_owned(), most.into());
    }
}

/// The statuses of problems, and when each is answered with.
const FAILURES: [(u16, &str); 14] = [
    (400, "Something in the path, the query or the body is wrong."),
    (401, "No token, or not the right one."),
    (403, "The token has not the role for this, or a page of another site asks."),
    (404, "No such entry or region."),
    (406, "None of the forms that the Accept header allows."),
    (408, "The body did not arrive in time."),
    (409, "It exists already, or there are too many."),
    (412, "What is stored is not what the condition names."),
    (413, "The body, the entry, the number of keys or the answer is too large."),
    (415, "A body of another type, or an encoded one."),
    (426, "It takes another protocol."),
    (429, "The client has asked too often."),
    (500, "A fault of the server."),
    (503, "The server is stopping, or has too much to do."),
];

fn failure((status, when): &(u16, &str)) -> (String, Value) {
    let mut headers = Map::new();
    let mut carries = |name: &str, description: &str, schema: Value| {
        headers
            .insert(name.to_owned(), json!({"description": description, "required": true, "schema": schema}));
    };
    if *status == StatusCode::UNAUTHORIZED {
        carries("WWW-Authenticate", "How to be known.", json!({"type": "string", "const": "Bearer"}));
    }
    let content = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    (format!("Problem{status}"), json!({"description": when, "headers": headers, "content": content}))
}

fn problem() -> Value {
    json!({
        "description": "A problem (RFC 9457).",
        "type": "object",
        "properties": {
            "type": {"type": "string", "const": "about:blank"},
            "title": {"type": "string", "description": "The words of the status."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What is wrong and what would be right."},
            "field": {"type": "string", "description": "Where, such as entries[3].ttl."},
        },
        "required": ["type", "title", "status", "detail"],
        "additionalProperties": false,
    })
}
