//! Reading a body: bounded in size and time, and every mistake in it answered by a sentence that names the field.

use std::{error::Error, str, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
};
use http_body_util::{BodyExt as _, LengthLimitError};
use serde_json::{Map, Value};
use types::Code;

use crate::{Api, error::Failure};

/// The fields of a JSON object. A field that is `null` is absent.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl FromRequest<Api> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let options = api.options();
        let bytes = read(request.into_body(), options.body_limit, options.max_body_bytes).await?;
        Self::parse(&bytes)
    }
}

impl Fields {
    fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.is_empty() {
            return Err(bad("the body is empty; it must be a JSON object"));
        }
        let text = str::from_utf8(bytes).map_err(|error| bad(format!("the body is not UTF-8: {error}")))?;
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(other) => Err(bad(format!("the body must be a JSON object, not {}", kind(&other)))),
            Err(error) => Err(bad(format!("the body is not JSON: {error}"))),
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<String, Failure> {
        let text = self.optional_text(name)?;
        text.ok_or_else(|| bad(format!("`{name}` is missing; it must be a string")))
    }

    /// A text that may be there.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, Failure> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// A yes or no that may be there.
    pub(crate) fn optional_flag(&mut self, name: &'static str) -> Result<Option<bool>, Failure> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }
}

/// The whole body, which the checks have bounded already.
async fn read(body: Body, limit: Duration, max: usize) -> Result<Bytes, Failure> {
    match tokio::time::timeout(limit, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large(max)),
        Ok(Err(error)) => Err(bad(format!("the body broke off: {error}"))),
        Err(_) => Err(Failure::slow_body(format!("the body did not arrive within {} s", limit.as_secs_f64()))),
    }
}

fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_too_long)
}

/// The answer to a body over the limit.
pub(crate) fn too_large(max: usize) -> Failure {
    Failure::new(
        Code::BodyTooLarge,
        format!("the body has more than {max} bytes, which is what this daemon takes; --max-body-bytes sets it"),
    )
}

fn bad(detail: impl Into<String>) -> Failure {
    Failure::new(Code::BadRequest, detail)
}

fn wrong(name: &str, must: &str, found: &Value) -> Failure {
    bad(format!("`{name}` must be {must}, not {}", kind(found)))
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
