//! Giving birth to hosts, finding them, ending them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    task::spawn_blocking,
    time::timeout,
};
use types::{AgentId, Timestamp, agent::Backend};

use super::{HostOptions, Unborn, os};
use crate::{
    handshake::Met,
    host::birth::{Birth, Card, First, Folder, MOST_BYTES},
    host::wire::Welcome,
    locate::Located,
    process::keep_ours,
    processes::{Leftover, end_one, reap},
    transport::Hosted,
};

/// How long a host that lives may take to say who it is: it was being born when its codexd died.
const CARD_LIMIT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long Codex may take to end that nobody wants any more.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// An agent that was found running, or that ended while nobody was there and has something to say.
pub(crate) struct Found {
    pub(crate) agent: AgentId,
    pub(crate) hosted: Hosted,
    pub(crate) met: Met,
    /// The tags of what Codex was given.
    pub(crate) passed: Vec<String>,
    /// What stands for each turn that runs.
    pub(crate) busy: Vec<String>,
    /// When Codex was started.
    pub(crate) started: Timestamp,
}

/// Finds the agent to go on with, and ends what is left of all others. Which one: of those whose Codex runs one with a running turn, of these
/// the youngest. One that has not shaken hands with Codex has no turns.
pub(crate) async fn find(options: &HostOptions) -> Option<Found> {
    let agents = options.agents.clone();
    let living = spawn_blocking(move || sort_out(&agents)).await.unwrap_or_default();
    let mut found = Vec::new();
    for (folder, card) in living {
        let agent = card.agent.clone();
        let started = card.started_at;
        match Hosted::attach(folder, card).await {
            Ok((hosted, welcome)) => found.push((rank(&welcome), started, agent, hosted, welcome)),
            Err(error) => {
                tracing::warn!(%agent, %error, "an agent host can't be spoken to; it ends by itself when its turns have");
            }
        }
    }
    found.sort_by_key(|(rank, started, ..)| (*rank, *started));
    let (_, started, agent, hosted, welcome) = found.pop()?;
    for (_, _, agent, hosted, _) in found {
        tracing::warn!(%agent, "there is more than one Codex of ours; this one is ended");
        hosted.finish(STOP_GRACE).await;
    }
    let met = welcome.note.as_deref().and_then(|note| serde_json::from_str::<Met>(note).ok());
    let Some(met) = met else {
        hosted.finish(Duration::ZERO).await;
        return None;
    };
    tracing::info!(%agent, pid = welcome.codex_pid, kept = welcome.last + 1 - welcome.lowest, "Codex was still there");
    Some(Found { agent, hosted, met, passed: welcome.passed, busy: welcome.busy, started })
}

fn rank(welcome: &Welcome) -> u8 {
    match (welcome.note.is_some(), welcome.exited.is_some(), !welcome.busy.is_empty()) {
        (false, ..) => 0,
        (_, true, _) => 1,
        (_, false, false) => 2,
        (_, false, true) => 3,
    }
}

/// See [`super::alive`].
pub(super) fn alive(agents: &Path) -> Vec<u32> {
    // A host has a card once it is ready; only then its lock may be looked at.
    let ready = folders(agents).filter_map(|folder| Some((folder.card().ok()??, folder)));
    ready.filter(|(_, folder)| folder.is_alive()).map(|(card, _)| card.codex_pid).collect()
}

/// See [`super::end_all`].
pub(super) async fn end_all(agents: &Path) -> usize {
    let agents = agents.to_owned();
    let living = spawn_blocking(move || sort_out(&agents)).await.unwrap_or_default();
    let count = living.len();
    for (folder, card) in living {
        match Hosted::attach(folder.clone(), card).await {
            Ok((hosted, _)) => drop(hosted.finish(STOP_GRACE).await),
            // One of another version, or one that hangs.
            Err(_) => end(folder).await,
        }
    }
    count
}

fn folders(agents: &Path) -> impl Iterator<Item = Folder> {
    let entries = fs::read_dir(agents).into_iter().flatten().flatten();
    entries.map(|entry| Folder(entry.path())).filter(|folder| folder.0.is_dir())
}

/// Those that live; the others are reaped. Blocks.
fn sort_out(agents: &Path) -> Vec<(Folder, Card)> {
    let mut living = Vec::new();
    for folder in folders(agents) {
        let Some(agent) = folder.agent() else { continue };
        if let Some(card) = living_card(&folder, &agent) {
            living.push((folder, card));
        }
    }
    living
}

