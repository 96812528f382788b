//! Exchanges, looked at with a document in hand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{
    closed,
    find::{Operation, elements, fields, find, resolve},
};

/// How much of a body is shown.
const SHOWN: usize = 2_000;

/// A request and its answer.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The method.
    pub method: &'a str,
    /// The target: the path, and the query if there is one.
    pub target: &'a str,
    /// The body that was sent.
    pub sent: &'a [u8],
    /// The status of the answer.
    pub status: u16,
    /// Its `content-type`; `None` when nobody knows.
    pub media: Option<&'a str>,
    /// Its body.
    pub body: &'a [u8],
}

/// A document to compare with.
#[derive(Debug)]
pub struct Spec {
    document: Value,
    /// What validators of answers are made with.
    schemas: Value,
    strict: bool,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Spec {
    /// The daemon's own document.
    ///
    /// # Errors
    /// When the text is no JSON.
    pub fn own(text: &str) -> Result<Self, String> {
        Self::new(text, true)
    }

    /// The document of an older release.
    ///
    /// # Errors
    /// As [`Spec::own`].
    pub fn older(text: &str) -> Result<Self, String> {
        Self::new(text, false)
    }

    fn new(text: &str, strict: bool) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("no OpenAPI document: {error}"))?;
        let schemas = if strict { closed::schemas(&document) } else { document["components"]["schemas"].clone() };
        Ok(Self { document, schemas, strict, validators: Mutex::default() })
    }

    /// The operations: method in upper case, template of the path, and the operation itself.
    pub fn operations(&self) -> impl Iterator<Item = (String, &str, &Value)> {
        crate::find::operations(&self.document).map(|one| (one.method.to_uppercase(), one.path, one.value))
    }

    /// Compares an exchange with the document.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn check(&self, exchange: Exchange<'_>) -> Result<(), String> {
        self.compare(&exchange).map_err(|wrong| {
            let shown: String = String::from_utf8_lossy(exchange.body).chars().take(SHOWN).collect();
            let Exchange { method, target, status, media, .. } = exchange;
            format!("{method} {target} was answered {status} ({media:?}), but {wrong}\n{shown}")
        })
    }

    fn compare(&self, exchange: &Exchange<'_>) -> Result<(), String> {
        let (path, query) = exchange.target.split_once('?').unwrap_or((exchange.target, ""));
        let Some(operation) = find(&self.document, exchange.method, path) else {
            return if self.strict { self.refusal(exchange) } else { Ok(()) };
        };
        if !self.strict && unknown_parameter(&operation, query).is_some() {
            // No client of that document sends this.
            return Ok(());
        }
        let Some(response) = operation.value["responses"].get(exchange.status.to_string()) else {
            if !self.strict && exchange.status >= 400 {
                // A client knows what to make of the class of a status.
                return self.refusal(exchange);
            }
            return Err("this status is not documented".to_owned());
        };
        self.body(&operation, resolve(&self.document, response), exchange)?;
        if exchange.status < 300 {
            self.request(&operation, query, exchange)?;
        }
        Ok(())
    }

    /// What there is no operation for can only be refused.
    fn refusal(&self, exchange: &Exchange<'_>) -> Result<(), String> {
        let schema = match exchange.media.map(essence) {
            Some("application/problem+json") => "Problem",
            Some("application/json") => "LegacyError",
            None => return Ok(()),
            Some(_) => return Err("this is not the form of a refusal".to_owned()),
        };
        if exchange.status < 400 {
            return Err("there is no such operation".to_owned());
        }
        if exchange.method == "HEAD" {
            return Ok(());
        }
        let schema = json!({"$ref": format!("#/components/schemas/{schema}")});
        self.validate(&format!("refusal {schema}"), &schema, &self.schemas, exchange.body)
    }

    fn body(&self, operation: &Operation<'_>, response: &Value, exchange: &Exchange<'_>) -> Result<(), String> {
        let content = &response["content"];
        if exchange.method == "HEAD" || content.is_null() {
            let empty = exchange.body.is_empty();
            return if empty { Ok(()) } else { Err("it has a body, and none is documented".to_owned()) };
        }
        let mut known = fields(content);
        let found = match exchange.media {
            Some(media) => known.find(|(known, _)| essence(known) == essence(media)),
            None => {
                let json = serde_json::from_slice::<Value>(exchange.body).is_ok();
                known.find(|(known, _)| is_json(known) == json)
            }
        };
        let Some((media, content)) = found else { return Err("this media type is not documented".to_owned()) };
        if !is_json(media) {
            return Ok(());
        }
        let mut schema = content["schema"].clone();
        if self.strict {
            closed::close(&mut schema, false);
        }
        let key = format!("{} {} {} {media}", operation.method, operation.path, exchange.status);
        self.validate(&key, &schema, &self.schemas, exchange.body)?;
        let codes = elements(&response["x-codes"]);
        if self.strict && !codes.is_empty() {
            let body: Value = serde_json::from_slice(exchange.body).unwrap_or_default();
            if !codes.contains(&body["code"]) {
                return Err(format!("the code {} is not documented for this status", body["code"]));
            }
        }
        Ok(())
    }

    /// What was accepted must be documented.
    fn request(&self, operation: &Operation<'_>, query: &str, exchange: &Exchange<'_>) -> Result<(), String> {
        if !self.strict {
            return Ok(());
        }
        if operation.path.starts_with("/v1/")
            && let Some(name) = unknown_parameter(operation, query)
        {
            return Err(format!("the parameter `{name}`, which was accepted, is not documented"));
        }
        let body = &operation.value["requestBody"];
        let schema = &body["content"]["application/json"]["schema"];
        if schema.is_null() || (exchange.sent.is_empty() && body["required"] != true) {
            return Ok(());
        }
        let key = format!("{} {} request", operation.method, operation.path);
        let schemas = &self.document["components"]["schemas"];
        let fits = self.validate(&key, schema, schemas, exchange.sent);
        fits.map_err(|wrong| format!("the request, which was accepted, is not documented: {wrong}"))
    }

    fn validate(&self, key: &str, schema: &Value, schemas: &Value, bytes: &[u8]) -> Result<(), String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("the body is not JSON: {error}"))?;
        let validator = self.validator(key, schema, schemas)?;
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| {
                format!("{} (at {:?}, by {})", error.masked(), error.instance_path().as_str(), error.schema_path())
            })
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("the body does not fit its schema: {}", wrong.join("; "))) }
    }

    fn validator(&self, key: &str, schema: &Value, schemas: &Value) -> Result<Arc<Validator>, String> {
        // A poisoned lock guards a cache of which each change is one step.
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = validators.get(key) {
            return Ok(known.clone());
        }
        let root = json!({"allOf": [schema], "components": {"schemas": schemas}});
        let made = jsonschema::options().should_validate_formats(true).offline().build(&root);
        let made = Arc::new(made.map_err(|error| format!("the schema is none: {error}"))?);
        validators.insert(key.to_owned(), made.clone());
        Ok(made)
    }
}

