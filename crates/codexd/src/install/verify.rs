//! Running the new Codex once, before it is called installed.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::{folder::HOME, last_words::last_words};

/// How long the new Codex may take to say its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// What a program in the partial folder calls its version. Its home is in there as well.
pub(super) async fn ask_version(program: &Path, folder: &Path) -> anyhow::Result<String> {
    let home = folder.join(HOME);
    fs::create_dir_all(&home).with_context(|| format!("can't create `{}`", home.display()))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CODEX")) {
        command.env_remove(name);
    }
    command.arg("--version").env("CODEX_HOME", home).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_DEADLINE, command.output())
        .await
        .with_context(|| format!("the installed Codex did not say its version in {} s", VERSION_DEADLINE.as_secs()))?
        .context("the installed Codex does not start")?;
    if !output.status.success() {
        bail!("the installed Codex does not run ({}){}", output.status, last_words(&output.stderr));
    }
    // `codex-cli 0.169.0`
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().next().and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned())
}
