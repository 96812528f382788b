//! Makes a document strict: an object has no other properties than its schema names.
//!
//! The document itself may not say so, because clients must take added fields as they come; but its own daemon must not send
//! what it does not document.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// The schemas of a document, closed.
pub(crate) fn schemas(document: &Value) -> Value {
    let mut schemas = document["components"]["schemas"].clone();
    let mut parts = BTreeSet::new();
    merged(document, &mut parts);
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        close(schema, parts.contains(name));
    }
    schemas
}

/// Closes a schema; one that is `part` of another is closed by that one.
pub(crate) fn close(schema: &mut Value, part: bool) {
    let Value::Object(schema) = schema else { return };
    if !part && describes_properties(schema) && !schema.contains_key("additionalProperties") {
        schema.insert("unevaluatedProperties".to_owned(), json!(false));
    }
    for (keyword, value) in schema.iter_mut() {
        match keyword.as_str() {
            "properties" => value.as_object_mut().into_iter().flatten().for_each(|(_, field)| close(field, false)),
            "items" | "additionalProperties" => close(value, false),
            "allOf" | "oneOf" | "anyOf" => value.as_array_mut().into_iter().flatten().for_each(|one| close(one, true)),
            _ => {}
        }
    }
}

fn describes_properties(schema: &Map<String, Value>) -> bool {
    let some = |keyword: &str| schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
    schema.contains_key("properties")
        || schema.contains_key("allOf")
        || some("oneOf").chain(some("anyOf")).any(|one| one.get("properties").is_some())
}

/// The names of the schemas that are parts of others.
fn merged(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                let to = part.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(SCHEMAS));
                names.extend(to.map(str::to_owned));
            }
            fields.values().for_each(|value| merged(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| merged(value, names)),
        _ => {}
    }
}
