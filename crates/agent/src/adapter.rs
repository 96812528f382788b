//! What an adapter is: a pure machine between the engine's words and Codex's lines.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use types::{AskId, agent::Backend};

use crate::domain::{Ask, AskError, Capabilities, PendingAsk, Reply, RequestId, Route, What};

/// How long Codex may take to load or make a thread. A cold one on a busy laptop has been seen to need many seconds.
pub(crate) const THREAD_DEADLINE: Duration = Duration::from_secs(120);

/// How long Codex may take to say that it took a turn, or to answer anything else that is quick.
pub(crate) const QUICK_DEADLINE: Duration = Duration::from_secs(60);

/// How long Codex may take to answer an interrupt: milliseconds, or nothing at all when nothing runs (0.98.0, 0.153.4).
pub(crate) const INTERRUPT_DEADLINE: Duration = Duration::from_secs(5);

/// A line for Codex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// What it is known by: a transport that outlives codexd gives a line to Codex once for each tag, and tells the next codexd which
    /// ones it gave. Empty: it is about nothing that anybody will ask for.
    pub(crate) tag: String,
    pub(crate) bytes: Vec<u8>,
}

impl Line {
    /// One that is known by nothing.
    pub(crate) fn untagged(bytes: Vec<u8>) -> Self {
        Self { tag: String::new(), bytes }
    }

    /// The `tries`th of a request, from zero. An overloaded Codex did not hear the ones before. What has no number of the engine's
    /// (those begin at 1) is asked anew by whoever wants to know.
    pub(crate) fn of_ask(id: AskId, tries: u32, bytes: Vec<u8>) -> Self {
        Self { tag: Self::tag_of_ask(id, tries), bytes }
    }

    pub(crate) fn tag_of_ask(id: AskId, tries: u32) -> String {
        match tries {
            _ if id.0 <= 0 => String::new(),
            0 => id.to_string(),
            _ => format!("{id}/{tries}"),
        }
    }

    /// The answer to the question that Codex knows by `id`.
    pub(crate) fn of_reply(id: &serde_json::Value, bytes: Vec<u8>) -> Self {
        Self { tag: reply_tag(&id.to_string()), bytes }
    }
}

/// The tag of the answer to the question that Codex knows by this JSON.
pub(crate) fn reply_tag(id: &str) -> String {
    const LONG: usize = 100;
    if id.len() <= LONG {
        return format!("r:{id}");
    }
    // FNV-1a: the same in every version. Codex's own ids are small numbers.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("r:#{hash:016x}")
}

/// What a line says of a turn, by a word that stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peek {
    /// It is asked for, in a request of this number.
    Asked {
        id: u64,
        thread: String,
    },
    /// What was asked in this request is refused.
    Refused(u64),
    Began(String),
    Ended(String),
}

/// Keeps what stands for each turn that runs, or is about to. One that was only asked for has the number of its request in front.
pub(crate) fn note(busy: &mut HashSet<String>, seen: Option<Peek>) {
    let asked =
        |word: &str, thread: &str| word.strip_prefix('?').is_some_and(|word| word.ends_with(&format!(" {thread}")));
    match seen {
        Some(Peek::Asked { id, thread }) => drop(busy.insert(format!("?{id} {thread}"))),
        Some(Peek::Refused(id)) => busy.retain(|word| !word.starts_with(&format!("?{id} "))),
        Some(Peek::Began(what)) => {
            busy.retain(|word| !asked(word, &what));
            busy.insert(what);
        }
        Some(Peek::Ended(what)) => busy.retain(|word| !asked(word, &what) && *word != what),
        None => {}
    }
}

/// Reads one line for what it says of a turn.
pub(crate) type Peeker = fn(&[u8]) -> Option<Peek>;

/// For lines of Codex's, and for lines for it.
pub(crate) fn peeks(backend: Backend) -> (Peeker, Peeker) {
    match backend {
        Backend::AppServer => (crate::app_server::peek, crate::app_server::peek_input),
        Backend::McpServer => (crate::mcp_server::peek, crate::mcp_server::peek_input),
    }
}

/// What an adapter wants done: lines for Codex, reports for the engine.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) lines: Vec<Line>,
    pub(crate) reports: Vec<(Route, What)>,
}

impl Out {
    pub(crate) fn answer(&mut self, id: AskId, answer: Result<crate::Answer, AskError>) {
        self.reports.push((Route::Ask(id), What::Answer(id, answer)));
    }
}

/// Speaks one interface of Codex's. Pure: no I/O, and the caller says what time it is.
pub(crate) trait Adapter: Send {
    /// What this Codex can do.
    fn capabilities(&self) -> Capabilities;
    /// Codex has been running for a while, for a codexd that is gone. `pending` are the asks that have no answer yet, and the turns that
    /// run; `passed` the tags of the lines that Codex was given. Called before anything else, at most once.
    ///
    /// What Codex was never given is answered as not heard. What it was given waits for its answer, with a fresh deadline.
    fn restore(&mut self, pending: Vec<PendingAsk>, passed: &HashSet<String>, now: Instant, out: &mut Out);
    /// The engine wants something.
    fn ask(&mut self, id: AskId, ask: Ask, now: Instant, out: &mut Out);
    /// The engine answers a question of Codex's.
    fn reply(&mut self, request: RequestId, reply: Reply, out: &mut Out);
    /// Codex wrote line `seq`. The same line may come again after [`Adapter::restore`], and means the same then.
    fn line(&mut self, seq: u64, line: &[u8], now: Instant, out: &mut Out);
    /// A cheap question that changes nothing, to see whether it is answered. The answer means nothing more.
    fn ping(&mut self, out: &mut Out);
    /// Whether nothing waits for an answer.
    fn is_at_rest(&self) -> bool;
    /// Time has passed.
    fn tick(&mut self, now: Instant, out: &mut Out);
    /// When to call [`Adapter::tick`] next.
    fn wake(&self) -> Option<Instant>;
    /// Codex is gone, and was never given the lines of these tags.
    fn never_given(&mut self, tags: &HashSet<String>);
    /// Codex is gone: everything that waits is answered.
    fn gone(&mut self, out: &mut Out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_from_the_moment_in_which_it_is_asked_for() {
        let mut busy = HashSet::new();
        let asked = |id, thread: &str| Some(Peek::Asked { id, thread: thread.to_owned() });
        note(&mut busy, asked(1, "t1"));
        note(&mut busy, asked(12, "t2"));
        note(&mut busy, Some(Peek::Refused(1)));
        assert_eq!(busy, HashSet::from(["?12 t2".to_owned()]), "a refused one does not run");
        note(&mut busy, Some(Peek::Refused(5)));
        note(&mut busy, Some(Peek::Began("t2".to_owned())));
        assert_eq!(busy, HashSet::from(["t2".to_owned()]), "it is counted once");
        note(&mut busy, asked(13, "t3"));
        note(&mut busy, Some(Peek::Ended("t3".to_owned())));
        note(&mut busy, Some(Peek::Ended("t2".to_owned())));
        assert!(busy.is_empty());
    }
}
