//! `codexd stop`: the daemon ends, and what goes on without it is told.
//!
//! It is asked by the API and not by a signal: the same on every platform, with the same authority as everything else, never to a process
//! that only has the pid of one that was a daemon once, and there can be said whether Codex is to end as well. That it is gone is seen by the
//! lock of its store, which the system releases however it ends.
//!
//! Without a daemon, hosts may be left of one that died. `--agents` ends them, under the store's lock, so that no daemon that starts
//! meanwhile takes them over.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use client::{Client, Error};
use serde_json::json;
use store::Owned;
use tokio::task::spawn_blocking;

use super::reach;
use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Output, Spinner},
    serve::STOP_LIMIT,
};

/// How much longer than the daemon's own limit its end is waited for, and how often it is looked.
const MORE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What ends with it.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Also ends Codex and its host: turns that run are interrupted. Without a daemon, those that one left when it died
    #[arg(long)]
    agents: bool,
}

/// What became of it.
#[derive(Debug, Default)]
struct Stopped {
    /// The daemon that is gone.
    pid: Option<u32>,
    /// How many turns Codex ran when it was told, and whether they were to end.
    running: u64,
    agents: bool,
    /// The processes of Codex that go on.
    left: Vec<u32>,
    /// How many hosts that a dead daemon left were ended.
    ended: usize,
}

/// Stops it. A success when it is gone, or when there was none and something of a dead one was ended.
pub(crate) async fn run(args: StopArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let dir = globals.store.dir()?;
    let output = Output::new(globals.json);
    let stopped = match reach(&dir) {
        Ok(client) => match with_daemon(&client, args.agents, &dir).await {
            Err(error) if is_nobody(&error) => without_daemon(args.agents, &dir, error).await?,
            stopped => stopped?,
        },
        Err(error @ Error::NoDaemon { .. }) => without_daemon(args.agents, &dir, error.into()).await?,
        Err(error) => return Err(error.into()),
    };
    told(&stopped, &output)?;
    Ok(Exit::Completed)
}

fn is_nobody(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::NoDaemon { .. }))
}

async fn with_daemon(client: &Client, agents: bool, dir: &Path) -> anyhow::Result<Stopped> {
    let spinner = Spinner::start("stopping codexd");
    let before = owner(dir).await?;
    let told = client.stop(agents).await?;
    let until = Instant::now() + STOP_LIMIT + MORE;
    // Gone is also one in whose place another one is already.
    while let Some(now) = owner(dir).await? {
        // While it lets go of the store its note is gone and its lock is not.
        if before.as_ref().is_some_and(|before| now != *before && now.pid.is_some()) {
            break;
        }
        if Instant::now() >= until {
            let pid = told.pid;
            bail!(
                "codexd (pid {pid}) was told to stop and is not gone yet; its log says why. `kill -9 {pid}` ends it at once"
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    drop(spinner);
    let left = alive(dir).await?;
    Ok(Stopped { pid: Some(told.pid), running: told.running, agents: told.agents, left, ended: 0 })
}

async fn without_daemon(agents: bool, dir: &Path, nobody: anyhow::Error) -> anyhow::Result<Stopped> {
    let left = alive(dir).await?;
    if left.is_empty() {
        return Err(nobody);
    }
    if !agents {
        let (codex, go) = if left.len() == 1 { ("a Codex", "goes") } else { ("several Codex", "go") };
        let what = format!(
            "{codex} of a daemon that is gone {go} on: `codexd serve` takes it over, `codexd stop --agents` ends it"
        );
        return Err(nobody.context(what));
    }
    let spinner = Spinner::start("ending what a dead codexd left");
    let (folder, agents) = (dir.to_owned(), agents_in(dir));
    let held = spawn_blocking(move || store::hold(&folder)).await.context("the store can't be held")??;
    let ended = agent::end_hosts(&agents).await;
    drop((held, spinner));
    Ok(Stopped { ended, ..Stopped::default() })
}

fn told(stopped: &Stopped, output: &Output) -> anyhow::Result<()> {
    let Stopped { pid, running, agents, left, ended } = stopped;
    let going_on = if left.is_empty() { 0 } else { *running };
    if output.json() {
        let whole = json!({"pid": pid, "turnsLeft": going_on, "codexLeft": left, "hostsEnded": ended});
        output.object(whole.to_string().as_bytes())?;
        return Ok(());
    }
    match pid {
        Some(pid) => output.text(&format!("codexd (pid {pid}) has stopped"))?,
        None => output.text(&format!(
            "no codexd was running; what one had left was ended ({}, with what ran in it)",
            output::count(*ended as u64, "agent host")
        ))?,
    }
    let pids = left.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let turns = output::count(*running, "turn");
    match (left.is_empty(), *running) {
        (false, 0) => output.note(&format!(
            "an agent host stays (Codex has pid {pids}), with what could not be stored; the next codexd takes it over, and \
             `codexd stop --agents` ends it"
        )),
        (false, count) => output.note(&format!(
            "{turns} {} on in the agent host (Codex has pid {pids}); the next codexd takes over, and `codexd stop --agents` ends it",
            if count == 1 { "goes" } else { "go" }
        )),
        (true, 1..) if *agents => output.note(&format!("{turns} had not ended")),
        (true, _) => {}
    }
    Ok(())
}

fn agents_in(dir: &Path) -> PathBuf {
    dir.join("agents")
}

async fn owner(dir: &Path) -> anyhow::Result<Option<Owned>> {
    let dir = dir.to_owned();
    let looked = spawn_blocking(move || store::owner(&dir)).await.context("the look at the store broke off")?;
    looked.context("it can't be seen who has the store")
}

async fn alive(dir: &Path) -> anyhow::Result<Vec<u32>> {
    let agents = agents_in(dir);
    spawn_blocking(move || agent::hosts_alive(&agents)).await.context("the look at the agent hosts broke off")
}
