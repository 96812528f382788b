//! A daemon whose Codex has a fault in the turns that are meant, and two sessions: one that it strikes and one that it does not.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::time::timeout;

use crate::{
    fake_codex_rig::{Rig, lab, serve},
    processes,
};

/// A turn is meant when its prompt has this line.
pub(crate) const STRIKE: &str = "STRIKE";

/// However slow the machine: what has no other deadline does not take so long.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Struck {
    pub(crate) rig: Rig,
    /// Both have a thread that Codex has loaded.
    pub(crate) session: String,
    pub(crate) other: String,
}

impl Struck {
    /// Each fault strikes once where it ends or hangs Codex: the Codex after that is well.
    pub(crate) async fn by(fault: &str, flags: &[&str]) -> Result<Self> {
        Self::alone_for(fault, flags, "5s").await
    }

    /// The same, with a Codex that goes on without a daemon for so long.
    pub(crate) async fn alone_for(fault: &str, flags: &[&str], grace: &str) -> Result<Self> {
        let lab = lab().await?;
        let once = lab.dir.path().join("struck");
        let once = once.to_str().context("a path that is not UTF-8")?;
        let env = [
            ("FAKE_CODEX_FAULT", fault),
            ("FAKE_CODEX_FAULT_IN", STRIKE),
            ("FAKE_CODEX_FAULT_ONCE", once),
            // One whose daemon a test killed does not stay for ever.
            ("CODEXD_ORPHAN_GRACE", grace),
        ];
        let daemon = serve(&lab, flags, &env).await?;
        let rig = Rig { daemon, lab };
        let (session, _) = rig.daemon.start("SAY:one").await?;
        let (other, _) = rig.daemon.start("SAY:one").await?;
        Ok(Self { rig, session, other })
    }

    /// The id of a new turn.
    pub(crate) async fn begin(&self, session: &str, prompt: &str) -> Result<String> {
        let path = format!("/v1/sessions/{session}/turns");
        let made = self.rig.daemon.post(&path, json!({ "prompt": prompt })).await?;
        Ok(made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned())
    }

    /// A turn that Codex is at work on, as long as it is let.
    pub(crate) async fn running(&self, session: &str, prompt: &str) -> Result<String> {
        let turn = self.begin(session, prompt).await?;
        eventually("the turn to be with Codex", async || {
            let turn = self.rig.daemon.get(&format!("/v1/turns/{turn}")).await.ok()?.body;
            (turn["delivery"] == "yes").then_some(())
        })
        .await?;
        Ok(turn)
    }

    /// The end of a turn, which comes within this time.
    pub(crate) async fn ended(&self, turn: &str, limit: Duration) -> Result<Value> {
        let path = format!("/v1/turns/{turn}?wait={}", limit.as_secs().max(1));
        let reply = timeout(limit + SOON, self.rig.daemon.get(&path)).await.context("no answer")??;
        let status = reply.body["status"].as_str().unwrap_or_default();
        ensure!(
            matches!(status, "completed" | "failed" | "interrupted"),
            "not ended in {limit:?}: {reply:?}\n{}",
            self.rig.daemon.log()
        );
        Ok(reply.body)
    }

    /// A whole turn.
    pub(crate) async fn turn(&self, session: &str, prompt: &str, limit: Duration) -> Result<Value> {
        let turn = self.begin(session, prompt).await?;
        self.ended(&turn, limit).await
    }

    /// Asserts that a session takes prompts, in this Codex or the next one, and remembers what it was told.
    pub(crate) async fn goes_on(&self, session: &str) -> Result<()> {
        self.answers(session).await?;
        let recalled = self.turn(session, "RECALL", SOON).await?;
        let answer = recalled["answer"].as_str().with_context(|| recalled.to_string())?;
        let firsts = answer.lines().filter(|line| *line == "user: SAY:one").count();
        assert_eq!(firsts, 1, "{answer}");
        Ok(())
    }

    /// Asserts that a session takes a prompt.
    pub(crate) async fn answers(&self, session: &str) -> Result<()> {
        let turn = self.turn(session, "SAY:on", SOON).await?;
        assert_eq!((&turn["status"], &turn["answer"]), (&json!("completed"), &json!("on")), "{turn}");
        Ok(())
    }

    /// How often a session's thread was told a prompt that begins so.
    pub(crate) async fn recalled(&self, session: &str, begin: &str) -> Result<usize> {
        let recalled = self.turn(session, "RECALL", SOON).await?;
        let answer = recalled["answer"].as_str().with_context(|| recalled.to_string())?;
        Ok(answer.lines().filter(|line| line.starts_with(&format!("user: {begin}"))).count())
    }

    /// Stops the daemon; nothing of Codex's is there afterwards, and nobody panicked.
    pub(crate) async fn stop(self) -> Result<()> {
        self.rig.assert_calm();
        let Rig { daemon, lab } = self.rig;
        assert!(processes::of(&lab.codex_home).len() >= 3, "codexd, a host and a Codex");
        daemon.stop().await?;
        // A host has given up its folder, which is what codexd waits for, a moment before it is gone.
        let gone =
            eventually("all of Codex's to be gone", async || processes::of(&lab.codex_home).is_empty().then_some(()));
        gone.await.with_context(|| format!("left running: {:?}", processes::of(&lab.codex_home)))
    }
}

/// The code and the message of a turn's error.
pub(crate) fn error(turn: &Value) -> (&str, &str) {
    let text = |field: &str| turn["error"][field].as_str().unwrap_or_default();
    (text("code"), text("message"))
}

/// Asserts how a turn ended, and that its error says so in these words.
#[track_caller]
pub(crate) fn assert_ended(turn: &Value, status: &str, code: &str, words: &[&str]) {
    let (told, message) = error(turn);
    assert_eq!((turn["status"].as_str(), told), (Some(status), code), "{turn}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    // What a person reads is no program's inside.
    for inside in ["Some(", "Err(", "None", "panicked", "{", "AskError"] {
        assert!(!message.contains(inside), "{message}");
    }
}
