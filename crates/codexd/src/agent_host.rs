//! `codexd agent-host`: this program as the process that holds Codex's pipes.
//!
//! It is started by `codexd serve` and by nobody else, so it is no command of the tree: it has no flags, no configuration and no runtime,
//! and nothing of what the rest of this program is made of is ever touched in it.

use std::ffi::OsString;

/// The one argument.
const NAME: &str = "agent-host";

/// Whether this process is to be one.
pub(crate) fn called(args: impl Iterator<Item = OsString>) -> bool {
    args.skip(1).eq([NAME])
}

pub(crate) use agent::host::main as run;
