//! Telling a turn: its answer on stdout, everything around it on stderr, its end as the exit code.

use client::Reply;
use serde_json::{Map, Value};
use types::{Delivery, ItemBody, ItemId, Turn, TurnStatus};

use super::page::PageArgs;
use crate::{
    exit::Exit,
    output::{self, Output, live::Live},
};

/// Tells how a turn ended, or that it has not. `items`: an object has them, too.
pub(super) fn tell(output: &Output, turn: &Reply<Turn>, page: &PageArgs, items: bool) -> anyhow::Result<Exit> {
    tell_after(output, turn, page, items, None)
}

/// The same without what stands there already.
pub(super) fn tell_after(
    output: &Output,
    turn: &Reply<Turn>,
    page: &PageArgs,
    items: bool,
    shown: Option<&Live>,
) -> anyhow::Result<Exit> {
    if shown.is_some_and(|shown| shown.has_shown_answer(turn)) {
        // It was seen as it came.
    } else if output.json() {
        output.object(object(&turn.json, page, items)?.as_bytes())?;
    } else if let Some(answer) = &turn.answer {
        // Parts join without a gap for whoever takes one newline off each.
        let part = page.cut(answer).text;
        if page.is_given() { output.text(&format!("{part}\n"))? } else { output.text(part)? }
    }
    if let Some(told) = turn.answer.as_ref().and_then(|answer| page.cut(answer).told(turn.id.as_str())) {
        output.note(&told);
    }
    for (item, warning) in warnings(turn) {
        if !shown.is_some_and(|shown| shown.has_warned(item)) {
            output.note(&format!("warning: {warning}"));
        }
    }
    if let Some(told) = declined(turn) {
        output.note(&told);
    }
    if let Some(reason) = reason(turn) {
        output::error(&reason);
    }
    if let Some(hint) = hint(turn) {
        output.note(&hint);
    }
    if turn.status == TurnStatus::Completed {
        output.aside(&format!("continue with: codexd continue {} \"…\"", turn.session_id));
    }
    Ok(verdict(turn))
}

/// The exit code of a turn.
pub(super) const fn verdict(turn: &Turn) -> Exit {
    match turn.status {
        TurnStatus::Completed => Exit::Completed,
        TurnStatus::Failed => Exit::TurnFailed,
        TurnStatus::Interrupted => Exit::Interrupted,
        TurnStatus::Queued | TurnStatus::Running => Exit::GoesOn,
    }
}

/// The API's object, with the part of the answer that was asked for.
fn object(json: &[u8], page: &PageArgs, items: bool) -> serde_json::Result<String> {
    let mut turn: Map<String, Value> = serde_json::from_slice(json)?;
    page.cut_answer(&mut turn);
    if !items {
        turn.remove("items");
    }
    serde_json::to_string(&turn)
}

/// Why a turn has no answer, or not a whole one.
pub(super) fn reason(turn: &Turn) -> Option<String> {
    let what = match turn.status {
        TurnStatus::Failed => "the turn failed",
        TurnStatus::Interrupted => "the turn was interrupted",
        _ => return None,
    };
    Some(turn.error.as_ref().map_or_else(|| what.to_owned(), |error| format!("{what}: {}", error.message)))
}

/// What may help.
fn hint(turn: &Turn) -> Option<String> {
    turn.error.as_ref().filter(|error| error.retryable)?;
    // With the prompt in Codex's own record, the same again is a second time; only a person can know.
    let force = if turn.delivery == Delivery::Yes { " --force" } else { "" };
    Some(format!("it may well work later; try again with: codexd turn retry {}{force}", turn.id))
}

/// The warnings among what happened.
pub(super) fn warnings(turn: &Turn) -> impl Iterator<Item = (&ItemId, &str)> {
    turn.items.iter().filter_map(|item| match &item.body {
        ItemBody::Warning { message } => Some((&item.id, message.as_str())),
        _ => None,
    })
}

/// That Codex asked for more than it got.
pub(super) fn declined(turn: &Turn) -> Option<String> {
    let what = match turn.declined.len() {
        0 => return None,
        1 => "one request of Codex was declined".to_owned(),
        several => format!("{several} requests of Codex were declined"),
    };
    Some(format!("{what}; see codexd turn show {} --items", turn.id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turn(more: Value) -> Turn {
        let mut object = json!({
            "id": "u1", "sessionId": "s1", "status": "completed", "delivery": "yes", "prompt": "p", "declined": [],
            "origin": "cli", "principal": "local", "createdAt": "2026-01-01T00:00:00.000Z",
        });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_exit_code_is_the_status() {
        for (status, exit) in [
            ("completed", Exit::Completed),
            ("failed", Exit::TurnFailed),
            ("interrupted", Exit::Interrupted),
            ("queued", Exit::GoesOn),
            ("running", Exit::GoesOn),
        ] {
            assert_eq!(verdict(&turn(json!({ "status": status }))), exit);
        }
    }

    #[test]
    fn what_failed_says_why_and_what_to_do() {
        let error = json!({"code": "RATE_LIMITED", "message": "not now", "retryable": true});
        let failed = turn(json!({"status": "failed", "error": error}));
        assert_eq!(reason(&failed).unwrap(), "the turn failed: not now");
        assert!(hint(&failed).unwrap().ends_with("codexd turn retry u1 --force"));
        let unheard = turn(json!({"status": "interrupted", "error": error, "delivery": "no"}));
        assert_eq!(reason(&unheard).unwrap(), "the turn was interrupted: not now");
        assert!(hint(&unheard).unwrap().ends_with("codexd turn retry u1"));
        let hopeless = json!({"code": "LOGIN_REQUIRED", "message": "run codex login", "retryable": false});
        assert_eq!(hint(&turn(json!({"status": "failed", "error": hopeless}))), None);
        assert_eq!(reason(&turn(json!({}))), None);
    }

    #[test]
    fn an_object_has_items_only_when_they_are_wanted() {
        let json = br#"{"answer":"abc","items":[{"x":1}],"new":true}"#;
        let page = PageArgs::default();
        assert_eq!(
            object(json, &page, false).unwrap(),
            r#"{"answer":"abc","answerChars":3,"answerFrom":0,"new":true}"#
        );
        assert!(object(json, &page, true).unwrap().contains(r#""items":[{"x":1}]"#));
    }

    #[test]
    fn declined_requests_are_counted() {
        assert_eq!(declined(&turn(json!({}))), None);
        assert!(declined(&turn(json!({"declined": ["a"]}))).unwrap().starts_with("one request"));
        assert!(declined(&turn(json!({"declined": ["a", "b"]}))).unwrap().starts_with("2 requests"));
    }
}
