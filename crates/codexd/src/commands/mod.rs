//! What each command does: one file a command.

pub(crate) mod codex;
pub(crate) mod continue_;
pub(crate) mod demo;
pub(crate) mod sessions;
pub(crate) mod start;
pub(crate) mod status;

mod prompt;
mod turn;

use client::Client;

use crate::globals::Globals;

/// Reaches the daemon of the store that was named, in the name of a person at this command line.
fn connect(globals: &Globals) -> anyhow::Result<Client> {
    let client = Client::from_store_dir(&globals.store.dir()?)?;
    // Only where there is no socket a token is needed.
    let token = std::env::var("CODEXD_TOKEN").ok();
    Ok(client.with_token(token.as_deref()).from_cli())
}
