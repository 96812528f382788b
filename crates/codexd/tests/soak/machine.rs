//! The machine of a soak: a lab whose daemon comes and goes, and calls that outlast that.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use testkit::{
    Daemon, Lab, Reply, eventually, real_codex,
    wire::{Call, Door},
};
use tokio::{task::JoinHandle, time::sleep};

/// How long a call is tried again while the daemon is not there.
const PATIENCE: Duration = Duration::from_secs(120);

/// A lab, and what is known of it from outside.
pub(crate) struct Machine {
    pub(crate) lab: Lab,
    codex: PathBuf,
    over: AtomicBool,
    /// For each prompt how often the model was asked it.
    asked: Arc<Mutex<HashMap<String, u32>>>,
}

impl Machine {
    pub(crate) async fn new(codexd: &str) -> Result<Self> {
        let lab = Lab::new(codexd).await?;
        Ok(Self { lab, codex: real_codex()?, over: AtomicBool::new(false), asked: Arc::default() })
    }

    /// Boots a daemon. What waited when the last one was killed goes on by itself.
    pub(crate) async fn serve(&self) -> Result<Daemon> {
        self.lab.serve(&self.codex, &["--no-auth", "--on-restart", "run"]).await
    }

    /// Nobody begins anything any more, and nothing is killed.
    pub(crate) fn stop_the_chaos(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The address of whichever daemon is there.
    pub(crate) fn by_tcp(&self) -> Option<Door> {
        let text = std::fs::read(self.lab.store.join("daemon.json")).ok()?;
        let file: Value = serde_json::from_slice(&text).ok()?;
        Some(Door::Tcp(file["http"].as_str()?.trim_start_matches("http://").trim_end_matches('/').to_owned()))
    }

    /// Calls by the socket until somebody answers who does not say "later". A POST that is to be made once has a key.
    pub(crate) async fn call(&self, call: &Call) -> Result<Reply> {
        let (door, until) = (Door::Socket(self.lab.store.join("codexd.sock")), Instant::now() + PATIENCE);
        loop {
            let last = match call.ask(&door).await {
                Ok(reply) if ![502, 503, 504].contains(&reply.status) => return Ok(reply),
                Ok(reply) => format!("{reply:?}"),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > until {
                bail!("nobody answered {call:?}: {last}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// GET, with an answer of 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let reply = self.call(&Call::get(path)).await?;
        ensure!(reply.status == 200, "{path}: {reply:?}");
        Ok(reply.body)
    }

    /// Counts what the model is asked, as it is asked: its own record is bounded.
    pub(crate) fn listen_to_the_model(self: &Arc<Self>) -> JoinHandle<()> {
        let machine = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                machine.hear_the_model();
                sleep(Duration::from_millis(100)).await;
            }
        })
    }

    fn hear_the_model(&self) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for request in self.lab.model.take_requests() {
            // Behind the output of a command Codex asks again, about the same prompt.
            if request.outputs() == 0
                && let Some(mark) = mark_of(&request.prompt())
            {
                *asked.entry(mark).or_default() += 1;
            }
        }
    }

    /// For each prompt how often the model was asked it.
    pub(crate) fn asked(&self) -> HashMap<String, u32> {
        self.hear_the_model();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the folder stay, for whoever looks into a failure, and says where it is.
    pub(crate) fn keep_what_is_there(&self, log: &str) -> String {
        let kept = std::env::temp_dir().join(format!("codexd-soak-{}", std::process::id()));
        let copied = std::process::Command::new("cp").arg("-a").arg(self.lab.dir.path()).arg(&kept).status();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("the machine is kept in {} ({copied:?}); the last daemon said:\n{}", kept.display(), tail.join("\n"))
    }

    /// No process that was started here is there any more.
    pub(crate) async fn nothing_is_left(&self) -> Result<()> {
        let ours = format!("CODEX_HOME={}", self.lab.codex_home.display());
        let mut left = Vec::new();
        let gone = eventually("all processes to end", async || {
            left = processes_with(&ours);
            left.is_empty().then_some(())
        })
        .await;
        ensure!(gone.is_ok(), "still there: {left:?}");
        Ok(())
    }
}

/// The processes that have this in their environment, with their command lines.
fn processes_with(variable: &str) -> Vec<String> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in all.flatten().filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()) {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()) {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(format!("{} {line}", process.file_name().to_string_lossy()));
        }
    }
    found
}

/// What a prompt is known by, from its text: `[p7-3]`.
pub(crate) fn mark_of(text: &str) -> Option<String> {
    let from = text.find("[p")?;
    let end = from + text[from..].find(']')? + 1;
    Some(text[from..end].to_owned())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_is_left_is_found() -> Result<()> {
    let variable = format!("CODEX_HOME=/nowhere/{}", uuid::Uuid::now_v7());
    let (name, value) = variable.split_once('=').unwrap_or_default();
    assert_eq!(processes_with(&variable), Vec::<String>::new());
    let mut left = std::process::Command::new("sleep").arg("600").env(name, value).spawn()?;
    let line = format!("{} sleep 600 ", left.id());
    // A program that is just being started has no environment yet.
    let found = eventually("a process that is left", async || {
        let found = processes_with(&variable);
        (!found.is_empty()).then_some(found)
    })
    .await;
    left.kill()?;
    left.wait()?;
    assert_eq!(found?, [line]);
    assert_eq!(processes_with(&variable), Vec::<String>::new());
    Ok(())
}
