//! What runs for a daemon, and how much memory that has.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::{Daemon, eventually};

use crate::struck::Struck;

/// What runs with the `CODEX_HOME` of this machine: codexd, its host, Codex and what these started.
pub(crate) fn of(codex_home: &Path) -> Vec<String> {
    let mark = format!("CODEX_HOME={}", codex_home.display());
    let runs = |pid: &str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && runs(pid)).map(|pid| told(&pid)).collect()
}

fn told(pid: &str) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid}: {}", String::from_utf8_lossy(&line).replace('\0', " "))
}

/// A process whose memory is watched.
pub(crate) struct Watched {
    name: &'static str,
    pid: u64,
    /// In MiB, when the watch began.
    before: u64,
}

impl Watched {
    /// From now on.
    fn new(name: &'static str, pid: u64) -> Result<Self> {
        // The peak begins anew.
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        Ok(Self { name, pid, before: mebibytes(pid, "VmRSS:").context("it is gone")? })
    }

    pub(crate) fn daemon(daemon: &Daemon) -> Result<Self> {
        Self::new("codexd", daemon.pid.into())
    }

    pub(crate) fn host(struck: &Struck) -> Result<Self> {
        Self::new("the host", host(struck)?)
    }

    /// By how many MiB it grew since, by this line of its status.
    fn grew(&self, line: &str) -> Result<u64> {
        Ok(mebibytes(self.pid, line).context("it is gone")?.saturating_sub(self.before))
    }

    /// Asserts that it grew by fewer MiB than `most` at any time, and that all but `kept` are given back.
    pub(crate) async fn assert_bounded(&self, most: u64, kept: u64) -> Result<()> {
        let (name, before) = (self.name, self.before);
        let peak = self.grew("VmHWM:")?;
        assert!(peak < most, "{name} had {before} MiB and grew by {peak}, where less than {most} was expected");
        // A session that has nothing to do is let go after some seconds, with its last answer.
        let left = eventually("memory to be given back", async || self.grew("VmRSS:").ok().filter(|left| *left < kept));
        left.await.map(drop).with_context(|| format!("{name} keeps {:?} MiB more than before", self.grew("VmRSS:")))
    }
}

/// The pid of the only host.
pub(crate) fn host(struck: &Struck) -> Result<u64> {
    let folders = fs::read_dir(struck.rig.lab.store.join("agents"))?.flatten();
    let cards = folders.filter_map(|folder| fs::read(folder.path().join("host.json")).ok());
    let pids: Vec<u64> = cards
        .filter_map(|card| serde_json::from_slice::<Value>(&card).ok()?["hostPid"].as_u64())
        .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
        .collect();
    let [pid] = pids[..] else { anyhow::bail!("not one host: {pids:?}") };
    Ok(pid)
}

fn mebibytes(pid: u64, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}
