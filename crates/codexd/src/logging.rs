//! The log: to stderr, a line an event, in colour only on a terminal.
//!
//! At the default level no prompt and no answer is in it. `CODEXD_LOG` chooses what is, in the syntax of `RUST_LOG`; what Codex
//! writes to its stderr is under the target `codex`, at `debug`. At no level is a token of ours in it.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{EnvFilter, fmt};

/// stderr, without tokens of ours. Each event comes as one write.
struct Clean;

impl io::Write for Clean {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        match std::str::from_utf8(bytes).map(types::redact) {
            Ok(Cow::Owned(clean)) => io::Write::write_all(&mut stderr, clean.as_bytes())?,
            Ok(Cow::Borrowed(_)) | Err(_) => io::Write::write_all(&mut stderr, bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut io::stderr())
    }
}

/// Starts logging. Once a process.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("CODEXD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let format = fmt().with_env_filter(filter).with_writer(|| Clean).with_ansi(colours);
    // A log that can't be written, a full disk or a closed pipe, must not take the daemon with it: it would be told by a panic.
    let format = format.log_internal_errors(false);
    let _ = format.try_init();
}
