//! What a session is.
//!
//! # Theory of operation
//!
//! ```text
//!  http, mcp --calls--> Engine (a handle)
//!                          |
//!                        hub: one task. Who is awake, which thread is whose, what was asked for whom.
//!                       /   \  mailboxes, bounded
//!               session     session ...   one small task for each session with work, none for the others
//!                  |
//!               state: pure. Inputs in; writes, asks and replies out.
//! ```
//!
//! A session's task takes everything that waits in its mailbox, lets the state make of it **one batch**, commits the batch,
//! and only then acts: sends the asks, answers the callers, wakes the readers, acknowledges the lines. So what has an id is
//! on disk before anybody sees it, a prompt is on disk before Codex hears it, and everything of one session leaves by one
//! ordered path.
//!
//! A crash at any point leaves the store as of the last batch. At the next start what was running goes on when its Codex is still there
//! (`state::reviving`), else it is settled by Codex's own record (`state::settling`); what was waiting goes on or is held (module `recovery`).
//!
//! Sessions may have a git worktree to themselves (module `worktrees`).
//!
//! Architecture invariant: this crate speaks to Codex through [`agent::Port`] only, and to the disk through [`store::Store`].
//! Architecture invariant: a prompt is given to Codex once. It goes out again only when Codex, or the lack of one, says that
//! it was not heard.

mod approvals;
mod asks;
mod audited;
mod callers;
mod calls;
mod change;
mod feed;
mod folders;
mod fork;
mod grants;
mod hub;
mod idempotency;
mod mail;
mod policy;
mod prompt;
mod recovery;
mod refusal;
mod replay;
mod restart;
mod session;
mod side;
mod state;
mod stats;
mod unwritten;
mod work;
mod worktrees;

pub use agent::DeltaKind;
pub use approvals::{OnExpiry, Verdict};
pub use calls::{Engine, Options};
pub use change::SessionPatch;
pub use feed::{Happened, Piece, Reader, Told};
pub use folders::SharedCwd;
pub use grants::{Grants, Key};
pub use idempotency::Idempotency;
#[cfg(all(feature = "fuzzing", unix))]
pub use policy::fuzzing;
pub use policy::{HARMLESS_CONFIG, Overrides, Policy, Strictness, is_guarded};
pub use prompt::Prompt;
pub use recovery::pending;
pub use refusal::Refusal;
pub use state::Finished;
pub use stats::Counts;
pub use store::{Archived, Found, Message, Published, SessionCursor, SessionFilter, TurnCursor};
pub use work::{Accepted, NewSession, OnBusy, Submitted, Work};
pub use worktree::Git;