/// A parameter of a query that the document does not name for the operation.
fn unknown_parameter<'a>(operation: &Operation<'_>, query: &'a str) -> Option<&'a str> {
    let names = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or_default());
    let known = elements(&operation.value["parameters"]);
    let is_known = |name: &str| known.iter().any(|known| known["in"] == "query" && known["name"] == name);
    let mut unknown = names.filter(|name| !is_known(name));
    unknown.next()
}

fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

fn is_json(media: &str) -> bool {
    let media = essence(media);
    media == "application/json" || media.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r##"{
        "paths": {"/v1/things/{id}": {"post": {
            "parameters": [{"name": "wait", "in": "query", "schema": {"type": "integer"}}],
            "requestBody": {"required": true, "content": {"application/json": {"schema": {
                "type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false
            }}}},
            "responses": {
                "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                "204": {"description": "nothing"},
                "404": {"x-codes": ["NO_THING"], "content": {"application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"}
                }}}
            }
        }}},
        "components": {"schemas": {
            "Thing": {"allOf": [{"$ref": "#/components/schemas/Kind"}, {
                "type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]
            }]},
            "Kind": {"oneOf": [{
                "type": "object", "properties": {"kind": {"enum": ["x"]}, "x": {"type": "integer"}}, "required": ["kind"]
            }]},
            "Problem": {"type": "object", "properties": {"code": {"enum": ["NO_THING", "OTHER"]}}, "required": ["code"]},
            "LegacyError": {"type": "object"}
        }}
    }"##;

    fn look(strict: bool, target: &str, sent: &str, status: u16, media: &str, body: &str) -> Result<(), String> {
        let spec = Spec::new(DOCUMENT, strict).unwrap();
        let (media, sent, body) = (Some(media), sent.as_bytes(), body.as_bytes());
        spec.check(Exchange { method: "POST", target, sent, status, media, body })
    }

    #[test]
    fn what_is_not_documented_must_not_happen() {
        let (json, problem) = ("application/json; charset=utf-8", "application/problem+json");
        for (target, sent, status, media, body, own, older) in [
            ("/v1/things/1", "{}", 200, json, r#"{"kind":"x","x":1,"id":"a"}"#, true, true),
            ("/v1/things/1?wait=1", r#"{"a":"b"}"#, 200, json, r#"{"kind":"x","id":"a"}"#, true, true),
            ("/v1/things/1", "{}", 200, json, r#"{"kind":"x","id":"a","new":1}"#, false, true),
            ("/v1/things/1", "{}", 200, json, r#"{"kind":"y","id":"a"}"#, false, false),
            ("/v1/things/1", "{}", 200, json, r#"{"kind":"x"}"#, false, false),
            ("/v1/things/1", "{}", 200, "text/plain", "x", false, false),
            ("/v1/things/1?limit=1", "{}", 200, json, r#"{"kind":"x","id":"a"}"#, false, true),
            ("/v1/things/1", r#"{"b":1}"#, 200, json, r#"{"kind":"x","id":"a"}"#, false, true),
            ("/v1/things/1", "{}", 204, json, "", true, true),
            ("/v1/things/1", "{}", 204, json, "x", false, false),
            ("/v1/things/1", "?", 404, problem, r#"{"code":"NO_THING"}"#, true, true),
            ("/v1/things/1", "?", 404, problem, r#"{"code":"OTHER"}"#, false, true),
            ("/v1/things/1", "?", 409, problem, r#"{"code":"OTHER"}"#, false, true),
            ("/v1/things/1", "{}", 206, json, r#"{"kind":"x","id":"a"}"#, false, false),
            ("/v1/things/1?new=1", "{}", 206, json, r#"{"kind":"x","id":"a"}"#, false, true),
            ("/v1/things/1?wait=1", "{}", 206, json, r#"{"kind":"x","id":"a"}"#, false, false),
            ("/other", "{}", 404, problem, r#"{"code":"OTHER"}"#, true, true),
            ("/other", "{}", 200, problem, r#"{"code":"OTHER"}"#, false, true),
            ("/other", "{}", 404, problem, r#"{"code":"NEW"}"#, false, true),
        ] {
            for (strict, fine) in [(true, own), (false, older)] {
                let found = look(strict, target, sent, status, media, body);
                assert_eq!(found.is_ok(), fine, "{strict} {target} {sent} {status} {body}: {found:?}");
            }
        }
    }
}
