//! Compares a document with an older one: what would a client of the older one miss?
//!
//! What a client sends must still be taken: no operation and no parameter is gone, nothing has become required, no value is
//! refused that was taken. What it is sent must still be what it knows: no status and no field is gone, none has another
//! type, no word comes that was not in its list.

use serde_json::Value;

use crate::{
    find::{Operation, elements, fields, operations, resolve},
    fits::{Side, fits},
};

/// What of `old` is not so in `new`, a sentence each. Nothing when a client of `old` can go on with `new`.
///
/// # Errors
/// When a text is no JSON.
pub fn breaks(old: &str, new: &str) -> Result<Vec<String>, String> {
    let read =
        |text: &str| serde_json::from_str::<Value>(text).map_err(|error| format!("no OpenAPI document: {error}"));
    let (old, new) = (read(old)?, read(new)?);
    let mut found = Vec::new();
    for before in operations(&old) {
        let name = format!("{} {}", before.method.to_uppercase(), before.path);
        let Some(now) = operations(&new).find(|now| (now.path, now.method) == (before.path, before.method)) else {
            found.push(format!("{name}: it is gone"));
            continue;
        };
        let mut wrong = Vec::new();
        parameters(&old, &new, before, now, &mut wrong);
        request(&old, &new, before, now, &mut wrong);
        responses(&old, &new, before, now, &mut wrong);
        found.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    Ok(found)
}

fn parameters(old: &Value, new: &Value, before: Operation<'_>, now: Operation<'_>, wrong: &mut Vec<String>) {
    let of = |operation: Operation<'_>, document: &Value| -> Vec<Value> {
        elements(&operation.value["parameters"]).iter().map(|one| resolve(document, one).clone()).collect()
    };
    let (before, now) = (of(before, old), of(now, new));
    let same = |a: &Value, b: &Value| a["in"] == b["in"] && a["name"] == b["name"];
    for known in &before {
        let name = format!("parameter {}", known["name"]);
        let Some(still) = now.iter().find(|now| same(now, known)) else {
            wrong.push(format!("{name} is gone"));
            continue;
        };
        if still["required"] == true && known["required"] != true {
            wrong.push(format!("{name} has become required"));
        }
        let taken = fits(
            Side { document: old, schema: &known["schema"] },
            Side { document: new, schema: &still["schema"] },
            false,
        );
        wrong.extend(taken.err().map(|why| format!("{name} does not take what it took: {why}")));
    }
    for added in now.iter().filter(|now| now["required"] == true && !before.iter().any(|known| same(known, now))) {
        wrong.push(format!("parameter {} is new and required", added["name"]));
    }
}

fn request(old: &Value, new: &Value, before: Operation<'_>, now: Operation<'_>, wrong: &mut Vec<String>) {
    let (before, now) = (&before.value["requestBody"], &now.value["requestBody"]);
    if now["required"] == true && before["required"] != true {
        wrong.push("it needs a body, and did not".to_owned());
    }
    for (media, content) in fields(&before["content"]) {
        let Some(still) = now["content"].get(media) else {
            wrong.push(format!("it does not take {media} any more"));
            continue;
        };
        let sent = Side { document: old, schema: &content["schema"] };
        let taken = fits(sent, Side { document: new, schema: &still["schema"] }, false);
        wrong.extend(taken.err().map(|why| format!("it does not take what it took: {why}")));
    }
}

