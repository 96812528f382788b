//! The words that the engine and the adapters share: what can be asked of Codex, and what it can say.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::{
    AgentId, ApprovalKind, ApprovalPolicy, AskId, Decision, FileChange, InputPart, ItemBody, ItemId, ItemStatus,
    Question, Role, Sandbox, ThreadId, TurnError, TurnId, Usage,
    agent::{AgentInfo, Backend, Model},
};

use crate::record::Record;

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

/// What the engine wants of Codex.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// A new thread. Answered by [`Answer::Thread`].
    StartThread(ThreadSpec),
    /// A thread that Codex has on record. Answered by [`Answer::Thread`].
    ResumeThread {
        /// Which one.
        thread: ThreadId,
        /// What applies to it from now on.
        spec: ThreadSpec,
    },
    /// Puts messages into a thread without a turn; only where [`Capabilities::inject`]. Answered by [`Answer::Done`].
    Inject {
        /// Into which one.
        thread: ThreadId,
        /// The messages, oldest first.
        messages: Vec<(Role, String)>,
    },
    /// A turn. Answered by [`Answer::Turn`] when Codex took it; what follows is reported.
    StartTurn(TurnSpec),
    /// Stops a turn. Answered by [`Answer::Done`]; the turn's end is reported by itself.
    Interrupt {
        /// The thread.
        thread: ThreadId,
        /// Codex's id of the turn.
        codex_turn: String,
    },
    /// Adds to what the running turn was given; only where [`Capabilities::steer`]. Answered by [`Answer::Done`] when Codex took
    /// it, and by [`AskError::NoTurn`] when that turn does not run (any more): then it heard nothing.
    Steer {
        /// The thread.
        thread: ThreadId,
        /// Codex's id of the turn.
        codex_turn: String,
        /// What is added, in its order.
        input: Vec<InputPart>,
        /// Our id of what is added; Codex keeps it with the message.
        item: ItemId,
    },
    /// A new thread that remembers what this one does, which stays as it is; only where [`Capabilities::fork`]. Answered by
    /// [`Answer::Thread`].
    Fork {
        /// Which one.
        thread: ThreadId,
        /// What applies to the new one.
        spec: ThreadSpec,
    },
    /// Ends the commands of a thread that outlived their turn; only where [`Capabilities::clean_terminals`]. Answered by
    /// [`Answer::Done`].
    CleanTerminals {
        /// Which one.
        thread: ThreadId,
    },
    /// Shortens the conversation of a thread, in a turn of Codex's own; only where [`Capabilities::compact`]. Answered by
    /// [`Answer::Done`]; the turn is reported from [`What::TurnStarted`] to [`What::TurnEnded`].
    Compact {
        /// Which thread.
        thread: ThreadId,
    },
    /// Removes Codex's own record of a thread; only where [`Capabilities::delete`]. Answered by [`Answer::Done`].
    DeleteThread {
        /// Which one.
        thread: ThreadId,
    },
    /// What Codex's own record says of a turn whose process is gone; only where [`Capabilities::record`], and of a thread that was
    /// resumed: before, the record may lag behind. Answered by [`Answer::Record`].
    Record {
        /// The thread.
        thread: ThreadId,
        /// Our id of the turn, which its prompt was given. None of a turn that has no prompt; that one is found by Codex's id.
        prompt: Option<TurnId>,
        /// Codex's id of it, when Codex told it.
        codex_turn: Option<String>,
    },
    /// Takes a turn, and all that came after it, out of the thread, as if it had never been asked for. Files stay as they are. Only where
    /// [`Capabilities::record`]. Answered by [`Answer::Done`].
    Revert {
        /// The thread.
        thread: ThreadId,
        /// Codex's id of the turn.
        codex_turn: String,
    },
    /// Which models there are. Answered by [`Answer::Models`].
    Models,
    /// What is left of the account's rate limits. Answered by [`Answer::Limits`].
    Limits,
}

/// An ask of which the store has no answer yet, for a process that outlived the codexd that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAsk {
    /// Its number.
    pub id: AskId,
    /// What it was.
    pub what: AskKind,
    /// The thread that it was about; for [`AskKind::Fork`] the one that was forked.
    pub thread: Option<ThreadId>,
}

/// What an ask was, as far as its answer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskKind {
    /// [`Ask::StartThread`].
    StartThread,
    /// [`Ask::ResumeThread`].
    ResumeThread,
    /// [`Ask::Inject`].
    Inject,
    /// [`Ask::StartTurn`].
    StartTurn,
    /// Not an ask without an answer: the [`Ask::StartTurn`] of this number was answered, and its turn, which Codex knows by this id, has not
    /// ended as far as the store knows. Needed so that what still comes of the turn finds its way.
    RunningTurn(String),
    /// [`Ask::Interrupt`].
    Interrupt,
    /// [`Ask::Steer`].
    Steer,
    /// [`Ask::Fork`].
    Fork,
    /// [`Ask::CleanTerminals`].
    CleanTerminals,
    /// [`Ask::Compact`].
    Compact,
    /// [`Ask::DeleteThread`].
    DeleteThread,
    /// [`Ask::Record`]. Whoever takes the turn over asks anew.
    Record,
    /// [`Ask::Revert`].
    Revert,
}

