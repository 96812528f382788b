//! The scripts in tools/, run with a daemon and without.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, eventually, fake_codex};
use tokio::process::Command;

use crate::systemd::{CODEXD, run};

/// A machine with programs of its own that stand in for those that a script calls.
struct Machine {
    lab: Lab,
    bin: PathBuf,
}

impl Machine {
    async fn new() -> Result<Self> {
        let lab = Lab::new(CODEXD).await?;
        let bin = lab.dir.path().canonicalize()?.join("bin");
        fs::create_dir(&bin)?;
        let machine = Self { lab, bin };
        machine.program("codexd", &format!("exec {CODEXD} \"$@\""))?;
        machine.program("systemctl", "exit 3")?;
        Ok(machine)
    }

    fn program(&self, name: &str, script: &str) -> Result<()> {
        // Written aside, so that a script that runs meanwhile finds the old or the new one.
        let (partial, file) = (self.bin.join(".partial"), self.bin.join(name));
        fs::write(&partial, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
        Ok(fs::rename(partial, file)?)
    }

    /// `codexd codex install` says that it installed this version; all else is codexd itself.
    fn installs(&self, version: &str) -> Result<()> {
        let said = json!({"already": false, "path": "/installed", "version": version});
        self.program(
            "codexd",
            &format!(
                "case \"$1 $2\" in 'codex install') echo \"$*\" >> {}; echo '{said}' ;; *) exec {CODEXD} \"$@\" ;; esac",
                self.bin.join("installed").display()
            ),
        )
    }

    fn tool(&self, name: &str, args: &[&str]) -> Command {
        let mut tool = self.lab.command(&[]);
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools").join(name));
        for (name, value) in tool.as_std_mut().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.bin.clone()].into_iter().chain(std::env::split_paths(&path)));
        command.args(args).env("PATH", path.unwrap_or_default()).kill_on_drop(true);
        command
    }

    async fn serve(&self, version: &str) -> Result<Daemon> {
        self.lab.serve_with(&fake_codex()?, &[], &[("FAKE_CODEX_VERSION", version)]).await
    }

    fn noted(&self, name: &str) -> String {
        fs::read_to_string(self.bin.join(name)).unwrap_or_default()
    }
}

#[tokio::test]
async fn health_is_told_by_exit_code_and_sentence() -> Result<()> {
    let machine = Machine::new().await?;
    let (code, text) = run(machine.tool("health-check", &[])).await?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no codexd is running") && text.lines().count() == 1, "{text}");

    let daemon = machine.serve("0.169.0").await?;
    assert_eq!(run(machine.tool("health-check", &[])).await?, (Some(0), "codexd is ready\n".to_owned()));
    assert_eq!(run(machine.tool("health-check", &["--quiet"])).await?, (Some(0), String::new()));

    let made = daemon.post("/v1/sessions", json!({"prompt": "HANG"})).await?.body;
    let turn = format!("/v1/turns/{}", made["turn"]["id"].as_str().context("no turn")?);
    eventually("the turn to run", async || {
        let turn = daemon.get(&turn).await.ok()?.body;
        (turn["delivery"] == "yes").then_some(())
    })
    .await?;
    daemon.post("/v1/agent/restart", json!({})).await?;
    let (code, text) = run(machine.tool("health-check", &[])).await?;
    assert!(code == Some(1) && text.contains("is to be started anew because somebody asked"), "{text}");
    daemon.post("/v1/agent/restart", json!({"drain": false})).await?;
    daemon.ready().await?;
    daemon.stop().await?;

    let codex = fake_codex()?;
    let mut command =
        machine.lab.command(&["serve", "--port", "0", "--codex-cmd", codex.to_str().context("not UTF-8")?]);
    command.env("FAKE_CODEX_FAULT", "exit-at-start");
    let daemon = machine.lab.boot(command).await?;
    eventually("Codex to fail", async || daemon.agent().await.ok()?.get("lastError").cloned()).await?;
    let (code, text) = run(machine.tool("health-check", &["--quiet"])).await?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("Codex is not ready: ") && text.lines().count() == 1, "{text}");
    daemon.stop().await
}

