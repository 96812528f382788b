//! Sessions with a git worktree to themselves.

#[path = "worktrees/ends.rs"]
mod ends;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Lab, Reply, eventually};

use crate::{
    fake_codex_rig::{Rig, lab, of_method, run, serve},
    wire::Call,
};

/// git as a person runs it.
fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]).args(args);
    let output = command.env("GIT_CONFIG_NOSYSTEM", "1").output()?;
    ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// A repository with one commit.
fn repository(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("sub"))?;
    git(folder, &["init", "--quiet", "--initial-branch=main"])?;
    fs::write(folder.join("a.txt"), "one\n")?;
    fs::write(folder.join("sub/b.txt"), "two\n")?;
    git(folder, &["add", "--all"])?;
    git(folder, &["commit", "--quiet", "--message", "first"])?;
    Ok(())
}

/// A daemon whose folder is a repository.
async fn rig(flags: &[&str]) -> Result<Rig> {
    let lab = lab().await?;
    repository(&lab.project)?;
    let daemon = serve(&lab, flags, &[]).await?;
    Ok(Rig { daemon, lab })
}

async fn made(rig: &Rig, body: Value) -> Result<Value> {
    let made = rig.daemon.post("/v1/sessions?wait=60", body).await?;
    ensure!(made.status == 201, "{made:?}\n{}", rig.daemon.log());
    Ok(made.body["session"].clone())
}

async fn with_worktree(rig: &Rig) -> Result<Value> {
    made(rig, json!({"prompt": "SAY:ok", "worktree": true})).await
}

async fn deleted(rig: &Rig, session: &Value, query: &str) -> Result<Reply> {
    rig.daemon.request("DELETE", &format!("/v1/sessions/{}{query}", id(session)), None).await
}

fn id(session: &Value) -> &str {
    session["id"].as_str().unwrap_or_default()
}

fn path(session: &Value) -> PathBuf {
    session["worktree"]["path"].as_str().unwrap_or("/no path").into()
}

