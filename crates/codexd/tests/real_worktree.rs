//! Sessions with a git worktree to themselves, on the real Codex: what its sandbox lets an agent do there. Only the model is scripted.
//!
//! Everything lies outside of the temporary folder, where a workspace-write sandbox may write.

#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Daemon, Lab, real_codex};

const CODEXD: &str = env!("CARGO_BIN_EXE_codexd");

fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]).args(args);
    let output = command.output()?;
    ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

async fn scene() -> Result<(Lab, Daemon)> {
    let lab = Lab::below(CODEXD, Path::new(env!("CARGO_TARGET_TMPDIR"))).await?;
    git(&lab.project, &["init", "--quiet", "--initial-branch=main"])?;
    git(&lab.project, &["config", "user.name", "Test"])?;
    git(&lab.project, &["config", "user.email", "test@example.com"])?;
    fs::write(lab.project.join("a.txt"), "one\n")?;
    git(&lab.project, &["add", "--all"])?;
    git(&lab.project, &["commit", "--quiet", "--message", "first"])?;
    let daemon = lab.serve(&real_codex()?, &["--sandbox", "workspace-write"]).await?;
    Ok((lab, daemon))
}

async fn begin(daemon: &Daemon, prompt: &str) -> Result<(Value, Value)> {
    let made = daemon.post("/v1/sessions?wait=60", json!({ "prompt": prompt, "worktree": true })).await?;
    let turn = made.body["turn"].clone();
    ensure!(turn["status"] == "completed", "{made:?}\n{}", daemon.log());
    Ok((made.body["session"].clone(), turn))
}

fn path(session: &Value) -> Result<PathBuf> {
    Ok(session["worktree"]["path"].as_str().context("no worktree")?.into())
}

#[tokio::test]
async fn an_agent_writes_into_its_worktree_and_the_checkout_is_as_it_was() -> Result<()> {
    let (lab, daemon) = scene().await?;
    let (first, turn) =
        begin(&daemon, "RUN:echo changed > a.txt && echo new > b.txt && git status --porcelain").await?;
    let answer = turn["answer"].as_str().unwrap_or_default();
    assert!(answer.contains("M a.txt") && answer.contains("?? b.txt"), "{turn}");
    let (second, turn) = begin(&daemon, "RUN:cat a.txt; ls").await?;
    let answer = turn["answer"].as_str().unwrap_or_default();
    assert!(answer.contains("one") && !answer.contains("b.txt"), "{turn}");
    assert_eq!(fs::read_to_string(path(&first)?.join("b.txt"))?, "new\n");
    assert_eq!(git(&lab.project, &["status", "--porcelain"])?, "");
    assert_eq!(fs::read_to_string(lab.project.join("a.txt"))?, "one\n");
    // Its user takes it over: commits it there, and merges it.
    git(&path(&first)?, &["add", "--all"])?;
    git(&path(&first)?, &["commit", "--quiet", "--message", "what the agent did"])?;
    git(&lab.project, &["merge", "--quiet", first["worktree"]["branch"].as_str().context("no branch")?])?;
    assert_eq!(fs::read_to_string(lab.project.join("b.txt"))?, "new\n");
    for session in [&first, &second] {
        let id = session["id"].as_str().context("no id")?;
        let gone = daemon.request("DELETE", &format!("/v1/sessions/{id}?worktree=auto"), None).await?;
        assert_eq!(gone.body["worktree"]["removed"], true, "{gone:?}");
    }
    daemon.stop().await
}

/// What docs/hijacked-agent.md and docs/operate.md say of it.
#[tokio::test]
async fn from_its_worktree_an_agent_changes_neither_the_repository_nor_the_store() -> Result<()> {
    let (lab, daemon) = scene().await?;
    let (other, _) = begin(&daemon, "SAY:other").await?;
    let other = path(&other)?;
    let attempts = [
        "git add --all",
        "git commit --allow-empty -m work",
        "git branch stolen",
        "echo x > .git",
        "rm -f .git",
        "mv .git away",
        "echo x > ../beside",
        "echo x > @other/a.txt",
        "echo x > @store/daemon.json",
        "echo x > @project/a.txt",
        "echo x > @project/.git/config",
        "echo x > @project/.git/hooks/post-checkout",
        "touch @store/worktrees/.bench-x",
    ];
    let script: String = attempts
        .iter()
        .map(|attempt| {
            let attempt = attempt
                .replace("@other", &other.display().to_string())
                .replace("@store", &lab.store.display().to_string())
                .replace("@project", &lab.project.display().to_string());
            format!("if {attempt}; then echo 'DONE {attempt}'; else echo 'FAILED {attempt}'; fi 2>&1\n")
        })
        .collect();
    let file = lab.dir.path().join("tries.sh");
    fs::write(&file, script)?;
    let before = fs::read_to_string(lab.project.join(".git/config"))?;
    let (session, turn) = begin(&daemon, &format!("RUN:echo mine > mine.txt; bash {}", file.display())).await?;
    let answer = turn["answer"].as_str().unwrap_or_default();
    let done: Vec<&str> = answer.lines().filter(|line| line.contains("DONE ")).collect();
    assert_eq!(answer.matches("FAILED ").count(), attempts.len(), "{done:?}\n{answer}");
    assert_eq!(fs::read_to_string(lab.project.join(".git/config"))?, before);
    assert_eq!(fs::read_to_string(other.join("a.txt"))?, "one\n");
    assert_eq!(fs::read_to_string(path(&session)?.join("mine.txt"))?, "mine\n");
    daemon.stop().await
}
