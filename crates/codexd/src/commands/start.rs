//! `codexd start`: a new session and its first turn.

use std::path::PathBuf;

use clap::Args;
use client::{Error, NewSession};
use types::{ApprovalPolicy, Sandbox};

use super::{
    input::{self, Input, InputArgs},
    line::Line,
    work::{self, Taken, WorkArgs},
};
use crate::{exit::Exit, globals::Globals};

/// What a new session is made of.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    input: InputArgs,
    /// The folder to work in [default: the current folder]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Gives the session a git worktree to itself, of the repository that the folder is in: it works there, on a branch of its own
    #[arg(long)]
    worktree: bool,
    /// The session's title [default: from the prompt]
    #[arg(long)]
    title: Option<String>,
    /// What Codex's commands may touch: read-only, workspace-write or danger-full-access [default: the daemon's]
    #[arg(long)]
    sandbox: Option<Sandbox>,
    /// When Codex asks before it acts: untrusted, on-request or never [default: the daemon's]
    #[arg(long, value_name = "POLICY")]
    approval_policy: Option<ApprovalPolicy>,
    /// A word of your own that the session can be listed by; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::label)]
    label: Vec<(String, String)>,
    #[command(flatten)]
    work: WorkArgs,
}

/// Starts it and waits for the answer.
pub(crate) async fn run(args: StartArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let Input { prompt, parts, output_schema } = args.input.read()?;
    let new = NewSession {
        prompt,
        input: parts,
        title: args.title,
        cwd: Some(input::folder(args.cwd, "--cwd")?),
        worktree: args.worktree,
        model: args.input.model,
        effort: args.input.effort,
        output_schema,
        sandbox: args.sandbox,
        approval_policy: args.approval_policy,
        labels: input::labels(args.label),
    };
    let line = Line::open(globals)?;
    work::run(&args.work, globals, line, None, async |client, key| {
        let made = client.create_session(&new, Some(key), None).await?;
        let turn = made.turn.as_ref().ok_or_else(|| Error::BadAnswer {
            call: "POST /v1/sessions".to_owned(),
            reason: "it tells no turn".to_owned(),
        })?;
        let (session, turn) = (made.session.id.clone(), turn.id.clone());
        Ok(Taken { session, turn, replayed: made.replayed, json: made.json })
    })
    .await
}
