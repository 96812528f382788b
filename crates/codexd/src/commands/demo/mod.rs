//! `codexd demo`: what codexd does, shown on this machine in seconds.
//!
//! # Theory of operation
//!
//! Everything is the real thing but the model. The real Codex is found or installed (into the store of the user, where it
//! stays); `codexd serve` runs as a process of its own, with a store, a project folder and a CODEX_HOME that are made for the
//! demo; each step goes through the same client, socket and routes as `codexd start` and its siblings. The model is
//! scripted ([`fake_model`]) and runs on loopback in this process, so that no login is needed and nothing leaves the machine.
//!
//! Each step checks what it shows, and the demo fails with the daemon's last log lines when one does not hold: a demo that
//! can't fail proves nothing. However it ends, by Ctrl-C too, what it started is stopped and what it wrote is removed
//! (`--keep` keeps the folder).

mod stage;
mod steps;
mod teller;

use std::path::{Path, PathBuf};

use agent::locate::{Located, Search, Source, locate};
use clap::Args;

use self::{stage::Stage, teller::Teller};
use crate::{
    exit::{self, Exit},
    globals::Globals,
    install,
    output::{InstallProgress, Output},
    signals,
};

/// How the demo is run.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The Codex to run [default: `codex` on PATH, else an installed one, else one is installed]
    #[arg(long, value_name = "COMMAND", env = "CODEXD_CODEX_CMD")]
    codex_cmd: Option<String>,
    /// Keeps the folder of the demo: its store, its project and the daemon's log
    #[arg(long)]
    keep: bool,
}

/// Runs it.
pub(crate) async fn run(args: DemoArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let mut teller = Teller::new(Output::new(globals.json));
    let mut stage = None;
    let played = tokio::select! {
        result = play(&args, globals, &mut teller, &mut stage) => result.map(Some),
        // Dropping the play ends what it was doing; what it started is in the stage.
        signal = signals::asked_to_end() => signal.map(|()| None).map_err(Into::into),
    };
    let mut log = String::new();
    let mut stopped = Ok(());
    if let Some(mut stage) = stage {
        log = stage.log_tail();
        stopped = stage.stop().await;
        if args.keep {
            teller.kept(&stage.keep())?;
        }
    }
    match played.and_then(|ended| stopped.map(|()| ended)) {
        Ok(Some(ended)) => teller.closing(&ended.version, &ended.codex).map(|()| Exit::Completed),
        Ok(None) => teller.cancelled().map(|()| Exit::Interrupted).map_err(Into::into),
        Err(error) => {
            teller.failed(&error, &log)?;
            Ok(exit::of(&error))
        }
    }
}

/// A demo that was played to its end.
struct Played {
    version: String,
    codex: Codex,
}

async fn play(
    args: &DemoArgs,
    globals: &Globals,
    teller: &mut Teller,
    stage: &mut Option<Stage>,
) -> anyhow::Result<Played> {
    let store = globals.store.dir()?;
    let codex = find_codex(args, &store, teller).await?;
    let stage = stage.insert(Stage::build(&store, &codex).await?);
    teller.opening(stage)?;
    let version = steps::all(stage, teller).await?;
    Ok(Played { version, codex })
}

/// The Codex of the demo.
#[derive(Debug)]
struct Codex {
    /// What the daemon is told, unless it finds the same by itself.
    command: Option<String>,
    /// What people call it by.
    program: PathBuf,
    /// It is `codex` for whoever types that.
    on_path: bool,
}

/// Takes the Codex that was named, or that is there, or installs one.
async fn find_codex(args: &DemoArgs, store: &Path, teller: &Teller) -> anyhow::Result<Codex> {
    let search = Search {
        explicit: args.codex_cmd.clone().map(Into::into),
        path: std::env::var_os("PATH"),
        roots: Vec::new(),
        installed: install::installed_dir(store),
    };
    match locate(&search) {
        Ok(Located { program, source, .. }) => Ok(Codex {
            command: match source {
                Source::Explicit => args.codex_cmd.clone(),
                Source::Path => None,
                Source::Installed => Some(program.display().to_string()),
            },
            on_path: source == Source::Path,
            program,
        }),
        Err(error) if args.codex_cmd.is_some() => Err(error.into()),
        Err(_) => {
            teller.installing(&search.installed);
            let mut progress = InstallProgress::default();
            let installed = install::install(store, None, |step| progress.tell(&step)).await?;
            Ok(Codex { command: Some(installed.path.display().to_string()), program: installed.path, on_path: false })
        }
    }
}
