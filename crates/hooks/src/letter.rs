//! What somebody is told: one JSON object, the same bytes at every try.

use bytes::Bytes;
use engine::Published;
use serde_json::{Map, Value};
use types::{EventId, SessionId, Timestamp};

/// The event of `codexd hooks test`, which never happens otherwise.
pub(crate) const TEST_EVENT: &str = "hook.test";

/// An event on its way to a hook.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// Its name.
    pub(crate) event: String,
    /// Its number; 0 for one that never was.
    pub(crate) id: EventId,
    /// In which session.
    pub(crate) session: Option<SessionId>,
    /// When it happened.
    pub(crate) at: Timestamp,
    /// `{event, id, storeEpoch, at, sessionId?, turnId?, ...}` and what the event is about, as in the API's events.
    pub(crate) body: Bytes,
}

impl Letter {
    /// About an event of this store.
    pub(crate) fn new(event: &Published, epoch: &str) -> Self {
        let mut object: Map<String, Value> = serde_json::from_str(&event.data).unwrap_or_default();
        let at = object.get("at").cloned().and_then(|at| serde_json::from_value(at).ok());
        let name = event.name.as_str();
        for (key, value) in [("event", name.into()), ("id", event.id.0.into()), ("storeEpoch", epoch.into())] {
            object.insert(key.to_owned(), value);
        }
        Self {
            event: name.to_owned(),
            id: event.id,
            session: event.session.clone(),
            at: at.unwrap_or_else(Timestamp::now),
            body: Value::Object(object).to_string().into(),
        }
    }

    /// About nothing.
    pub(crate) fn test(hook: &str) -> Self {
        let at = Timestamp::now();
        let message = "this is a test of the hook; nothing has happened";
        let body = serde_json::json!({
            "event": TEST_EVENT, "id": 0, "storeEpoch": "test", "at": at, "hook": hook, "message": message,
        });
        Self { event: TEST_EVENT.to_owned(), id: EventId(0), session: None, at, body: body.to_string().into() }
    }
}
