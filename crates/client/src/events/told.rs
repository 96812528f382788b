//! What a stream tells.

use serde::{Deserialize as _, de::DeserializeOwned};
use serde_json::{Value, json};
use types::{Approval, EventId, Item, ItemId, Session, SessionId, Timestamp, Turn, TurnId};

/// One thing that a stream tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// There is a connection: the first one, or another one after it was lost.
    Connected {
        /// The daemon's version.
        version: String,
        /// The number of the newest event.
        last: EventId,
        /// Which history the numbers are of.
        epoch: String,
    },
    /// Something happened; or, without a number, something is so (`approval.pending`), or this client has no name for it.
    Event(Box<Event>),
    /// A text in progress grew.
    Text(Text),
    /// The store is another one, or an older copy, than the numbers were from: it goes on from there, and what was known may not
    /// be so any more.
    Reset {
        /// The number of the newest event.
        last: EventId,
        /// Which history the numbers are of now.
        epoch: String,
    },
    /// The daemon ends the stream and says why. It is looked for from now on.
    Closing {
        /// In words.
        reason: String,
    },
    /// The connection broke off, or was never there. It is tried again; told once until there is one.
    Lost {
        /// In words.
        reason: String,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number; what has none is not kept.
    pub id: Option<EventId>,
    /// What happened, as the API names it.
    pub name: String,
    /// In which session.
    pub session: Option<SessionId>,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// When.
    pub at: Option<Timestamp>,
    /// All that the daemon said of it.
    pub data: Value,
}

/// Which text of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// An answer.
    Text,
    /// The summary of thoughts.
    Reasoning,
    /// What a command writes.
    Output,
}

/// What is new of a text in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// The item.
    pub item: ItemId,
    /// Which text of it.
    pub kind: TextKind,
    /// Where it begins in that text, in bytes of UTF-8: always where the piece before it ended.
    pub offset: usize,
    /// The text.
    pub text: String,
    /// The daemon told it as all that there was so far.
    pub snapshot: bool,
}

impl TextKind {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Reasoning => "reasoning",
            Self::Output => "output",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Text, Self::Reasoning, Self::Output].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Event {
    pub(crate) fn new(id: Option<i64>, name: String, data: Value) -> Self {
        let text = |field: &str| data.get(field).and_then(Value::as_str);
        Self {
            id: id.map(EventId),
            name,
            session: text("sessionId").and_then(|id| SessionId::parse(id).ok()),
            turn: text("turnId").and_then(|id| TurnId::parse(id).ok()),
            at: data.get("at").and_then(|at| Timestamp::deserialize(at).ok()),
            data,
        }
    }

    /// The turn that it shows.
    #[must_use]
    pub fn shown_turn(&self) -> Option<Turn> {
        self.shown("turn")
    }

    /// The session that it shows.
    #[must_use]
    pub fn shown_session(&self) -> Option<Session> {
        self.shown("session")
    }

    /// The item that it shows, if it is one of a kind that this client knows.
    #[must_use]
    pub fn item(&self) -> Option<Item> {
        self.shown("item")
    }

    /// The approval that it shows.
    #[must_use]
    pub fn approval(&self) -> Option<Approval> {
        self.shown("approval")
    }

    fn shown<T: DeserializeOwned>(&self, field: &str) -> Option<T> {
        T::deserialize(self.data.get(field)?).ok()
    }
}

impl Told {
    /// The same as one object for programs, with the API's own names: `event`, `id` where it has a number, and `data`. Nothing for
    /// what the daemon did not say.
    #[must_use]
    pub fn object(&self) -> Option<Value> {
        let of = |name: &str, data: Value| Some(json!({ "event": name, "data": data }));
        match self {
            Self::Connected { version, last, epoch } => {
                of("server.connected", json!({"version": version, "lastId": last, "storeEpoch": epoch}))
            }
            Self::Event(event) => {
                let mut object = json!({ "event": event.name, "data": event.data });
                if let Some(id) = event.id {
                    object["id"] = json!(id);
                }
                Some(object)
            }
            Self::Text(Text { session, turn, item, kind, offset, text, snapshot }) => {
                let mut data = json!({"sessionId": session, "turnId": turn, "itemId": item, "kind": kind.as_str(), "offset": offset});
                let (name, field) = if *snapshot { ("item.snapshot", "text") } else { ("item.delta", "delta") };
                data[field] = Value::from(text.as_str());
                of(name, data)
            }
            Self::Reset { last, epoch } => of("stream.reset", json!({"lastId": last, "storeEpoch": epoch})),
            Self::Closing { reason } => of("server.closing", json!({ "reason": reason })),
            Self::Lost { .. } => None,
        }
    }
}
