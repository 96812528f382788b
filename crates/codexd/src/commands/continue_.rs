//! `codexd continue`: a further turn of a session.

use clap::Args;
use client::Continue;

use super::{connect, prompt, turn};
use crate::{exit::Exit, globals::Globals};

/// Which session, and what to do.
#[derive(Debug, Args)]
pub(crate) struct ContinueArgs {
    /// The session's id, or the id of any Codex thread that it has had
    session: String,
    /// What Codex is to do; `-` reads it from standard input
    prompt: String,
}

/// Continues it and waits for the answer.
pub(crate) async fn run(args: ContinueArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let further = Continue { session_id: args.session, prompt: prompt::read(args.prompt)? };
    let client = connect(globals)?;
    turn::wait(globals, client.continue_(&further, turn::LIMIT)).await
}