fn responses(old: &Value, new: &Value, before: Operation<'_>, now: Operation<'_>, wrong: &mut Vec<String>) {
    for (status, response) in fields(&before.value["responses"]) {
        let Some(still) = now.value["responses"].get(status) else {
            wrong.push(format!("status {status} is gone"));
            continue;
        };
        let (response, still) = (resolve(old, response), resolve(new, still));
        for (media, content) in fields(&response["content"]) {
            let Some(still) = still["content"].get(media) else {
                wrong.push(format!("status {status} does not come as {media} any more"));
                continue;
            };
            let sent = Side { document: new, schema: &still["schema"] };
            let known = fits(sent, Side { document: old, schema: &content["schema"] }, true);
            wrong.extend(known.err().map(|why| format!("status {status} is not what it was: {why}")));
        }
        for (header, _) in fields(&response["headers"]) {
            if still["headers"].get(header).is_none() {
                wrong.push(format!("status {status} has no header {header} any more"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "paths": {"/things": {"post": {
                "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 9}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/New"}}}},
                "responses": {"200": {
                    "headers": {"location": {}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                }},
            }}},
            "components": {"schemas": {
                "New": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "word": {"enum": ["a", "b"], "type": "string"}},
                    "required": ["name"],
                    "additionalProperties": false,
                },
                "Thing": {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string"},
                        "word": {"enum": ["a", "b"], "type": "string"},
                        "next": {"oneOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]},
                        "body": {"oneOf": [
                            {"type": "object", "properties": {"kind": {"enum": ["x"]}, "x": {"type": "integer"}}, "required": ["kind"]},
                        ]},
                    },
                    "required": ["id"],
                },
            }},
        })
    }

    #[test]
    fn what_a_client_would_miss_is_found() {
        let (thing, new) = ("/components/schemas/Thing", "/components/schemas/New");
        let post = "/paths/~1things/post";
        let cases: &[(&str, Value, bool)] = &[
            ("/paths", json!({}), true),
            (&format!("{post}/parameters"), json!([]), true),
            (&format!("{post}/parameters/0/required"), json!(true), true),
            (&format!("{post}/parameters/0/schema/maximum"), json!(8), true),
            (&format!("{post}/parameters/0/schema/maximum"), json!(10), false),
            (&format!("{post}/parameters/1"), json!({"name": "x", "in": "query", "schema": {}}), false),
            (
                &format!("{post}/parameters/1"),
                json!({"name": "x", "in": "query", "required": true, "schema": {}}),
                true,
            ),
            (&format!("{post}/requestBody/required"), json!(true), true),
            (&format!("{post}/responses"), json!({"201": {}}), true),
            (&format!("{post}/responses/200/headers"), json!({}), true),
            (&format!("{post}/responses/202"), json!({}), false),
            (&format!("{new}/required"), json!(["name", "word"]), true),
            (&format!("{new}/required"), json!([]), false),
            (&format!("{new}/properties/more"), json!({"type": "string"}), false),
            (&format!("{new}/properties/name/type"), json!("integer"), true),
            (&format!("{new}/properties/name/type"), json!(["string", "null"]), false),
            (&format!("{new}/properties/name/maxLength"), json!(5), true),
            (&format!("{new}/properties"), json!({"name": {"type": "string"}}), true),
            (&format!("{new}/properties/word/enum"), json!(["a"]), true),
            (&format!("{new}/properties/word/enum"), json!(["a", "b", "c"]), false),
            (&format!("{thing}/required"), json!([]), true),
            (&format!("{thing}/required"), json!(["id", "word"]), false),
            (&format!("{thing}/properties/more"), json!({"type": "string"}), false),
            (&format!("{thing}/properties"), json!({"id": {"type": "string"}}), true),
            (&format!("{thing}/properties/id/type"), json!("integer"), true),
            (&format!("{thing}/properties/id/type"), json!(["string", "null"]), true),
            (&format!("{thing}/properties/word/enum"), json!(["a"]), false),
            (&format!("{thing}/properties/word/enum"), json!(["a", "b", "c"]), true),
            (&format!("{thing}/properties/next"), json!({"$ref": "#/components/schemas/Thing"}), false),
            (
                &format!("{thing}/properties/body/oneOf/1"),
                json!({"type": "object", "properties": {"kind": {"enum": ["y"]}}}),
                true,
            ),
            (&format!("{thing}/properties/body/oneOf/0/properties/x/type"), json!("string"), true),
            (&format!("{thing}/properties/body/oneOf/0/properties/z"), json!({}), false),
        ];
        let old = document();
        assert_eq!(breaks(&old.to_string(), &old.to_string()).unwrap(), Vec::<String>::new());
        for (pointer, value, broken) in cases {
            let mut changed = document();
            set(&mut changed, pointer, value.clone());
            let found = breaks(&old.to_string(), &changed.to_string()).unwrap();
            assert_eq!(!found.is_empty(), *broken, "{pointer} {value}: {found:?}");
        }
    }

    fn set(document: &mut Value, pointer: &str, value: Value) {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.insert(last.to_owned(), value)),
            Value::Array(values) => match values.get_mut(last.parse::<usize>().unwrap()) {
                Some(old) => *old = value,
                None => values.push(value),
            },
            other => panic!("{other}"),
        }
    }
}
