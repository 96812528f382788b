//! Sessions: made, listed, shown, changed, deleted.

use std::{collections::BTreeMap, path::PathBuf};

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use engine::{Archived, NewSession, Overrides, SessionCursor, SessionFilter, SessionPatch, Strictness, Work};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::{ApprovalPolicy, InputPart, Sandbox, Session, SessionStatus, Turn, WorktreeFate, WorktreeLeft};
use utoipa::{IntoParams, ToSchema};

use super::turns::{self, Replayed, Wait, Words, cursor};
use crate::{
    Api,
    checks::Caller,
    error::Failure,
    metrics::Watch,
    request::{Asked, Bounded, Given, Id, Input, Nothing, Query, bad},
};

/// How many sessions a page has when the request does not say.
const PAGE: u32 = 50;

/// A session to make. What is left out is the daemon's choice.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CreateSession {
    /// The first prompt, which starts at once. This or `input`; with neither the session waits for its first turn.
    prompt: Option<String>,
    /// The first prompt with pictures.
    input: Option<Vec<InputPart>>,
    /// The title; it is kept and not locked. Made from the prompt without.
    title: Option<String>,
    /// The folder to work in, absolute.
    #[schema(value_type = Option<String>)]
    cwd: Option<PathBuf>,
    /// Gives it a git worktree to itself, of the repository that its folder is in: it works there, beside whoever works in the folder.
    worktree: Option<bool>,
    /// The model.
    model: Option<String>,
    /// What Codex's commands may touch.
    sandbox: Option<Sandbox>,
    /// When Codex asks before it acts.
    approval_policy: Option<ApprovalPolicy>,
    /// Instructions for Codex, beside the user's own.
    developer_instructions: Option<String>,
    /// Values of Codex's own configuration, of the keys that the operator lets requests set.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    config: Option<Map<String, Value>>,
    /// The caller's own words: at most 32, keys and values of at most 256 characters.
    labels: Option<BTreeMap<String, String>>,
    /// How much the model is to think, in Codex's words; kept as the session's `model_reasoning_effort`. Needs a prompt.
    effort: Option<String>,
    /// The JSON Schema of the first answer.
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    output_schema: Option<Map<String, Value>>,
}

impl Input for CreateSession {}

/// A session that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct Created {
    session: Session,
    /// Its first turn, when there was a prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<Turn>,
}

/// What is to be different; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PatchSession {
    /// Its title, which is locked from then on.
    title: Option<String>,
    /// Whether it is put away.
    archived: Option<bool>,
    /// Labels that are set; one that is null goes, and the others stay.
    labels: Option<BTreeMap<String, Option<String>>>,
    /// Its folder, absolute.
    #[schema(value_type = Option<String>)]
    cwd: Option<PathBuf>,
}

impl Input for PatchSession {}

/// How a session is to be titled by its latest prompt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Autoname {
    /// Also when its title is locked. It stays locked.
    force: Option<bool>,
}

impl Input for Autoname {
    const MAY_BE_EMPTY: bool = true;
}

/// Whether archived sessions are part of a list.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
enum WithArchived {
    /// They are left out.
    #[default]
    #[serde(rename = "false")]
    No,
    /// Nothing else is.
    #[serde(rename = "true")]
    Only,
    /// As the others.
    #[serde(rename = "all")]
    Too,
}

impl From<WithArchived> for Archived {
    fn from(archived: WithArchived) -> Self {
        match archived {
            WithArchived::No => Self::No,
            WithArchived::Only => Self::Only,
            WithArchived::Too => Self::Too,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListSessions {
    /// The most of one page; 50 without.
    #[param(inline)]
    limit: Option<Bounded<1, 200>>,
    /// Where the page begins: the `nextCursor` of the one before.
    cursor: Option<String>,
    /// What they are doing.
    #[param(inline)]
    status: Option<SessionStatus>,
    /// Whether archived ones are left out (`false`), alone (`true`), or as the others (`all`).
    #[serde(default)]
    #[param(inline)]
    archived: WithArchived,
    /// A label that they have, as `key:value`; may be given several times.
    #[serde(default)]
    label: Vec<String>,
    /// What their ids begin with.
    id_prefix: Option<String>,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionPage {
    /// Newest activity first.
    sessions: Vec<Session>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteSession {
    /// What becomes of Codex's own records of its threads; they are kept without.
    #[param(inline)]
    thread: Option<Threads>,
    /// What becomes of the git worktree that it has to itself: it goes when nothing would be lost with it (`auto`, also without); it stays
    /// (`keep`); it goes with whatever would be lost (`remove`). Who says it is told what became of it.
    #[param(inline)]
    worktree: Option<WorktreeFate>,
}

/// A session is gone that had a git worktree to itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Deleted {
    /// What became of that.
    worktree: WorktreeLeft,
}

/// What becomes of Codex's own records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Threads {
    /// They stay.
    Keep,
    /// They go as well, before the session does.
    Delete,
}

/// Make a session, and start its first turn
#[utoipa::path(
    post,
    path = "/v1/sessions",
    operation_id = "createSession",
    tag = "sessions",
    params(Wait),
    request_body = CreateSession,
    responses((
        status = 201,
        description = "The session, and its first turn if it has a prompt; with `wait` as they are when that turn has ended, \
                       or after that time",
        body = Created,
        headers(("location" = String, description = "The session")),
    )),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "BAD_CWD", "CWD_FORBIDDEN", "SANDBOX_FORBIDDEN", "APPROVAL_POLICY_FORBIDDEN", "CONFIG_FORBIDDEN", "NO_SESSION",
        "NO_TURN", "NOT_SUPPORTED", "INPUT_TOO_LARGE"
    ]))),
)]
pub(super) async fn create(
    State(api): State<Api>,
    watch: Watch,
    who: Caller,
    Query(wait): Query<Wait>,
    asked: Asked<CreateSession>,
) -> Result<(StatusCode, Replayed, [(HeaderName, String); 1], Json<Created>), Failure> {
    let body = asked.body;
    let words =
        Words { prompt: body.prompt, input: body.input, effort: body.effort, output_schema: body.output_schema };
    let new = NewSession {
        prompt: words.prompt(None)?,
        title: body.title,
        overrides: Overrides {
            cwd: body.cwd,
            model: turns::named("model", body.model)?,
            sandbox: body.sandbox,
            approval_policy: body.approval_policy,
        },
        developer_instructions: body.developer_instructions,
        config: body.config.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
        worktree: body.worktree.unwrap_or_default(),
        strictness: Strictness::Refuse,
    };
    let accepted = api.engine().work(&who.principal, who.origin, Work::Create(Box::new(new)), asked.key).await?;
    let again = |failure: Failure| failure.replayed(accepted.replayed);
    let turn = match &accepted.turn {
        Some(submitted) => Some(turns::after(&api, &watch, submitted, &wait).await.map_err(again)?),
        None => None,
    };
    // After the turn: it is at least as new.
    let session = api.engine().session(accepted.session.as_str()).await.map_err(|refusal| again(refusal.into()))?;
    let location = [(header::LOCATION, format!("/v1/sessions/{}", session.id))];
    Ok((StatusCode::CREATED, Replayed(accepted.replayed), location, Json(Created { session, turn })))
}

