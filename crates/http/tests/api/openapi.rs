//! The OpenAPI document: that it is whole, and that older clients can go on with it.

use openapi_check::{Spec, breaks, released};
use serde_json::Value;

#[test]
fn clients_of_released_versions_can_go_on() {
    for (name, text) in released().unwrap() {
        let broken = breaks(&text, http_api::openapi()).unwrap();
        assert!(broken.is_empty(), "a client of {name} would miss:\n{}", broken.join("\n"));
    }
}

#[test]
fn every_operation_says_what_it_takes_and_answers() {
    let spec = Spec::own(http_api::openapi()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (method, path, operation) in spec.operations() {
        let name = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().expect(&name).to_owned()), "{name}");
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.len() > 2), "{name}");
        assert!(operation["tags"][0].is_string() && operation["security"].is_array(), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        for status in ["403", "413", "415", "421", "503"] {
            assert!(responses.contains_key(status), "{name} {status}");
        }
        let free = ["/health", "/healthz", "/readyz"].contains(&path);
        assert_eq!(responses.contains_key("401"), !free, "{name}");
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            assert_eq!(response["x-codes"].is_array(), status.as_str() >= "400", "{name} {status}");
            assert_eq!(response["content"].is_null(), status == "204", "{name} {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["schema"]["type"].is_string(), "{name} {parameter}");
            assert!(parameter["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {parameter}");
        }
        if path.starts_with("/v1/")
            && let Some(body) = operation["requestBody"].as_object()
        {
            let to = body["content"]["application/json"]["schema"]["$ref"].as_str().expect(&name);
            let document: Value = serde_json::from_str(http_api::openapi()).unwrap();
            assert_eq!(document.pointer(to.trim_start_matches('#')).unwrap()["additionalProperties"], false, "{name}");
        }
    }
}

#[test]
fn the_document_is_one_for_tools() {
    let document: Value = serde_json::from_str(http_api::openapi()).unwrap();
    assert_eq!((&document["openapi"], &document["info"]["title"]), (&Value::from("3.1.0"), &Value::from("codexd")));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let text = http_api::openapi();
    for (at, _) in text.match_indices("\"$ref\": \"#") {
        let pointer = text[at + 9..].split('"').next().unwrap().trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{pointer} points to nothing");
    }
    assert!(!text.contains("x-work") && !text.contains("_ms\"") && !text.contains("exit_code"));
    // An answer may get more fields; a client must take them.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let closed = schema.to_string().contains("\"additionalProperties\":false");
        assert!(!closed || ANSWERED_NEVER.contains(&name.as_str()), "{name}");
    }
}

/// What is only ever sent to us.
const ANSWERED_NEVER: [&str; 16] = [
    "Autoname",
    "CreateSession",
    "CreateTurn",
    "Decide",
    "EmptyObject",
    "Fork",
    "ImportStore",
    "InputPart",
    "Interrupt",
    "NewToken",
    "PatchSession",
    "RestartAgent",
    "Retry",
    "Rotate",
    "Steer",
    "StopDaemon",
];
