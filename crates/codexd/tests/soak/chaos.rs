//! What is killed or started anew, and when.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::Daemon;
use tokio::time::sleep;

use crate::{chance::Chance, machine::Machine};

/// The longest pause between two blows.
const PAUSE: Duration = Duration::from_secs(6);

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Killed {
    daemons: u32,
    codexes: u32,
    hosts: u32,
    machines: u32,
    stops: u32,
    restarts: u32,
    drains: u32,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { daemons, codexes, hosts, machines, stops, restarts, drains } = self;
        write!(
            f,
            "killed: codexd {daemons} times, Codex {codexes}, the host {hosts}, all three at once {machines}; \
             {stops} clean stops; Codex was to start anew {restarts} times at once and {drains} times after its turns"
        )
    }
}

/// Kills until it is over. There is a daemon afterwards.
pub(crate) async fn rage(machine: &Machine, daemon: &mut Option<Daemon>, chance: &mut Chance) -> Result<Killed> {
    let mut killed = Killed::default();
    loop {
        let (pause, blow) = (Duration::from_millis(200) + chance.up_to(PAUSE), chance.below(14));
        sleep(pause).await;
        if machine.is_over() {
            return Ok(killed);
        }
        let running = daemon.take().context("a daemon")?;
        let codex = running.agent().await?["pid"].as_u64().map(|pid| pid.to_string());
        let host = codex.as_deref().and_then(parent);
        let (codex, host) = (codex.as_slice(), host.as_slice());
        let daemon_is_gone = match blow {
            0..=4 => {
                running.kill().await?;
                killed.daemons += 1;
                None
            }
            5 | 6 => {
                kill(codex).await?;
                killed.codexes += 1;
                Some(running)
            }
            7 | 8 => {
                kill(host).await?;
                killed.hosts += 1;
                Some(running)
            }
            9 => {
                let pid = running.pid.to_string();
                kill(&[&[pid], codex, host].concat()).await?;
                running.kill().await?;
                killed.machines += 1;
                None
            }
            10 | 11 => {
                running.stop().await?;
                killed.stops += 1;
                None
            }
            _ => {
                let drain = blow == 12;
                let told = running.post("/v1/agent/restart", json!({ "drain": drain })).await?;
                ensure!(told.status == 202, "{told:?}");
                *if drain { &mut killed.drains } else { &mut killed.restarts } += 1;
                Some(running)
            }
        };
        *daemon = Some(match daemon_is_gone {
            Some(running) => running,
            None => machine.serve().await?,
        });
    }
}

/// The agent host of a Codex, and nobody else who may have become its parent.
fn parent(pid: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    let line = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
    String::from_utf8_lossy(&line).contains("agent-host").then(|| parent.to_owned())
}

/// Whoever is gone already is no error.
async fn kill(pids: &[String]) -> Result<()> {
    if !pids.is_empty() {
        tokio::process::Command::new("kill").arg("-9").args(pids).output().await?;
    }
    Ok(())
}
