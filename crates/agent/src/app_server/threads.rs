//! What is remembered of each thread, because Codex's notifications do not say it themselves.
//!
//! - **Tokens are told more than once.** `thread/tokenUsage/updated` carries the thread's total and the last request to the
//!   model. It comes again, with the same total, when a thread is resumed (0.153 and later, under the id of a turn of long ago), when a
//!   compaction begins and once more when it ends, when a turn is stopped, and before every request (0.98.0). What counts is
//!   a total that has changed.
//! - **Of a fork's past nothing is told before its first request** (0.153 and later). The total of the thread that it was made of
//!   is its own.
//! - **0.98.0 does not say `turn/started` for a compaction.** The first thing that it tells is the item; the turn begins
//!   with that.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use types::{ItemStatus, ThreadId, Usage};

use super::{
    items,
    wire::{Tokens, UsageNote},
};

/// The threads that this process has loaded.
#[derive(Default)]
pub(super) struct Threads(HashMap<ThreadId, Thread>);

#[derive(Default)]
struct Thread {
    /// What all requests of the thread used; none when it had a past and Codex has not told yet.
    total: Option<Tokens>,
    /// Codex's id of the turn that runs.
    turn: Option<String>,
    /// Its past is not told before its first request.
    past_untold: bool,
    /// Items of the running turn that were declined (0.98.0).
    declined: HashSet<String>,
    /// A compaction was taken and has not begun.
    compacting: bool,
    /// Where its last turn works.
    cwd: PathBuf,
}

impl Threads {
    /// A new thread, which has used nothing.
    pub(super) fn started(&mut self, thread: &ThreadId) {
        self.0.insert(thread.clone(), Thread { total: Some(Tokens::default()), ..Thread::default() });
    }

    /// A new thread with the past of another one. `told`: Codex repeats what that had used.
    pub(super) fn forked(&mut self, thread: &ThreadId, of: &ThreadId, told: bool) {
        let total = self.0.get(of).and_then(|of| of.total);
        self.0.insert(thread.clone(), Thread { total, past_untold: !told, ..Thread::default() });
    }

    /// A turn was running before this was there. `repeats`: this Codex tells what a thread used before it tells what is new.
    pub(super) fn running(&mut self, thread: &ThreadId, turn: &str, repeats: bool) {
        let thread = self.of(thread);
        thread.turn = Some(turn.to_owned());
        thread.past_untold = !repeats;
    }

    /// Whether this item was completed before, as declined.
    pub(super) fn declined_before(&mut self, thread: &ThreadId, item: &items::Read) -> bool {
        let declined = &mut self.of(thread).declined;
        match item.status {
            ItemStatus::Declined => !declined.insert(item.codex_id.clone()),
            _ => declined.contains(&item.codex_id),
        }
    }

    /// A turn is to work there.
    pub(super) fn works_in(&mut self, thread: &ThreadId, cwd: &Path) {
        self.of(thread).cwd = cwd.to_owned();
    }

    /// Where the last turn works; nothing when there was none.
    pub(super) fn folder(&self, thread: &ThreadId) -> &Path {
        self.0.get(thread).map_or(Path::new(""), |thread| &thread.cwd)
    }

    /// Codex removed its record of the thread.
    pub(super) fn deleted(&mut self, thread: &ThreadId) {
        self.0.remove(thread);
    }

    /// Codex took a compaction of the thread.
    pub(super) fn compacting(&mut self, thread: &ThreadId) {
        self.of(thread).compacting = true;
    }

    /// Codex said that a turn began.
    pub(super) fn turn_started(&mut self, thread: &ThreadId, turn: &str) {
        let thread = self.of(thread);
        thread.turn = Some(turn.to_owned());
        thread.compacting = false;
    }

    /// Something of a turn was told. True when that is the first that is heard of a compaction's turn.
    pub(super) fn begins(&mut self, thread: &ThreadId, turn: &str) -> bool {
        let begins = self.0.get(thread).is_some_and(|thread| thread.compacting);
        if begins {
            self.turn_started(thread, turn);
        }
        begins
    }

    /// Codex said that the turn ended.
    pub(super) fn turn_ended(&mut self, thread: &ThreadId) {
        let thread = self.of(thread);
        thread.turn = None;
        thread.declined.clear();
    }

    /// The tokens of one more request; none when the note only repeats what was known.
    pub(super) fn used(&mut self, note: UsageNote) -> Option<Usage> {
        let thread = self.of(&note.thread_id);
        let (total, last) = (note.token_usage.total, note.token_usage.last);
        let counts = match thread.total.replace(total) {
            Some(before) => before != total,
            // A thread with a past: what is told of another turn than the running one is that past, and so is a total that is
            // more than one request.
            None => thread.turn == note.turn_id && (thread.past_untold || total == last),
        };
        counts.then(|| last.into())
    }

    fn of(&mut self, thread: &ThreadId) -> &mut Thread {
        self.0.entry(thread.clone()).or_default()
    }
}
