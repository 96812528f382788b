//! What an adapter is: a pure machine between the engine's words and Codex's lines.

use std::time::{Duration, Instant};

use types::AskId;

use crate::domain::{Ask, AskError, Capabilities, Reply, RequestId, Route, What};

/// How long Codex may take to load or make a thread. A cold one on a busy laptop has been seen to need many seconds.
pub(crate) const THREAD_DEADLINE: Duration = Duration::from_secs(120);

/// How long Codex may take to say that it took a turn, or to answer anything else that is quick.
pub(crate) const QUICK_DEADLINE: Duration = Duration::from_secs(60);

/// How long Codex may take to answer an interrupt: milliseconds, or nothing at all when nothing runs (0.98.0, 0.153.4).
pub(crate) const INTERRUPT_DEADLINE: Duration = Duration::from_secs(5);

/// What an adapter wants done: lines for Codex, reports for the engine.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) lines: Vec<Vec<u8>>,
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
    /// The engine wants something.
    fn ask(&mut self, id: AskId, ask: Ask, now: Instant, out: &mut Out);
    /// The engine answers a question of Codex's.
    fn reply(&mut self, request: RequestId, reply: Reply, out: &mut Out);
    /// Codex wrote a line.
    fn line(&mut self, line: &[u8], now: Instant, out: &mut Out);
    /// Time has passed.
    fn tick(&mut self, now: Instant, out: &mut Out);
    /// When to call [`Adapter::tick`] next.
    fn wake(&self) -> Option<Instant>;
    /// Codex is gone: everything that waits is answered.
    fn gone(&mut self, out: &mut Out);
}
