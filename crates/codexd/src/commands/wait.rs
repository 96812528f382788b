//! Waiting for the end of a turn. The daemon is asked again and again, each time for less than a minute, so that nothing
//! between here and there takes the silence for death; it answers as soon as the turn has ended.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use clap::Args;
use client::Reply;
use types::{Code, Turn, TurnId, TurnStatus};

use super::{
    asking::Asking,
    leave::{Wish, Wishes},
    line::Line,
    page::PageArgs,
    tell::tell,
};
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

/// What Codex does while others are to answer it.
const WAITS: &str = "Codex waits for an answer";

/// How long, and which part of the answer.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait, such as 90s or 10m; then the exit code is 6 and the turn goes on [default: until it ends]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    #[command(flatten)]
    page: PageArgs,
}

/// Waits, and tells how it ended. `known`: the daemon has told that there is such a turn. The first Ctrl-C interrupts the turn,
/// the second one only ends the waiting.
pub(super) async fn until_it_ends(
    args: &WaitArgs,
    output: &Output,
    line: &mut Line,
    turn: &TurnId,
    known: bool,
    began: Instant,
    wishes: &mut Wishes,
) -> anyhow::Result<Exit> {
    line.until(args.timeout.and_then(|timeout| began.checked_add(timeout)));
    let known = Cell::new(known);
    let mut asking = Some(Asking::new(line, output));
    let last = loop {
        let wish = tokio::select! {
            last = look(args.timeout, output, line, turn, began, &known, asking.as_mut()) => break last,
            wish = wishes.next() => wish,
        };
        let stopping = asking.take().map(|mut asking| asking.leave_prompt()).is_none();
        let left = |what: &str| {
            let text = format!("no longer waiting; {what}. Come back with: codexd turn wait {turn}");
            anyhow::Error::new(Left::new(Some(turn.to_string()), text))
        };
        match (wish, stopping) {
            (_, true) => return Err(left("the turn is being interrupted")),
            (Wish::Leave, false) => return Err(left("the turn goes on")),
            (Wish::Stop, false) => output.note("interrupting the turn; Ctrl-C once more leaves at once"),
        }
        let told = tokio::select! {
            told = line.once(async |client| client.interrupt(turn.as_str(), None).await) => told,
            _ = wishes.next() => return Err(left("the turn may go on")),
        };
        match told {
            Err(error) if error.code() != Some(Code::TurnEnded) => {
                return Err(left(&format!("the turn could not be interrupted ({error}) and may go on")));
            }
            // Its end is near, and will be told.
            _ => {}
        }
    };
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
    known: &Cell<bool>,
    mut asking: Option<&mut Asking>,
) -> Result<Reply<Turn>, client::Error> {
    let mut spinner = Spinner::start("waiting");
    // The first look tells how it stands.
    let mut question = Duration::ZERO;
    let mut told_of_hold = false;
    let mut running: Option<Turn> = None;
    loop {
        let left = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        // Whole seconds go over the wire.
        let wait =
            left.map_or(question, |left| question.min(Duration::from_secs(left.as_millis().div_ceil(1000) as u64)));
        let asked = Instant::now();
        let end = line.ask(&spinner, async |client| client.turn(turn.as_str(), Some(wait)).await);
        let reply = match (asking.as_deref_mut(), &running) {
            (Some(asking), Some(running)) => tokio::select! {
                reply = end => reply?,
                news = asking.news(running) => {
                    drop(spinner);
                    asking.tell(news, timeout.and_then(|timeout| began.checked_add(timeout)).map(Into::into)).await;
                    spinner = Spinner::start(if asking.is_open() { WAITS } else { "waiting" });
                    continue;
                }
            },
            _ => end.await?,
        };
        known.set(true);
        if reply.status.ended() || left.is_some_and(|left| left <= asked.elapsed()) {
            return Ok(reply);
        }
        let is_open = asking.as_ref().is_some_and(|asking| asking.is_open());
        spinner.say(if is_open { WAITS.to_owned() } else { state(&reply) }.as_str());
        if reply.held && !told_of_hold {
            told_of_hold = true;
            spinner.suspend(|| output.note(&held(&reply)));
        }
        question = if spinner.is_seen() && reply.status == TurnStatus::Queued { GLANCE } else { QUESTION };
        running = (reply.status == TurnStatus::Running).then(|| reply.value.clone());
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
