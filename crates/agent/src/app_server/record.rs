//! Which turn of a thread's record holds a prompt, found page by page, the newest turn first; and then what happened in it.
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

/// Turns on a page, without most of their items. The one that is looked for is nearly always the newest.
const TURNS: u32 = 10;

/// Items on a page: one may hold a megabyte of output, and a page is one line.
const ITEMS: u32 = 8;

/// More pages than this are not looked at, of turns or of items.
const MOST_PAGES: u32 = 250;

/// A search on its way.
pub(super) struct Search {
    thread: ThreadId,
    prompt: Option<TurnId>,
    codex_turn: Option<String>,
    pub(super) deadline: Instant,
    /// How many pages were answered.
    pub(super) asked: u32,
    /// Of the turns, or of the items.
    pages: u32,
    /// The newest turn, when it was cut off and has no prompt.
    cut_off: Option<String>,
    /// The turn, once it is found, and its items so far.
    found: Option<RecordedTurn>,
}

/// What follows from a page.
pub(super) enum Next {
    /// The page at this cursor; the first one without.
    Page(Option<String>),
    Done(Record),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct Page<T> {
    data: Vec<T>,
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
struct Entry<'a> {
    #[serde(borrow)]
    item: &'a RawValue,
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
        Self { thread, prompt, codex_turn, deadline, asked: 0, pages: 0, cut_off: None, found: None }
    }

    /// The request for a page. `thread/read`, the reply to `thread/resume`, and turns with all their items, hold in one line more than any bound.
    pub(super) fn request(&self, cursor: Option<&str>) -> (&'static str, Value) {
        let (method, mut params) = match &self.found {
            None => ("thread/turns/list", json!({"threadId": self.thread, "limit": TURNS, "itemsView": "summary"})),
            Some(turn) => {
                let params = json!({"threadId": self.thread, "turnId": turn.codex_turn, "limit": ITEMS});
                ("thread/items/list", params)
            }
        };
        if let Some(cursor) = cursor {
            params["cursor"] = json!(cursor);
        }
        (method, params)
    }

    /// A page is here.
    pub(super) fn read(&mut self, result: Option<&RawValue>) -> Result<Next, serde_json::Error> {
        self.asked += 1;
        self.pages += 1;
        match self.found.take() {
            None => self.read_turns(wire::read(result)?),
            Some(turn) => self.read_items(turn, wire::read(result)?),
        }
    }

    fn read_turns(&mut self, page: Page<OnRecord<'_>>) -> Result<Next, serde_json::Error> {
        for (place, turn) in page.data.into_iter().enumerate() {
            let newest = self.pages == 1 && place == 0;
            match self.look(turn.read()?, newest) {
                Some(Record::Turn(turn)) => {
                    self.pages = 0;
                    self.found = Some(RecordedTurn { items: Vec::new(), ..turn });
                    return Ok(Next::Page(None));
                }
                Some(record) => return Ok(Next::Done(record)),
                None => {}
            }
        }
        Ok(match page.next_cursor {
            None => Next::Done(Record::Absent { cut_off: self.cut_off.take() }),
            Some(_) if self.pages >= MOST_PAGES => {
                Next::Done(Record::Unclear("Codex has more on record than is looked at".to_owned()))
            }
            cursor => Next::Page(cursor),
        })
    }

    fn read_items(&mut self, mut turn: RecordedTurn, page: Page<Entry<'_>>) -> Result<Next, serde_json::Error> {
        for entry in page.data {
            turn.items.extend(item(entry.item)?);
        }
        if page.next_cursor.is_none() || self.pages >= MOST_PAGES {
            return Ok(Next::Done(Record::Turn(turn)));
        }
        self.found = Some(turn);
        Ok(Next::Page(page.next_cursor))
    }

    /// What is known once this turn was looked at; nothing when the search goes on.
    fn look(&mut self, turn: RecordedTurn, newest: bool) -> Option<Record> {
        let named = self.codex_turn.as_ref() == Some(&turn.codex_turn);
        let Some(ours) = self.prompt.as_ref().map(TurnId::as_str) else {
            return named.then_some(Record::Turn(turn));
        };
        let prompts = || turn.items.iter().filter(|item| matches!(item.body, ItemBody::UserMessage { .. }));
        let has_prompt = prompts().next().is_some();
        let given: Vec<&str> = prompts().filter_map(|prompt| prompt.given.as_deref()).collect();
        if given.contains(&ours) {
            return Some(Record::Turn(turn));
        }
        let cut_off = newest && !has_prompt && turn.outcome == Outcome::Interrupted;
        if cut_off && self.codex_turn.as_ref().is_none_or(|_| named) {
            self.cut_off = Some(turn.codex_turn);
            return None;
        }
        if named {
            let why = "Codex has the turn on record, with another prompt or others after it";
            return Some(Record::Unclear(why.to_owned()));
        }
        if has_prompt && given.is_empty() {
            return Some(Record::Unclear("the newest prompts in Codex's record do not tell whose they are".to_owned()));
        }
        let older = given.iter().any(|given| *given < ours);
        older.then(|| Record::Absent { cut_off: self.cut_off.take() })
    }
}

/// An item; nothing of one that never ended: it is told as that by whoever saw it begin.
fn item(raw: &RawValue) -> Result<Option<RecordedItem>, serde_json::Error> {
    let item = items::read(raw, ItemStatus::Completed)?;
    if item.status == ItemStatus::InProgress {
        return Ok(None);
    }
    let given = serde_json::from_str::<Given>(raw.get())?.client_id;
    Ok(Some(RecordedItem { codex_id: item.codex_id, given, status: item.status, body: item.body }))
}

impl OnRecord<'_> {
    fn read(self) -> Result<RecordedTurn, serde_json::Error> {
        let mut items = Vec::new();
        for raw in self.items {
            items.extend(item(raw)?);
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