/// What is in the folder for worktrees.
fn there(lab: &Lab) -> Vec<String> {
    let entries = fs::read_dir(lab.store.join("worktrees")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The branches of the repository.
fn branches(lab: &Lab) -> Result<Vec<String>> {
    let said = git(&lab.project, &["branch", "--format=%(refname:short)"])?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// Nothing of any worktree.
fn assert_no_trace(lab: &Lab) -> Result<()> {
    assert_eq!(there(lab), Vec::<String>::new());
    assert_eq!(branches(lab)?, ["main"]);
    assert_eq!(git(&lab.project, &["worktree", "list"])?.lines().count(), 1);
    Ok(())
}

#[tokio::test]
async fn two_sessions_with_worktrees_of_one_repository_work_at_once_and_each_sees_its_own_files() -> Result<()> {
    let rig = rig(&["--sandbox", "workspace-write"]).await?;
    let begin = async |prompt: &str| -> Result<(Value, String)> {
        let made = rig.daemon.post("/v1/sessions", json!({"prompt": prompt, "worktree": true})).await?;
        let turn = made.body["turn"]["id"].as_str().with_context(|| format!("{made:?}"))?;
        Ok((made.body["session"].clone(), turn.to_owned()))
    };
    let (first, long) = begin("HANG").await?;
    eventually("the turn to run", async || {
        (rig.daemon.get(&format!("/v1/turns/{long}")).await.ok()?.body["status"] == "running").then_some(())
    })
    .await?;
    let (second, turn) = begin("SAY:done").await?;
    let ended = rig.daemon.get(&format!("/v1/turns/{turn}?wait=60")).await?.body;
    assert_eq!(ended["answer"], "done", "{ended}");
    assert!(!ended.to_string().contains("is at work in this folder"), "{ended}");
    for session in [&first, &second] {
        let own = rig.lab.store.canonicalize()?.join("worktrees").join(id(session));
        assert_eq!((path(session), session["cwd"].as_str()), (own.clone(), own.to_str()));
        assert_eq!(session["worktree"]["repository"].as_str(), rig.lab.project.to_str());
        assert_eq!(session["worktree"]["base"], git(&rig.lab.project, &["rev-parse", "HEAD"])?.trim());
        assert_eq!(git(&own, &["branch", "--show-current"])?.trim(), session["worktree"]["branch"]);
        let shown = rig.daemon.get(&format!("/v1/sessions/{}", id(session))).await?.body;
        assert_eq!(shown["worktree"], session["worktree"]);
    }
    fs::write(path(&first).join("of-the-first.txt"), "x")?;
    assert!(!path(&second).join("of-the-first.txt").exists());
    assert_eq!(git(&rig.lab.project, &["status", "--porcelain"])?, "", "the checkout is as it was");
    let given = rig.heard()?;
    let folders: Vec<&str> = of_method(&given, "turn/start").iter().filter_map(|turn| turn["cwd"].as_str()).collect();
    assert_eq!(folders, [first["cwd"].as_str().unwrap_or(""), second["cwd"].as_str().unwrap_or("")]);
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_worktree_goes_with_its_session_when_nothing_would_be_lost_and_stays_otherwise() -> Result<()> {
    let rig = rig(&[]).await?;
    let clean = with_worktree(&rig).await?;
    rig.daemon.request("PATCH", &format!("/v1/sessions/{}", id(&clean)), Some(&json!({"archived": true}))).await?;
    assert!(path(&clean).join("a.txt").is_file(), "archived, it is as it was");
    let gone = deleted(&rig, &clean, "?worktree=auto").await?;
    assert_eq!((gone.status, &gone.body["worktree"]["removed"]), (200, &json!(true)), "{gone:?}");
    assert_eq!(gone.body["worktree"]["branch"], clean["worktree"]["branch"]);
    assert_no_trace(&rig.lab)?;

    let changed = with_worktree(&rig).await?;
    fs::write(path(&changed).join("new.txt"), "somebody's work")?;
    let left = deleted(&rig, &changed, "?worktree=auto").await?;
    assert_eq!((left.status, &left.body["worktree"]["removed"]), (200, &json!(false)), "{left:?}");
    let (reason, how) = (left.body["worktree"]["reason"].as_str(), left.body["worktree"]["byHand"].as_str());
    assert!(reason.is_some_and(|reason| reason.contains("new.txt")), "{left:?}");
    assert!(how.is_some_and(|how| how.contains("worktree remove")), "{left:?}");
    assert_eq!(rig.daemon.get(&format!("/v1/sessions/{}", id(&changed))).await?.status, 404);
    assert_eq!(fs::read_to_string(path(&changed).join("new.txt"))?, "somebody's work");

    // What stays is left alone by the next daemon, and known to whoever checks the store.
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok();
    let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o777);
    let work = path(&changed).join("new.txt");
    let opened = |lab: &Lab| assert!(set(&work, 0o664) && set(&lab.store.join("worktrees"), 0o755));
    let rig = rig.restarted(&[], &[], opened).await?;
    // The folder of all of them is closed to others; what is in them is nobody's business.
    assert_eq!((mode(&rig.lab.store.join("worktrees"))?, mode(&work)?), (0o700, 0o664));
    let (_, said) = run(rig.lab.command(&["check"])).await?;
    assert!(said.contains(id(&changed)), "{said}");

    let kept = with_worktree(&rig).await?;
    let left = deleted(&rig, &kept, "?worktree=keep").await?;
    assert_eq!(left.body["worktree"]["removed"], false, "{left:?}");
    assert!(path(&kept).join("a.txt").is_file());

    let unwanted = with_worktree(&rig).await?;
    fs::write(path(&unwanted).join("a.txt"), "not wanted")?;
    git(&path(&unwanted), &["commit", "--quiet", "--all", "--message", "not wanted"])?;
    let gone = deleted(&rig, &unwanted, "?worktree=remove").await?;
    assert_eq!(gone.body["worktree"]["removed"], true, "{gone:?}");
    assert!(!path(&unwanted).exists());
    assert_eq!(branches(&rig.lab)?.len(), 3);

    // Who does not know of worktrees is answered as ever.
    let simple = with_worktree(&rig).await?;
    assert_eq!(deleted(&rig, &simple, "").await?.status, 204);
    assert!(!path(&simple).exists());
    let plain = made(&rig, json!({"prompt": "SAY:ok"})).await?;
    assert_eq!(deleted(&rig, &plain, "?worktree=remove").await?.status, 204);
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_worktree_in_which_another_session_works_stays() -> Result<()> {
    let rig = rig(&[]).await?;
    let first = with_worktree(&rig).await?;
    let guest = made(&rig, json!({"prompt": "SAY:ok", "cwd": path(&first).join("sub")})).await?;
    let left = deleted(&rig, &first, "?worktree=auto").await?;
    assert!(left.body["worktree"]["reason"].as_str().is_some_and(|why| why.contains(id(&guest))), "{left:?}");
    assert_eq!(rig.daemon.go_on(id(&guest), "SAY:still here").await?, "still here");
    Ok(())
}

#[tokio::test]
async fn a_subfolder_is_the_same_one_in_the_worktree() -> Result<()> {
    let rig = rig(&[]).await?;
    let session = made(&rig, json!({"worktree": true, "cwd": rig.lab.project.join("sub")})).await?;
    assert_eq!(session["cwd"].as_str(), path(&session).join("sub").to_str(), "{session}");
    assert_eq!(session["worktree"]["repository"].as_str(), rig.lab.project.to_str());
    // It may be moved out, and back in.
    let moved = async |to: &Path| {
        let path = format!("/v1/sessions/{}", id(&session));
        rig.daemon.request("PATCH", &path, Some(&json!({ "cwd": to }))).await
    };
    assert_eq!(moved(&rig.lab.project).await?.body["worktree"], session["worktree"]);
    assert_eq!(rig.daemon.go_on(id(&session), "SAY:out").await?, "out");
    assert_eq!(moved(&path(&session)).await?.body["cwd"].as_str(), path(&session).to_str());
    assert_eq!(rig.daemon.go_on(id(&session), "SAY:in").await?, "in");
    Ok(())
}

#[tokio::test]
async fn one_key_is_one_worktree() -> Result<()> {
    let rig = rig(&["--no-auth"]).await?;
    let call = || Call::json("/v1/sessions", &json!({"worktree": true})).header("Idempotency-Key", "k");
    let door = rig.tcp();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (first, second) = (call(), call());
        let (one, two) = tokio::join!(first.ask(&door), second.ask(&door));
        for reply in [one?, two?] {
            ensure!(reply.status == 201, "{reply:?}");
            ids.push(id(&reply.body["session"]).to_owned());
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(there(&rig.lab), ids);
    Ok(())
}

#[tokio::test]
async fn where_there_can_be_none_it_says_why_and_leaves_nothing() -> Result<()> {
    let rig = rig(&[]).await?;
    let base = rig.lab.dir.path().canonicalize()?;
    for name in ["plain", "unborn", "project/uncommitted"] {
        fs::create_dir(base.join(name))?;
    }
    git(&base.join("unborn"), &["init", "--quiet"])?;
    for (folder, code, word) in [
        ("plain", "BAD_CWD", "git init"),
        ("unborn", "BAD_CWD", "first commit"),
        ("project/.git", "BAD_CWD", "checkout"),
        ("project/uncommitted", "BAD_CWD", "commit"),
        ("nothing", "BAD_CWD", "nothing"),
    ] {
        let body = json!({"prompt": "SAY:never", "worktree": true, "cwd": base.join(folder)});
        let refused = rig.daemon.post("/v1/sessions", body).await?;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!(code)), "{folder}: {refused:?}");
        assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{folder}: {refused:?}");
    }
    // Refused for another reason, when the worktree would be there already.
    let refused = rig.daemon.post("/v1/sessions", json!({"prompt": "", "worktree": true})).await?;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(rig.daemon.get("/v1/sessions?archived=all").await?.body["sessions"], json!([]));
    assert_no_trace(&rig.lab)?;
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn without_a_git_it_says_so() -> Result<()> {
    let lab = lab().await?;
    let empty = lab.dir.path().join("empty");
    fs::create_dir(&empty)?;
    // One in a folder that agents write in is none.
    fs::copy("/bin/true", lab.project.join("git"))?;
    let search = format!("{}:{}", empty.display(), lab.project.display());
    let daemon = serve(&lab, &[], &[("PATH", &search)]).await?;
    let refused = daemon.post("/v1/sessions", json!({"worktree": true})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("NOT_SUPPORTED")), "{refused:?}");
    assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("install git")), "{refused:?}");
    Ok(())
}

async fn token(rig: &Rig, name: &str, roots: &[&Path]) -> Result<String> {
    let body = json!({"name": name, "scopes": ["read", "run"], "roots": roots});
    let made = rig.daemon.post("/v1/tokens", body).await?;
    Ok(made.body["token"].as_str().with_context(|| format!("{made:?}"))?.to_owned())
}

/// The whole machine is a root, the store included; tokens have less.
#[tokio::test]
async fn a_confined_token_works_in_its_own_worktree_and_nowhere_else_in_the_store() -> Result<()> {
    let lab = lab().await?;
    let base = lab.dir.path().canonicalize()?;
    let store = base.join("store");
    repository(&lab.project)?;
    repository(&base.join("other"))?;
    // A checkout in a root whose repository is not.
    git(
        &base.join("other"),
        &["worktree", "add", "--quiet", "-b", "side", base.join("roots/side").to_str().context("utf-8")?],
    )?;
    let root = base.to_str().context("utf-8")?;
    let daemon = serve(&lab, &["--allow-cwd-override", "--allow-root", root], &[]).await?;
    let rig = Rig { daemon, lab };
    let whole = token(&rig, "whole", &[&base]).await?;
    let own = token(&rig, "own", &[&rig.lab.project, &base.join("roots")]).await?;
    let narrow = token(&rig, "narrow", &[&rig.lab.project.join("sub")]).await?;
    let other = token(&rig, "other", &[&base.join("other")]).await?;
    let tcp = rig.tcp();
    let create =
        async |token: &str, body: Value| Call::json("/v1/sessions?wait=60", &body).token(token).ask(&tcp).await;

    let made = create(&own, json!({"prompt": "SAY:ok", "worktree": true, "cwd": rig.lab.project})).await?;
    assert_eq!(made.body["turn"]["answer"], "ok", "{made:?}");
    let session = made.body["session"].clone();
    let turns = format!("/v1/sessions/{}/turns?wait=60", id(&session));
    let go_on = async |token: &str| Call::json(&turns, &json!({"prompt": "SAY:more"})).token(token).ask(&tcp).await;
    assert_eq!(go_on(&own).await?.body["turn"]["answer"], "more");
    // Its root is where its repository is, whoever made the session.
    assert_eq!(go_on(&whole).await?.body["turn"]["answer"], "more");
    for elsewhere in [&narrow, &other] {
        let refused = go_on(elsewhere).await?;
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{refused:?}");
    }
    // A picture in its worktree is its own.
    fs::write(path(&session).join("p.png"), [0x89, b'P', b'N', b'G'])?;
    let input = json!([{"type": "text", "text": "SAY:seen"}, {"type": "localImage", "path": "p.png"}]);
    let seen = Call::json(&turns, &json!({ "input": input })).token(&own).ask(&tcp).await?;
    assert_eq!(seen.body["turn"]["answer"], "seen", "{seen:?}");

    // The store is no folder to name, its worktrees neither: not by a token that may work in all that is around it.
    for cwd in [store.clone(), store.join("worktrees"), path(&session), path(&session).join("sub"), store.join("work")]
    {
        for worktree in [false, true] {
            let refused = create(&whole, json!({"prompt": "SAY:never", "cwd": cwd, "worktree": worktree})).await?;
            assert_eq!((refused.status, &refused.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{cwd:?} {refused:?}");
        }
    }
    // The worktree would have more than the token's folders have.
    for (token, cwd) in [(&narrow, rig.lab.project.join("sub")), (&own, base.join("roots/side"))] {
        let refused = create(token, json!({"prompt": "SAY:never", "cwd": cwd, "worktree": true})).await?;
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{cwd:?} {refused:?}");
    }
    assert_eq!(there(&rig.lab), [id(&session)]);

    // Its folder is swapped for a link to elsewhere.
    let aside = base.join("aside");
    fs::rename(path(&session), &aside)?;
    symlink(base.join("other"), path(&session))?;
    let refused = go_on(&own).await?;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{refused:?}");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_fork_has_a_worktree_of_its_own_with_the_same_files() -> Result<()> {
    let rig = rig(&[]).await?;
    let first = with_worktree(&rig).await?;
    fs::write(path(&first).join("new.txt"), "not committed")?;
    let forked = rig.daemon.post(&format!("/v1/sessions/{}/fork", id(&first)), json!({})).await?;
    assert_eq!(forked.status, 201, "{forked:?}");
    let fork = forked.body["session"].clone();
    assert!(path(&fork) != path(&first) && path(&fork).ends_with(id(&fork)), "{fork}");
    assert_eq!((fork["cwd"].as_str(), fork["forkedFrom"].as_str()), (path(&fork).to_str(), first["id"].as_str()));
    assert_eq!(fs::read_to_string(path(&fork).join("new.txt"))?, "not committed");
    assert_eq!(rig.daemon.go_on(id(&fork), "SAY:here").await?, "here");
    fs::remove_file(path(&first).join("new.txt"))?;
    assert_eq!(deleted(&rig, &first, "?worktree=auto").await?.body["worktree"]["removed"], true);
    assert!(path(&fork).join("new.txt").exists());
    // One that is gone can't be copied.
    fs::remove_dir_all(path(&fork))?;
    let refused = rig.daemon.post(&format!("/v1/sessions/{}/fork", id(&fork)), json!({})).await?;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("BAD_CWD")), "{refused:?}");
    Ok(())
}

/// Some of them, such as that of git-lfs, do what the repository says.
#[tokio::test]
async fn filters_of_the_users_own_configuration_are_not_run() -> Result<()> {
    let lab = lab().await?;
    repository(&lab.project)?;
    fs::write(lab.project.join(".gitattributes"), "*.bin filter=big\n")?;
    fs::write(lab.project.join("x.bin"), "a pointer\n")?;
    git(&lab.project, &["add", "--all"])?;
    git(&lab.project, &["commit", "--quiet", "--message", "big files"])?;
    let home = lab.dir.path().join("home");
    let (program, ran) = (home.join("filter"), home.join("ran"));
    fs::write(&program, format!("#!/bin/sh\n: > '{}'\ncat\n", ran.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let filter = program.display();
    let config = format!("[filter \"big\"]\n\tsmudge = {filter}\n\tclean = {filter}\n\trequired = true\n");
    fs::write(home.join(".gitconfig"), config)?;
    let mut plain = Command::new("git");
    plain.arg("-C").arg(&lab.project).args(["worktree", "add", "--quiet", "--detach", "../plain"]).env("HOME", &home);
    ensure!(plain.status()?.success() && ran.exists(), "it is no filter");
    fs::remove_file(&ran)?;
    git(&lab.project, &["worktree", "remove", "--force", "../plain"])?;
    let daemon = serve(&lab, &[], &[]).await?;
    let rig = Rig { daemon, lab };
    let session = with_worktree(&rig).await?;
    assert_eq!(fs::read_to_string(path(&session).join("x.bin"))?, "a pointer\n");
    assert_eq!(deleted(&rig, &session, "?worktree=auto").await?.body["worktree"]["removed"], true);
    assert!(!ran.exists(), "it was run");
    assert_no_trace(&rig.lab)
}
