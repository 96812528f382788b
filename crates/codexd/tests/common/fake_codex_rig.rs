//! A rig: a lab with a daemon in it that runs the double of Codex, and what is asserted about its answers again and again.
#![allow(dead_code, reason = "shared by several test binaries")]

use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::{Daemon, Lab, Reply, fake_codex};
use tokio::process::Command;

use crate::wire::Door;

/// A daemon that runs, and its machine.
pub(crate) struct Rig {
    pub(crate) daemon: Daemon,
    pub(crate) lab: Lab,
}

/// An empty machine.
pub(crate) async fn lab() -> Result<Lab> {
    Lab::new(env!("CARGO_BIN_EXE_codexd")).await
}

impl Rig {
    /// A daemon with these further flags, whose Codex is ready.
    pub(crate) async fn new(flags: &[&str]) -> Result<Self> {
        Self::with(flags, &[]).await
    }

    /// The same with environment variables.
    pub(crate) async fn with(flags: &[&str], env: &[(&str, &str)]) -> Result<Self> {
        let lab = lab().await?;
        let daemon = serve(&lab, flags, env).await?;
        Ok(Self { daemon, lab })
    }

    /// By TCP.
    pub(crate) fn tcp(&self) -> Door {
        tcp(&self.daemon)
    }

    /// By the store's socket.
    pub(crate) fn socket(&self) -> Door {
        Door::Socket(self.lab.store.join("codexd.sock"))
    }

    /// Stops it, lets something happen to the machine, and starts it again.
    pub(crate) async fn restarted(
        self,
        flags: &[&str],
        env: &[(&str, &str)],
        meanwhile: impl FnOnce(&Lab),
    ) -> Result<Self> {
        let Self { daemon, lab } = self;
        daemon.stop().await?;
        meanwhile(&lab);
        let daemon = serve(&lab, flags, env).await?;
        Ok(Self { daemon, lab })
    }

    /// The messages that Codex was sent.
    pub(crate) fn heard(&self) -> Result<Vec<Value>> {
        heard(&self.lab)
    }

    /// A session as `GET /sessions/{id}` shows it.
    pub(crate) async fn session(&self, id: &str) -> Result<Value> {
        let reply = self.daemon.get(&format!("/sessions/{id}")).await?;
        assert_eq!(reply.status, 200, "{reply:?}");
        Ok(reply.body)
    }

    /// Asserts that nothing panicked.
    #[track_caller]
    pub(crate) fn assert_calm(&self) {
        assert_calm(&self.daemon);
    }
}

/// By TCP.
pub(crate) fn tcp(daemon: &Daemon) -> Door {
    Door::Tcp(daemon.url.trim_start_matches("http://").trim_end_matches('/').to_owned())
}

/// Where the double of Codex notes what it hears.
pub(crate) fn journal(lab: &Lab) -> PathBuf {
    lab.dir.path().join("heard.jsonl")
}

/// Boots a daemon in a lab and waits until its Codex is ready.
pub(crate) async fn serve(lab: &Lab, flags: &[&str], env: &[(&str, &str)]) -> Result<Daemon> {
    let journal = journal(lab);
    let mut all = vec![("FAKE_CODEX_LOG", journal.to_str().context("a path that is not UTF-8")?)];
    all.extend(env);
    lab.serve_with(&fake_codex()?, flags, &all).await
}

/// The messages that any Codex of this lab was sent.
pub(crate) fn heard(lab: &Lab) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(journal(lab)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The parameters of all messages of one method.
pub(crate) fn of_method<'a>(heard: &'a [Value], method: &str) -> Vec<&'a Value> {
    heard.iter().filter(|message| message["method"] == method).map(|message| &message["params"]).collect()
}

/// Asserts that nothing panicked.
#[track_caller]
pub(crate) fn assert_calm(daemon: &Daemon) {
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Runs a command that is expected to end by itself.
pub(crate) async fn run(mut command: Command) -> Result<(Output, String)> {
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.context("it did not end")??;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output, text))
}

/// The arguments that serve with the double of Codex on any free port.
pub(crate) fn serving<'a>(codex: &'a Path, flags: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut args = vec!["serve", "--port", "0", "--codex-cmd", codex.to_str().context("a path that is not UTF-8")?];
    args.extend(flags);
    Ok(args)
}

/// Asserts that an object has these fields and no others.
#[track_caller]
pub(crate) fn assert_keys(value: &Value, keys: &[&str]) {
    let mut has: Vec<&str> =
        value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default();
    let mut wanted = keys.to_vec();
    has.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(has, wanted, "{value}");
}

/// Asserts a refusal in the words of the first version.
#[track_caller]
pub(crate) fn assert_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.body["code"].as_str()), (status, Some(code)), "{reply:?}");
    assert!(reply.body["error"].as_str().is_some_and(|text| !text.trim().is_empty()), "{reply:?}");
    let known = ["error", "code", "sessionId", "turnId"];
    let unknown = reply.body.as_object().into_iter().flatten().find(|(key, _)| !known.contains(&key.as_str()));
    assert_eq!(unknown, None, "{reply:?}");
}

/// Asserts a turn that was answered with this text.
#[track_caller]
pub(crate) fn assert_answered(reply: &Reply, text: &str) {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.body["content"], serde_json::json!([{"type": "text", "text": text}]), "{reply:?}");
    assert_eq!(reply.body.get("isError"), None, "{reply:?}");
}

/// A field that must be a text.
#[track_caller]
pub(crate) fn text(value: &Value, field: &str) -> String {
    let found = value[field].as_str();
    assert!(found.is_some(), "no text {field:?} in {value}");
    found.unwrap_or_default().to_owned()
}
