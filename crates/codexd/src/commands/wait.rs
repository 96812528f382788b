//! Waiting for the end of a turn, and showing what happens until then.
//!
//! What happens comes by the stream of events, which comes back by itself when the connection is lost; so does the end. A daemon
//! that has no such stream, or not for whoever asks, is asked again and again, each time for less than a minute, so that nothing between
//! here and there takes the silence for death.

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use clap::Args;
use client::{Events, Reply, Told};
use tokio::time::sleep_until;
use types::{Code, Turn, TurnId, TurnStatus};

use super::{
    asking::Asking,
    leave::{Wish, Wishes},
    line::Line,
    page::PageArgs,
    tell::tell_after,
};
use crate::{
    config::parse_time,
    exit::{Exit, Left},
    output::{
        Output, gone, is_gone,
        live::{Live, Show},
    },
};

/// How long one question waits.
const QUESTION: Duration = Duration::from_secs(55);

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

/// A turn that is waited for.
pub(super) struct Awaited {
    pub(super) turn: TurnId,
    /// The daemon has told that there is such a turn.
    pub(super) known: bool,
    /// What happens, from before the turn began. Without, it is watched from now on.
    pub(super) events: Option<Events>,
    /// What happens is shown, and not its end alone.
    pub(super) shown: bool,
    pub(super) began: Instant,
}

/// Waits, and tells how it ended. The first Ctrl-C interrupts the turn, the second one only ends the waiting.
pub(super) async fn until_it_ends(
    args: &WaitArgs,
    output: &Output,
    line: &mut Line,
    awaited: Awaited,
    wishes: &mut Wishes,
) -> anyhow::Result<Exit> {
    let Awaited { turn, known, events, shown, began } = awaited;
    let end = args.timeout.and_then(|timeout| began.checked_add(timeout));
    line.until(end);
    let show = match (shown, output.json()) {
        (false, _) => Show::Nothing,
        (true, true) => Show::Objects { turn: Some(turn.clone()) },
        // A part of an answer can be shown when all of it is there.
        (true, false) => Show::Turn { turn: turn.clone(), texts: output.is_seen() && !args.page.is_given() },
    };
    let known = Cell::new(known);
    let mut watch = Watch {
        turn: &turn,
        end,
        live: Live::new(*output, show, began),
        asking: Asking::new(line, output),
        stopping: false,
        from_before: events.is_some(),
        events,
        blind: false,
        look: false,
        state: None,
        told_of_hold: false,
    };
    let streams = shown && output.json();
    let mut gone = std::pin::pin!(gone());
    let last = loop {
        let wish = tokio::select! {
            last = watch.look(line, &known) => break last,
            // Nobody reads any more, so nobody waits.
            () = &mut gone, if streams => return Ok(Exit::GoesOn),
            wish = wishes.next() => wish,
        };
        let left = |what: &str| {
            let text = format!("no longer waiting; {what}. Come back with: codexd turn wait {turn}");
            anyhow::Error::new(Left::new(Some(turn.to_string()), text))
        };
        let stopping = std::mem::replace(&mut watch.stopping, true);
        watch.asking.close(false, &mut watch.live);
        match (wish, stopping) {
            (_, true) => {
                watch.live.console.end();
                return Err(left("the turn is being interrupted"));
            }
            (Wish::Leave, false) => {
                watch.live.console.end();
                return Err(left("the turn goes on"));
            }
            (Wish::Stop, false) => watch.live.console.note("interrupting the turn; Ctrl-C once more leaves at once"),
        }
        let told = tokio::select! {
            told = line.once(async |client| client.interrupt(turn.as_str(), None).await) => told,
            _ = wishes.next() => {
                watch.live.console.end();
                return Err(left("the turn may go on"));
            }
        };
        match told {
            Err(error) if error.code() != Some(Code::TurnEnded) => {
                watch.live.console.end();
                return Err(left(&format!("the turn could not be interrupted ({error}) and may go on")));
            }
            // Its end is near, and will be told.
            _ => {}
        }
    };
    watch.live.console.end();
    let last = match last {
        Ok(last) => last,
        // Nobody reads any more, so nobody waits.
        Err(Ended::Gone(error)) if is_gone(&error) => return Ok(Exit::GoesOn),
        Err(Ended::Gone(error)) => return Err(anyhow::Error::new(error).context("can't write to standard output")),
        Err(Ended::Failed(error)) => {
            if known.get() {
                output.note(&format!("come back with: codexd turn wait {turn}"));
            }
            return Err(error.into());
        }
    };
    if !last.status.ended() {
        let waited = args.timeout.map(|timeout| format!(" after {} s", timeout.as_secs())).unwrap_or_default();
        output.note(&format!("the turn goes on{waited}; wait again with: codexd turn wait {turn}"));
    }
    tell_after(output, &last, &args.page, false, Some(&watch.live))
}

