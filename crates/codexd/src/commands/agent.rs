//! `codexd agent`: the Codex that codexd keeps, and starting it anew.

use std::time::Duration;

use clap::{Args, Subcommand};
use client::Reply;
use types::agent::{AgentInfo, AgentStatus};

use super::{connect, status::of_agent};
use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Output, Spinner},
};

/// How often it is looked whether the other Codex is there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to do with it.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    command: Option<AgentCommand>,
}

#[derive(Debug, Subcommand)]
enum AgentCommand {
    /// Shows how it is (what `codexd agent` alone does); a success when it takes turns
    #[command(after_help = crate::exit::HELP)]
    Show,
    /// Starts Codex anew: once the turns that run have ended, while new ones wait
    #[command(after_help = crate::exit::HELP)]
    Restart {
        /// At once: turns that run are interrupted
        #[arg(long)]
        now: bool,
        /// Waits until the other Codex is there; a success when it takes turns
        #[arg(long)]
        wait: bool,
    },
}

/// Runs it.
pub(crate) async fn run(args: AgentArgs, globals: &Globals) -> anyhow::Result<Exit> {
    match args.command.unwrap_or(AgentCommand::Show) {
        AgentCommand::Show => {
            let agent = connect(globals)?.agent().await?;
            shown(&agent, globals)
        }
        AgentCommand::Restart { now, wait } => restart(now, wait, globals).await,
    }
}

fn shown(agent: &Reply<AgentInfo>, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    if output.json() {
        output.object(&agent.json)?;
    } else {
        output.styled(&output::table::facts(&of_agent(agent, &output)))?;
    }
    Ok(if agent.status == AgentStatus::Ready { Exit::Completed } else { Exit::Other })
}

async fn restart(now: bool, wait: bool, globals: &Globals) -> anyhow::Result<Exit> {
    let (output, client) = (Output::new(globals.json), connect(globals)?);
    let mut agent = client.restart_agent(!now).await?;
    if wait {
        let spinner = Spinner::start("waiting for the other Codex");
        while agent.restart.is_some() || matches!(agent.status, AgentStatus::Restarting | AgentStatus::Starting) {
            tokio::time::sleep(LOOK_EVERY).await;
            agent = client.agent().await?;
        }
        drop(spinner);
        return shown(&agent, globals);
    }
    if output.json() {
        output.object(&agent.json)?;
        return Ok(Exit::Completed);
    }
    // Somebody may have been faster, and in more of a hurry.
    let drains = agent.restart.as_ref().is_some_and(|restart| restart.drain);
    output.text(if drains {
        "Codex is started anew once the turns that run have ended; new ones wait for it (`codexd agent` tells)"
    } else {
        "Codex is started anew"
    })?;
    Ok(Exit::Completed)
}
