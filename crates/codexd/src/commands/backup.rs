//! `codexd backup` and `codexd restore`: the whole store in one file, and back.
//!
//! Both work on the file itself and not through the daemon: a backup is read beside it, and what is restored takes the place of a
//! store that no daemon has.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::{
    exit::{Exit, Left},
    globals::Globals,
    output::{self, Bar, Output, Spinner},
    signals,
};

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write, for your eyes only: it has all prompts and answers
    file: PathBuf,
    /// Overwrites a file of that name
    #[arg(long)]
    force: bool,
}

/// From where.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup; it stays as it is
    file: PathBuf,
}

/// Writes it.
pub(crate) async fn run(args: BackupArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let dir = globals.store.dir()?;
    let bar = Bar::start("backing up");
    let stopped = Arc::new(AtomicBool::new(false));
    let work = tokio::task::spawn_blocking({
        let (bar, stopped) = (bar.clone(), stopped.clone());
        move || {
            store::backup(&dir, &args.file, args.force, |done, of| {
                bar.set(done, of);
                !stopped.load(Ordering::Relaxed)
            })
        }
    });
    let told_to_stop = async {
        match signals::asked_to_end().await {
            Ok(()) => stopped.store(true, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "signals can't be heard"),
        }
        std::future::pending::<()>().await;
    };
    let made = tokio::select! {
        made = work => made.context("the backup broke off")?,
        () = told_to_stop => return Ok(Exit::Interrupted),
    };
    drop(bar);
    let made = match made {
        Err(store::CareError::Stopped) => return Err(Left::new(None, "stopped; nothing was written").into()),
        made => made?,
    };
    let output = Output::new(globals.json);
    if output.json() {
        let store::Backup { file, bytes, sessions, turns, last_event } = made;
        let whole = json!({"file": file, "bytes": bytes, "sessions": sessions, "turns": turns, "lastId": last_event});
        output.object(whole.to_string().as_bytes())?;
        return Ok(Exit::Completed);
    }
    output.styled(&output::table::facts(&[
        ("backup", made.file.display().to_string()),
        ("size", output::size(made.bytes)),
        ("sessions", made.sessions.to_string()),
        ("turns", made.turns.to_string()),
    ]))?;
    output.aside("it was checked; `codexd restore FILE` puts it in the place of a store");
    Ok(Exit::Completed)
}

/// Takes it back.
pub(crate) async fn restore(args: RestoreArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let dir = globals.store.dir()?;
    let spinner = Spinner::start("restoring");
    let restored = tokio::task::spawn_blocking(move || store::restore(&dir, &args.file));
    let restored = restored.await.context("the restoring broke off")??;
    drop(spinner);
    let output = Output::new(globals.json);
    if output.json() {
        let store::Restored { sessions, turns, kept } = restored;
        output.object(json!({"sessions": sessions, "turns": turns, "kept": kept}).to_string().as_bytes())?;
        return Ok(Exit::Completed);
    }
    let mut facts = vec![("sessions", restored.sessions.to_string()), ("turns", restored.turns.to_string())];
    facts.extend(restored.kept.map(|kept| ("was before", kept.display().to_string())));
    output.styled(&output::table::facts(&facts))?;
    output.note("tokens are those of the backup: one that was revoked since is valid again (`codexd token list`)");
    Ok(Exit::Completed)
}