/// Why nobody waits any more.
enum Ended {
    Failed(client::Error),
    /// What happens can't be shown.
    Gone(io::Error),
}

impl From<client::Error> for Ended {
    fn from(error: client::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// What is known while somebody waits.
struct Watch<'a> {
    turn: &'a TurnId,
    end: Option<Instant>,
    live: Live,
    asking: Asking,
    /// It was interrupted: nobody is asked any more.
    stopping: bool,
    /// The stream began before the turn did, so that its end comes by it.
    from_before: bool,
    events: Option<Events>,
    /// There is no stream for whoever asks.
    blind: bool,
    /// The turn has to be looked at: it may have ended. Kept here because whoever looks may give up before the answer is there.
    look: bool,
    /// How it stood when somebody looked.
    state: Option<TurnStatus>,
    told_of_hold: bool,
}

impl Watch<'_> {
    /// Watches until the turn has ended or the time is over; the turn as it then is. Whoever gives up may go on later.
    async fn look(&mut self, line: &mut Line, known: &Cell<bool>) -> Result<Reply<Turn>, Ended> {
        if self.blind {
            return self.ask_for_the_end(line).await;
        }
        if self.events.is_none() {
            let turn = self.as_it_is(line).await?;
            known.set(true);
            if turn.status.ended() {
                return Ok(turn);
            }
            self.events = Some(line.events(Some(turn.session_id.to_string()), None));
        }
        loop {
            if self.look {
                let turn = self.as_it_is(line).await?;
                self.look = false;
                if turn.status.ended() {
                    return Ok(turn);
                }
            }
            let Some(events) = &mut self.events else { return self.ask_for_the_end(line).await };
            let end = self.end;
            let over = async {
                match end {
                    Some(end) => sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            let told = tokio::select! {
                told = events.next() => told,
                typed = self.asking.line() => {
                    self.asking.typed(typed, &mut self.live).await;
                    continue;
                }
                () = over => {
                    self.asking.close(true, &mut self.live);
                    return Ok(self.as_it_is(line).await?);
                }
            };
            match told {
                Ok(told) => self.heard(told)?,
                Err(error) if error.is_cut() => return Err(error.into()),
                // The end can still be asked for.
                Err(error) => {
                    self.blind = true;
                    self.live
                        .console
                        .note(&format!("what happens can't be seen from here ({error}); waiting for the end"));
                    return self.ask_for_the_end(line).await;
                }
            }
        }
    }

    /// Takes in what a stream told.
    fn heard(&mut self, told: Told) -> io::Result<()> {
        self.live.hear(&told)?;
        match told {
            // Whatever happened before the stream began is not told by it.
            Told::Connected { .. } if !self.from_before => (self.from_before, self.look) = (true, true),
            // It is told how it goes on.
            Told::Connected { .. } => self.say_state(),
            Told::Reset { .. } => self.look = true,
            Told::Closing { reason } => self.lost(&reason),
            Told::Lost { .. } => self.lost("the connection to the daemon broke off"),
            Told::Text(_) => {}
            Told::Event(event) => {
                let ours = event.turn.as_ref() == Some(self.turn);
                match event.name.as_str() {
                    "turn.completed" | "turn.failed" | "turn.interrupted" if ours => self.look = true,
                    "approval.requested" | "approval.pending" if ours && !self.stopping => {
                        if let Some(approval) = event.approval() {
                            self.asking.asked(approval, &mut self.live);
                        }
                        self.say_state();
                    }
                    "approval.resolved" if ours => {
                        if let Some(approval) = event.approval() {
                            self.asking.resolved(&approval, &mut self.live);
                        }
                        self.say_state();
                    }
                    "turn.queued" | "turn.held" | "turn.started" if ours => {
                        if let Some(turn) = event.shown_turn() {
                            self.stands(&turn);
                        }
                    }
                    // Its place in the queue is another one now.
                    name if name.starts_with("turn.") && self.state == Some(TurnStatus::Queued) => {
                        self.look |= self.live.console.is_seen();
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The turn, and what is to be said of how it stands.
    async fn as_it_is(&mut self, line: &mut Line) -> Result<Reply<Turn>, client::Error> {
        let (turn, live) = (self.turn, &mut self.live);
        let reply = line
            .ask_telling(async |client| client.turn(turn.as_str(), None).await, |text| live.console.note(text))
            .await?;
        self.stands(&reply);
        Ok(reply)
    }

    fn stands(&mut self, turn: &Turn) {
        self.state = Some(turn.status);
        if !self.asking.is_open() {
            self.live.console.say(&state(turn));
        }
        if turn.held && !std::mem::replace(&mut self.told_of_hold, true) {
            self.live.console.note(&held(turn));
        }
    }

    fn say_state(&mut self) {
        if self.asking.is_open() {
            self.live.console.say(WAITS);
        } else if self.state == Some(TurnStatus::Running) {
            self.live.console.say(WORKS);
        }
    }

    fn lost(&mut self, what: &str) {
        self.live.console.note(&format!("{what}; trying again"));
        self.live.console.say("looking for the daemon");
    }

    /// Asks until the turn has ended or the time is over.
    async fn ask_for_the_end(&mut self, line: &mut Line) -> Result<Reply<Turn>, Ended> {
        loop {
            let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
            // Whole seconds go over the wire.
            let wait =
                left.map_or(QUESTION, |left| QUESTION.min(Duration::from_secs(left.as_millis().div_ceil(1000) as u64)));
            let asked = Instant::now();
            let (turn, live) = (self.turn, &mut self.live);
            let call = async |client: &client::Client| client.turn(turn.as_str(), Some(wait)).await;
            let reply = line.ask_telling(call, |text| live.console.note(text)).await?;
            if reply.status.ended() || left.is_some_and(|left| left <= asked.elapsed()) {
                return Ok(reply);
            }
            self.stands(&reply);
            if asked.elapsed() < wait.min(LEAST) {
                tokio::time::sleep(LEAST).await;
            }
        }
    }
}

/// What Codex does most of the time.
const WORKS: &str = "Codex is working";

/// What it does, in few words.
pub(super) fn state(turn: &Turn) -> String {
    match (turn.status, turn.position) {
        (TurnStatus::Queued, _) if turn.held => "held".to_owned(),
        (TurnStatus::Queued, Some(position)) => format!("queued, number {position}"),
        (TurnStatus::Queued, None) => "queued".to_owned(),
        (TurnStatus::Running, _) => WORKS.to_owned(),
        (ended, _) => ended.as_str().to_owned(),
    }
}

/// Why a held turn does not begin, and what makes it.
pub(super) fn held(turn: &Turn) -> String {
    format!(
        "the turn is held, because the one before it was interrupted or lost. Let it go on with: codexd sessions resume {}",
        turn.session_id
    )
}
