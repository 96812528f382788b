//! Worktrees whose daemon is killed, and sessions that go in other ways than by the API.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::{Lab, eventually};

use super::{assert_no_trace, branches, id, path, repository, rig, there, with_worktree};
use crate::{
    fake_codex_rig::{Rig, lab, run, serve},
    wire::Call,
};

/// Lets all sessions be of long ago.
fn age(lab: &Lab) -> Result<()> {
    let store = rusqlite::Connection::open(lab.store.join("store.db"))?;
    store.busy_timeout(std::time::Duration::from_secs(5))?;
    store.execute("UPDATE sessions SET updated_at = updated_at - 86400000 * 100", [])?;
    Ok(())
}

/// A git that stops where it is when it is asked for this, and is git otherwise.
fn stopping_git(lab: &Lab, word: &str) -> Result<String> {
    let folder = lab.dir.path().join("bin");
    fs::create_dir_all(&folder)?;
    let path = std::env::var("PATH")?;
    let text = format!(
        "#!/bin/sh\ncase \" $* \" in *' {word} '*) : > '{0}/stopped'; exec sleep 60;; esac\nPATH='{path}' exec git \"$@\"\n",
        folder.display()
    );
    fs::write(folder.join("git"), text)?;
    fs::set_permissions(folder.join("git"), fs::Permissions::from_mode(0o755))?;
    Ok(format!("{}:{path}", folder.display()))
}

#[tokio::test]
async fn a_daemon_that_is_killed_while_a_worktree_is_made_leaves_nothing_and_meanwhile_others_go_on() -> Result<()> {
    for word in ["--no-checkout", "read-tree"] {
        let lab = lab().await?;
        repository(&lab.project)?;
        let path = stopping_git(&lab, word)?;
        let daemon = serve(&lab, &["--no-auth"], &[("PATH", &path)]).await?;
        let rig = Rig { daemon, lab };
        let door = rig.tcp();
        let making = tokio::spawn(async move {
            Call::json("/v1/sessions", &json!({"prompt": "SAY:never", "worktree": true})).ask(&door).await.map(drop)
        });
        let stopped = rig.lab.dir.path().join("bin/stopped");
        eventually("git to be at it", async || stopped.exists().then_some(())).await?;
        assert_eq!(rig.daemon.start("SAY:meanwhile").await?.1, "meanwhile");
        assert_eq!(there(&rig.lab).len(), if word == "read-tree" { 2 } else { 1 });
        let Rig { daemon, lab } = rig;
        daemon.kill().await?;
        let _ = making.await;
        let daemon = serve(&lab, &[], &[]).await?;
        eventually("it to be cleared up", async || there(&lab).is_empty().then_some(())).await?;
        eventually("the branch to go", async || (branches(&lab).ok()?.len() == 1).then_some(())).await?;
        assert_no_trace(&lab)?;
        assert_eq!(daemon.get("/v1/sessions").await?.body["sessions"].as_array().map(Vec::len), Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_is_killed_while_a_session_goes_sees_to_its_worktree_later() -> Result<()> {
    for (query, stays) in [("?worktree=auto", false), ("?worktree=keep", true)] {
        let rig = rig(&[]).await?;
        let (clean, changed) = (with_worktree(&rig).await?, with_worktree(&rig).await?);
        fs::write(path(&changed).join("a.txt"), "work")?;
        let Rig { daemon, lab } = rig;
        daemon.stop().await?;
        let search = stopping_git(&lab, "diff-index")?;
        let daemon = serve(&lab, &[], &[("PATH", &search)]).await?;
        let rig = Rig { daemon, lab };
        for session in [&clean, &changed] {
            let request = format!("/v1/sessions/{}{query}", id(session));
            let asked = rig.daemon.request("DELETE", &request, None);
            let gone = eventually("the session to go", async || {
                (rig.daemon.get(&format!("/v1/sessions/{}", id(session))).await.ok()?.status == 404).then_some(())
            });
            tokio::select! {
                reply = asked => ensure!(reply?.status == 200),
                gone = gone => gone?,
            }
        }
        let Rig { daemon, lab } = rig;
        daemon.kill().await?;
        let _daemon = serve(&lab, &[], &[]).await?;
        let expected = if stays { 2 } else { 1 };
        eventually("them to be seen to", async || (there(&lab).len() == expected).then_some(())).await?;
        assert_eq!(path(&clean).exists(), stays);
        assert_eq!(fs::read_to_string(path(&changed).join("a.txt"))?, "work");
    }
    Ok(())
}

#[tokio::test]
async fn the_command_line_makes_shows_and_removes_them() -> Result<()> {
    let rig = rig(&[]).await?;
    let (output, said) = run(rig.lab.command(&["start", "--worktree", "SAY:done"])).await?;
    assert!(output.status.success() && said.contains("done"), "{said}");
    let listed = rig.daemon.get("/v1/sessions").await?.body;
    let session = listed["sessions"][0].clone();
    assert!(path(&session).join("a.txt").is_file(), "{session}");
    let (_, shown) = run(rig.lab.command(&["sessions", "show", id(&session)])).await?;
    assert!(shown.contains(session["worktree"]["branch"].as_str().unwrap_or("none")), "{shown}");
    fs::write(path(&session).join("new.txt"), "work")?;
    let (_, said) = run(rig.lab.command(&["sessions", "delete", "--yes", id(&session)])).await?;
    assert!(said.contains("still there") && said.contains("new.txt") && said.contains("worktree remove"), "{said}");
    let other = with_worktree(&rig).await?;
    let arguments = ["sessions", "delete", "--yes", "--worktree", "remove", "--json", id(&other)];
    let (_, said) = run(rig.lab.command(&arguments)).await?;
    assert!(said.contains("\"removed\":true"), "{said}");

    // Old sessions go the same way, also when no daemon runs: then the next one sees to their worktrees.
    let (old, work) = (with_worktree(&rig).await?, with_worktree(&rig).await?);
    fs::write(path(&work).join("new.txt"), "work")?;
    let Rig { daemon, lab } = rig;
    daemon.stop().await?;
    age(&lab)?;
    let (output, said) = run(lab.command(&["gc", "--older-than", "90d", "--all-idle", "--yes"])).await?;
    assert!(output.status.success() && said.contains("worktrees"), "{said}");
    let daemon = serve(&lab, &[], &[]).await?;
    eventually("the worktree to go", async || (!path(&old).exists()).then_some(())).await?;
    assert!(path(&work).join("new.txt").exists());
    let rig = Rig { daemon, lab };
    let (old, work) = (with_worktree(&rig).await?, with_worktree(&rig).await?);
    fs::write(path(&work).join("new.txt"), "work")?;
    age(&rig.lab)?;
    let (_, said) = run(rig.lab.command(&["gc", "--older-than", "90d", "--all-idle", "--yes"])).await?;
    assert!(said.contains(id(&work)) && said.contains("new.txt") && !path(&old).exists(), "{said}");
    Ok(())
}