/// List sessions
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    params(ListSessions),
    responses((status = 200, description = "A page of them", body = SessionPage)),
    extensions(("x-codes" = json!(["INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Caller,
    Query(asked): Query<ListSessions>,
) -> Result<Json<SessionPage>, Failure> {
    let after = cursor::<SessionCursor>(asked.cursor.as_deref())?;
    let label = |text: String| match text.split_once(':') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(bad(format!("`label` must be `key:value`, not {:?}", text.chars().take(64).collect::<String>()))),
    };
    let filter = SessionFilter {
        status: asked.status,
        archived: asked.archived.into(),
        labels: asked.label.into_iter().map(label).collect::<Result<_, Failure>>()?,
        id_prefix: asked.id_prefix,
    };
    let limit = asked.limit.map_or(PAGE, u32::from);
    let (sessions, next) = api.engine().sessions_page(filter, after, limit).await?;
    Ok(Json(SessionPage { sessions, next_cursor: next.map(|next| next.to_string()) }))
}

/// Show a session
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}",
    operation_id = "getSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had")),
    responses((status = 200, description = "It", body = Session)),
    extensions(("x-codes" = json!(["NO_SESSION", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn show(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Json<Session>, Failure> {
    Ok(Json(api.engine().session(&id).await?))
}

/// Change a session
#[utoipa::path(
    patch,
    path = "/v1/sessions/{id}",
    operation_id = "changeSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had")),
    request_body = PatchSession,
    responses((status = 200, description = "It, as it is now", body = Session)),
    extensions(("x-codes" = json!([
        "NO_SESSION", "BAD_CWD", "CWD_FORBIDDEN", "TURN_ACTIVE", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"
    ]))),
)]
pub(super) async fn change(
    State(api): State<Api>,
    who: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    Given(PatchSession { title, archived, labels, cwd }): Given<PatchSession>,
) -> Result<Json<Session>, Failure> {
    let patch = SessionPatch { title, archived, labels: labels.unwrap_or_default(), cwd };
    Ok(Json(api.engine().change(&who.principal, &id, patch).await?))
}

/// Delete a session
///
/// What runs in it is interrupted. Its history is gone for good. A git worktree that it had to itself goes as well when nothing would be lost with it.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    operation_id = "deleteSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had"), DeleteSession),
    responses(
        (status = 200, description = "It is gone; what became of its worktree, if `worktree` was said", body = Deleted),
        (status = 204, description = "It is gone"),
    ),
    extensions(("x-codes" = json!([
        "NO_SESSION", "NOT_SUPPORTED", "AGENT_ERROR", "AGENT_UNAVAILABLE", "AGENT_TIMEOUT", "STORE_FULL", "INTERNAL",
        "SHUTTING_DOWN"
    ]))),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    Query(asked): Query<DeleteSession>,
) -> Result<Response, Failure> {
    let fate = asked.worktree.unwrap_or_default();
    let left = api.engine().delete(&id, asked.thread == Some(Threads::Delete), fate).await?;
    Ok(match left.filter(|_| asked.worktree.is_some()) {
        Some(worktree) => Json(Deleted { worktree }).into_response(),
        // Who does not say the word may not know it, and expects this.
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Title a session by its latest prompt
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/autoname",
    operation_id = "autonameSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had")),
    request_body = Option<Autoname>,
    responses((status = 200, description = "It, as it is now", body = Session)),
    extensions(("x-codes" = json!(["NO_SESSION", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn autoname(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    Given(Autoname { force }): Given<Autoname>,
) -> Result<Json<Session>, Failure> {
    Ok(Json(api.engine().autoname(&id, force.unwrap_or_default()).await?))
}