fn living_card(folder: &Folder, agent: &AgentId) -> Option<Card> {
    let until = Instant::now() + CARD_LIMIT;
    loop {
        match folder.lock() {
            Ok(Some(lock)) => {
                reap_folder(folder, agent, lock);
                return None;
            }
            Ok(None) if !folder.0.exists() => return None,
            // No host ever made a lock in it: it was being made.
            Ok(None) if !folder.0.join("lock").exists() => {
                folder.remove();
                return None;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%agent, %error, "an agent's folder can't be looked at");
                return None;
            }
        }
        match folder.card() {
            Ok(Some(card)) if card.agent == *agent => return Some(card),
            _ if Instant::now() > until => {
                tracing::warn!(%agent, "an agent host does not say where it is; it ends by itself");
                return None;
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

/// Ends what a dead host left behind.
fn reap_folder(folder: &Folder, agent: &AgentId, lock: File) {
    let card = folder.card().ok().flatten().filter(|card| card.agent == *agent);
    let codex = card.as_ref().and_then(|card| Some((card.codex_pid, card.codex_start.as_ref()?)));
    let host = card.as_ref().map(|card| card.host_pid);
    let ended = reap(Leftover { marker: agent.as_str(), host, codex });
    if ended > 0 {
        tracing::warn!(%agent, ended, "what a dead agent host left behind was ended");
    }
    folder.remove_locked(lock);
}

/// Makes sure that nothing of an agent is left, its host included.
pub(crate) async fn end(folder: Folder) {
    let ending = move || {
        let Some(agent) = folder.agent() else { return };
        if folder.is_alive()
            && let Ok(Some(card)) = folder.card()
            && let Some(start) = &card.host_start
        {
            tracing::warn!(%agent, "an agent host does not end; it is killed");
            end_one(card.host_pid, start);
        }
        let until = Instant::now() + CARD_LIMIT;
        while folder.0.exists() && Instant::now() < until {
            if let Ok(Some(lock)) = folder.lock() {
                return reap_folder(&folder, &agent, lock);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    };
    let _ = spawn_blocking(ending).await;
}

/// A host that has not said that it is ready. Dropped, it is killed, and Codex sees its stdin close.
struct Newborn {
    child: Option<Child>,
    folder: PathBuf,
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.start_kill();
            let folder = Folder(self.folder.clone());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(end(folder));
            }
        }
    }
}

/// Starts `program subcommand` in `work_dir` with a host of its own.
pub(crate) async fn birth(
    options: &HostOptions,
    program: &Located,
    backend: Backend,
    agent: &AgentId,
    work_dir: &Path,
    limit: Duration,
) -> Result<Hosted, Unborn> {
    let unborn = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| Unborn { error: format!("{what} ({error})"), missing: false }
    };
    let secret =
        secret().map_err(|error| Unborn { error: format!("there is no randomness ({error})"), missing: false })?;
    // A host stands in the root folder.
    let absolute = |path: &Path| std::path::absolute(path).map_err(unborn("there is no folder to stand in"));
    let (agents, work_dir) = (absolute(&options.agents)?, absolute(work_dir)?);
    let folder = Folder::make(&agents, agent, &secret).map_err(unborn("its folder can't be made"))?;
    let mut args = program.args.clone();
    args.push(backend.as_str().into());
    let changes = program.changes(std::env::var_os("PATH").as_deref());
    let message = Birth {
        agent: agent.clone(),
        folder: folder.0.clone().into(),
        secret,
        program: program.program.clone().into(),
        args,
        environment: changes.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        work_dir: work_dir.into(),
        backend,
        orphan_grace: options.orphan_grace,
        orphan_max: options.orphan_max,
        memory: options.memory,
        files: options.files,
    };
    let mut command = Command::new(&options.program);
    command.args(&options.args).current_dir("/");
    keep_ours(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = os::spawn(&mut command).inspect_err(|_| folder.remove());
    let child = child.map_err(unborn(&format!("{} can't be started", options.program.display())))?;
    let mut newborn = Newborn { child: Some(child), folder: folder.0.clone() };
    let said = match timeout(limit, first_words(&mut newborn, &message)).await {
        Ok(said) => said.map_err(unborn("its host does not speak"))?,
        Err(_) => return Err(unborn("its host does not speak")(std::io::ErrorKind::TimedOut.into())),
    };
    if let First::Failed { error, missing } = said {
        newborn.child = None;
        return Err(Unborn { error, missing });
    }
    let card = folder.card().and_then(|card| card.ok_or_else(|| std::io::ErrorKind::NotFound.into()));
    let card = card.map_err(unborn("its host does not say where it is"))?;
    let (hosted, _) = Hosted::attach(folder, card).await.map_err(unborn("its host can't be spoken to"))?;
    // It goes on without us.
    newborn.child = None;
    Ok(hosted)
}

async fn first_words(newborn: &mut Newborn, message: &Birth) -> std::io::Result<First> {
    let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    let child = newborn.child.as_mut().ok_or_else(broken)?;
    let mut stdin = child.stdin.take().ok_or_else(broken)?;
    stdin.write_all(&serde_json::to_vec(message)?).await?;
    drop(stdin);
    let stdout = child.stdout.take().ok_or_else(broken)?.take(MOST_BYTES);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    if line.is_empty() {
        return Err(std::io::Error::other("it ended at once"));
    }
    Ok(serde_json::from_str(&line)?)
}

/// 256 bits, as text.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
