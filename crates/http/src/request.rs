//! What a request says: its body, its query, its idempotency key. Every mistake is answered by a sentence that names the
//! field.
//!
//! A type says what may be there, once: what is read, what is refused and what the OpenAPI document tells all follow from it.
//! In v1 an unknown field or parameter is a mistake; the routes of the first version take no notice of one.
//!
//! A token of ours is no part of what is asked: it is left out here, so that neither the store nor Codex gets it.

mod bounded;
mod json;
mod key;
mod query;
mod wrong;

use std::{error::Error, str, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request, rejection::PathRejection},
    http::request::Parts,
};
use bytes::Bytes;
use engine::Idempotency;
use http_body_util::{BodyExt as _, LengthLimitError};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use types::{Code, redact_fields};
use utoipa::{IntoParams, ToSchema};

pub(crate) use bounded::Bounded;

use crate::{Api, error::Failure};

/// What the body of a route may be.
pub(crate) trait Input: DeserializeOwned {
    /// No body is as good as an empty object.
    const MAY_BE_EMPTY: bool = false;
    /// A field that is `null` is absent, whatever it is: the routes of the first version.
    const NULLS_ARE_ABSENT: bool = false;
}

/// A body.
#[derive(Debug)]
pub(crate) struct Given<T>(pub(crate) T);

impl<T: Input> FromRequest<Api> for Given<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let bytes = collect(request.into_body(), api).await?;
        parse(&bytes).map(Self)
    }
}

/// A body that starts work, with the key that it may have come under.
#[derive(Debug)]
pub(crate) struct Asked<T> {
    pub(crate) body: T,
    pub(crate) key: Option<Idempotency>,
}

impl<T: Input> FromRequest<Api> for Asked<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let key = key::of(&parts.headers)?;
        let bytes = collect(body, api).await?;
        let key = key.map(|key| key::bind(key, &parts.method, &parts.uri, &bytes));
        Ok(Self { body: parse(&bytes)?, key })
    }
}

/// The parameters behind the path.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        query::read(parts.uri.query().unwrap_or_default()).map(Self).map_err(|wrong| bad(wrong.tell("parameter")))
    }
}

/// The id in a path. It is only ever compared with others.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let id: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        // Bytes that are no text can't be an id, and nothing has one with this character.
        Ok(Self(id.map_or_else(|_| "\u{fffd}".to_owned(), |Path(id)| id)))
    }
}

/// No parameter at all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A body without a field.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EmptyObject)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

impl Input for Empty {
    const MAY_BE_EMPTY: bool = true;
}

/// The whole body, which the checks have bounded already.
async fn collect(body: Body, api: &Api) -> Result<Bytes, Failure> {
    let (limit, max): (Duration, usize) = (api.options().body_limit, api.options().max_body_bytes);
    match tokio::time::timeout(limit, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large(max)),
        Ok(Err(error)) => Err(bad(format!("the body broke off: {error}"))),
        Err(_) => Err(Failure::slow_body(format!("the body did not arrive within {} s", limit.as_secs_f64()))),
    }
}

pub(crate) fn parse<T: Input>(bytes: &[u8]) -> Result<T, Failure> {
    let bytes = if bytes.is_empty() && T::MAY_BE_EMPTY { b"{}" } else { bytes };
    if bytes.is_empty() {
        return Err(bad("the body is empty; it must be a JSON object"));
    }
    let text = str::from_utf8(bytes).map_err(|error| bad(format!("the body is not UTF-8: {error}")))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(mut fields)) => {
            redact_fields(&mut fields);
            if T::NULLS_ARE_ABSENT {
                fields.retain(|_, value| !value.is_null());
            }
            T::deserialize(json::Json(Value::Object(fields))).map_err(|wrong| bad(wrong.tell("field")))
        }
        Ok(other) => Err(bad(format!("the body must be a JSON object, not {}", json::kind(&other)))),
        Err(error) => Err(bad(format!("the body is not JSON: {error}"))),
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

/// The answer to what can't be understood.
pub(crate) fn bad(detail: impl Into<String>) -> Failure {
    Failure::new(Code::BadRequest, detail)
}
