//! Those who watch everything: one without a break, one that leaves and comes back all the time, one that is slow.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    machine::Machine,
    sse::{Client, Frame, Stream},
};

/// How one watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Steady,
    Restless,
    Slow,
}

/// What somebody has seen: the events with their names, each once and in order, and the texts that they were told piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) who: String,
    pub(crate) events: BTreeMap<i64, String>,
    /// Messages whose pieces were not what the message is.
    pub(crate) torn: Vec<String>,
}

/// All watchers of a soak.
pub(crate) struct Watching {
    tasks: Vec<JoinHandle<Result<Seen>>>,
    over: CancellationToken,
}

/// Begins to watch.
pub(crate) fn start(machine: &Arc<Machine>, seed: u64) -> Watching {
    let over = CancellationToken::new();
    let tasks = [Way::Steady, Way::Restless, Way::Slow]
        .map(|way| tokio::spawn(watch(Arc::clone(machine), way, Chance::new(seed, &format!("{way:?}")), over.clone())));
    Watching { tasks: tasks.into(), over }
}

impl Watching {
    /// What each has seen, and last what somebody sees who comes now and wants everything.
    pub(crate) async fn end(self, machine: &Machine) -> Result<Vec<Seen>> {
        let mut whole = Client::default();
        let mut stream = Stream::open(&machine.by_tcp().context("no daemon")?, "/v1/events", Some(0)).await?;
        let connected = stream.next().await?.context("the stream ended")?;
        let last = connected.data["lastId"].as_i64().with_context(|| format!("{connected:?}"))?;
        while whole.last() < last {
            whole.hear(&stream.next().await?.context("the stream ended")?);
        }
        let everything = whole.events.into_iter().zip(whole.names).collect();
        // They may have some way to go.
        sleep(Duration::from_secs(2)).await;
        self.over.cancel();
        let mut seen = Vec::new();
        for task in self.tasks {
            seen.push(task.await??);
        }
        seen.push(Seen { who: "who comes last".to_owned(), events: everything, torn: Vec::new() });
        Ok(seen)
    }
}

async fn watch(machine: Arc<Machine>, way: Way, mut chance: Chance, over: CancellationToken) -> Result<Seen> {
    let (mut client, mut torn) = (Client::default(), Vec::new());
    while !over.is_cancelled() {
        let Some(door) = machine.by_tcp() else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(mut stream) = Stream::open(&door, "/v1/events", Some(client.last())).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut left = if way == Way::Restless { 1 + chance.below(200) } else { u64::MAX };
        // A cut in the middle of a line is an end like any other.
        while left > 0 {
            let frame = tokio::select! {
                () = over.cancelled() => break,
                frame = timeout(Duration::from_secs(30), stream.next()) => frame,
            };
            let Ok(Ok(Some(frame))) = frame else { break };
            ensure!(frame.name != "stream.reset", "{way:?}: {frame:?} behind {}", client.last());
            client.hear(&frame);
            if let Some(wrong) = torn_by(&client, &frame) {
                torn.push(wrong);
            }
            left -= 1;
            if way == Way::Slow && chance.one_in(20) {
                sleep(chance.up_to(Duration::from_millis(100))).await;
            }
        }
    }
    Ok(Seen { who: format!("{way:?}"), events: client.events.into_iter().zip(client.names).collect(), torn })
}

/// The end of a message says all of it: what came in pieces before is its beginning, and all of it for who was not away.
fn torn_by(client: &Client, frame: &Frame) -> Option<String> {
    let item = &frame.data["item"];
    if frame.name != "item.completed" || item["kind"] != "agentMessage" || item["status"] != "completed" {
        return None;
    }
    let (pieces, text) = (client.texts.get(item["id"].as_str()?)?, item["text"].as_str()?);
    (!text.starts_with(pieces.as_str())).then(|| format!("{pieces:?} in pieces, and then {item}"))
}