/// What applies to a thread. Sent when it starts and every time that it is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadSpec {
    /// The folder to work in; absolute.
    pub cwd: PathBuf,
    /// The model; Codex's own default without.
    pub model: Option<String>,
    /// What commands may touch.
    pub sandbox: Sandbox,
    /// When Codex asks.
    pub approval_policy: ApprovalPolicy,
    /// Instructions of the caller.
    pub developer_instructions: Option<String>,
    /// Values of Codex's configuration for this thread.
    pub config: Map<String, Value>,
}

/// A turn to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnSpec {
    /// On which thread; none only when [`Answer::Thread`] named none.
    pub thread: Option<ThreadId>,
    /// What the caller sent, in its order.
    pub input: Vec<InputPart>,
    /// The model; that of the thread without. Codex keeps it for the turns that follow.
    pub model: Option<String>,
    /// How much the model is to think, in Codex's words; Codex keeps it for the turns that follow.
    pub effort: Option<String>,
    /// The JSON Schema of the answer.
    pub output_schema: Option<Value>,
    /// Our id of the turn; Codex keeps it with the message where it can.
    pub turn: TurnId,
    /// What applies to the thread; sent with every turn.
    pub spec: ThreadSpec,
}

/// What Codex answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The thread is loaded.
    Thread {
        /// Its id. `None`: this interface makes the thread together with its first turn, and names it then.
        thread: Option<ThreadId>,
        /// What Codex says it applied; `None` when it did not say.
        applied: Option<Applied>,
    },
    /// The turn is taken. The prompt may have been heard from now on; it is recorded once its user message is completed.
    Turn {
        /// Codex's id of the turn.
        codex_turn: String,
    },
    /// What the record says.
    Record(Record),
    /// The models.
    Models(Vec<Model>),
    /// The rate limits, as Codex tells them.
    Limits(Value),
    /// Done; there is nothing to tell.
    Done,
}

/// What Codex says that it applied to a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The sandbox; the text is what we don't know.
    pub sandbox: Result<Sandbox, String>,
    /// Whether sandboxed commands reach the network.
    pub network: bool,
    /// When it asks; the text is what we don't know.
    pub approval_policy: Result<ApprovalPolicy, String>,
    /// The model, when it was told.
    pub model: Option<String>,
    /// How much the model thinks, when it was told.
    pub effort: Option<String>,
}

/// Why there is no answer that helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The process has not loaded this thread. Nothing was heard.
    #[error("Codex has not loaded the thread")]
    NotLoaded,
    /// Codex has no record of this thread, or an empty one: it can never be resumed.
    #[error("Codex has no record of the thread ({0})")]
    NoRecord(String),
    /// The turn does not run, or not any more. Nothing was heard.
    #[error("no such turn is running in Codex")]
    NoTurn,
    /// Another process writes to this thread.
    #[error("another Codex process is using the thread ({0})")]
    Held(String),
    /// The input is longer than Codex takes.
    #[error("the input has {actual} characters and Codex takes {max}")]
    TooLarge {
        /// The most characters that it takes.
        max: u64,
        /// How many there were.
        actual: u64,
    },
    /// This interface of Codex can't do it.
    #[error("this version of Codex can't do that")]
    NotSupported,
    /// Codex said no, in its own words.
    #[error("Codex refused: {0}")]
    Refused(String),
    /// Codex answered in a way that can't be read: it may have done what it was asked.
    #[error("Codex's answer can't be read ({0})")]
    Unreadable(String),
    /// Codex had too much to do, also after several tries.
    #[error("Codex is overloaded")]
    Overloaded,
    /// There was no answer in time.
    #[error("Codex did not answer in time")]
    Timeout {
        /// Whether it may have heard the question.
        heard: bool,
    },
    /// The daemon that wanted to ask ended before Codex was given the question. Nothing was heard.
    #[error("Codex was never asked")]
    Unsent,
    /// The process is gone.
    #[error("Codex ended before it answered")]
    Exited {
        /// Whether it may have heard the question.
        heard: bool,
    },
}

impl AskError {
    /// Whether Codex may have acted on the question.
    #[must_use]
    pub const fn heard(&self) -> bool {
        matches!(self, Self::Timeout { heard: true } | Self::Exited { heard: true } | Self::Unreadable(_))
    }
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

/// Something that Codex said, read from one line.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which process said it.
    pub agent: AgentId,
    /// The number of the line, to be acknowledged. Zero: it was on no line, or more is reported of the same line after this.
    pub seq: u64,
    /// The number of the line that it was read from; zero: it was on none. A line may mean several things, which all have it, and comes again
    /// as a whole: whoever knows that it had this number before has had all of it.
    pub line: u64,
    /// Whom it is about.
    pub route: Route,
    /// What it says.
    pub what: What,
}

