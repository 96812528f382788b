//! The vocabulary of codexd.
//!
//! Every other crate speaks these words and no others: a **session** is owned by the bridge and never lost, a **thread** is
//! Codex's own conversation, a **turn** is one prompt and all that follows from it, an **item** is a thing that happened in
//! a turn, an **event** is a numbered, durable fact, a **principal** is who asks.
//!
//! Architecture invariant: nothing here does I/O, knows a clock other than [`Timestamp::now`], or depends on a runtime.
//! The JSON forms are the API's: camelCase, ids are opaque strings, times RFC 3339 in UTC with milliseconds.

mod approval;
mod code;
mod daemon;
mod environment;
mod event;
mod grant;
mod id;
mod item;
mod policy;
mod principal;
mod secret;
mod session;
mod timestamp;
mod title;
mod turn;
mod worktree;

pub mod agent;

pub use approval::{Allowed, Approval, ApprovalKind, ApprovalStatus, Decision, Question};
pub use code::Code;
pub use daemon::DaemonFile;
pub use environment::is_for_codexd_alone;
pub use event::{Event, EventName};
pub use grant::{Grant, PolicyInfo};
pub use id::{AgentId, ApprovalId, AskId, BadId, EventId, ItemId, SessionId, ThreadId, TurnId};
pub use item::{ChangeKind, FileChange, Item, ItemBody, ItemStatus, PlanStep};
pub use policy::{ApprovalPolicy, Sandbox, UnknownPolicy};
pub use principal::{Origin, Principal, Scope};
pub use secret::{REDACTED, Redactor, TOKEN_PREFIX, redact, redact_fields};
pub use session::{Resumed, ResumedHow, Role, Session, SessionStatus, TitleSource};
pub use timestamp::Timestamp;
pub use title::{TITLE_CHARS, auto_title, fold_title};
pub use turn::{Delivery, InputPart, OnHeld, Turn, TurnError, TurnErrorCode, TurnKind, TurnOptions, TurnStatus, Usage};
pub use worktree::{Worktree, WorktreeFate, WorktreeLeft};
