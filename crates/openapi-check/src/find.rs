//! Which operation a request is for.

use serde_json::{Map, Value};

/// An operation of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation<'a> {
    /// The template of its path.
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
    pub(crate) value: &'a Value,
}

/// All operations.
pub(crate) fn operations(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.filter(|(_, value)| value.is_object()).map(move |(method, value)| Operation { path, method, value })
    })
}

/// The operation that a request is for. What is asked for with HEAD is that of GET.
pub(crate) fn find<'a>(document: &'a Value, method: &str, path: &str) -> Option<Operation<'a>> {
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let matching = operations(document).filter(|operation| operation.method == method && is_for(operation.path, path));
    // A template that says a part in so many words goes before one that takes any.
    matching.min_by_key(|operation| operation.path.matches('{').count())
}

fn is_for(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(part, given)| part == given || (part.starts_with('{') && part.ends_with('}') && !given.is_empty()))
}

/// What a reference points to; the value itself when it is none.
pub(crate) fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap_or(&Value::Null),
        None => value,
    }
}

/// The fields of an object; none of anything else.
pub(crate) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The elements of an array; none of anything else.
pub(crate) fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_most_literal_template_wins() {
        let document = json!({"paths": {
            "/a/{id}": {"get": {"n": 1}, "post": {"n": 2}},
            "/a/b": {"get": {"n": 3}},
            "/a/{id}/c": {"get": {"n": 4}},
        }});
        for (method, path, n) in [
            ("GET", "/a/x", Some(1)),
            ("HEAD", "/a/x", Some(1)),
            ("POST", "/a/b", Some(2)),
            ("GET", "/a/b", Some(3)),
            ("GET", "/a/b/c", Some(4)),
            ("GET", "/a/", None),
            ("GET", "/a", None),
            ("PUT", "/a/x", None),
        ] {
            let found = find(&document, method, path).map(|operation| operation.value["n"].clone());
            assert_eq!(found, n.map(Value::from), "{method} {path}");
        }
    }
}
