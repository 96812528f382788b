//! `codexd watch`: what happens, as it happens.

use std::{io, time::Instant};

use clap::Args;
use client::{Error, Told};
use types::{EventId, SessionId};

use super::{leave::Wishes, line::Line, resolve};
use crate::{
    exit::Exit,
    globals::Globals,
    output::{
        Output, Spinner, gone, is_gone,
        live::{Live, Show},
    },
};

/// What is watched.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The session: its id, the beginning of its id, or the id of any Codex thread that it has had [default: all sessions]
    session: Option<String>,
    /// Begins behind the event with this number (`id` with --json); 0 begins with the first one [default: from now on]
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
}

/// Watches until somebody ends it.
pub(crate) async fn run(args: WatchArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = match &args.session {
        Some(given) => Some(resolve::session(&mut line, &spinner, given).await?.value.id),
        None => None,
    };
    drop(spinner);
    let show =
        if output.json() { Show::Objects { turn: None } } else { Show::Everything { several: session.is_none() } };
    let mut live = Live::new(output, show, Instant::now());
    let ended = follow(&line, session.as_ref(), args.after.map(EventId), &mut live).await;
    live.console.end();
    match ended {
        Ok(()) => Ok(Exit::Completed),
        Err(Ended::Failed(error)) => Err(error.into()),
        Err(Ended::Gone(error)) if is_gone(&error) => Ok(Exit::Completed),
        Err(Ended::Gone(error)) => Err(anyhow::Error::new(error).context("can't write to standard output")),
    }
}

/// Why it ends without being asked to.
enum Ended {
    Failed(Error),
    Gone(io::Error),
}

async fn follow(
    line: &Line,
    session: Option<&SessionId>,
    after: Option<EventId>,
    live: &mut Live,
) -> Result<(), Ended> {
    let mut wishes = Wishes::new().map_err(Ended::Gone)?;
    let mut events = line.events(session.map(ToString::to_string), after);
    let mut connected = false;
    let mut gone = std::pin::pin!(gone());
    loop {
        let told = tokio::select! {
            told = events.next() => told.map_err(Ended::Failed)?,
            // Also when nothing happens that could not be written.
            () = &mut gone => return Ok(()),
            // This is how it is meant to end.
            _ = wishes.next() => return Ok(()),
        };
        live.hear(&told).map_err(Ended::Gone)?;
        match told {
            Told::Connected { .. } if !std::mem::replace(&mut connected, true) => {
                live.console.aside("watching; Ctrl-C ends the watching and nothing else");
            }
            Told::Connected { .. } => live.console.note("the daemon is there again"),
            Told::Lost { .. } => live.console.note("the connection to the daemon broke off; trying again"),
            Told::Closing { reason } => live.console.note(&format!("{reason}; trying again")),
            Told::Reset { .. } => {
                live.console.note(
                    "the store is another one, or an older copy, than before; what happened in it is not shown again",
                );
            }
            Told::Event(event)
                if event.name == "session.deleted" && event.session.as_ref() == session && session.is_some() =>
            {
                live.console.note("the session was deleted");
                return Ok(());
            }
            Told::Event(_) | Told::Text(_) => {}
        }
    }
}
