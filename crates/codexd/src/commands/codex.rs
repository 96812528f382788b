//! `codexd codex`: which Codex would be run, and installing one.

use std::{path::PathBuf, process::Stdio, time::Duration};

use agent::locate::{Located, Search, Source, locate};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;
use tokio::process::Command;

use crate::{
    config::confining,
    exit::Exit,
    globals::Globals,
    install::{self, Installed},
    output::{self, InstallProgress, Output},
    signals,
};

/// What about Codex.
#[derive(Debug, Subcommand)]
pub(crate) enum CodexCommand {
    /// Tells which Codex a daemon that is started in this folder would run
    #[command(after_help = crate::exit::HELP)]
    Which {
        /// The command that the daemon would be given
        #[arg(long, value_name = "COMMAND", env = "CODEXD_CODEX_CMD")]
        codex_cmd: Option<String>,
    },
    /// Installs an exact version of Codex beside the store, by npm; nothing else on this machine changes
    #[command(after_help = crate::exit::HELP)]
    Install {
        /// The version [default: the newest that this codexd is tested with]
        version: Option<String>,
    },
}

/// How long Codex may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// Runs it.
pub(crate) async fn run(command: CodexCommand, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    match command {
        CodexCommand::Which { codex_cmd } => which(codex_cmd, globals, &output).await,
        CodexCommand::Install { version } => install(version.as_deref(), globals, &output).await,
    }
}

async fn which(codex_cmd: Option<String>, globals: &Globals, output: &Output) -> anyhow::Result<Exit> {
    let here: Vec<PathBuf> = std::env::current_dir().into_iter().collect();
    let found = locate(&Search {
        explicit: codex_cmd.map(Into::into),
        path: std::env::var_os("PATH"),
        roots: confining(&here),
        installed: install::installed_dir(&globals.store.dir()?),
    })?;
    let version = version(&found).await;
    let source = match found.source {
        Source::Explicit => "--codex-cmd",
        Source::Path => "PATH",
        Source::Installed => "codexd codex install",
    };
    if output.json() {
        let object = json!({
            "program": found.program,
            "args": found.args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>(),
            "source": match found.source { Source::Explicit => "explicit", Source::Path => "path", Source::Installed => "installed" },
            "via": found.via,
            "version": version.as_ref().ok(),
            "error": version.as_ref().err().map(|error| format!("{error:#}")),
            "passedOver": found.passed_over.iter().map(|passed| json!({"path": passed.path, "reason": passed.to_string()})).collect::<Vec<_>>(),
        });
        output.object(&serde_json::to_vec(&object)?)?;
        return Ok(if version.is_ok() { Exit::Completed } else { Exit::Other });
    }
    let mut program = found.program.display().to_string();
    for arg in &found.args {
        program.push(' ');
        program.push_str(&arg.to_string_lossy());
    }
    let mut facts = vec![("program", program), ("source", source.to_owned())];
    facts.extend(found.via.as_ref().map(|via| ("via", via.display().to_string())));
    facts.extend(version.as_ref().ok().map(|version| ("version", version.clone())));
    facts.extend(found.passed_over.iter().map(|passed| ("passed over", passed.to_string())));
    output.styled(&output::table::facts(&facts))?;
    version.map(|_| Exit::Completed)
}

/// What it says of itself, as it would be started by the daemon.
async fn version(codex: &Located) -> anyhow::Result<String> {
    let mut command = Command::new(&codex.program);
    command.args(&codex.args).arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    for (name, value) in codex.changes(std::env::var_os("PATH").as_deref()) {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let said = tokio::time::timeout(VERSION_LIMIT, command.output())
        .await
        .with_context(|| format!("it did not say its version in {} s", VERSION_LIMIT.as_secs()))?
        .context("it can't be started")?;
    if !said.status.success() {
        bail!("asked for its version, it failed ({})", said.status);
    }
    // `codex-cli 0.169.0`
    let text = String::from_utf8_lossy(&said.stdout);
    let word = text.lines().next().and_then(|line| line.split_whitespace().last());
    word.map(str::to_owned).context("asked for its version, it said nothing")
}

async fn install(version: Option<&str>, globals: &Globals, output: &Output) -> anyhow::Result<Exit> {
    let store = globals.store.dir()?;
    let mut progress = InstallProgress::default();
    let result = tokio::select! {
        result = install::install(&store, version, |step| progress.tell(&step)) => Some(result),
        // Dropping the installation ends npm and removes what it wrote.
        signal = signals::asked_to_end() => signal.map(|()| None)?,
    };
    drop(progress);
    let Some(installed) = result.transpose()? else {
        output.note("cancelled; nothing was installed");
        return Ok(Exit::Interrupted);
    };
    let Installed { path, version, already } = installed;
    if output.json() {
        output.object(&serde_json::to_vec(&json!({ "path": path, "version": version, "already": already }))?)?;
    } else {
        output.note(&format!("Codex {version} {}", if already { "was installed already" } else { "is installed" }));
        output.text(&path.display().to_string())?;
    }
    Ok(Exit::Completed)
}
