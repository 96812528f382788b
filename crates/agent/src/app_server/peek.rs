//! The words by which a turn is asked for, begins and ends, for a host that knows no others. It runs from the moment in which Codex is asked: a host
//! that did not count the moment between the reply and the beginning could end Codex under it.
//!
//! It looks at every line while nobody else does, so most lines are told apart by their beginning.

use serde::{Deserialize, de::IgnoredAny};

use crate::adapter::Peek;

/// All that a line needs to say.
#[derive(Deserialize)]
struct Note<'a> {
    #[serde(borrow, default)]
    method: Option<&'a str>,
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default)]
    params: Params,
}

#[derive(Deserialize, Default)]
struct Params {
    #[serde(rename = "threadId", default)]
    thread: Option<String>,
}

/// How Codex's own lines begin.
const START: &[u8] = br#"{"method":""#;

/// What Codex said of a turn. An item counts as well, because not every turn's beginning is said (0.98.0).
pub(crate) fn peek(line: &[u8]) -> Option<Peek> {
    if let Some(rest) = line.strip_prefix(START) {
        let method = &rest[..rest.iter().position(|byte| *byte == b'"')?];
        if !matches!(method, b"turn/started" | b"item/started" | b"turn/completed") {
            return None;
        }
    }
    let note: Note<'_> = serde_json::from_slice(line).ok()?;
    let thread = note.params.thread;
    let Some(method) = note.method else {
        return note.error.and(note.id).map(Peek::Refused);
    };
    match method {
        "turn/started" | "item/started" => thread.map(Peek::Began),
        "turn/completed" => thread.map(Peek::Ended),
        _ => None,
    }
}

/// What Codex is asked: a turn.
pub(crate) fn peek_input(line: &[u8]) -> Option<Peek> {
    let note: Note<'_> = serde_json::from_slice(line).ok()?;
    let asked = matches!(note.method?, "turn/start" | "thread/compact/start");
    let (id, thread) = note.id.zip(note.params.thread).filter(|_| asked)?;
    Some(Peek::Asked { id, thread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_seen_to_begin_and_to_end() {
        let began = || Some(Peek::Began("t1".to_owned()));
        let ended = || Some(Peek::Ended("t1".to_owned()));
        for (line, seen) in [
            (r#"{"method":"turn/started","params":{"threadId":"t1","turn":{"id":"u"}}}"#, began()),
            (r#"{"params":{"threadId":"t1"},"method":"item/started"}"#, began()),
            (r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"u"}}}"#, ended()),
            (r#"{"method":"item/agentMessage/delta","params":{"threadId":"t1","delta":"turn/completed"}}"#, None),
            (r#"{"id":3,"result":{"method":"turn/started"}}"#, None),
            (r#"{"error":{"code":-32600,"message":"thread not found: t1"},"id":3}"#, Some(Peek::Refused(3))),
            (r#"{"id":"ping","error":{}}"#, None),
            ("not JSON: turn/started", None),
        ] {
            assert_eq!(peek(line.as_bytes()), seen, "{line}");
        }
    }

    #[test]
    fn a_turn_is_seen_to_be_asked_for() {
        let asked = || Some(Peek::Asked { id: 3, thread: "t1".to_owned() });
        for (line, seen) in [
            (r#"{"id":3,"method":"turn/start","params":{"input":[],"threadId":"t1"}}"#, asked()),
            (r#"{"id":3,"method":"thread/compact/start","params":{"threadId":"t1"}}"#, asked()),
            (r#"{"id":3,"method":"turn/steer","params":{"threadId":"t1"}}"#, None),
            (r#"{"id":3,"result":{"decision":"accept"}}"#, None),
        ] {
            assert_eq!(peek_input(line.as_bytes()), seen, "{line}");
        }
    }
}
