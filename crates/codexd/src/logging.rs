//! The log: to stderr, a line an event, in colour only on a terminal.
//!
//! At the default level no prompt and no answer is in it. `CODEXD_LOG` chooses what is, in the syntax of `RUST_LOG`; what Codex
//! writes to its stderr is under the target `codex`, at `debug`.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. Once a process.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("CODEXD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let format = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // A log that can't be written, a full disk or a closed pipe, must not take the daemon with it: it would be told by a panic.
    let format = format.log_internal_errors(false);
    let _ = format.try_init();
}
