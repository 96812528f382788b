//! What happens beside the items of a turn, for who watches. Pure: events in, text out.

use client::Event;
use types::{ApprovalStatus, ResumedHow, TurnStatus};

use super::{BAD, BOLD, DIM, GOOD, REMARK, asked, brief::Room, clean_line, cut, items};

/// The lines of a command or a change in a question.
const LINES: usize = 40;

/// The columns of a prompt where nobody looks at a terminal.
const PROMPT: usize = 200;

/// What is worth knowing beside the answer of a turn that is waited for.
pub(crate) fn in_turn(event: &Event) -> Option<String> {
    match event.name.as_str() {
        "session.resumed" => resumed(event),
        "turn.steered" => {
            let prompt = event.data.get("prompt")?.as_str()?;
            Some(format!("{DIM}added to the turn:{DIM:#} {}\n", cut(&clean_line(prompt), PROMPT)))
        }
        _ => None,
    }
}

/// What is worth knowing when all is watched.
pub(crate) fn event(event: &Event, room: Room) -> Option<String> {
    match event.name.as_str() {
        "turn.queued" | "turn.started" => {
            let turn = event.shown_turn()?;
            let what = if event.name == "turn.queued" { "asked" } else { "begins" };
            let prompt = cut(&clean_line(&turn.prompt), room.columns.unwrap_or(PROMPT).saturating_sub(2).max(10));
            let more = if event.name == "turn.queued" { format!("{BOLD}> {prompt}{BOLD:#}\n") } else { String::new() };
            Some(format!("{more}{DIM}turn {} {what}{DIM:#}\n", turn.id))
        }
        "turn.held" => Some(format!("{REMARK}turn {} is held{REMARK:#}\n", event.turn.as_ref()?)),
        "turn.completed" | "turn.failed" | "turn.interrupted" => ended(event),
        "turn.steered" | "session.resumed" => in_turn(event),
        "approval.requested" | "approval.pending" => {
            let approval = event.approval().filter(|approval| approval.status == ApprovalStatus::Pending)?;
            Some(format!("{}{DIM}{}{DIM:#}\n", asked::whole(&approval, LINES), clean_line(&asked::how(&approval))))
        }
        "approval.resolved" => Some(format!("{DIM}{}{DIM:#}\n", asked::outcome(&event.approval()?))),
        name @ ("session.created" | "session.archived" | "session.deleted") => {
            Some(format!("{DIM}session {}{DIM:#}\n", name.rsplit('.').next()?))
        }
        name @ ("agent.started" | "agent.exited" | "agent.restarted" | "agent.attached") => {
            Some(format!("{DIM}Codex: {}{DIM:#}\n", name.rsplit('.').next()?))
        }
        _ => None,
    }
}

fn ended(event: &Event) -> Option<String> {
    let turn = event.shown_turn()?;
    let style = match turn.status {
        TurnStatus::Completed => GOOD,
        TurnStatus::Failed => BAD,
        _ => REMARK,
    };
    let why = turn.error.as_ref().map(|error| format!(": {}", clean_line(&error.message))).unwrap_or_default();
    let tokens = turn.usage.map(|usage| format!(" {DIM}({}){DIM:#}", items::tokens(&usage))).unwrap_or_default();
    Some(format!("{style}{}{style:#}{why}{tokens}\n", turn.status.as_str()))
}

/// Only what changes what Codex knows.
fn resumed(event: &Event) -> Option<String> {
    let how = event.shown_session()?.resumed?.how;
    let text = match how {
        ResumedHow::Replayed => "Codex had lost this conversation and was given what was said in it",
        _ => return None,
    };
    Some(format!("{REMARK}{text}{REMARK:#}\n"))
}

#[cfg(test)]
mod tests {
    use types::{EventId, SessionId, Timestamp, TurnId};

    use super::*;

    const ROOM: Room = Room { columns: Some(40) };

    fn told(name: &str, data: serde_json::Value) -> Option<String> {
        let event = Event {
            id: Some(EventId(1)),
            name: name.to_owned(),
            session: SessionId::parse("s1").ok(),
            turn: TurnId::parse("u1").ok(),
            at: Some(Timestamp::from_millis(0)),
            data,
        };
        super::event(&event, ROOM).map(|text| anstream::adapter::strip_str(&text).to_string())
    }

    fn turn(status: &str, more: serde_json::Value) -> serde_json::Value {
        let mut turn = serde_json::json!({"id": "u1", "sessionId": "s1", "status": status, "delivery": "yes",
            "prompt": "do it\x1b[2J\nand more of it than a line can have", "declined": [], "origin": "cli", "principal": "local",
            "createdAt": "2026-01-01T00:00:00.000Z"});
        turn.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!({ "turn": turn })
    }

    #[test]
    fn turns_begin_and_end() {
        let none = serde_json::json!({});
        let asked = told("turn.queued", turn("queued", none.clone())).unwrap();
        assert_eq!(asked, "> do it and more of it than a line can…\nturn u1 asked\n");
        assert_eq!(told("turn.started", turn("running", none.clone())).unwrap(), "turn u1 begins\n");
        let usage = serde_json::json!({"usage": {"inputTokens": 5, "cachedInputTokens": 1, "outputTokens": 2, "reasoningTokens": 0}});
        assert_eq!(told("turn.completed", turn("completed", usage)).unwrap(), "completed (5 in (1 cached), 2 out)\n");
        let error = serde_json::json!({"error": {"code": "OTHER", "message": "no\nmore", "retryable": false}});
        assert_eq!(told("turn.failed", turn("failed", error)).unwrap(), "failed: no more\n");
    }

    #[test]
    fn what_is_not_known_or_not_whole_is_passed_over() {
        let none = serde_json::json!({});
        for name in ["turn.diff", "turn.usage", "something.new", "turn.completed", "approval.requested", "turn.queued"]
        {
            assert_eq!(told(name, none.clone()), None, "{name}");
        }
        assert_eq!(told("agent.restarted", none).unwrap(), "Codex: restarted\n");
        let steered = told("turn.steered", serde_json::json!({"prompt": "also\nthat"})).unwrap();
        assert_eq!(steered, "added to the turn: also that\n");
    }
}
