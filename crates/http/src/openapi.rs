//! The OpenAPI document: what the handlers say of themselves, and what the layers around them add.
//!
//! A handler names the codes that are its own (`x-codes`), and that it starts work (`x-work`). Which statuses follow from
//! them, and what every request can be refused with besides, is put together here from the tables that the daemon itself
//! goes by: the status of a code, the scope of a path, the paths that are free.
//!
//! The text is the same on every machine, sorted and indented; `openapi/v1.json` is a copy that the tests compare.

mod tidy;

use std::{collections::BTreeMap, sync::OnceLock};

use axum::{Router, http::Method};
use serde_json::{Map, Value, json};
use types::Code;
use utoipa::OpenApi;

use crate::{
    Api,
    checks::{FREE, needed},
    error::{LegacyError, Problem, Shape, meaning},
    routes,
};

/// What any request can be refused with.
const ALWAYS: [Code; 5] = [Code::BadHost, Code::BadOrigin, Code::NotJson, Code::BodyTooLarge, Code::Overloaded];

/// What any request can be refused with that needs authority.
const GUARDED: [Code; 3] = [Code::Unauthorized, Code::Forbidden, Code::TooManyRequests];

/// What any request can be refused with that starts work.
const WORK: [Code; 5] =
    [Code::IdempotencyMismatch, Code::AgentUnavailable, Code::StoreFull, Code::Internal, Code::ShuttingDown];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "codexd",
        description = "Keeps one Codex CLI warm and lets programs use it. `HEAD` works wherever `GET` does. Fields that a \
                       client does not know may be added to answers; what is here stays.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "http://127.0.0.1:8787", description = "Also the socket in the store's folder, without a token")),
    components(schemas(Problem, LegacyError)),
)]
struct Document;

/// All routes, without the checks.
pub(crate) fn routes() -> Router<Api> {
    routes::all(Document::openapi()).0
}

/// The document: JSON, sorted and indented, with a line end.
#[must_use]
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let (_, document) = routes::all(Document::openapi());
        // Only a map with keys that are no text fails to serialise; these have none.
        let mut document = serde_json::to_value(document).unwrap_or_default();
        complete(&mut document);
        format!("{document:#}\n")
    })
}

fn complete(document: &mut Value) {
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                if let Value::Object(operation) = operation {
                    describe(path, method, operation);
                }
            }
        }
    }
    document["components"]["securitySchemes"] = json!({"bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `codexd token new`, or the one that codexd was started with. What an operation lists is \
                        the scope that the token must have.",
    }});
    tidy::tidy(document);
}

/// Says of an operation what the layers around it do.
fn describe(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let work = operation.remove("x-work").is_some();
    let own = operation.remove("x-codes").unwrap_or_default();
    let mut codes: Vec<Code> = serde_json::from_value(own).unwrap_or_default();
    codes.extend(ALWAYS);
    let free = FREE.contains(&path);
    if !free {
        codes.extend(GUARDED);
    }
    if work {
        codes.extend(WORK);
        keyed(operation);
    }
    let body = operation.contains_key("requestBody");
    if body || path.starts_with("/v1/") {
        codes.push(Code::BadRequest);
    }
    let shape = Shape::of(path);
    let mut refusals: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let codes = refusals.entry(shape.status(code).as_u16()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    if body {
        // A body that does not come.
        refusals.insert(408, vec![Code::BadRequest]);
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for (status, codes) in refusals {
        responses[status.to_string()] = refusal(shape, status, codes);
    }
    let scope = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map(|method| needed(&method, path));
    let bearer = json!({"bearer": scope.ok().filter(|_| !free).into_iter().collect::<Vec<_>>()});
    operation.insert("security".to_owned(), if free { json!([{}, bearer]) } else { json!([bearer]) });
}

/// A status that tells of a refusal, and the codes that come with it.
fn refusal(shape: Shape, status: u16, mut codes: Vec<Code>) -> Value {
    codes.sort_by_key(Code::to_string);
    let lines: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}.", meaning(*code).1)).collect();
    let (media, schema) = match shape {
        Shape::Problem => ("application/problem+json", "Problem"),
        Shape::Legacy => ("application/json", "LegacyError"),
    };
    let mut response = json!({
        "description": lines.join(" "),
        "content": {media: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}},
        "x-codes": codes,
    });
    let header = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    if codes.contains(&Code::Unauthorized) {
        response["headers"] = json!({"www-authenticate": header("`Bearer`")});
    }
    if codes.contains(&Code::TooManyRequests) || codes.contains(&Code::Overloaded) {
        response["headers"] = json!({"retry-after": header("Seconds; with some of the codes")});
    }
    if status == 405 {
        response["headers"] = json!({"allow": header("The methods that it takes")});
    }
    response
}

/// What starts work takes a key.
fn keyed(operation: &mut Map<String, Value>) {
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Value::Array(parameters) = parameters {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "The same request under the same key within 24 hours is done once, and told how things are now.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }));
    }
    let replayed =
        json!({"description": "`true` when it was done before", "schema": {"type": "string", "enum": ["true"]}});
    for (_, response) in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        response["headers"]["idempotency-replayed"] = replayed.clone();
    }
}
