//! What each command does: one file a command, and beside them what several of them share.
//!
//! | file | for |
//! |---|---|
//! | `line` | reaching the daemon, and again when it was restarted under the command |
//! | `prompt`, `input` | a prompt in all the ways in which it can be given, and what goes with it |
//! | `resolve` | which session is meant, or which turn |
//! | `work`, `wait`, `tell` | asking for a turn, watching it until its end, telling how it ended |
//! | `asking`, `person`, `leave` | what Codex asks while somebody waits, who answers it, and Ctrl-C |
//! | `page` | a part of a long answer |

pub(crate) mod agent;
pub(crate) mod approvals;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod codex;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod continue_;
pub(crate) mod demo;
pub(crate) mod fork;
pub(crate) mod gc;
pub(crate) mod hooks;
pub(crate) mod import;
pub(crate) mod interrupt;
pub(crate) mod man;
pub(crate) mod sessions;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod steer;
pub(crate) mod stop;
pub(crate) mod token;
pub(crate) mod turn;
pub(crate) mod watch;

mod asking;
mod input;
mod leave;
mod line;
mod page;
mod person;
mod prompt;
mod resolve;
mod tell;
mod wait;
mod work;

use std::io::{self, BufRead as _};

use client::Client;

use crate::{globals::Globals, output::Output};

/// Reaches the daemon of the store that was named, in the name of a person at this command line.
fn connect(globals: &Globals) -> anyhow::Result<Client> {
    Ok(reach(&globals.store.dir()?)?)
}

/// The same for a store whose folder is known.
fn reach(store: &std::path::Path) -> Result<Client, client::Error> {
    let client = Client::from_store_dir(store)?;
    // Needed where there is no socket, and inside an agent, to whom the socket gives little.
    let token = std::env::var("CODEXD_TOKEN").ok();
    Ok(client.with_token(token.as_deref()).from_cli())
}

/// Asks somebody at the terminal; anything but yes is no.
fn confirmed(output: &Output, question: &str) -> io::Result<bool> {
    output.ask(question)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
