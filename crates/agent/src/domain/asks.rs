//! What can be asked of Codex, what of it an agent can do, and what is answered.

use std::path::PathBuf;

use serde_json::{Map, Value};
use types::{ApprovalPolicy, AskId, InputPart, ItemId, Role, Sandbox, ThreadId, TurnId, agent::Model};

use crate::record::Record;

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
    /// [`Answer::Done`]; the turn is reported from [`super::What::TurnStarted`] to [`super::What::TurnEnded`].
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
    /// It knows [`types::Decision::AcceptForSession`].
    pub approvals_for_session: bool,
    /// Its own record tells what became of a turn ([`Ask::Record`], [`Ask::Revert`]).
    pub record: bool,
}
