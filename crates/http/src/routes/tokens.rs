//! Tokens: made, listed, ended. All of it needs the scope `admin`.

use std::{path::PathBuf, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{Grant, Sandbox, Scope, Timestamp};
use utoipa::ToSchema;

use crate::{
    Api,
    audited::About,
    checks::Caller,
    error::Failure,
    request::{Given, Id, Input, Nothing, Query, bad},
};

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewToken {
    /// Its name: 1 to 64 letters, digits, dots, dashes and underscores; unique among those that are there.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    name: String,
    /// What its holder may do.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// The folders that its holder may work in, absolute; without, those that the daemon allows.
    #[schema(value_type = Option<Vec<String>>)]
    roots: Option<Vec<PathBuf>>,
    /// The widest sandbox that its holder may have; without, what the daemon allows.
    max_sandbox: Option<Sandbox>,
    /// When it ends; never without.
    expires_at: Option<Timestamp>,
}

impl Input for NewToken {}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenMade {
    /// What it opens.
    grant: Grant,
    /// The token itself. It is told this once.
    #[schema(pattern = "^cdx_[A-Za-z0-9_-]{43}$")]
    token: String,
}

/// All tokens, without what they are.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    /// By name.
    tokens: Vec<Grant>,
}

/// Make a token
#[utoipa::path(
    post,
    path = "/v1/tokens",
    operation_id = "createToken",
    tag = "tokens",
    request_body = NewToken,
    responses((
        status = 201,
        description = "It counts from now on",
        body = TokenMade,
        headers(("location" = String, description = "Where it is ended")),
    )),
    extensions(("x-codes" = json!(["STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn create(
    State(api): State<Api>,
    who: Caller,
    _: Query<Nothing>,
    Given(new): Given<NewToken>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Extension<About>, Json<TokenMade>), Failure> {
    let NewToken { name, scopes, roots, max_sandbox, expires_at } = new;
    let roots = roots.unwrap_or_default();
    let grant = Grant { roots, max_sandbox, expires_at, ..Grant::new(name, scopes) };
    let (grant, token) = api.engine().add_grant(&who.principal, grant).await?;
    let location = [(header::LOCATION, format!("/v1/tokens/{}", grant.name))];
    Ok((StatusCode::CREATED, location, Extension(about(&grant)), Json(TokenMade { grant, token })))
}

/// How a token is replaced.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rotate {
    /// For so many seconds the old token opens as well; without, it ends at once.
    #[schema(minimum = 0, maximum = 2_592_000)]
    grace_seconds: Option<u32>,
}

impl Input for Rotate {
    const MAY_BE_EMPTY: bool = true;
}

/// The longest grace: thirty days.
const MOST_GRACE: u32 = 2_592_000;

/// Replace a token
///
/// Another one under the same name, which opens the same. Of tokens that were replaced only the last can have a grace.
#[utoipa::path(
    post,
    path = "/v1/tokens/{name}/rotate",
    operation_id = "rotateToken",
    tag = "tokens",
    params(("name" = String, Path, description = "Its name")),
    request_body = Rotate,
    responses((status = 200, description = "It counts from now on", body = TokenMade)),
    extensions(("x-codes" = json!(["NOT_FOUND", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn rotate(
    State(api): State<Api>,
    who: Caller,
    Id(name): Id,
    _: Query<Nothing>,
    Given(body): Given<Rotate>,
) -> Result<(Extension<About>, Json<TokenMade>), Failure> {
    let grace = body.grace_seconds.unwrap_or(0);
    if grace > MOST_GRACE {
        return Err(bad(format!("the field graceSeconds must be a whole number from 0 to {MOST_GRACE}")));
    }
    let grace = Duration::from_secs(grace.into());
    let (grant, token) = api.engine().rotate_grant(&who.principal, &name, grace).await?;
    Ok((Extension(about(&grant)), Json(TokenMade { grant, token })))
}

/// What a token opens, for the audit log.
fn about(grant: &Grant) -> About {
    let grant = serde_json::to_value(grant).unwrap_or_default();
    About::of([("token", grant)])
}

/// List the tokens that were made
#[utoipa::path(
    get,
    path = "/v1/tokens",
    operation_id = "listTokens",
    tag = "tokens",
    responses((status = 200, description = "All of them, without what they are", body = Tokens)),
)]
pub(super) async fn list(State(api): State<Api>, _: Caller, _: Query<Nothing>) -> Json<Tokens> {
    Json(Tokens { tokens: api.engine().policy().grants.list() })
}

/// End a token
#[utoipa::path(
    delete,
    path = "/v1/tokens/{name}",
    operation_id = "deleteToken",
    tag = "tokens",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It opens nothing any more")),
    extensions(("x-codes" = json!(["NOT_FOUND", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn end(
    State(api): State<Api>,
    _: Caller,
    Id(name): Id,
    _: Query<Nothing>,
) -> Result<(StatusCode, Extension<About>), Failure> {
    api.engine().remove_grant(&name).await?;
    let about = About::of([("token", json!({ "name": name }))]);
    Ok((StatusCode::NO_CONTENT, Extension(about)))
}
