//! The v1 API from outside: a real `codexd`, the double of Codex, and requests by TCP and by the socket.
#![cfg(unix)]

#[path = "v1/approvals.rs"]
mod approvals;
#[path = "v1/confinement.rs"]
mod confinement;
#[path = "common/fake_codex_rig.rs"]
mod fake_codex_rig;
#[path = "v1/folders.rs"]
mod folders;
#[path = "v1/forks.rs"]
mod forks;
#[path = "v1/idempotency.rs"]
mod idempotency;
#[path = "v1/interrupt.rs"]
mod interrupt;
#[path = "v1/sessions.rs"]
mod sessions;
#[path = "v1/steer.rs"]
mod steer;
#[path = "v1/tokens.rs"]
mod tokens;
#[path = "v1/turns.rs"]
mod turns;
#[path = "v1/waiters.rs"]
mod waiters;
#[path = "v1/worktrees.rs"]
mod worktrees;

use testkit::wire;
