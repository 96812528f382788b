//! A command that was run to its end, and a machine with a daemon to run it against.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{Daemon, Lab, fake_codex};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

pub(crate) const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// What it printed, when it ended well.
    pub(crate) fn good(self) -> Result<String> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(self.out)
    }

    /// Its object, whatever its exit code was: the only one, or the last one behind events.
    pub(crate) fn json(&self) -> Result<Value> {
        let (mut events, object) = self.told()?;
        events.retain(|event| !event["event"].is_string() || !event["data"].is_object());
        ensure!(events.is_empty(), "no events: {events:?}");
        Ok(object)
    }

    /// The objects of a stream, and the last one.
    pub(crate) fn told(&self) -> Result<(Vec<Value>, Value)> {
        let told: Result<Vec<Value>, _> = self.out.lines().map(serde_json::from_str).collect();
        let mut told = told.with_context(|| format!("{self:?}"))?;
        let last = told.pop().with_context(|| format!("no object: {self:?}"))?;
        Ok((told, last))
    }

    /// The ids that were told on stderr, or with `--detach` on stdout.
    pub(crate) fn ids(&self) -> Result<(String, String)> {
        let told = self.err.lines().find_map(ids_of);
        told.or_else(|| ids_of(&self.out.replace('\n', " "))).with_context(|| format!("no ids: {self:?}"))
    }
}

/// `session ID turn ID`.
pub(crate) fn ids_of(line: &str) -> Option<(String, String)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["session", session, "turn", turn] => Some((session.to_owned(), turn.to_owned())),
        _ => None,
    }
}

/// Runs it with this input.
pub(crate) async fn run_with(lab: &Lab, args: &[&str], input: &str) -> Result<Ran> {
    let mut child = spawn(lab.command(args))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    // A program that reads no input may be gone by now.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    end(child).await
}

/// Runs it without input.
pub(crate) async fn run(lab: &Lab, args: &[&str]) -> Result<Ran> {
    run_with(lab, args, "").await
}

/// Begins it, all its ways being pipes.
pub(crate) fn spawn(mut command: Command) -> Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}

/// Waits for its end.
pub(crate) async fn end(child: Child) -> Result<Ran> {
    let output = child.wait_with_output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    ensure!(!ran.err.contains("panicked"), "{ran:?}");
    Ok(ran)
}

/// A machine with a daemon.
pub(crate) async fn rig() -> Result<(Lab, Daemon)> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    Ok((lab, daemon))
}

/// Starts a session and waits for its first answer: the ids of the session and of the turn.
pub(crate) async fn started(lab: &Lab, prompt: &str) -> Result<(String, String)> {
    let ran = run(lab, &["start", prompt]).await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    ran.ids()
}

/// Sends a signal to a process.
pub(crate) async fn signal(name: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().await?;
    ensure!(status.success(), "no process {pid}");
    Ok(())
}
