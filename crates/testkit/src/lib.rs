//! What the tests of this workspace run against: doubles at the process boundary, and the harness that boots a real `codexd`. Never
//! shipped.
//!
//! - `fake-codex` (a binary of this crate) is a scripted double of the Codex CLI: `app-server`, `mcp-server`, `--version`, and faults on
//!   demand. The head of its `main.rs` lists what it does and the variables that steer it.
//! - `fake_model` (a crate of its own, since `codexd demo` ships it) stands in for OpenAI when the real Codex is run.
//! - A [`Lab`] is an empty machine for one test: a home, a store, a project folder, a CODEX_HOME that points to a model of its own. It
//!   boots [`Daemon`]s, which are real processes.

mod codex;
mod daemon;
pub mod wire;

pub use codex::{fake_codex, real_codex, squatter};
pub use daemon::{Daemon, Lab, Reply, eventually};
