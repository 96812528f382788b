//! `codexd interrupt`: ends a turn that runs or waits.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use client::Reply;
use serde_json::{Map, Value};
use types::{Code, Turn, TurnStatus};

use super::{line::Line, resolve, wait};
use crate::{
    exit::Exit,
    globals::Globals,
    output::{Output, Spinner},
};

/// How long its end is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which turn.
#[derive(Debug, Args)]
pub(crate) struct InterruptArgs {
    /// The turn's id, or a session's: then the turn that runs in it, else the first that waits there
    #[arg(value_name = "TURN|SESSION")]
    which: String,
}

/// Interrupts it and waits for its end.
pub(crate) async fn run(args: InterruptArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let id = match resolve::turn(&mut line, &spinner, &args.which, true).await? {
        Ok(turn) => turn,
        Err(session) => bail!("no turn of the session {session} runs or waits"),
    };
    spinner.say("interrupting");
    let asked = line.ask(&spinner, async |client| client.interrupt(id.as_str(), Some(PATIENCE)).await).await;
    let turn = match asked {
        // It ended by itself, or an earlier try was heard.
        Err(error) if error.code() == Some(Code::TurnEnded) => {
            line.ask(&spinner, async |client| client.turn(id.as_str(), None).await).await?
        }
        asked => asked?,
    };
    drop(spinner);
    tell(&output, &turn)?;
    let stopped = matches!(turn.status, TurnStatus::Interrupted | TurnStatus::Completed);
    Ok(if stopped { Exit::Completed } else { Exit::Other })
}

fn tell(output: &Output, turn: &Reply<Turn>) -> anyhow::Result<()> {
    if output.json() {
        let mut object: Map<String, Value> = serde_json::from_slice(&turn.json)?;
        object.remove("items");
        output.object(Value::from(object).to_string().as_bytes())?;
    } else {
        output.text(&wait::state(turn))?;
    }
    if !turn.status.ended() {
        let (id, seconds) = (&turn.id, PATIENCE.as_secs());
        output.note(&format!("it has not ended within {seconds} s; see how it goes on with: codexd turn wait {id}"));
    }
    Ok(())
}
