//! Sessions, as the first version told of them.

use std::num::IntErrorKind;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use engine::SessionPatch;
use serde::{Deserialize, Serialize};
use types::{ResumedHow, Role, Session, SessionId, ThreadId, Timestamp, TitleSource};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api,
    checks::Caller,
    error::Failure,
    request::{Given, Id, Input},
};

/// The longest list.
const LIST: u32 = 10_000;

/// How many results a search has when the request does not say.
const RESULTS: u32 = 3;

/// How many it may ask for.
const MOST_RESULTS: u32 = 10;

/// Sessions, as the first version listed them.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacySessions)]
pub(super) struct List {
    /// Newest activity first; of a search, the best matches first.
    sessions: Vec<Entry>,
}

/// A session in a list, as the first version had it.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacySessionEntry)]
#[serde(rename_all = "camelCase")]
struct Entry {
    session_id: SessionId,
    created_at_ms: i64,
    updated_at_ms: i64,
    title: String,
    title_locked: bool,
    title_source: TitleSource,
}

impl From<Session> for Entry {
    fn from(session: Session) -> Self {
        Self {
            session_id: session.id,
            created_at_ms: session.created_at.as_millis(),
            updated_at_ms: session.updated_at.as_millis(),
            title: session.title,
            title_locked: session.title_locked,
            title_source: session.title_source,
        }
    }
}

/// A session with its history, as the first version had it.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacySession)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whole {
    session_id: SessionId,
    created_at_ms: i64,
    updated_at_ms: i64,
    #[schema(required)]
    thread_id: Option<ThreadId>,
    meta: Meta,
    /// How its thread came back the last time that it had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<LegacyResumed>,
    history: Vec<Said>,
}

/// What is known of a session besides its history.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacySessionMeta)]
#[serde(rename_all = "camelCase")]
struct Meta {
    title: String,
    title_locked: bool,
    title_source: TitleSource,
    cwd: String,
    #[schema(required)]
    model: Option<String>,
    #[schema(required)]
    thread_id: Option<ThreadId>,
}

/// The same object as in v1, with the time also as the first version's routes tell times.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LegacyResumed {
    /// By which of the ways.
    how: ResumedHow,
    /// When.
    at: Timestamp,
    at_ms: i64,
}

/// A message.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyMessage)]
#[serde(rename_all = "camelCase")]
struct Said {
    role: Role,
    text: String,
    ts_ms: i64,
}

/// A session to rename. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyRename)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rename {
    /// The session: its id, or that of any thread that it has had.
    session_id: String,
    /// Its new title, which is locked from then on.
    title: String,
}

impl Input for Rename {
    const NULLS_ARE_ABSENT: bool = true;
}

/// A session to title by its latest prompt. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacyAutoname {
    /// The session: its id, or that of any thread that it has had.
    session_id: String,
    /// Also when its title is locked.
    force: Option<bool>,
}

impl Input for LegacyAutoname {
    const NULLS_ARE_ABSENT: bool = true;
}

/// That it is done.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyDone)]
pub(super) struct Done {
    /// Always true.
    ok: bool,
}

/// That it is done, and what the title is now.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyTitled)]
pub(super) struct Titled {
    /// Always true.
    ok: bool,
    title: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "what is read is read as the first version read it; this tells of it")]
struct LegacySearch {
    /// The words.
    q: Option<String>,
    /// The most results, clamped to 1 to 10; 3 without, or when it is no number.
    limit: Option<String>,
}