#[tokio::test]
async fn scripts_explain_themselves() -> Result<()> {
    let machine = Machine::new().await?;
    for name in ["health-check", "update-codex"] {
        let (code, text) = run(machine.tool(name, &["--help"])).await?;
        assert!(code == Some(0) && text.starts_with(&format!("Usage: {name}")), "{text}");
        for wrong in ["--nonsense", "-x"] {
            let (code, text) = run(machine.tool(name, &[wrong])).await?;
            assert!(code == Some(2) && text.contains("Usage"), "{text}");
        }
        let mut missing = machine.tool(name, &[]);
        missing.env("CODEXD", "/no/such/codexd");
        let (code, text) = run(missing).await?;
        assert!(code == Some(1) && text.contains("/no/such/codexd"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn an_update_restarts_the_service_and_sees_the_new_one_run() -> Result<()> {
    let machine = Machine::new().await?;
    machine.installs("0.169.0")?;
    let calls = machine.bin.join("calls");
    machine.program("systemctl", &format!("echo \"$*\" >> {}", calls.display()))?;
    let old = machine.serve("0.168.0").await?;
    let updating = tokio::spawn(run(machine.tool("update-codex", &["0.169.0"])));
    eventually("the restart", async || machine.noted("calls").contains("restart").then_some(())).await?;
    old.stop().await?;
    let new = machine.serve("0.169.0").await?;
    assert_eq!(updating.await??, (Some(0), "Codex 0.169.0 runs\n".to_owned()));
    let calls = machine.noted("calls");
    assert_eq!(
        calls.lines().collect::<Vec<_>>(),
        ["--user --quiet is-active codex-mcp-bridge", "--user restart codex-mcp-bridge"]
    );
    assert_eq!(machine.noted("installed"), "codex install --json 0.169.0\n");

    // Another one runs after the restart: that of --codex-cmd.
    machine.installs("0.170.0")?;
    let (code, text) = run(machine.tool("update-codex", &["--system"])).await?;
    assert_eq!(code, Some(1), "{text}");
    let program = new.agent().await?["program"].as_str().context("no program")?.to_owned();
    assert!(text.contains("0.170.0") && text.contains(&program) && text.contains("--codex-cmd"), "{text}");
    assert!(machine.noted("calls").contains("--system restart codex-mcp-bridge"));
    assert!(machine.noted("installed").ends_with("\ncodex install --json\n"), "{}", machine.noted("installed"));

    // It does not come up again.
    new.stop().await?;
    let (code, text) = run(machine.tool("update-codex", &["--wait", "0"])).await?;
    assert!(code == Some(1) && text.contains("not ready"), "{text}");
    Ok(())
}

#[tokio::test]
async fn an_update_in_the_middle_of_a_turn_lets_it_end_in_the_old_one() -> Result<()> {
    let machine = Machine::new().await?;
    machine.installs("0.169.0")?;
    machine.program("systemctl", &format!("echo \"$*\" >> {}", machine.bin.join("calls").display()))?;
    let old = machine.serve("0.168.0").await?;
    let made = old.post("/v1/sessions", json!({"prompt": "SLOW:200:50"})).await?;
    let turn = format!("/v1/turns/{}", made.body["turn"]["id"].as_str().context("no turn")?);
    eventually("the turn to run", async || {
        let turn = old.get(&turn).await.ok()?.body;
        (turn["delivery"] == "yes").then_some(())
    })
    .await?;
    // Without patience nothing is waited for.
    let hurried = tokio::spawn(run(machine.tool("update-codex", &["--wait", "0"])));
    eventually("the restart", async || machine.noted("calls").contains("restart").then_some(())).await?;
    let (code, text) = hurried.await??;
    assert!(code == Some(0) && text.contains("once the turns that are running have ended"), "{text}");

    let updating = tokio::spawn(run(machine.tool("update-codex", &[])));
    eventually("the restart", async || (machine.noted("calls").matches("restart").count() == 2).then_some(())).await?;
    old.stop().await?;
    let new = machine.serve("0.169.0").await?;
    assert_eq!(updating.await??, (Some(0), "Codex 0.169.0 runs\n".to_owned()));
    let turn = new.get(&turn).await?.body;
    assert_eq!(turn["status"], "completed", "{turn}");
    new.stop().await
}

#[tokio::test]
async fn an_update_without_the_service_says_what_to_do() -> Result<()> {
    let machine = Machine::new().await?;
    machine.installs("0.171.0")?;
    machine.program("npm", "echo 0.171.0")?;
    let (code, text) = run(machine.tool("update-codex", &["latest"])).await?;
    assert!(code == Some(0) && text.contains("0.171.0") && text.contains("next one that starts"), "{text}");
    assert_eq!(machine.noted("installed"), "codex install --json 0.171.0\n");

    let daemon = machine.serve("0.169.0").await?;
    let (code, text) = run(machine.tool("update-codex", &[])).await?;
    assert!(code == Some(1) && text.contains("restart it"), "{text}");
    let agent: Value = daemon.agent().await?;
    assert_eq!(agent["version"], "0.169.0", "it was left alone");
    daemon.stop().await
}

#[tokio::test]
async fn an_update_that_installs_nothing_restarts_nothing() -> Result<()> {
    let machine = Machine::new().await?;
    let calls = machine.bin.join("calls");
    machine.program("systemctl", &format!("echo \"$*\" >> {}", calls.display()))?;
    // Refused by codexd itself, before any npm.
    let (code, text) = run(machine.tool("update-codex", &["^0.169"])).await?;
    assert!(code == Some(1) && text.contains("exact version"), "{text}");
    machine.program("npm", "exit 1")?;
    let (code, text) = run(machine.tool("update-codex", &["latest"])).await?;
    assert!(code == Some(1) && text.contains("latest"), "{text}");
    assert_eq!(machine.noted("calls"), "");
    Ok(())
}
