//! A session as the first version stored it, read into our words.
//!
//! What makes a session (its id, who said what) must be right, or the file is damaged. What is beside it may be missing or
//! odd: then there is something else in its place, and a note.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use types::{Role, SessionId, ThreadId, Timestamp, TitleSource, auto_title, fold_title};

/// The times that RFC 3339 can write: the years 0 to 9999, in milliseconds since 1970.
const TIMES: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_207_200_999;

/// Stands for the folder of a session that does not name one: an absolute path, so that callers see what they expect, below
/// the imported folder, where nothing has this name, so that no turn runs before somebody gives the session a folder.
const NO_FOLDER: &str = "folder-not-known";

/// A file, as JSON has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub(crate) struct RawSession {
    #[serde(default)]
    session_id: Value,
    #[serde(default)]
    created_at_ms: Value,
    #[serde(default)]
    updated_at_ms: Value,
    #[serde(default)]
    meta: Value,
    #[serde(default)]
    thread_id: Value,
    history: Vec<RawMessage>,
}

/// A message, as JSON has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a message, which is an object with role and text")]
struct RawMessage {
    role: String,
    text: String,
    #[serde(default)]
    ts_ms: Value,
    /// An array is no message, and what is unknown of one with an unknown role is kept.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What the index says of a session.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) title: Title,
}

/// What is said of a title, in the index or in the file.
#[derive(Debug, Default, Clone)]
pub(crate) struct Title {
    text: Option<String>,
    source: Option<TitleSource>,
    locked: Option<bool>,
}

/// A session of the first version.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) id: SessionId,
    pub(crate) title: (String, TitleSource, bool),
    pub(crate) cwd: PathBuf,
    pub(crate) model: Option<String>,
    /// Codex's current conversation.
    pub(crate) thread: Option<ThreadId>,
    /// An earlier one, when the file still names it.
    pub(crate) former: Option<ThreadId>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) turns: Vec<OldTurn>,
    /// What was not as it should be.
    pub(crate) notes: Vec<String>,
}

/// A prompt and what follows it; only the first turn may lack its prompt.
#[derive(Debug)]
pub(crate) struct OldTurn {
    pub(crate) messages: Vec<OldMessage>,
}

/// A message.
#[derive(Debug, PartialEq)]
pub(crate) struct OldMessage {
    pub(crate) said: Said,
    pub(crate) at: Timestamp,
}

/// What is said, and by whom.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    User(String),
    Assistant(String),
    /// By somebody that our history has no place for; the whole message.
    Other(Value),
}

impl OldTurn {
    /// Whether there is an answer, be it an empty one.
    pub(crate) fn answered(&self) -> bool {
        self.messages.iter().any(|message| matches!(message.said, Said::Assistant(_)))
    }
}

impl OldMessage {
    /// As our history has it.
    pub(crate) fn in_history(&self) -> Option<(Role, &str, Timestamp)> {
        match &self.said {
            Said::User(text) => Some((Role::User, text, self.at)),
            Said::Assistant(text) => Some((Role::Assistant, text, self.at)),
            Said::Other(_) => None,
        }
    }
}

impl Old {
    /// All that our history has a place for, in order.
    pub(crate) fn history(&self) -> impl Iterator<Item = (Role, &str, Timestamp)> {
        self.turns.iter().flat_map(|turn| &turn.messages).filter_map(OldMessage::in_history)
    }

    /// How many messages [`Old::history`] has.
    pub(crate) fn history_len(&self) -> usize {
        self.history().count()
    }

    /// Reads what the file of this id says. `modified` is when the file was written, `dir` where it is.
    pub(crate) fn read(
        id: SessionId,
        raw: RawSession,
        listed: Option<&Listed>,
        modified: Timestamp,
        dir: &Path,
    ) -> Result<Self, String> {
        match &raw.session_id {
            Value::Null => {}
            Value::String(inside) if *inside == id.as_str() => {}
            other => {
                return Err(format!(
                    "says that it is session {other}, and is named as another; give it that name if it is right, and import again"
                ));
            }
        }
        let mut notes = Vec::new();
        let empty = Map::new();
        let meta = match &raw.meta {
            Value::Object(meta) => meta,
            other => {
                notes.push(format!("meta is {}, not an object: its folder and model are not known", kind(other)));
                &empty
            }
        };
        let unlisted = Listed::default();
        let listed = listed.unwrap_or(&unlisted);

        let first = raw.history.iter().find_map(|message| time(&message.ts_ms));
        let created = stored_time("createdAtMs", &raw.created_at_ms, &mut notes);
        let created_at = created.or(listed.created_at).or(first).unwrap_or(modified);
        let turns = turns(raw.history, created_at, &mut notes);
        let last = turns.iter().flat_map(|turn| &turn.messages).map(|message| message.at).max();
        let updated = stored_time("updatedAtMs", &raw.updated_at_ms, &mut notes).or(listed.updated_at);
        let updated_at = updated.unwrap_or_else(|| last.unwrap_or(created_at).max(created_at));

        let title = title(&Title::read(meta, &mut notes), &listed.title, &turns);
        let cwd = folder(meta.get("cwd"), dir, &mut notes);
        let model = text("meta.model", meta.get("model"), &mut notes).filter(|model| !model.is_empty());
        let former = thread("meta.threadId", meta.get("threadId"), &mut notes);
        let current = thread("threadId", Some(&raw.thread_id), &mut notes);
        let (thread, former) = match current {
            Some(current) => (Some(current.clone()), former.filter(|former| *former != current)),
            None => (former, None),
        };
        if turns.last().is_some_and(|turn| !turn.answered()) {
            notes.push("its last prompt has no answer: the turn is taken as interrupted".to_owned());
        }
        Ok(Self { id, title, cwd, model, thread, former, created_at, updated_at, turns, notes })
    }
}

