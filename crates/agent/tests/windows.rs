//! What is only so on Windows: hosts, their jobs, and whose a process is. `cargo xtask wine` runs it where there is no Windows.

#![cfg(windows)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by failing")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use agent::{
    Agent, HostOptions, Message, Options, Port as _,
    locate::{Search, locate},
};
use testkit::fake_codex;
use tokio::sync::mpsc;
use types::{AgentId, agent::Descent};
use win32::process;

const DOUBLE: &str = env!("CARGO_BIN_EXE_agent-double");

/// Looks until there is something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(dir: &Path) -> (Agent, mpsc::Receiver<Message>) {
    let search = Search { explicit: Some(fake_codex().unwrap().into()), ..Search::default() };
    let mut options = Options::new(locate(&search).unwrap(), dir.to_owned());
    options.hosts = Some(HostOptions::new(DOUBLE.into(), dir.join("agents")));
    Agent::start(options)
}

async fn up(messages: &mut mpsc::Receiver<Message>) -> (AgentId, bool) {
    loop {
        if let Message::Up { agent, attached, .. } = messages.recv().await.unwrap() {
            return (agent, attached);
        }
    }
}

fn agents(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("agents")).unwrap().count()
}

fn card(dir: &Path, agent: &AgentId) -> serde_json::Value {
    let file = dir.join("agents").join(agent.as_str()).join("host.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_outlives_who_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut messages) = start(dir.path());
    let (first, attached) = up(&mut messages).await;
    assert!(!attached);
    let codex = agent.info().pid.unwrap();
    let made = card(dir.path(), &first);
    assert_eq!(made["codexPid"], codex);
    assert_eq!(made["codexStart"], process::start(codex).unwrap().to_string());
    agent.leave().await;

    let (agent, mut messages) = start(dir.path());
    assert_eq!(up(&mut messages).await, (first.clone(), true));
    assert_eq!(agent.info().pid, Some(codex));
    let host = u32::try_from(made["hostPid"].as_u64().unwrap()).unwrap();
    agent.stop().await;
    assert_eq!(process::start(codex), None);
    until("the host to end", || process::start(host).is_none().then_some(()));
    assert_eq!(agents(dir.path()), 0);
}

/// However a host ends, nothing of its Codex stays, and the next one is on its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_takes_codex_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, mut messages) = start(dir.path());
    let (first, _) = up(&mut messages).await;
    let codex = agent.info().pid.unwrap();
    let host = u32::try_from(card(dir.path(), &first)["hostPid"].as_u64().unwrap()).unwrap();
    assert!(process::end(host, process::start(host).unwrap()).unwrap());
    let (second, attached) = up(&mut messages).await;
    assert!(!attached && second != first);
    assert_eq!(process::start(codex), None);
    agent.stop().await;
    assert_eq!(agents(dir.path()), 0);
}

/// A command of Codex's that waits, and the one that it started.
struct Family {
    codex: Child,
    command: u32,
}

impl Family {
    fn start() -> Self {
        let mut command = Command::new("cmd");
        command.args(["/c", "cmd /c set /p line="]).stdin(Stdio::piped()).stdout(Stdio::null());
        let codex = command.spawn().unwrap();
        let command = until("a command", || {
            let parents = process::parents().unwrap();
            parents.iter().find(|(_, parent)| **parent == codex.id()).map(|(pid, _)| *pid)
        });
        Self { codex, command }
    }

    /// A folder of agents that has this one for a Codex that started then.
    fn known(&self, start: Option<u64>) -> tempfile::TempDir {
        let agents = tempfile::tempdir().unwrap();
        let folder = agents.path().join("agent-of-this-test");
        std::fs::create_dir(&folder).unwrap();
        let card = serde_json::json!({
            "protocol": 1, "version": "", "agent": "agent-of-this-test", "hostPid": u32::MAX, "hostStart": null,
            "codexPid": self.codex.id(), "codexStart": start.map(|start| start.to_string()),
            "socket": {"Windows": []}, "startedAt": "2026-01-01T00:00:00.000Z",
        });
        std::fs::write(folder.join("host.json"), card.to_string()).unwrap();
        agents
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(start) = process::start(self.command) {
            let _ = process::end(self.command, start);
        }
        let _ = self.codex.kill();
        let _ = self.codex.wait();
    }
}

#[test]
fn what_an_agent_started_is_that_agents() {
    let family = Family::start();
    let inside = Descent::Inside { agent: "agent-of-this-test".to_owned(), thread: None };
    for start in [None, process::start(family.codex.id())] {
        let agents = family.known(start);
        assert_eq!(agent::descent(agents.path(), family.command), inside);
        assert_eq!(agent::descent(agents.path(), family.codex.id()), inside);
        assert_eq!(agent::descent(agents.path(), std::process::id()), Descent::Outside);
    }
    let other = family.known(Some(1));
    assert_eq!(agent::descent(other.path(), family.command), Descent::Outside, "its pid was used again");
    let (command, agents) = (family.command, family.known(None));
    drop(family);
    until("it to be gone", || (agent::descent(agents.path(), command) == Descent::Gone).then_some(()));
}
