//! `codexd steer`: more words for a turn that runs.

use clap::Args;
use client::Error;
use types::Code;

use super::{line::Line, prompt::PromptArgs, resolve};
use crate::{
    exit::Exit,
    globals::Globals,
    output::{Output, Spinner},
};

/// Which turn, and what is said.
#[derive(Debug, Args)]
pub(crate) struct SteerArgs {
    /// The turn's id, or a session's: then the turn that runs in it
    #[arg(value_name = "TURN|SESSION")]
    which: String,
    #[command(flatten)]
    prompt: PromptArgs,
}

/// Adds it, and does not wait.
pub(crate) async fn run(args: SteerArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let prompt = args.prompt.read()?;
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let id = match resolve::turn(&mut line, &spinner, &args.which, false).await? {
        Ok(turn) => turn,
        Err(session) => {
            anyhow::bail!("no turn runs in the session {session}; ask it with: codexd continue {session} \"…\"")
        }
    };
    // Sent twice it would be said twice, so a lost answer is for the caller to judge.
    let steered = line.once(async |client| client.steer(id.as_str(), &prompt).await).await;
    drop(spinner);
    let turn = steered.map_err(|error| explained(error, &output, id.as_str()))?;
    if output.json() {
        output.object(&turn.json)?;
    } else {
        output.note(&format!("added to the turn; see how it goes on with: codexd turn wait {}", turn.id));
    }
    Ok(Exit::Completed)
}

/// Says what can be done about it.
fn explained(error: Error, output: &Output, turn: &str) -> Error {
    if error.is_cut() && !matches!(error, Error::NoDaemon { .. }) {
        output
            .note(&format!("the turn may have been given it all the same; look with: codexd turn show {turn} --items"));
    }
    match error {
        Error::Refused { status, code: code @ Some(Code::TurnEnded), message, retryable, session_id, turn_id } => {
            let more = session_id.as_ref().map(|session| format!(" {session}")).unwrap_or_default();
            let message = match more.as_str() {
                "" => message,
                session => format!("{message}; ask its session with: codexd continue{session} \"…\""),
            };
            Error::Refused { status, code, message, retryable, session_id, turn_id }
        }
        error => error,
    }
}
