//! The words that the engine and the adapters share: what can be asked of Codex, and what it can say.
//!
//! Here is the door between the two: [`Port`] in, [`Message`] out. What goes through it stands in the modules.

mod asks;
mod questions;
mod reports;

use types::{
    AgentId, AskId,
    agent::{AgentInfo, Backend},
};

pub use asks::{Answer, Applied, Ask, AskError, AskKind, Capabilities, PendingAsk, ThreadSpec, TurnSpec};
pub use questions::{ApprovalRequest, Reply, RequestId};
pub use reports::{DeltaKind, Outcome, Report, Route, What};

/// The engine's side of an agent. Implemented by [`crate::Agent`] and by the doubles of the engine's tests.
///
/// None of the calls waits: an ask is answered by a [`Message::Report`] with [`What::Answer`], always. The one exception is
/// [`crate::Agent::leave`]: what has no answer then belongs to the next codexd.
pub trait Port: Send + Sync + 'static {
    /// Asks the process `agent`. When that one is gone, the answer is [`AskError::Exited`] and it heard nothing.
    fn ask(&self, agent: &AgentId, id: AskId, ask: Ask);
    /// Answers a question of Codex's. A process that outlived the codexd before may be given the same answer again: it hears it once. So
    /// after [`Message::Up`] with `attached` every answer that is stored, and of which it is not known that Codex heard it, can be given.
    fn reply(&self, agent: &AgentId, request: RequestId, reply: Reply);
    /// What the line `seq` of `agent` meant is committed. In any order, each line for itself. Where Codex outlives codexd, a line comes
    /// again after the next attach unless its acknowledgement reached the host, which a crash may prevent: whoever acknowledges remembers
    /// the number in the same commit and drops what comes again.
    fn ack(&self, agent: &AgentId, seq: u64);
    /// Ends this process at once and starts another one, because of what is said in `why`.
    fn replace(&self, agent: &AgentId, why: &str);
    /// Ends this process and starts another one, because of what is said in `why`: with `drain` once no turn runs, without at once. Nobody
    /// failed then. Without an agent none is up: whoever waits until Codex is tried again tries it now.
    fn restart(&self, agent: Option<&AgentId>, drain: bool, why: &str);
    /// What is known of the agent now.
    fn info(&self) -> AgentInfo;
}

/// What comes out of an agent, in order.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all messages are reports; a box would be one allocation each")]
pub enum Message {
    /// A process is ready.
    Up {
        /// Its id; what other processes had loaded means nothing to this one.
        agent: AgentId,
        /// The interface spoken with it.
        backend: Backend,
        /// What it can do.
        capabilities: Capabilities,
        /// It was running before this codexd was: its turns go on. What its lines said that nobody acknowledged comes next, in order,
        /// with the numbers that it had. False: this process knows nothing of what was before, and no other one is left that does.
        attached: bool,
    },
    /// A process is gone, or could not be started. Every ask to it has been answered.
    Down {
        /// The one that was up, if one was.
        agent: Option<AgentId>,
        /// What happened, for people.
        error: String,
        /// False when it will not be tried again soon: waiting for it makes no sense.
        retrying: bool,
    },
    /// Codex said something.
    Report(Report),
}
