//! The server-sent events of one response, as Codex expects them.

use bytes::Bytes;
use serde_json::{Value, json};

/// Usage of one request, in tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) input: usize,
    pub(crate) cached: usize,
    pub(crate) output: usize,
    pub(crate) reasoning: usize,
}

/// Above this many tokens Codex might begin to compact (it assumes a window of 258,400 for a model that it does not know).
const MOST_TOKENS: usize = 50_000;

/// The tokens of that many bytes of text.
pub(crate) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(4).min(MOST_TOKENS)
}

fn event(value: &Value) -> Bytes {
    let kind = value["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {kind}\ndata: {value}\n\n"))
}

pub(crate) fn created(id: &str) -> Bytes {
    event(&json!({"type": "response.created", "response": {"id": format!("resp_{id}")}}))
}

pub(crate) fn message_added(id: &str) -> Bytes {
    event(&json!({"type": "response.output_item.added", "output_index": 0, "item": {
        "type": "message", "id": id, "role": "assistant", "status": "in_progress", "content": []}}))
}

pub(crate) fn text_delta(id: &str, delta: &str) -> Bytes {
    event(
        &json!({"type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0, "delta": delta}),
    )
}

pub(crate) fn message_done(id: &str, text: &str) -> Bytes {
    event(&json!({"type": "response.output_item.done", "output_index": 0, "item": {
        "type": "message", "id": id, "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]}}))
}

/// The whole of a reasoning item.
pub(crate) fn reasoning(id: &str, text: &str) -> Bytes {
    let events = [
        json!({"type": "response.output_item.added", "output_index": 0,
            "item": {"type": "reasoning", "id": id, "summary": []}}),
        json!({"type": "response.reasoning_summary_part.added", "item_id": id, "output_index": 0, "summary_index": 0,
            "part": {"type": "summary_text", "text": ""}}),
        json!({"type": "response.reasoning_summary_text.delta", "item_id": id, "output_index": 0, "summary_index": 0,
            "delta": text}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": id,
            "summary": [{"type": "summary_text", "text": text}], "encrypted_content": null}}),
    ];
    events.iter().map(event).collect::<Vec<_>>().concat().into()
}

pub(crate) fn function_call(id: &str, name: &str, arguments: &Value) -> Bytes {
    event(&json!({"type": "response.output_item.done", "output_index": 0, "item": {
        "type": "function_call", "id": format!("fc_{id}"), "call_id": format!("call_{id}"),
        "name": name, "arguments": arguments.to_string()}}))
}

pub(crate) fn completed(id: &str, usage: Usage) -> Bytes {
    event(&json!({"type": "response.completed", "response": {"id": format!("resp_{id}"), "usage": {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output}}}))
}

pub(crate) fn context_length_exceeded(id: &str) -> Bytes {
    event(&json!({"type": "response.failed", "response": {"id": format!("resp_{id}"), "error": {
        "code": "context_length_exceeded",
        "message": "Your input exceeds the context window of this model. Please adjust your input and try again."}}}))
}

/// The body of an HTTP error.
pub(crate) fn error_body(status: u16) -> String {
    json!({"error": {"message": format!("scripted failure {status}"), "type": "scripted", "code": "scripted"}})
        .to_string()
}
