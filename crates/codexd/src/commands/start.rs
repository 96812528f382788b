//! `codexd start`: a new session and its first turn.

use std::path::PathBuf;

use clap::Args;
use client::Start;
use types::{ApprovalPolicy, Sandbox};

use super::{connect, prompt, turn};
use crate::{
    exit::{Exit, Usage},
    globals::Globals,
};

/// What a new session is made of.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// What Codex is to do; `-` reads it from standard input
    prompt: String,
    /// The folder to work in [default: the current folder]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// The session's title [default: from the prompt]
    #[arg(long)]
    title: Option<String>,
    /// The model [default: the daemon's]
    #[arg(long)]
    model: Option<String>,
    /// What Codex's commands may touch: read-only, workspace-write or danger-full-access [default: the daemon's]
    #[arg(long)]
    sandbox: Option<Sandbox>,
    /// When Codex asks before it acts: untrusted, on-request or never [default: the daemon's]
    #[arg(long, value_name = "POLICY")]
    approval_policy: Option<ApprovalPolicy>,
}

/// Starts it and waits for the answer.
pub(crate) async fn run(args: StartArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let start = Start {
        cwd: Some(folder(args.cwd)?),
        prompt: prompt::read(args.prompt)?,
        title: args.title,
        model: args.model,
        sandbox: args.sandbox.map(|sandbox| sandbox.to_string()),
        approval_policy: args.approval_policy.map(|policy| policy.to_string()),
    };
    let client = connect(globals)?;
    turn::wait(globals, client.start(&start, turn::LIMIT)).await
}

/// The folder, canonical: the daemon stands elsewhere.
fn folder(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let (what, dir) = match given {
        Some(dir) => ("--cwd", dir),
        None => (
            "the current folder",
            std::env::current_dir()
                .map_err(|error| Usage(format!("the current folder can't be used: {error}; name one with --cwd")))?,
        ),
    };
    let real = dunce::canonicalize(&dir);
    real.map_err(|error| Usage(format!("{what}: the folder `{}` can't be used: {error}", dir.display())).into())
}
