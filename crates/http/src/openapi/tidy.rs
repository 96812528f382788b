//! What the schemas of the types don't say by themselves, because it is said by serde or by where they are used.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What a reference to a schema begins with.
const SCHEMAS: &str = "#/components/schemas/";

/// Puts the schemas right.
pub(super) fn tidy(document: &mut Value) {
    bodies(document);
    prune(document);
    walk(document, &mut plain_words);
    let asked = reachable(document, |path| path.contains("requestBody") && path.contains("/v1/"));
    let answered = reachable(document, |path| path.contains("responses"));
    let all_asked = reachable(document, |path| path.contains("requestBody"));
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    for (name, schema) in schemas {
        walk(schema, &mut camel_case);
        if asked.contains(name) && !answered.contains(name) {
            walk(schema, &mut closed);
        }
        if !all_asked.contains(name) {
            walk(schema, &mut never_null);
        }
    }
}

/// A body that may be left out is not the JSON `null`.
fn bodies(document: &mut Value) {
    let operations = document["paths"].as_object_mut().into_iter().flatten();
    for (_, operation) in operations.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten()) {
        if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema") {
            without_null(schema);
        }
    }
}

/// Documentation is written for Rust; its links mean nothing elsewhere.
fn plain_words(schema: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
    }
}

/// The fields of an enum's variants are named as all others are; utoipa takes no notice of serde's `rename_all_fields`.
fn camel_case(schema: &mut Map<String, Value>) {
    for variant in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(fields)) = variant.get_mut("properties") {
            *fields = std::mem::take(fields).into_iter().map(|(name, field)| (camel(&name), field)).collect();
        }
        for name in variant.get_mut("required").and_then(Value::as_array_mut).into_iter().flatten() {
            *name = json!(camel(name.as_str().unwrap_or_default()));
        }
    }
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// What is sent to us may have no other fields.
fn closed(schema: &mut Map<String, Value>) {
    if schema.contains_key("properties") {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

/// What we send is left out when it is not there, unless it is said to be there always.
fn never_null(schema: &mut Map<String, Value>) {
    let required: BTreeSet<String> = match schema.get("required").and_then(Value::as_array) {
        Some(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => BTreeSet::new(),
    };
    for (name, field) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if !required.contains(name) {
            without_null(field);
        }
    }
}

fn without_null(schema: &mut Value) {
    let null = |value: &Value| value.get("type").is_some_and(|kind| kind == "null");
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut)
        && choices.iter().any(null)
    {
        choices.retain(|choice| !null(choice));
        if let [only] = &mut choices[..] {
            *schema = only.take();
        }
        return;
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = &mut kinds[..] {
            schema["type"] = only.take();
        }
    }
}

/// Does something with each object in a value.
fn walk(value: &mut Value, act: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            act(fields);
            fields.values_mut().for_each(|value| walk(value, act));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| walk(value, act)),
        _ => {}
    }
}

/// The schemas that the chosen places of the operations lead to.
fn reachable(document: &Value, choose: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (_, operation) in item.as_object().into_iter().flatten() {
            for (place, value) in operation.as_object().into_iter().flatten() {
                if choose(&format!("{path} {place}")) {
                    references(value, &mut found);
                }
            }
        }
    }
    let mut open: Vec<String> = found.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let mut more = BTreeSet::new();
        references(&document["components"]["schemas"][&name], &mut more);
        open.extend(more.difference(&found).cloned());
        found.append(&mut more);
    }
    found
}

/// Removes what nothing leads to.
fn prune(document: &mut Value) {
    let used = reachable(document, |_| true);
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.retain(|name, _| used.contains(name));
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let to = fields.get("$ref").and_then(Value::as_str);
            found.extend(to.and_then(|to| to.strip_prefix(SCHEMAS)).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
