//! Events with what they point to, as readers of the API see them.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value, json};
use types::{ApprovalId, Event, EventId, EventName, Item, SessionId, TurnId};

use crate::{
    Store, StoreError, approvals, read,
    rows::{self, ITEM, SESSION, TURN},
};

/// An event with what it points to as that is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its number.
    pub id: EventId,
    /// What happened.
    pub name: EventName,
    /// In which session.
    pub session: Option<SessionId>,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// The item that it is about.
    pub item: Option<Item>,
    /// The payload as JSON: `{sessionId, turnId?, at, ...}` and what the event is about.
    pub data: String,
}

/// So much is read at once, in bytes of payload, and then no further event.
const BUDGET: usize = 16 * 1024;

impl Store {
    /// The events behind this one with what they point to, of one session or of all, oldest first: at most `limit`, and fewer
    /// when they are large. There is none only when there is none.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn published_after(
        &self,
        session: Option<&SessionId>,
        after: EventId,
        limit: u32,
    ) -> Result<Vec<Published>, StoreError> {
        let session = session.cloned();
        let read = move |conn: &Connection| {
            let events = read::events_after(conn, session.as_ref(), after, limit)?;
            let (mut all, mut size) = (Vec::new(), 0);
            for event in events {
                let event = published(conn, event)?;
                size += event.data.len();
                all.push(event);
                if size > BUDGET {
                    break;
                }
            }
            Ok(all)
        };
        self.inner.readers.read(read).await
    }
}

fn published(conn: &Connection, event: Event) -> Result<Published, StoreError> {
    let Event { id, name, at, session_id, turn_id, item_id, detail } = event;
    let mut data = Map::new();
    if let Some(session) = &session_id {
        data.insert("sessionId".to_owned(), json!(session));
    }
    if let Some(turn) = &turn_id {
        data.insert("turnId".to_owned(), json!(turn));
    }
    data.insert("at".to_owned(), json!(at));
    let mut detail = match detail {
        Some(Value::Object(detail)) => detail,
        _ => Map::new(),
    };
    let approval = detail.remove("approvalId");
    // It points to nothing any more, and is still about that session.
    let gone = (name == EventName::SessionDeleted)
        .then(|| detail.get("sessionId").and_then(Value::as_str).and_then(|id| SessionId::parse(id).ok()))
        .flatten();
    // What can't be read from the thing pointed to.
    data.extend(detail);
    let mut item = None;
    let (what, value) = match name.as_str().split('.').next().unwrap_or_default() {
        "session" => ("session", session_id.as_ref().map(|id| session_of(conn, id)).transpose()?.flatten()),
        "turn" => ("turn", turn_id.as_ref().map(|id| turn_of(conn, id.as_str())).transpose()?.flatten()),
        "item" => {
            item = item_id.as_ref().map(|id| item_of(conn, id.as_str())).transpose()?.flatten();
            ("item", item.as_ref().map(|item| json!(item)))
        }
        "approval" => ("approval", approval.map(|id| approval_of(conn, &id)).transpose()?.flatten()),
        // An agent's own events carry it.
        _ => ("agent", None),
    };
    if let Some(value) = value {
        data.insert(what.to_owned(), value);
    }
    let data = Value::Object(data).to_string();
    Ok(Published { id, name, session: session_id.or(gone), turn: turn_id, item, data })
}

fn session_of(conn: &Connection, id: &SessionId) -> Result<Option<Value>, StoreError> {
    let sql = format!("SELECT {SESSION} FROM sessions s WHERE s.id = ?1");
    Ok(read::one(conn, &sql, [id.as_str()], rows::session)?.map(|session| json!(session)))
}

fn turn_of(conn: &Connection, id: &str) -> Result<Option<Value>, StoreError> {
    let sql = format!("SELECT {TURN} FROM turns t JOIN sessions s ON s.n = t.session WHERE t.id = ?1");
    Ok(read::one(conn, &sql, [id], rows::turn)?.map(|turn| json!(turn)))
}

fn item_of(conn: &Connection, id: &str) -> Result<Option<Item>, StoreError> {
    let sql = format!("SELECT {ITEM} FROM items i WHERE i.id = ?1");
    read::one(conn, &sql, [id], rows::item)
}

fn approval_of(conn: &Connection, id: &Value) -> Result<Option<Value>, StoreError> {
    let Some(id) = id.as_str().and_then(|id| ApprovalId::parse(id).ok()) else { return Ok(None) };
    let sql = format!("SELECT {} FROM {} WHERE a.id = ?1", approvals::APPROVAL, approvals::FROM);
    let found = conn.prepare_cached(&sql)?.query_row(params![id.as_str()], approvals::approval).optional()?;
    Ok(found.map(|approval| json!(approval)))
}
