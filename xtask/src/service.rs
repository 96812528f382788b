//! What needs programs of the machine to be checked: the units by systemd itself, the scripts by a shell and by shellcheck.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::sh;

/// Checks the units and the scripts; a program that is missing is an error, so that nothing passes unchecked.
pub(crate) fn check() -> Result<()> {
    let units = files("systemd")?;
    // As root's and as a user's: settings mean different things there. A user's needs a folder that a login would have made.
    let runtime = sh::root().join("target/runtime");
    fs::create_dir_all(&runtime)?;
    for manager in ["--system", "--user"] {
        let what = format!("systemd-analyze {manager} verify");
        let mut verify = Command::new("systemd-analyze");
        verify.args([manager, "verify"]).args(&units).env("XDG_RUNTIME_DIR", &runtime);
        sh::say(&what);
        let output = verify.current_dir(sh::root()).output();
        let output = output.with_context(|| format!("{what}: it can't be started; it comes with systemd"))?;
        let said = [output.stdout, output.stderr].concat();
        // An unknown setting is only told, and is no failure to it.
        ensure!(output.status.success() && said.is_empty(), "{what}: {}", String::from_utf8_lossy(&said));
    }
    let scripts = files("tools")?;
    for script in &scripts {
        sh::run(&format!("sh -n {}", script.display()), Command::new("sh").arg("-n").arg(script))?;
    }
    sh::run("shellcheck", Command::new("shellcheck").arg("--shell=sh").args(&scripts))
}

fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let folder = sh::root().join(folder);
    let entries = fs::read_dir(&folder).with_context(|| format!("{} can't be read", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}
