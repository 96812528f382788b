//! Sessions, as the first version told of them.

use std::num::IntErrorKind;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::PathRejection},
};
use engine::Refusal;
use serde::Serialize;
use serde_json::{Value, json};
use types::{Resumed, Role, Session, SessionId, ThreadId, TitleSource};

use crate::{Api, body::Fields, checks::Caller, error::Failure};

/// The longest list.
const LIST: u32 = 10_000;

/// How many results a search has when the request does not say.
const RESULTS: u32 = 3;

/// How many it may ask for.
const MOST_RESULTS: u32 = 10;

#[derive(Serialize)]
pub(super) struct List {
    sessions: Vec<Entry>,
}

#[derive(Serialize)]
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whole {
    session_id: SessionId,
    created_at_ms: i64,
    updated_at_ms: i64,
    thread_id: Option<ThreadId>,
    meta: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<LegacyResumed>,
    history: Vec<Said>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    title: String,
    title_locked: bool,
    title_source: TitleSource,
    cwd: String,
    model: Option<String>,
    thread_id: Option<ThreadId>,
}

/// The same object as in v1, with the time also as the first version's routes tell times.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LegacyResumed {
    #[serde(flatten)]
    resumed: Resumed,
    at_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    role: Role,
    text: String,
    ts_ms: i64,
}

/// `GET /sessions`.
pub(super) async fn list(State(api): State<Api>, _: Caller) -> Result<Json<List>, Failure> {
    let sessions = api.engine().sessions(LIST).await?;
    Ok(Json(List { sessions: sessions.into_iter().map(Entry::from).collect() }))
}

/// `GET /sessions/search`: the best matches, filled up with the newest.
pub(super) async fn search(
    State(api): State<Api>,
    _: Caller,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<List>, Failure> {
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let limit = value("limit").map_or(RESULTS, clamped);
    let found = api.engine().search(value("q").unwrap_or_default(), limit).await?;
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

/// `GET /sessions/{id}`. The id is only ever compared with others.
pub(super) async fn show(
    State(api): State<Api>,
    _: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Whole>, Failure> {
    // Bytes that are no text can't be an id.
    let Path(id) = id.map_err(|_| Refusal::no_session("\u{fffd}"))?;
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
        resumed: session.resumed.map(|resumed| LegacyResumed { resumed, at_ms: resumed.at.as_millis() }),
        history: history
            .into_iter()
            .map(|said| Said { role: said.role, text: said.text, ts_ms: said.at.as_millis() })
            .collect(),
    }))
}

/// `POST /sessions/rename`.
pub(super) async fn rename(State(api): State<Api>, _: Caller, mut body: Fields) -> Result<Json<Value>, Failure> {
    let (session, title) = (body.text("sessionId")?, body.text("title")?);
    api.engine().rename(&session, &title).await?;
    Ok(Json(json!({ "ok": true })))
}

/// `POST /sessions/autoname`.
pub(super) async fn autoname(State(api): State<Api>, _: Caller, mut body: Fields) -> Result<Json<Value>, Failure> {
    let (session, force) = (body.text("sessionId")?, body.optional_flag("force")?);
    let title = api.engine().autoname(&session, force.unwrap_or_default()).await?;
    Ok(Json(json!({ "ok": true, "title": title })))
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
