//! A client of `codex app-server` with nothing in it: the yardstick.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::readers::{Heard, now};

/// One process and one thread in it.
pub(crate) struct Raw {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: String,
    /// When the line was there.
    at: u64,
    next: i64,
    thread: String,
}

impl Raw {
    /// Starts a process, and a thread as codexd would.
    pub(crate) async fn start(codex: &Path, codex_home: &Path, cwd: &Path) -> Result<Self> {
        let mut command = Command::new(codex);
        command.arg("app-server");
        Self::by(command, codex_home, cwd).await
    }

    /// The same with a [`crate::write_loop`] between, that listens on this socket: it hears no deltas.
    pub(crate) async fn behind_loop(socket: &Path, codex: &Path, codex_home: &Path, cwd: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("write-loop").arg(socket).arg(codex);
        Self::by(command, codex_home, cwd).await
    }

    async fn by(mut command: Command, codex_home: &Path, cwd: &Path) -> Result<Self> {
        command.env("CODEX_HOME", codex_home).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = BufReader::with_capacity(64 * 1024, child.stdout.take().context("no stdout")?);
        let mut raw = Self { _child: child, stdin, stdout, line: String::new(), at: 0, next: 0, thread: String::new() };
        let opt_out = ["account/rateLimits/updated", "thread/started", "thread/status/changed"];
        let client = json!({"name": "codexd", "version": "0"});
        raw.call("initialize", json!({"clientInfo": client, "capabilities": {"optOutNotificationMethods": opt_out}}))
            .await?;
        raw.send(&json!({"method": "initialized"})).await?;
        raw.thread = raw.new_thread(cwd).await?;
        Ok(raw)
    }

    /// A new thread; it goes on with the one that it had.
    pub(crate) async fn new_thread(&mut self, cwd: &Path) -> Result<String> {
        let params = json!({"cwd": cwd, "sandbox": "read-only", "approvalPolicy": "on-request"});
        let reply = self.call("thread/start", params).await?;
        Ok(reply["thread"]["id"].as_str().context("no thread")?.to_owned())
    }

    /// Goes on with this thread.
    pub(crate) fn go_on_with(&mut self, thread: &str) {
        thread.clone_into(&mut self.thread);
    }

    /// One turn, from the request to its end; all that Codex said in it.
    pub(crate) async fn turn(&mut self, prompt: &str, cwd: &Path) -> Result<Heard> {
        let policy = json!({"type": "workspaceWrite", "writableRoots": [], "networkAccess": false,
            "excludeTmpdirEnvVar": false, "excludeSlashTmp": false});
        let params = json!({"threadId": self.thread, "input": [{"type": "text", "text": prompt}], "cwd": cwd,
            "approvalPolicy": "on-request", "sandboxPolicy": policy});
        self.next += 1;
        self.send(&json!({"id": self.next, "method": "turn/start", "params": params})).await?;
        let mut heard = Heard::default();
        loop {
            let message = self.read().await?;
            heard.hear(self.line.as_bytes(), self.at);
            if message["method"] == "turn/completed" {
                anyhow::ensure!(message["params"]["turn"]["status"] == "completed", "{message}");
                return Ok(heard);
            }
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.next += 1;
        self.send(&json!({"id": self.next, "method": method, "params": params})).await?;
        loop {
            let message = self.read().await?;
            if message["id"] == self.next {
                if message["error"].is_object() {
                    bail!("{method}: {message}");
                }
                return Ok(message["result"].clone());
            }
        }
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        self.stdin.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(self.stdin.flush().await?)
    }

    async fn read(&mut self) -> Result<Value> {
        self.line.clear();
        anyhow::ensure!(self.stdout.read_line(&mut self.line).await? > 0, "Codex ended");
        self.at = now();
        Ok(serde_json::from_str(&self.line)?)
    }
}