/// List all sessions
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "legacyListSessions",
    tag = "first version",
    responses((status = 200, description = "All of them, newest activity first", body = List)),
    extensions(("x-codes" = json!(["INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn list(State(api): State<Api>, _: Caller) -> Result<Json<List>, Failure> {
    let sessions = api.engine().sessions(LIST).await?;
    Ok(Json(List { sessions: sessions.into_iter().map(Entry::from).collect() }))
}

/// Search sessions; what is found is filled up with the newest
#[utoipa::path(
    get,
    path = "/sessions/search",
    operation_id = "legacySearchSessions",
    tag = "first version",
    params(LegacySearch),
    responses((status = 200, description = "The best matches, then the newest", body = List)),
    extensions(("x-codes" = json!(["INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn search(
    State(api): State<Api>,
    _: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<List>, Failure> {
    let query = query.unwrap_or_default();
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let limit = value("limit").map_or(RESULTS, |limit| clamped(&limit));
    let found = api.engine().search(&value("q").unwrap_or_default(), limit).await?;
    let mut sessions: Vec<Session> = found.into_iter().map(|found| found.session).collect();
    let most = limit as usize;
    if sessions.len() < most {
        // As many as are wanted, and as many more as may be among the matches already.
        for session in api.engine().sessions(2 * limit).await? {
            if sessions.len() < most && sessions.iter().all(|known| known.id != session.id) {
                sessions.push(session);
            }
        }
    }
    sessions.truncate(most);
    Ok(Json(List { sessions: sessions.into_iter().map(Entry::from).collect() }))
}

/// A number within the bounds; what is no whole number counts as not given.
fn clamped(text: &str) -> u32 {
    match text.trim().parse::<i64>() {
        Ok(number) => u32::try_from(number.clamp(1, i64::from(MOST_RESULTS))).unwrap_or(RESULTS),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow => MOST_RESULTS,
            IntErrorKind::NegOverflow => 1,
            _ => RESULTS,
        },
    }
}

/// Show a session with its history
#[utoipa::path(
    get,
    path = "/sessions/{id}",
    operation_id = "legacyGetSession",
    tag = "first version",
    params(("id" = String, Path, description = "Its id, or that of any thread that it has had")),
    responses((status = 200, description = "It", body = Whole)),
    extensions(("x-codes" = json!(["NO_SESSION", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn show(State(api): State<Api>, _: Caller, Id(id): Id) -> Result<Json<Whole>, Failure> {
    let session = api.engine().session(&id).await?;
    let history = api.engine().history(&session.id).await?;
    Ok(Json(Whole {
        session_id: session.id,
        created_at_ms: session.created_at.as_millis(),
        updated_at_ms: session.updated_at.as_millis(),
        thread_id: session.thread_id.clone(),
        meta: Meta {
            title: session.title,
            title_locked: session.title_locked,
            title_source: session.title_source,
            cwd: session.cwd.display().to_string(),
            model: session.model,
            thread_id: session.thread_id,
        },
        resumed: session.resumed.map(|resumed| LegacyResumed {
            how: resumed.how,
            at: resumed.at,
            at_ms: resumed.at.as_millis(),
        }),
        history: history
            .into_iter()
            .map(|said| Said { role: said.role, text: said.text, ts_ms: said.at.as_millis() })
            .collect(),
    }))
}

/// Rename a session
#[utoipa::path(
    post,
    path = "/sessions/rename",
    operation_id = "legacyRenameSession",
    tag = "first version",
    request_body = Rename,
    responses((status = 200, description = "It is done", body = Done)),
    extensions(("x-codes" = json!(["NO_SESSION", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn rename(
    State(api): State<Api>,
    who: Caller,
    Given(Rename { session_id, title }): Given<Rename>,
) -> Result<Json<Done>, Failure> {
    let patch = SessionPatch { title: Some(title), ..SessionPatch::default() };
    api.engine().change(&who.principal, &session_id, patch).await?;
    Ok(Json(Done { ok: true }))
}

/// Title a session by its latest prompt, as the first version did
#[utoipa::path(
    post,
    path = "/sessions/autoname",
    operation_id = "legacyAutonameSession",
    tag = "first version",
    request_body = LegacyAutoname,
    responses((status = 200, description = "It is done", body = Titled)),
    extensions(("x-codes" = json!(["NO_SESSION", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn autoname(
    State(api): State<Api>,
    _: Caller,
    Given(LegacyAutoname { session_id, force }): Given<LegacyAutoname>,
) -> Result<Json<Titled>, Failure> {
    let session = api.engine().autoname(&session_id, force.unwrap_or_default()).await?;
    Ok(Json(Titled { ok: true, title: session.title }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_clamped_and_nonsense_is_the_default() {
        for (text, limit) in [
            ("1", 1),
            ("7", 7),
            ("10", 10),
            ("11", 10),
            ("0", 1),
            ("-5", 1),
            ("99999999999999999999", 10),
            ("-99999999999999999999", 1),
            ("", 3),
            ("x", 3),
            ("2.5", 3),
            (" 4 ", 4),
            ("+5", 5),
            ("NaN", 3),
        ] {
            assert_eq!(clamped(text), limit, "{text:?}");
        }
    }
}
