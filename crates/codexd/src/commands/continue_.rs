//! `codexd continue`: a further turn of a session.

use clap::{Args, ValueEnum};
use client::{NewTurn, OnBusy, OnHeld};

use super::{
    input::{Input, InputArgs},
    line::Line,
    resolve,
    work::{self, Taken, WorkArgs},
};
use crate::{
    exit::{Exit, Usage},
    globals::Globals,
    output::{Output, Spinner},
};

/// Which session, and what to do.
#[derive(Debug, Args)]
pub(crate) struct ContinueArgs {
    /// The session: its id, the beginning of its id, or the id of any Codex thread that it has had. Left away with --last
    session: Option<String>,
    /// Continues the session in which something last happened: of this folder, else of all
    #[arg(long)]
    last: bool,
    #[command(flatten)]
    input: InputArgs,
    /// What happens when the session has work already [default: queue]
    #[arg(long, value_name = "WHAT")]
    on_busy: Option<WhenBusy>,
    /// What happens when another process has the session's thread open [default: fail]
    #[arg(long, value_name = "WHAT")]
    on_held: Option<WhenHeld>,
    #[command(flatten)]
    work: WorkArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhenBusy {
    /// The turn waits until the ones before it have ended
    Queue,
    /// It is refused
    Reject,
    /// The prompt is added to the turn that runs
    Steer,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhenHeld {
    /// The turn is refused
    Fail,
    /// It waits until the other process lets the thread go
    Wait,
    /// The session goes on with a copy of the thread
    Fork,
}

impl ContinueArgs {
    /// With `--last` no session is named, so that the first word belongs to the prompt.
    fn sorted(mut self) -> Result<Self, Usage> {
        if self.last {
            self.input.prompt.prompt.splice(..0, self.session.take());
        } else if self.session.is_none() {
            return Err(Usage("name the session to continue, or take the last one with --last".to_owned()));
        }
        Ok(self)
    }
}

/// Continues it and waits for the answer.
pub(crate) async fn run(args: ContinueArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let args = args.sorted()?;
    let Input { prompt, parts, output_schema } = args.input.read()?;
    let new = NewTurn {
        prompt,
        input: parts,
        model: args.input.model,
        effort: args.input.effort,
        output_schema,
        on_busy: args.on_busy.map(|what| match what {
            WhenBusy::Queue => OnBusy::Queue,
            WhenBusy::Reject => OnBusy::Reject,
            WhenBusy::Steer => OnBusy::Steer,
        }),
        on_held: args.on_held.map(|what| match what {
            WhenHeld::Fail => OnHeld::Fail,
            WhenHeld::Wait => OnHeld::Wait,
            WhenHeld::Fork => OnHeld::Fork,
        }),
    };
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("looking for the session");
    let session = match &args.session {
        Some(given) => resolve::session(&mut line, &spinner, given).await?.value,
        None => resolve::last(&mut line, &spinner, &Output::new(globals.json)).await?,
    };
    drop(spinner);
    work::run(&args.work, globals, line, Some(&session.id), async |client, key| {
        let submitted = client.submit(session.id.as_str(), &new, Some(key), None).await?;
        let (session, turn) = (submitted.turn.session_id.clone(), submitted.turn.id.clone());
        Ok(Taken { session, turn, replayed: submitted.replayed, json: submitted.json })
    })
    .await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: ContinueArgs,
    }

    fn sorted(words: &[&str]) -> Result<(Option<String>, Vec<String>), Usage> {
        let words = std::iter::once("codexd").chain(words.iter().copied());
        let args = Program::parse_from(words).args.sorted()?;
        Ok((args.session, args.input.prompt.prompt))
    }

    #[test]
    fn with_last_the_first_word_belongs_to_the_prompt() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(sorted(&["s1", "go", "on"]).unwrap(), (Some("s1".to_owned()), words(&["go", "on"])));
        assert_eq!(sorted(&["--last", "go", "on"]).unwrap(), (None, words(&["go", "on"])));
        assert_eq!(sorted(&["--last", "-"]).unwrap(), (None, words(&["-"])));
        assert_eq!(sorted(&["--last", "--prompt-b64", "eA=="]).unwrap(), (None, words(&[])));
        assert!(sorted(&[]).unwrap_err().to_string().contains("--last"));
    }
}
