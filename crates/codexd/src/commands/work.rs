//! Asking for a turn: what `start`, `continue` and `turn retry` do from the request on, or from just before it.

use std::time::Instant;

use bytes::Bytes;
use clap::Args;
use client::{Client, Error, Events, Told};
use types::{EventId, SessionId, TurnId};

use super::{
    leave::Wishes,
    line::Line,
    wait::{Awaited, WaitArgs, until_it_ends},
};
use crate::{
    exit::{Exit, Left},
    globals::Globals,
    output::{Output, Spinner},
};

/// What happens once the turn is on its way.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Prints the ids of the session and of the turn and does not wait for the answer
    #[arg(long, conflicts_with_all = ["timeout", "from", "limit", "tail"])]
    detach: bool,
    /// A name for this request: the same command with the same key starts nothing twice [default: a new one]
    #[arg(long, value_name = "KEY", value_parser = key)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// A turn that the daemon has taken.
pub(super) struct Taken {
    pub(super) session: SessionId,
    pub(super) turn: TurnId,
    /// An earlier request with this key had begun it.
    pub(super) replayed: bool,
    /// What the daemon answered.
    pub(super) json: Bytes,
}

/// Asks for the turn, in a session or in a new one, and waits for it, or not.
pub(super) async fn run(
    args: &WorkArgs,
    globals: &Globals,
    mut line: Line,
    session: Option<&SessionId>,
    ask: impl AsyncFn(&Client, &str) -> Result<Taken, Error>,
) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let began = Instant::now();
    let key = args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let mut wishes = Wishes::new()?;
    let spinner = Spinner::start("asking codexd");
    let taken = tokio::select! {
        taken = take(args, &mut line, session, &spinner, async |client| ask(client, &key).await) => taken,
        _ = wishes.next() => {
            let again = format!("the same command with `--idempotency-key {key}` starts nothing twice");
            return Err(Left::new(None, format!("no longer waiting; the turn may have begun all the same: {again}")).into());
        }
    };
    drop(spinner);
    let (events, taken) = taken.inspect_err(|error| {
        if error.is_cut() && !matches!(error, Error::NoDaemon { .. }) {
            output.note(&format!(
                "the turn may have begun all the same; the same command with `--idempotency-key {key}` starts nothing twice"
            ));
        }
    })?;
    let Taken { session: of, turn, replayed, json } = taken;
    if replayed {
        output.note("this idempotency key was used before: no new turn was begun");
    }
    if args.detach {
        if output.json() {
            output.object(&json)?;
        } else {
            output.text(&format!("session {of}\nturn {turn}"))?;
        }
        return Ok(Exit::Completed);
    }
    // At once: whatever happens to this command, nobody loses them.
    output.note(&format!("session {of} turn {turn}"));
    let events = match session {
        // Of a session that is new everything is watched, from its beginning.
        None if !replayed => Some(line.events(Some(of.to_string()), Some(EventId(0)))),
        // What an earlier request began may have gone far.
        _ => events.filter(|_| !replayed),
    };
    let awaited = Awaited { turn, known: true, events, shown: true, began };
    until_it_ends(&args.wait, &output, &mut line, awaited, &mut wishes).await
}

/// Watches the session first, so that nothing of the turn is missed, and then asks.
async fn take(
    args: &WorkArgs,
    line: &mut Line,
    session: Option<&SessionId>,
    spinner: &Spinner,
    ask: impl AsyncFn(&Client) -> Result<Taken, Error>,
) -> Result<(Option<Events>, Taken), Error> {
    let mut events = session.filter(|_| !args.detach).map(|session| line.events(Some(session.to_string()), None));
    if let Some(stream) = &mut events {
        loop {
            match stream.next().await {
                Ok(Told::Connected { .. }) => break,
                Ok(Told::Lost { .. }) => spinner.tell("the connection to the daemon broke off; trying again"),
                Ok(_) => {}
                // Whoever asks is told why, if it matters.
                Err(_) => {
                    events = None;
                    break;
                }
            }
        }
    }
    let taken = line.ask(spinner, ask).await?;
    Ok((events, taken))
}

/// A key is a header, so it is plain; the daemon has bounds of its own.
fn key(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key has 1 to 255 letters, digits and signs, no spaces".to_owned());
    }
    Ok(text.to_owned())
}
