//! Hooks: others are told when something happens. The only crate that knows how.
//!
//! # Theory of operation
//!
//! ```text
//!  engine's events --> line: one task for each hook, a cursor in them
//!                        |  lanes: at most 4 at once, one at a time of a session
//!                      tell: a few tries, further and further apart
//!                        |
//!                 command, post: one try, with a deadline for everything
//! ```
//!
//! A hook reads events as any other reader does, from behind its own cursor, when it has room: so a hook that is slow or dead
//! costs no turn and no other hook anything, and what waits for it waits on the disk and not in memory.
//!
//! **Told at least once.** The cursor of each hook is a small file in the store's folder, moved when everything
//! up to it was told or given up. What happened while codexd was going down, or was found out by the next one's recovery, is told
//! by that one. What was told and not yet noted when codexd was killed is told again: `(storeEpoch, id)` is the same then. A hook
//! that was not there before begins now.
//!
//! **Given up** is an event after five tries in some two minutes, and one that is older than an hour when its turn comes: who
//! comes back after a night does not want to hear all that it needed in the evening. The log says so, with its number.
//!
//! **Order.** Within a session events are told one after the other, so that `turn.completed` can't come before
//! `approval.requested`; several sessions at once, so that one event that its receiver chokes on does not hold up all others.
//!
//! # What a crash leaves behind
//!
//! A command that was running loses its parent and goes on by itself: a hook is bounded by its timeout only while codexd lives.
//! A half-written cursor can't be: it is written beside itself and renamed.

mod command;
mod cursor;
mod hook;
mod lanes;
mod letter;
mod line;
mod post;
mod secret;
mod selection;
mod sign;
mod tell;
mod tls;

#[cfg(unix)]
#[path = "unix.rs"]
mod os;
#[cfg(windows)]
#[path = "windows.rs"]
mod os;

pub use hook::{DEFAULT_TIMEOUT, Failed, Hook, How, LONGEST_TIMEOUT, Place};
pub use line::Hooks;
pub use post::{BadUrl, Target};
pub use secret::{Secret, SecretError};
pub use selection::{Selection, UnknownEvent};
