//! Waiting for the end of a turn. The daemon is asked again and again, each time for less than a minute, so that nothing
//! between here and there takes the silence for death; it answers as soon as the turn has ended.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    time::{Duration, Instant},
};

use clap::Args;
use client::Reply;
use types::{Turn, TurnId, TurnStatus};

use super::{line::Line, page::PageArgs, tell::tell};
use crate::{
    config::parse_time,
    exit::{Exit, Left},
    output::{Output, Spinner},
};

/// How long one question waits.
const QUESTION: Duration = Duration::from_secs(55);

/// The same while somebody watches a turn that has not begun: its place in the queue changes.
const GLANCE: Duration = Duration::from_secs(1);

/// The least time of a round, should a daemon answer without waiting.
const LEAST: Duration = Duration::from_millis(250);

/// How long, and which part of the answer.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait, such as 90s or 10m; then the exit code is 6 and the turn goes on [default: until it ends]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    #[command(flatten)]
    page: PageArgs,
}

/// Waits, and tells how it ended. `known`: the daemon has told that there is such a turn. `leave` completes when the person who
/// waits has had enough.
pub(super) async fn until_it_ends(
    args: &WaitArgs,
    output: &Output,
    line: &mut Line,
    turn: &TurnId,
    known: bool,
    began: Instant,
    leave: Pin<&mut impl Future<Output = io::Result<()>>>,
) -> anyhow::Result<Exit> {
    line.until(args.timeout.and_then(|timeout| began.checked_add(timeout)));
    let spinner = Spinner::start("waiting");
    let known = Cell::new(known);
    let last = tokio::select! {
        last = look(args.timeout, output, line, turn, began, (&spinner, &known)) => last,
        signal = leave => {
            drop(spinner);
            signal?;
            let text = format!("no longer waiting; the turn goes on. Come back with: codexd turn wait {turn}");
            return Err(Left::new(Some(turn.to_string()), text).into());
        }
    };
    drop(spinner);
    let last = last.inspect_err(|_| {
        if known.get() {
            output.note(&format!("come back with: codexd turn wait {turn}"));
        }
    })?;
    if !last.status.ended() {
        let waited = args.timeout.map(|timeout| format!(" after {} s", timeout.as_secs())).unwrap_or_default();
        output.note(&format!("the turn goes on{waited}; wait again with: codexd turn wait {turn}"));
    }
    tell(output, &last, &args.page, false)
}

/// Asks until the turn has ended or the time is over; the turn as it then is. Notes when the daemon knows it.
async fn look(
    timeout: Option<Duration>,
    output: &Output,
    line: &mut Line,
    turn: &TurnId,
    began: Instant,
    (spinner, known): (&Spinner, &Cell<bool>),
) -> Result<Reply<Turn>, client::Error> {
    // The first look tells how it stands.
    let mut question = Duration::ZERO;
    let mut told_of_hold = false;
    loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        // Whole seconds go over the wire.
        let wait =
            left.map_or(question, |left| question.min(Duration::from_secs(left.as_millis().div_ceil(1000) as u64)));
        let asked = Instant::now();
        let reply = line.ask(spinner, async |client| client.turn(turn.as_str(), Some(wait)).await).await?;
        known.set(true);
        if reply.status.ended() || left.is_some_and(|left| left <= asked.elapsed()) {
            return Ok(reply);
        }
        spinner.say(&state(&reply));
        if reply.held && !told_of_hold {
            told_of_hold = true;
            spinner.suspend(|| output.note(&held(&reply)));
        }
        question = if spinner.is_seen() && reply.status == TurnStatus::Queued { GLANCE } else { QUESTION };
        if asked.elapsed() < wait.min(LEAST) {
            tokio::time::sleep(LEAST).await;
        }
    }
}

/// What it does, in few words.
pub(super) fn state(turn: &Turn) -> String {
    match (turn.status, turn.position) {
        (TurnStatus::Queued, _) if turn.held => "held".to_owned(),
        (TurnStatus::Queued, Some(position)) => format!("queued, number {position}"),
        (TurnStatus::Queued, None) => "queued".to_owned(),
        (TurnStatus::Running, _) => "Codex is working".to_owned(),
        (ended, _) => ended.as_str().to_owned(),
    }
}

/// Why a held turn does not begin, and what makes it.
pub(super) fn held(turn: &Turn) -> String {
    format!(
        "the turn is held, because the one before it was interrupted or lost. It begins when something is asked of its \
         session again: codexd continue {} \"…\"",
        turn.session_id
    )
}
