//! The real Codex for the tests: exactly the version of the lock file, in an ignored folder, without running any script of it.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use crate::sh;

/// Installs it unless it is there already.
pub(crate) fn install() -> Result<()> {
    let (from, to) = (sh::root().join("tests/codex"), sh::root().join(".codex-test"));
    let lock = fs::read(from.join("package-lock.json"))?;
    let done = to.join("installed-lock.json");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    fs::create_dir_all(&to)?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut npm = Command::new(npm);
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&to);
    sh::run("installing the Codex that the tests run on (npm, about 160 MB, once)", &mut npm)
        .context("the tests need npm (it comes with Node.js)")?;
    fs::write(done, lock)?;
    Ok(())
}
