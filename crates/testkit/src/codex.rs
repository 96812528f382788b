//! Which Codex a test runs.

use std::path::{Path, PathBuf};
use std::{env, io};

/// The path of the `fake-codex` binary.
///
/// Cargo tells it only to this crate's own tests; others find it in the target folder, beside the `deps` folder that their test binaries
/// are in. It is there if this crate was built (`cargo build -p testkit`, or any command on the whole workspace).
///
/// # Errors
/// When the program cannot tell where it is itself, or there is no binary, with the command that would build it.
pub fn fake_codex() -> io::Result<PathBuf> {
    built("fake-codex")
}

/// Somebody who has taken a port: another of this crate's programs, found in the same way.
///
/// # Errors
/// As of [`fake_codex`].
pub fn squatter() -> io::Result<PathBuf> {
    built("squatter")
}

fn built(name: &str) -> io::Result<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    let this = env::current_exe()?;
    let found = this.ancestors().skip(1).take(3).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let message = format!("no {name} near {}: run `cargo build -p testkit` first", this.display());
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}

/// The native binary of the real Codex: the one that `CODEXD_TEST_CODEX` names, else the one that `cargo xtask codex` installed from
/// the lock file in `tests/codex`.
///
/// # Errors
/// When there is none, with the command that installs it. A test that needs it fails then; it is never skipped.
pub fn real_codex() -> io::Result<PathBuf> {
    if let Some(named) = env::var_os("CODEXD_TEST_CODEX") {
        return Ok(named.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.codex-test/node_modules/@openai");
    let packages = root.read_dir().into_iter().flatten().flatten();
    let vendors = packages.flat_map(|package| package.path().join("vendor").read_dir().into_iter().flatten().flatten());
    let binary = format!("bin/codex{}", env::consts::EXE_SUFFIX);
    let found = vendors.map(|vendor| vendor.path().join(&binary)).find(|path| path.is_file());
    found.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the real Codex is not installed for the tests: run `cargo xtask codex` first",
        )
    })
}
