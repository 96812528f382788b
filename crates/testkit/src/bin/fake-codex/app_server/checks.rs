//! What a request must look like, and how it is refused: the texts are the real one's.

use serde_json::{Value, json};

use crate::sessions::Missing;

/// The longest input text, in characters.
const LONGEST_INPUT: usize = 1 << 20;

/// A JSON-RPC error.
pub(super) struct Refusal {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

pub(super) type Answer = Result<Value, Refusal>;

pub(super) fn refuse<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code: -32600, message: message.into(), data: None })
}

pub(super) fn required<'a>(params: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    params[field].as_str().map_or_else(|| refuse(format!("Invalid request: missing field `{field}`")), Ok)
}

/// The thread's id, which must look like a UUID.
pub(super) fn thread_id<'a>(params: &'a Value, complaint: &str) -> Result<&'a str, Refusal> {
    let id = required(params, "threadId")?;
    match id.char_indices().find(|(_, c)| !c.is_ascii_hexdigit() && *c != '-') {
        None => Ok(id),
        Some((at, c)) => refuse(format!(
            "{complaint}: invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], \
             found `{c}` at {}",
            at + 1
        )),
    }
}

pub(super) fn check_input(params: &Value) -> Result<(), Refusal> {
    let parts = params["input"].as_array().map_or(&[][..], Vec::as_slice);
    let on_the_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    if parts.iter().filter_map(|part| part["url"].as_str()).any(on_the_web) {
        return refuse("remote image URLs are not supported; use an inline data URL instead");
    }
    let chars = parts.iter().filter_map(|part| part["text"].as_str()).map(|text| text.chars().count()).sum::<usize>();
    if chars <= LONGEST_INPUT {
        return Ok(());
    }
    Err(Refusal {
        code: -32602,
        message: format!("Input exceeds the maximum length of {LONGEST_INPUT} characters."),
        data: Some(json!({"input_error_code": "input_too_large", "max_chars": LONGEST_INPUT, "actual_chars": chars})),
    })
}

/// A compaction takes no input.
pub(super) fn not_steerable<T>() -> Result<T, Refusal> {
    let message = "failed to submit turn input: ActiveTurnNotSteerable { turn_kind: Compact }".to_owned();
    Err(Refusal { code: -32603, message, data: None })
}

pub(super) fn not_found<T>(thread: &str) -> Result<T, Refusal> {
    refuse(format!("thread not found: {thread}"))
}

pub(super) fn refuse_missing<T>(thread: &str, missing: &Missing) -> Result<T, Refusal> {
    match missing {
        Missing::NoRollout => refuse(format!("no rollout found for thread id {thread}")),
        Missing::Locked => refuse(format!("thread {thread} already has an active writer")),
        Missing::Archived => {
            refuse(format!("session {thread} is archived. Run `codex unarchive {thread}` to unarchive it first."))
        }
        Missing::Empty(path) => {
            let path = path.display();
            Err(Refusal {
                code: -32603,
                message: format!(
                    "failed to read thread: thread-store internal error: failed to read session metadata {path}: \
                     rollout at {path} is empty"
                ),
                data: None,
            })
        }
    }
}
