//! What the tests of this workspace run against: doubles at the process boundary, and the harness that boots a real `codexd`. Never shipped.
//!
//! - `fake-codex` (a binary of this crate) is a scripted double of the Codex CLI: `app-server`, `mcp-server`, `--version`, and faults on
//!   demand. The head of its `main.rs` lists what it does and the variables that steer it.
//! - `fake_model` (a crate of its own, since `codexd demo` ships it) stands in for OpenAI when the real Codex is run.

use std::path::PathBuf;
use std::{env, io};

/// The path of the `fake-codex` binary.
///
/// Cargo tells it only to this crate's own tests; others find it in the target folder, beside the `deps` folder that their test binaries
/// are in. It is there if this crate was built (`cargo build -p testkit`, or any command on the whole workspace).
///
/// # Errors
/// When the program cannot tell where it is itself, or there is no binary, with the command that would build it.
pub fn fake_codex() -> io::Result<PathBuf> {
    let name = format!("fake-codex{}", env::consts::EXE_SUFFIX);
    let this = env::current_exe()?;
    let found = this.ancestors().skip(1).take(3).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let message = format!("no {name} near {}: run `cargo build -p testkit` first", this.display());
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
