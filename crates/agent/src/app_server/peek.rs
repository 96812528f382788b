//! The words by which a turn begins and ends, for a host that knows no others.
//!
//! It looks at every line while nobody else does, so most lines are told apart by their beginning.

use serde::Deserialize;

use crate::adapter::Peek;

/// All that a line needs to say.
#[derive(Deserialize)]
struct Note<'a> {
    #[serde(borrow, default)]
    method: Option<&'a str>,
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
    match note.method? {
        "turn/started" | "item/started" => thread.map(Peek::Began),
        "turn/completed" => thread.map(Peek::Ended),
        _ => None,
    }
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
            ("not JSON: turn/started", None),
        ] {
            assert_eq!(peek(line.as_bytes()), seen, "{line}");
        }
    }
}
