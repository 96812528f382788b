//! `codexd import`: takes over the sessions of the first version's store. A running daemon does it, since a store has one
//! owner; without one the store is opened for as long as it takes.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use client::{Error, Imported, OfFile};
use import::{Options, Report};
use store::Store;
use types::{ApprovalPolicy, Sandbox};

use super::line::Line;
use crate::{
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, Bar, Output, Spinner},
};

/// What to take over.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder that has the first version's sessions.json. Nothing in it is changed
    dir: PathBuf,
}

/// Takes it over. What is there already stays, so that it can be run again.
pub(crate) async fn run(args: ImportArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let unusable = |error| Usage(format!("the folder `{}` can't be used: {error}", args.dir.display()));
    let dir = dunce::canonicalize(&args.dir).map_err(unusable)?;
    let imported = match by_daemon(&dir, globals).await? {
        Some(imported) => imported,
        None => directly(&dir, globals).await?,
    };
    tell(&output, &imported)?;
    Ok(if imported.damaged.is_empty() { Exit::Completed } else { Exit::Other })
}

/// By the daemon, if there is one.
async fn by_daemon(dir: &Path, globals: &Globals) -> anyhow::Result<Option<Imported>> {
    let mut line = match Line::open(globals) {
        Ok(line) => line,
        Err(error) if matches!(error.downcast_ref(), Some(Error::NoDaemon { .. })) => return Ok(None),
        Err(error) => return Err(error),
    };
    let spinner = Spinner::start("codexd takes the sessions over");
    match line.ask(&spinner, async |client| client.import(dir).await).await {
        Ok(imported) => Ok(Some(imported.value)),
        Err(Error::NoDaemon { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn directly(dir: &Path, globals: &Globals) -> anyhow::Result<Imported> {
    let store = globals.store.dir()?;
    let store = tokio::task::spawn_blocking(move || Store::open(&store)).await.context("can't open the store")??;
    // The first version had no policies. These are what `codexd serve` has when nobody says otherwise; a turn gets no more
    // than its caller may ask on the day.
    let options = Options { sandbox: Sandbox::WorkspaceWrite, approval_policy: ApprovalPolicy::OnRequest };
    let bar = Bar::start("taking the sessions over");
    let moved = bar.clone();
    let report = import::import(&store, dir, options, move |done, of| moved.set(done, of)).await;
    drop(bar);
    store.close().await;
    let Report { imported, extended, unchanged, kept, damaged, notes } = report?;
    let of_file = |list: Vec<import::Damage>| {
        list.into_iter().map(|import::Damage { file, reason }| OfFile { file, reason }).collect()
    };
    Ok(Imported { imported, extended, unchanged, kept, damaged: of_file(damaged), notes: of_file(notes) })
}

fn tell(output: &Output, imported: &Imported) -> anyhow::Result<()> {
    if output.json() {
        return Ok(output.object(&serde_json::to_vec(imported)?)?);
    }
    let mut facts = vec![("imported", imported.imported.to_string())];
    let more = [
        ("extended", imported.extended, "were here and got what is new"),
        ("unchanged", imported.unchanged, "were here just so"),
        ("kept", imported.kept, "went on here since, and stay as they are"),
        ("damaged", imported.damaged.len() as u64, "could not be read; the rest is in"),
    ];
    facts.extend(more.iter().filter(|(_, n, _)| *n > 0).map(|(name, n, words)| (*name, format!("{n} ({words})"))));
    output.styled(&output::table::facts(&facts))?;
    for OfFile { file, reason } in &imported.notes {
        output.note(&format!("{file}: {reason}"));
    }
    for OfFile { file, reason } in &imported.damaged {
        output::error(&format!("{file}: {reason}"));
    }
    Ok(())
}
