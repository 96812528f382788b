//! What is done with a session as a whole: it is made shorter, goes on, or begins a second one.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use engine::Work;
use serde::{Deserialize, Serialize};
use types::{Session, Turn};
use utoipa::ToSchema;

use super::turns::{self, Replayed, Wait};
use crate::{
    Api,
    checks::Caller,
    error::Failure,
    metrics::Watch,
    request::{Asked, Empty, Given, Id, Input, Nothing, Query},
};

/// A session to make of another one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fork {
    /// Its title; that of the other one without.
    title: Option<String>,
}

impl Input for Fork {
    const MAY_BE_EMPTY: bool = true;
}

/// A session that was made of another one.
#[derive(Serialize, ToSchema)]
pub(super) struct Forked {
    session: Session,
}

/// Shorten the conversation of a session, so that it fits the model again
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/compact",
    operation_id = "compactSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had"), Wait),
    request_body = Option<Empty>,
    responses(
        (status = 200, description = "The turn; it has ended within `wait`", body = Turn, headers(("location" = String))),
        (status = 202, description = "The turn that does it", body = Turn, headers(("location" = String))),
    ),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "NO_SESSION", "NO_TURN", "BAD_CWD", "CWD_FORBIDDEN", "NOT_SUPPORTED", "QUEUE_FULL"
    ]))),
)]
pub(super) async fn compact(
    State(api): State<Api>,
    watch: Watch,
    who: Caller,
    Id(session): Id,
    Query(wait): Query<Wait>,
    asked: Asked<Empty>,
) -> Result<turns::Begun<Turn>, Failure> {
    let work = api.engine().work(&who.principal, who.origin, Work::Compact { session }, asked.key);
    turns::begun(&api, &watch, work.await?, &wait, |turn| turn).await
}

/// Let the turns of a session go on that are held
///
/// They were held because the turn before them was interrupted or lost. A new prompt does the same.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/resume",
    operation_id = "resumeSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had")),
    request_body = Option<Empty>,
    responses((status = 200, description = "It, as it is now", body = Session)),
    extensions(("x-codes" = json!(["NO_SESSION", "OVERLOADED", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn resume(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    _: Given<Empty>,
) -> Result<Json<Session>, Failure> {
    Ok(Json(api.engine().resume(&id).await?))
}

/// Make a session that begins with the history of another one
///
/// Both have the same history, up to the last turn that has ended, and a future of their own. The fork of a session that works in a git worktree to
/// itself has one as well, with the same files.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/fork",
    operation_id = "forkSession",
    tag = "sessions",
    params(("id" = String, Path, description = "The id of the session to copy, or that of any thread that it has had")),
    request_body = Option<Fork>,
    responses((status = 201, description = "The new session", body = Forked, headers(("location" = String)))),
    extensions(("x-work" = json!(true)), ("x-codes" = json!(["NO_SESSION", "BAD_CWD", "CWD_FORBIDDEN", "NOT_SUPPORTED"]))),
)]
pub(super) async fn fork(
    State(api): State<Api>,
    who: Caller,
    Id(session): Id,
    _: Query<Nothing>,
    asked: Asked<Fork>,
) -> Result<(StatusCode, Replayed, [(HeaderName, String); 1], Json<Forked>), Failure> {
    let work = Work::Fork { session, title: asked.body.title };
    let accepted = api.engine().work(&who.principal, who.origin, work, asked.key).await?;
    let session = api.engine().session(accepted.session.as_str()).await?;
    let location = [(header::LOCATION, format!("/v1/sessions/{}", session.id))];
    Ok((StatusCode::CREATED, Replayed(accepted.replayed), location, Json(Forked { session })))
}
