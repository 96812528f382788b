//! Which turn of a thread's record holds a prompt, found page by page, the newest turn first.
//!
//! Nothing of ours is asked of a thread before the turn that died in it is settled. So the search ends at the first prompt of ours that is
//! older (its id is smaller: ids begin with the time): what lies behind that was asked before. A clock that was set back makes the search
//! longer, never wrong.
//!
//! What has no id of anybody's was written by an older Codex, or by its own terminal: it may be the prompt that is looked for, and nobody
//! can tell.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use types::{ItemBody, ItemStatus, ThreadId, TurnId};

use super::{errors, items, wire};
use crate::{
    domain::Outcome,
    record::{Record, RecordedItem, RecordedTurn},
};

/// The request for a page. `thread/read` and the reply to `thread/resume` hold all turns at once, which may be very many.
pub(super) const METHOD: &str = "thread/turns/list";

/// Turns on a page. The one that is looked for is nearly always the newest.
const PAGE: u32 = 10;

/// More pages than this are not looked at.
const MOST_PAGES: u32 = 100;

/// A search on its way.
pub(super) struct Search {
    thread: ThreadId,
    prompt: Option<TurnId>,
    codex_turn: Option<String>,
    pub(super) deadline: Instant,
    pages: u32,
    /// The newest turn, when it was cut off and has no prompt.
    cut_off: Option<String>,
}

/// What follows from a page.
pub(super) enum Next {
    /// The page at this cursor.
    Page(String),
    Done(Record),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<OnRecord<'a>>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct OnRecord<'a> {
    id: String,
    status: String,
    #[serde(default)]
    error: Option<wire::TurnFailure>,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    #[serde(default, deserialize_with = "wire::lenient")]
    client_id: Option<String>,
}

impl Search {
    pub(super) const fn new(
        thread: ThreadId,
        prompt: Option<TurnId>,
        codex_turn: Option<String>,
        deadline: Instant,
    ) -> Self {
        Self { thread, prompt, codex_turn, deadline, pages: 0, cut_off: None }
    }

    /// The parameters for a page.
    pub(super) fn page(&self, cursor: Option<&str>) -> Value {
        let mut params = json!({"threadId": self.thread, "limit": PAGE, "itemsView": "full"});
        if let Some(cursor) = cursor {
            params["cursor"] = json!(cursor);
        }
        params
    }

    /// A page is here.
    pub(super) fn read(&mut self, result: Option<&RawValue>) -> Result<Next, serde_json::Error> {
        let page: Page<'_> = wire::read(result)?;
        for (place, turn) in page.data.into_iter().enumerate() {
            let newest = self.pages == 0 && place == 0;
            if let Some(record) = self.look(turn.read()?, newest) {
                return Ok(Next::Done(record));
            }
        }
        self.pages += 1;
        Ok(match page.next_cursor {
            None => Next::Done(Record::Absent { cut_off: self.cut_off.take() }),
            Some(_) if self.pages >= MOST_PAGES => {
                Next::Done(Record::Unclear("Codex has more on record than is looked at".to_owned()))
            }
            Some(cursor) => Next::Page(cursor),
        })
    }

    /// What is known once this turn was looked at; nothing when the search goes on.
    fn look(&mut self, turn: RecordedTurn, newest: bool) -> Option<Record> {
        let named = self.codex_turn.as_ref() == Some(&turn.codex_turn);
        let Some(ours) = self.prompt.as_ref().map(TurnId::as_str) else {
            return named.then_some(Record::Turn(turn));
        };
        let mut prompts = turn.items.iter().filter(|item| matches!(item.body, ItemBody::UserMessage { .. })).peekable();
        let has_prompt = prompts.peek().is_some();
        let given: Vec<&str> = prompts.filter_map(|prompt| prompt.given.as_deref()).collect();
        if given.contains(&ours) {
            return Some(Record::Turn(turn));
        }
        let cut_off = newest && !has_prompt && turn.outcome == Outcome::Interrupted;
        if cut_off && self.codex_turn.as_ref().is_none_or(|_| named) {
            self.cut_off = Some(turn.codex_turn);
            return None;
        }
        if named {
            return Some(Record::Unclear(
                "Codex has the turn on record, with another prompt or others after it".to_owned(),
            ));
        }
        if has_prompt && given.is_empty() {
            return Some(Record::Unclear("the newest prompts in Codex's record do not tell whose they are".to_owned()));
        }
        let older = given.iter().any(|given| *given < ours);
        older.then(|| Record::Absent { cut_off: self.cut_off.take() })
    }
}

impl OnRecord<'_> {
    fn read(self) -> Result<RecordedTurn, serde_json::Error> {
        let mut items = Vec::new();
        for raw in self.items {
            let item = items::read(raw, ItemStatus::Completed)?;
            // What never ended is told as that by whoever saw it begin.
            if item.status != ItemStatus::InProgress {
                let given = serde_json::from_str::<Given>(raw.get())?.client_id;
                items.push(RecordedItem { codex_id: item.codex_id, given, status: item.status, body: item.body });
            }
        }
        let outcome = match self.status.as_str() {
            "completed" => Outcome::Completed,
            "failed" => Outcome::Failed(errors::of_turn(self.error.as_ref())),
            // One that is said to be in progress is in a process that is gone.
            _ => Outcome::Interrupted,
        };
        Ok(RecordedTurn { codex_turn: self.id, outcome, items })
    }
}
