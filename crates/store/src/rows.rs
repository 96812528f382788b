//! Rows as types, and the words in which the store keeps what has no number.

use rusqlite::{Row, types::Type};
use serde::de::{
    DeserializeOwned, IntoDeserializer,
    value::{Error as WordError, StrDeserializer},
};
use types::{
    AgentId, AskId, BadId, Event, EventId, Item, ItemBody, ItemId, ItemStatus, Principal, Resumed, Session, SessionId,
    SessionStatus, ThreadId, Timestamp, Turn, TurnId, TurnStatus,
};

use crate::{Message, PendingAsk, StoredSession, StoredTurn};

/// What [`session`] reads, from `sessions s`. The unfinished turns are found by their own small index.
pub(crate) const SESSION: &str = "s.id, s.title, s.title_source, s.title_locked, s.cwd, s.model, s.sandbox, \
    s.approval_policy, s.thread_id, s.backend, s.forked_from, s.labels, s.turn_count, s.resumed_how, s.resumed_at, \
    s.created_at, s.updated_at, s.archived_at, s.config, s.usage, s.allowed, \
    EXISTS (SELECT 1 FROM turns q WHERE q.session = s.n AND q.status IN ('queued', 'running')), \
    EXISTS (SELECT 1 FROM approvals p WHERE p.session = s.n AND p.status = 'pending'), \
    (SELECT json_object('path', w.path, 'repository', w.repository, 'branch', w.branch, 'base', w.base) \
        FROM worktrees w WHERE w.session = s.id)";

/// What [`stored_session`] reads after that.
pub(crate) const STORED_SESSION: &str =
    "s.principal, s.origin, s.developer_instructions, s.seen_agent, s.seen_seq, s.base";

/// What [`turn`] reads, from `turns t` and `sessions s`. The prompt is the text of the turn's first item; the answer that
/// of its last completed agent message.
pub(crate) const TURN: &str = "t.id, s.id, t.status, t.delivery, \
    (SELECT p.text FROM items p WHERE p.turn = t.n ORDER BY p.n LIMIT 1), \
    (SELECT a.text FROM items a WHERE a.turn = t.n AND a.text IS NOT NULL AND a.kind = 'agentMessage' \
        AND a.status = 'completed' ORDER BY a.n DESC LIMIT 1), \
    t.usage, t.error, t.declined, t.origin, t.principal, \
    CASE t.status WHEN 'queued' THEN (SELECT count(*) FROM turns q WHERE q.session = t.session \
        AND q.status IN ('queued', 'running') AND q.status = 'queued' AND q.n <= t.n) END, \
    t.created_at, t.started_at, t.ended_at, t.kind, t.retry_of, t.held";

/// What [`stored_turn`] reads after that.
pub(crate) const STORED_TURN: &str = "t.agent, t.codex_thread, t.codex_turn, \
    (SELECT p.id FROM items p WHERE p.turn = t.n ORDER BY p.n LIMIT 1), t.options, t.ask, t.stopping";

/// What [`item`] reads, from `items i`.
pub(crate) const ITEM: &str = "i.id, i.kind, i.status, i.at, i.text, i.body";

/// What [`event`] reads, from `events e` joined to what it points to.
pub(crate) const EVENT: &str = "e.id, e.name, e.at, s.id, t.id, i.id, e.detail";

pub(crate) fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let resumed_how: Option<String> = row.get(13)?;
    let resumed_at: Option<i64> = row.get(14)?;
    let resumed = match (resumed_how, resumed_at) {
        (Some(how), Some(at)) => Some(Resumed { how: checked(13, word(&how))?, at: Timestamp::from_millis(at) }),
        _ => None,
    };
    let (busy, waiting): (bool, bool) = (row.get(21)?, row.get(22)?);
    Ok(Session {
        id: id(row, 0, SessionId::parse)?,
        title: row.get(1)?,
        title_source: word_at(row, 2)?,
        title_locked: row.get(3)?,
        status: match (waiting, busy) {
            (true, _) => SessionStatus::WaitingApproval,
            (false, true) => SessionStatus::Running,
            (false, false) => SessionStatus::Idle,
        },
        cwd: row.get::<_, String>(4)?.into(),
        worktree: optional_json(row, 23)?,
        model: row.get(5)?,
        sandbox: word_at(row, 6)?,
        approval_policy: word_at(row, 7)?,
        thread_id: optional_id(row, 8, ThreadId::parse)?,
        backend: row.get(9)?,
        forked_from: optional_id(row, 10, SessionId::parse)?,
        labels: json(row, 11)?,
        config: json(row, 18)?,
        turn_count: count(row, 12)?,
        usage: optional_json(row, 19)?,
        allowed: json(row, 20)?,
        resumed,
        created_at: time(row, 15)?,
        updated_at: time(row, 16)?,
        archived_at: optional_time(row, 17)?,
    })
}

pub(crate) fn stored_session(row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let agent = optional_id(row, 27, AgentId::parse)?;
    let seq: Option<i64> = row.get(28)?;
    Ok(StoredSession {
        session: session(row)?,
        principal: Principal::from_name(&row.get::<_, String>(24)?),
        origin: word_at(row, 25)?,
        developer_instructions: row.get(26)?,
        base: optional_json(row, 29)?,
        seen: agent.zip(seq.map(i64::cast_unsigned)),
    })
}

