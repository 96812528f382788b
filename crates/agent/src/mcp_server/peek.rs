//! The words by which a turn begins and ends, for a host that knows no others: a call of a tool and its answer.

use serde::Deserialize;
use serde_json::Value;

use crate::adapter::Peek;

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Params,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Params {
    #[serde(rename = "requestId")]
    request: Option<i64>,
    #[serde(rename = "_meta")]
    meta: Meta,
    msg: Kind,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    #[serde(rename = "requestId")]
    request: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Kind {
    #[serde(rename = "type")]
    kind: Value,
}

/// What the server said of a call: its answer, or that its turn was stopped, after which there is none.
pub(crate) fn peek(line: &[u8]) -> Option<Peek> {
    let message: Message = serde_json::from_slice(line).ok()?;
    let ended = match message.method.as_deref() {
        None => message.id,
        Some("codex/event") if message.params.msg.kind == "turn_aborted" => message.params.meta.request,
        Some(_) => None,
    };
    ended.map(|call| Peek::Ended(call.to_string()))
}

/// What the server is told: a call, or that one is not wanted any more.
pub(crate) fn peek_input(line: &[u8]) -> Option<Peek> {
    let message: Message = serde_json::from_slice(line).ok()?;
    match message.method.as_deref()? {
        "tools/call" => message.id.map(|call| Peek::Began(call.to_string())),
        "notifications/cancelled" => message.params.request.map(|call| Peek::Ended(call.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_seen_to_begin_and_to_end() {
        let began = Some(Peek::Began("7".to_owned()));
        let ended = || Some(Peek::Ended("7".to_owned()));
        assert_eq!(peek_input(br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"codex"}}"#), began);
        assert_eq!(peek_input(br#"{"method":"notifications/cancelled","params":{"requestId":7}}"#), ended());
        assert_eq!(peek_input(br#"{"id":3,"result":{"decision":"approved"}}"#), None);
        assert_eq!(peek(br#"{"id":7,"result":{}}"#), ended());
        assert_eq!(
            peek(br#"{"method":"codex/event","params":{"_meta":{"requestId":7},"msg":{"type":"turn_aborted"}}}"#),
            ended()
        );
        assert_eq!(
            peek(br#"{"method":"codex/event","params":{"_meta":{"requestId":7},"msg":{"type":"warning"}}}"#),
            None
        );
        assert_eq!(peek(br#"{"id":7,"method":"elicitation/create","params":{}}"#), None);
    }
}
