//! `codexd fork`: another session with the same history.

use clap::Args;
use client::Error;

use super::{line::Line, resolve};
use crate::{
    exit::{Exit, Usage},
    globals::Globals,
    output::{Output, Spinner},
};

/// Of which session.
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// The session: its id, the beginning of its id, or the id of any Codex thread that it has had
    session: String,
    /// The title of the new one [default: that of the old one]
    #[arg(long)]
    title: Option<String>,
}

/// Makes it and prints its id.
pub(crate) async fn run(args: ForkArgs, globals: &Globals) -> anyhow::Result<Exit> {
    if args.title.as_ref().is_some_and(|title| title.trim().is_empty()) {
        return Err(Usage("the title is empty".to_owned()).into());
    }
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let old = resolve::session(&mut line, &spinner, &args.session).await?;
    spinner.say("forking the session");
    // Sent twice it would make two.
    let forked = line.once(async |client| client.fork_session(old.id.as_str(), args.title.as_deref()).await).await;
    drop(spinner);
    let forked = forked.inspect_err(|error| {
        if error.is_cut() && !matches!(error, Error::NoDaemon { .. }) {
            output.note("it may have been made all the same; `codexd sessions` shows the newest first");
        }
    })?;
    let new = &forked.session;
    if output.json() {
        output.object(&forked.json)?;
    } else {
        output.text(new.id.as_str())?;
        output.note(&format!(
            "a session with the same history as {}; go on in it with: codexd continue {} \"…\"",
            old.id, new.id
        ));
    }
    Ok(Exit::Completed)
}