/// Whom a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A thread.
    Thread(ThreadId),
    /// Whoever asked this.
    Ask(AskId),
}

/// What Codex says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The answer to an ask.
    Answer(AskId, Result<Answer, AskError>),
    /// The thread that the ask made. Only from interfaces that name a thread with its first turn.
    Named {
        /// Its id.
        thread: ThreadId,
        /// What applies to it, when that was said.
        applied: Option<Applied>,
    },
    /// Codex began the turn.
    TurnStarted {
        /// Codex's id of it.
        codex_turn: String,
    },
    /// An item began.
    ItemStarted {
        /// Codex's id of it.
        codex_id: String,
        /// What it is, as far as it is known.
        body: ItemBody,
    },
    /// Text was added to an item.
    ItemDelta {
        /// Codex's id of the item.
        codex_id: String,
        /// To which of its texts.
        kind: DeltaKind,
        /// The added text.
        text: String,
    },
    /// An item ended.
    ItemCompleted {
        /// Codex's id of it.
        codex_id: String,
        /// How.
        status: ItemStatus,
        /// What it is now.
        body: ItemBody,
    },
    /// Tokens of one more request to the model.
    Usage(Usage),
    /// All that the turn has changed in files so far, as one diff.
    Diff(String),
    /// Something that the reader should know.
    Warning(String),
    /// The turn ended.
    TurnEnded {
        /// Codex's id of it; `None` when the interface has none.
        codex_turn: Option<String>,
        /// How.
        outcome: Outcome,
        /// The last agent message, when it was told with the end.
        last_message: Option<String>,
    },
    /// Codex asks and waits.
    Approval(ApprovalRequest),
    /// Codex does not wait for the answer any more, and nobody here has given one: the turn ended, or somebody else answered.
    ApprovalGone {
        /// The question.
        request: RequestId,
    },
}

/// Which text of an item a delta adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeltaKind {
    /// The message.
    Text,
    /// The summary of thoughts.
    Reasoning,
    /// A command's output.
    Output,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Completed,
    /// It was stopped.
    Interrupted,
    /// With an error.
    Failed(TurnError),
}

/// A question of Codex's, as text that holds all that is needed to answer it; the adapter's own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub String);

/// A question of Codex's.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalRequest {
    /// By which the reply finds it.
    pub request: RequestId,
    /// What it is about.
    pub kind: ApprovalKind,
    /// Codex's id of the item that it is about.
    pub codex_item: Option<String>,
    /// The command that it wants to run.
    pub command: Option<String>,
    /// Where.
    pub cwd: Option<String>,
    /// Why, in the model's words.
    pub reason: Option<String>,
    /// The files that it wants to change, where the question tells; otherwise they are in the item.
    pub changes: Vec<FileChange>,
    /// What a person is asked.
    pub questions: Vec<Question>,
    /// The decisions that can be given. Answers to the questions can be given beside them.
    pub decisions: Vec<Decision>,
    /// How commands begin that Codex proposes to allow from now on; none where it proposes nothing.
    pub rule: Vec<String>,
}

/// The answer to a question of Codex's. What makes no sense for the question is a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// A decision.
    Decide(Decision),
    /// Answers, by the ids of the questions.
    Answers(BTreeMap<String, Vec<String>>),
}

/// What an agent can do beyond threads and turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It takes saved messages with their roles ([`Ask::Inject`]).
    pub inject: bool,
    /// It can stop a turn.
    pub interrupt: bool,
    /// It can shorten a conversation ([`Ask::Compact`]).
    pub compact: bool,
    /// It can remove its record of a thread ([`Ask::DeleteThread`]).
    pub delete: bool,
    /// It takes the addresses of images elsewhere, not only `data:` ones.
    pub remote_images: bool,
    /// A turn can have images, and a model, an effort and an output schema of its own.
    pub turn_options: bool,
    /// It takes more input while a turn runs ([`Ask::Steer`]).
    pub steer: bool,
    /// It can make a thread that remembers another one ([`Ask::Fork`]).
    pub fork: bool,
    /// It can end commands that outlived their turn ([`Ask::CleanTerminals`]).
    pub clean_terminals: bool,
    /// A command that runs goes on after an interrupt, and it can't be told to end it.
    pub leaves_commands: bool,
    /// It knows [`Decision::AcceptForSession`].
    pub approvals_for_session: bool,
    /// Its own record tells what became of a turn ([`Ask::Record`], [`Ask::Revert`]).
    pub record: bool,
}