/// A turn without its items.
pub(crate) fn turn(row: &Row<'_>) -> rusqlite::Result<Turn> {
    let status: TurnStatus = word_at(row, 2)?;
    Ok(Turn {
        id: id(row, 0, TurnId::parse)?,
        session_id: id(row, 1, SessionId::parse)?,
        kind: word_at(row, 15)?,
        status,
        held: status == TurnStatus::Queued && row.get(17)?,
        delivery: word_at(row, 3)?,
        prompt: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        retry_of: optional_id(row, 16, TurnId::parse)?,
        answer: row.get(5)?,
        items: Vec::new(),
        usage: optional_json(row, 6)?,
        error: optional_json(row, 7)?,
        declined: json(row, 8)?,
        origin: word_at(row, 9)?,
        principal: row.get(10)?,
        position: row.get::<_, Option<i64>>(11)?.map(i64::cast_unsigned),
        created_at: time(row, 12)?,
        started_at: optional_time(row, 13)?,
        ended_at: optional_time(row, 14)?,
    })
}

/// A turn with what callers don't see of it, still without its items.
pub(crate) fn stored_turn(row: &Row<'_>) -> rusqlite::Result<StoredTurn> {
    Ok(StoredTurn {
        turn: turn(row)?,
        agent: optional_id(row, 18, AgentId::parse)?,
        thread: optional_id(row, 19, ThreadId::parse)?,
        codex_turn: row.get(20)?,
        ask: row.get::<_, Option<i64>>(23)?.map(AskId),
        stopping: row.get(24)?,
        prompt_item: id(row, 21, ItemId::parse)?,
        options: optional_json(row, 22)?.unwrap_or_default(),
    })
}

pub(crate) fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let kind: String = row.get(1)?;
    let text: Option<String> = row.get(4)?;
    let body = match (kind.as_str(), text) {
        ("userMessage", Some(text)) => {
            ItemBody::UserMessage { text, images: optional_json(row, 5)?.unwrap_or_default() }
        }
        ("agentMessage", Some(text)) => ItemBody::AgentMessage { text },
        _ => json(row, 5)?,
    };
    Ok(Item { id: id(row, 0, ItemId::parse)?, status: word_at(row, 2)?, at: time(row, 3)?, body })
}

/// How an item's body is stored: the text of a message, and as JSON what is left.
pub(crate) fn item_columns(body: &ItemBody) -> serde_json::Result<(Option<&str>, Option<String>)> {
    Ok(match body {
        ItemBody::UserMessage { text, images } if images.is_empty() => (Some(text), None),
        ItemBody::UserMessage { text, images } => (Some(text), Some(serde_json::to_string(images)?)),
        ItemBody::AgentMessage { text } => (Some(text), None),
        other => (None, Some(serde_json::to_string(other)?)),
    })
}

pub(crate) const fn item_status(status: ItemStatus) -> &'static str {
    match status {
        ItemStatus::InProgress => "inProgress",
        ItemStatus::Completed => "completed",
        ItemStatus::Failed => "failed",
        ItemStatus::Declined => "declined",
        ItemStatus::Incomplete => "incomplete",
    }
}

pub(crate) fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    let kind: String = row.get(1)?;
    Ok(Message {
        turn: id(row, 0, TurnId::parse)?,
        role: if kind == "agentMessage" { types::Role::Assistant } else { types::Role::User },
        text: row.get(2)?,
        at: time(row, 3)?,
        delivery: word_at(row, 4)?,
    })
}

pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let name: String = row.get(1)?;
    Ok(Event {
        id: EventId(row.get(0)?),
        name: name.parse().map_err(|()| bad(1, format!("no event is named {name:?}").into()))?,
        at: time(row, 2)?,
        session_id: optional_id(row, 3, SessionId::parse)?,
        turn_id: optional_id(row, 4, TurnId::parse)?,
        item_id: optional_id(row, 5, ItemId::parse)?,
        detail: optional_json(row, 6)?,
    })
}

pub(crate) fn ask(row: &Row<'_>) -> rusqlite::Result<PendingAsk> {
    Ok(PendingAsk {
        id: AskId(row.get(0)?),
        agent: id(row, 1, AgentId::parse)?,
        session: id(row, 2, SessionId::parse)?,
        turn: optional_id(row, 3, TurnId::parse)?,
        meaning: row.get(4)?,
        at: time(row, 5)?,
        thread: optional_id(row, 6, ThreadId::parse)?,
    })
}

/// An id that stands alone in a column.
pub(crate) fn id<T>(row: &Row<'_>, column: usize, parse: fn(&str) -> Result<T, BadId>) -> rusqlite::Result<T> {
    checked(column, parse(row.get_ref(column)?.as_str()?))
}

pub(crate) fn optional_id<T>(
    row: &Row<'_>,
    column: usize,
    parse: fn(&str) -> Result<T, BadId>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => checked(column, parse(text)).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub(crate) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// A word of one of the closed sets; its spelling is the one in JSON.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, WordError> {
    let words: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(words)
}

pub(crate) fn word_at<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    checked(column, word(row.get_ref(column)?.as_str()?))
}

pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    checked(column, serde_json::from_str(row.get_ref(column)?.as_str()?))
}

pub(crate) fn optional_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => checked(column, serde_json::from_str(text)).map(Some),
        None => Ok(None),
    }
}

fn checked<T, E>(column: usize, result: Result<T, E>) -> rusqlite::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|error| bad(column, Box::new(error)))
}

fn bad(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
}
