//! `codexd turn`: looking at one turn, waiting for its end, asking the same again.

use std::time::Instant;

use clap::{Args, Subcommand};
use client::Error;
use types::{Code, Item, ItemBody, Turn, TurnId};

use super::{
    leave::Wishes,
    line::Line,
    page::PageArgs,
    tell::{declined, reason, tell, verdict},
    wait::{self, Awaited, WaitArgs, until_it_ends},
    work::{self, Taken, WorkArgs},
};
use crate::{
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, Output, Spinner},
};

/// What to do with a turn.
#[derive(Debug, Subcommand)]
pub(crate) enum TurnCommand {
    /// Shows the answer of a turn, and tells by the exit code how it ended
    #[command(after_help = crate::exit::HELP)]
    Show(ShowArgs),
    /// Waits for the end of a turn and prints its answer
    #[command(after_help = crate::exit::HELP)]
    Wait {
        /// The turn's id
        turn: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Asks the same again, in a new turn of the same session, when a turn failed or was interrupted
    #[command(after_help = crate::exit::HELP)]
    Retry {
        /// The turn's id
        turn: String,
        /// Also when Codex has the prompt already, and so will have it twice
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        work: WorkArgs,
    },
}

/// Which turn, and what of it.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The turn's id
    turn: String,
    /// Shows everything that happened in the turn: commands, changes of files, warnings, messages
    #[arg(long)]
    items: bool,
    #[command(flatten)]
    page: PageArgs,
}

/// Runs it.
pub(crate) async fn run(command: TurnCommand, globals: &Globals) -> anyhow::Result<Exit> {
    match command {
        TurnCommand::Show(args) => show(&args, globals).await,
        TurnCommand::Wait { turn, wait } => {
            let turn = id(&turn)?;
            let began = Instant::now();
            let mut wishes = Wishes::new()?;
            let awaited = Awaited { turn, known: false, events: None, shown: false, began };
            until_it_ends(&wait, &Output::new(globals.json), &mut Line::open(globals)?, awaited, &mut wishes).await
        }
        TurnCommand::Retry { turn, force, work } => {
            let turn = id(&turn)?;
            let mut line = Line::open(globals)?;
            let spinner = Spinner::start("asking codexd");
            let old = line.ask(&spinner, async |client| client.turn(turn.as_str(), None).await).await?;
            drop(spinner);
            let result = work::run(&work, globals, line, Some(&old.session_id), async |client, key| {
                let new = client.retry(turn.as_str(), force, Some(key)).await?;
                let (session, turn) = (new.session_id.clone(), new.id.clone());
                Ok(Taken { session, turn, replayed: new.replayed, json: new.json })
            })
            .await;
            result.map_err(|error| if force { error } else { in_words_of_the_cli(error, &turn) })
        }
    }
}

async fn show(args: &ShowArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let turn = id(&args.turn)?;
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let turn = line.ask(&spinner, async |client| client.turn(turn.as_str(), None).await).await?;
    drop(spinner);
    let output = Output::new(globals.json);
    if !turn.status.ended() {
        output.note(&format!(
            "the turn goes on ({}); wait for it with: codexd turn wait {}",
            wait::state(&turn),
            turn.id
        ));
        if turn.held {
            output.note(&wait::held(&turn));
        }
    }
    if !args.items || output.json() {
        return tell(&output, &turn, &args.page, args.items);
    }
    let mut facts = vec![("turn", turn.id.to_string()), ("session", turn.session_id.to_string())];
    facts.push(("status", wait::state(&turn)));
    facts.push(("asked", format!("{} by {}", output.time(turn.created_at), turn.principal)));
    facts.extend(turn.started_at.map(|at| ("started", output.time(at))));
    facts.extend(turn.ended_at.map(|at| ("ended", output.time(at))));
    facts.extend(turn.retry_of.as_ref().map(|of| ("retry of", of.to_string())));
    facts.extend(turn.usage.map(|usage| ("tokens", output::items::tokens(&usage))));
    output.styled(&output::table::facts(&facts))?;
    let answer = turn.items.iter().rposition(|item| is_answer(item, &turn));
    for (n, item) in turn.items.iter().enumerate() {
        output.heading(&output::items::head(item, &output.time(item.at)))?;
        let body = output::items::body(item);
        // Of everything else there is no part to ask for.
        output.text(if answer == Some(n) { args.page.cut(&body).text } else { &body })?;
    }
    if let Some(told) = turn.answer.as_ref().and_then(|answer| args.page.cut(answer).told(turn.id.as_str())) {
        output.note(&told);
    }
    if let Some(told) = declined(&turn) {
        output.note(&told);
    }
    if let Some(reason) = reason(&turn) {
        output::error(&reason);
    }
    Ok(verdict(&turn))
}

/// Whether this item is what the turn answered.
fn is_answer(item: &Item, turn: &Turn) -> bool {
    matches!((&item.body, &turn.answer), (ItemBody::AgentMessage { text }, Some(answer)) if text == answer)
}

/// The refusal to send a prompt twice, with the flag instead of the API's field.
fn in_words_of_the_cli(error: anyhow::Error, turn: &TurnId) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(Error::Refused { status, code: code @ Some(Code::TurnEnded), retryable, session_id, turn_id, .. }) => {
            let message = format!(
                "Codex has recorded the prompt of this turn and would hear it twice; --force sends it all the same: codexd turn \
                 retry {turn} --force"
            );
            Error::Refused { status, code, message, retryable, session_id, turn_id }.into()
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

fn id(text: &str) -> Result<TurnId, Usage> {
    TurnId::parse(text).map_err(|error| Usage(format!("`{text}` is no id of a turn: {error}")))
}
