//! What Codex's own record says of a turn, asked for when the process that ran it is gone.
//!
//! Measured on 0.153.4 and 0.169.0 (`docs/recovery.md` has the table): the record knows each prompt by the id that we gave it, and shows a
//! turn that a death cut off as `interrupted`. It is true of what was completed, but it is written a moment after Codex's memory:
//! a prompt may be remembered of which the record shows nothing but an empty turn. [`Ask::Revert`](crate::Ask::Revert) takes such a turn
//! out of the memory.

use types::{ItemBody, ItemStatus};

use crate::domain::Outcome;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The turn of this prompt.
    Turn(RecordedTurn),
    /// There is no such prompt. Everything that could hold it was looked at.
    Absent {
        /// The newest turn, when it was cut off and has no prompt: Codex may remember one all the same.
        cut_off: Option<String>,
    },
    /// It can't be told, for this reason.
    Unclear(String),
}

/// A turn as Codex has it on record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedTurn {
    /// Codex's id of it.
    pub codex_turn: String,
    /// How it ended. One that was cut off by the death of its process is [`Outcome::Interrupted`].
    pub outcome: Outcome,
    /// What happened in it, in order; what never ended is not there.
    pub items: Vec<RecordedItem>,
}

/// An item as Codex has it on record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedItem {
    /// Codex's id of it, the same as when it was reported.
    pub codex_id: String,
    /// Of a prompt and of what was added to it: the id that we gave it.
    pub given: Option<String>,
    /// How it ended.
    pub status: ItemStatus,
    /// What it is.
    pub body: ItemBody,
}