impl Listed {
    /// An entry of the index.
    pub(crate) fn read(entry: &Map<String, Value>, notes: &mut Vec<String>) -> Self {
        Self {
            created_at: stored_time("createdAtMs", entry.get("createdAtMs").unwrap_or(&Value::Null), notes),
            updated_at: stored_time("updatedAtMs", entry.get("updatedAtMs").unwrap_or(&Value::Null), notes),
            title: Title::read(entry, notes),
        }
    }
}

impl Title {
    fn read(fields: &Map<String, Value>, notes: &mut Vec<String>) -> Self {
        let locked = match fields.get("titleLocked") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(locked)) => Some(*locked),
            Some(other) => {
                notes.push(format!("titleLocked is {}, not true or false: it is left out", kind(other)));
                None
            }
        };
        let source = match text("titleSource", fields.get("titleSource"), notes).as_deref() {
            None | Some("") => None,
            Some("auto") => Some(TitleSource::Auto),
            Some("manual") => Some(TitleSource::Manual),
            Some(other) => {
                notes.push(format!("titleSource {other:?} is unknown: it is left out"));
                None
            }
        };
        Self { text: text("title", fields.get("title"), notes), source, locked }
    }
}

/// A title without a source is one that a person gave at the start: it was never replaced by itself, and is not locked. An
/// empty one was to come from a prompt.
fn title(own: &Title, listed: &Title, turns: &[OldTurn]) -> (String, TitleSource, bool) {
    let given = own.text.as_ref().or(listed.text.as_ref()).and_then(|text| fold_title(text));
    match given {
        Some(title) => {
            let source = own.source.or(listed.source).unwrap_or(TitleSource::Manual);
            (title, source, own.locked.or(listed.locked).unwrap_or(false))
        }
        None => {
            let mut messages = turns.iter().flat_map(|turn| &turn.messages);
            let made = messages.find_map(|message| match &message.said {
                Said::User(text) => auto_title(text),
                _ => None,
            });
            (made.unwrap_or_default(), TitleSource::Auto, false)
        }
    }
}

/// Every prompt begins a turn. A message whose time can't be used has that of the one before it.
fn turns(history: Vec<RawMessage>, created_at: Timestamp, notes: &mut Vec<String>) -> Vec<OldTurn> {
    let mut turns: Vec<OldTurn> = Vec::new();
    let (mut untimed, mut others, mut previous) = (0, 0, created_at);
    for message in history {
        let at = time(&message.ts_ms).unwrap_or_else(|| {
            untimed += 1;
            previous
        });
        previous = at;
        let said = match message.role.as_str() {
            "user" => Said::User(message.text),
            "assistant" => Said::Assistant(message.text),
            _ => {
                others += 1;
                let mut whole = message.rest;
                whole.insert("role".to_owned(), message.role.into());
                whole.insert("text".to_owned(), message.text.into());
                whole.insert("tsMs".to_owned(), message.ts_ms);
                Said::Other(whole.into())
            }
        };
        let begins = matches!(said, Said::User(_));
        let message = OldMessage { said, at };
        match turns.last_mut() {
            Some(turn) if !begins => turn.messages.push(message),
            _ => turns.push(OldTurn { messages: vec![message] }),
        }
    }
    if untimed > 0 {
        notes.push(format!("the times of {untimed} messages can't be used: each has that of the message before it"));
    }
    if others > 0 {
        notes.push(format!(
            "{others} messages are neither user's nor assistant's: they are in their turns, but not in the history"
        ));
    }
    turns
}

/// As it is stored, also when it is gone: a turn there is refused until the session is given another one.
fn folder(stored: Option<&Value>, dir: &Path, notes: &mut Vec<String>) -> PathBuf {
    let fix = "turns are refused until it is changed (PATCH with cwd)";
    match text("meta.cwd", stored, notes).filter(|cwd| !cwd.is_empty()) {
        Some(cwd) => {
            let cwd = PathBuf::from(cwd);
            if !cwd.is_absolute() {
                notes.push(format!("its folder {cwd:?} is not an absolute path on this system: {fix}"));
            }
            cwd
        }
        None => {
            // The store keeps folders as text.
            let cwd = PathBuf::from(dir.join(NO_FOLDER).to_string_lossy().into_owned());
            notes.push(format!("names no folder; {cwd:?} stands for it: {fix}"));
            cwd
        }
    }
}

fn text(name: &str, value: Option<&Value>, notes: &mut Vec<String>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => {
            notes.push(format!("{name} is {}, not a text: it is left out", kind(other)));
            None
        }
    }
}

fn thread(name: &str, value: Option<&Value>, notes: &mut Vec<String>) -> Option<ThreadId> {
    let text = text(name, value, notes).filter(|text| !text.is_empty())?;
    match ThreadId::parse(&text) {
        Ok(thread) => Some(thread),
        Err(error) => {
            notes.push(format!("{name} {text:?} is left out: {error}"));
            None
        }
    }
}

fn stored_time(name: &str, value: &Value, notes: &mut Vec<String>) -> Option<Timestamp> {
    let time = time(value);
    if time.is_none() && !value.is_null() {
        notes.push(format!("{name} {value} is no time: another one stands for it"));
    }
    time
}

/// Milliseconds since 1970, when they are a time that can be written down.
fn time(value: &Value) -> Option<Timestamp> {
    let millis = value.as_i64().or_else(|| value.as_f64().map(|millis| millis as i64))?;
    TIMES.contains(&millis).then(|| Timestamp::from_millis(millis))
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "missing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
