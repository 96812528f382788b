//! Sessions: finding, naming, putting away, deleting.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::ran::{end, rig, run, spawn, started};

#[tokio::test]
async fn lists_have_the_newest_first_and_say_when_there_is_more() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let none = run(&lab, &["sessions", "list"]).await?;
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("codexd start"), "{}", none.err);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(started(&lab, &format!("number {n}")).await?.0);
    }
    let listed = run(&lab, &["sessions"]).await?.good()?;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[0].starts_with("SESSION") && lines[0].contains("UPDATED"), "{listed}");
    assert!(lines[1].starts_with(&ids[2]) && lines[1].ends_with("number 2"), "{listed}");
    assert!(lines[1].contains("T") && lines[1].contains("Z "), "a file gets the moment itself: {listed}");

    let two = run(&lab, &["sessions", "--limit", "2"]).await?;
    assert!(two.out.lines().count() == 3 && two.err.contains("--all"), "{two:?}");
    let all = run(&lab, &["sessions", "list", "--all", "--json"]).await?.json()?;
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(3));
    assert_eq!(all.get("nextCursor"), None);
    let two = run(&lab, &["sessions", "--limit", "2", "--json"]).await?.json()?;
    assert!(two["nextCursor"].is_string(), "{two}");
    let (busy, _) = run(&lab, &["start", "HANG", "--detach"]).await?.ids()?;
    let running = run(&lab, &["sessions", "list", "--status", "running"]).await?.good()?;
    assert!(running.lines().count() == 2 && running.contains(&busy) && running.contains("running"), "{running}");
    daemon.stop().await
}

#[tokio::test]
async fn a_session_is_meant_by_its_id_its_beginning_or_a_thread() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (one, _) = started(&lab, "SAY:first").await?;
    let (two, _) = started(&lab, "SAY:second").await?;
    let told = run(&lab, &["sessions", "show", &one, "--json"]).await?.json()?;
    let thread = told["threadId"].as_str().context("no thread")?;
    for given in [one.as_str(), &one[..one.len() - 1], thread] {
        let ran = run(&lab, &["continue", given, "SAY:found"]).await?;
        assert_eq!((ran.out.as_str(), ran.ids()?.0), ("found\n", one.clone()), "{given}");
    }
    // Both were made within the same minute, so that their ids begin alike.
    let common = &one[..4];
    assert!(two.starts_with(common));
    let both = run(&lab, &["continue", common, "x"]).await?;
    assert_eq!((both.code, both.out.as_str()), (Some(1), ""));
    for part in [one.as_str(), two.as_str(), "SAY:found", "SAY:second"] {
        assert!(both.err.contains(part), "{part} is missing: {}", both.err);
    }
    let short = run(&lab, &["sessions", "show", &one[..3]]).await?;
    assert!(short.code == Some(1) && short.err.contains("at least 4"), "{short:?}");
    daemon.stop().await
}

#[tokio::test]
async fn show_tells_what_became_of_each_turn() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "hello there").await?;
    run(&lab, &["continue", &session, "FAIL:400"]).await?;
    let running = run(&lab, &["continue", &session, "HANG", "--detach"]).await?.ids()?.1;
    let waiting = run(&lab, &["continue", &session, "SAY:later", "--detach"]).await?.ids()?.1;
    let shown = run(&lab, &["sessions", "show", &session]).await?.good()?;
    for part in
        ["hello there", "> hello there", "echo: hello there", "the turn failed", "queued, number 1", "Codex is working"]
    {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    for part in [lab.project.to_str().context("path")?, "turns", "4", "(automatic)", "workspace-write", &waiting] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let newest = run(&lab, &["sessions", "show", &session, "--turns", "1"]).await?;
    assert!(newest.out.contains("SAY:later") && !newest.out.contains("hello there\n"), "{newest:?}");
    assert!(newest.err.contains("3 earlier turns"), "{}", newest.err);
    let told = run(&lab, &["sessions", "show", &session, "--json"]).await?.json()?;
    let statuses: Vec<&str> =
        told["turns"].as_array().context("turns")?.iter().filter_map(|turn| turn["status"].as_str()).collect();
    assert_eq!(statuses, ["completed", "failed", "running", "queued"]);
    assert_eq!((&told["id"], &told["turnCount"]), (&json!(session), &json!(4)));

    // The one that runs is lost with its Codex; the one behind it is held.
    daemon.kill_codex().await?;
    let waited = run(&lab, &["turn", "wait", &running]).await?;
    assert_eq!(waited.code, Some(5), "{waited:?}");
    assert!(waited.err.contains("the turn was interrupted"), "{}", waited.err);
    let shown = run(&lab, &["sessions", "show", &session]).await?.good()?;
    assert!(shown.contains("the turn was interrupted") && shown.contains("held"), "{shown}");
    let held = run(&lab, &["turn", "wait", &waiting, "--timeout", "1"]).await?;
    assert!(held.code == Some(6) && held.err.contains("the turn is held"), "{held:?}");
    daemon.stop().await
}

#[tokio::test]
async fn a_search_finds_what_was_said() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "SAY:The ladder is in the shed.").await?;
    started(&lab, "SAY:Tea at four.").await?;
    let found = run(&lab, &["sessions", "search", "adder", "SHED"]).await?.good()?;
    assert!(found.contains(&session) && found.contains("shed") && !found.contains("Tea"), "{found}");
    let told = run(&lab, &["sessions", "search", "ladder", "--json", "--limit", "1"]).await?.json()?;
    assert_eq!(told["results"][0]["session"]["id"], session.as_str());
    let nothing = run(&lab, &["sessions", "search", "unheard-of"]).await?;
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), ""));
    assert!(nothing.err.contains("nothing was found") && nothing.err.contains("archived"), "{}", nothing.err);
    daemon.stop().await
}

#[tokio::test]
async fn titles_are_given_and_taken() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "first words").await?;
    let renamed = run(&lab, &["sessions", "rename", &session, "My", "own title"]).await?;
    assert!(renamed.code == Some(0) && renamed.err.contains("My own title"), "{renamed:?}");
    run(&lab, &["continue", &session, "later words"]).await?.good()?;
    let stays = run(&lab, &["sessions", "autoname", &session]).await?;
    assert!(stays.code == Some(0) && stays.err.contains("--force"), "{stays:?}");
    let told = run(&lab, &["sessions", "autoname", &session, "--force", "--json"]).await?.json()?;
    assert_eq!((&told["title"], &told["titleSource"]), (&json!("later words"), &json!("auto")));
    let empty = run(&lab, &["sessions", "rename", &session, " "]).await?;
    assert_eq!(empty.code, Some(2));
    daemon.stop().await
}

#[tokio::test]
async fn a_session_is_put_away_and_comes_back() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "SAY:x").await?;
    let archived = run(&lab, &["sessions", "archive", &session]).await?;
    assert!(archived.code == Some(0) && archived.err.contains("unarchive"), "{archived:?}");
    assert_eq!(run(&lab, &["sessions"]).await?.out, "");
    let away = run(&lab, &["sessions", "list", "--archived"]).await?.good()?;
    assert!(away.contains(&session) && away.contains("archived"), "{away}");
    let refused = run(&lab, &["continue", &session, "x"]).await?;
    assert!(refused.code == Some(1) && refused.err.contains("archive"), "{refused:?}");
    let back = run(&lab, &["sessions", "unarchive", &session, "--json"]).await?.json()?;
    assert_eq!(back.get("archivedAt"), None);
    assert_eq!(run(&lab, &["continue", &session, "SAY:here"]).await?.good()?, "here\n");
    daemon.stop().await
}

#[tokio::test]
async fn a_session_moves_to_another_folder() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "SAY:x").await?;
    let new = lab.project.join("new home");
    fs::create_dir(&new)?;
    let moved = run(&lab, &["sessions", "move", &session, "new home"]).await?;
    assert_eq!((moved.code, moved.out.trim_end()), (Some(0), new.to_str().context("path")?), "{moved:?}");
    let shown = run(&lab, &["sessions", "show", &session, "--json"]).await?.json()?;
    assert_eq!(shown["cwd"], json!(new));
    let mut back = lab.command(&["sessions", "move", &session, "--json"]);
    back.current_dir(&lab.project);
    let told = end(spawn(back)?).await?.json()?;
    assert_eq!((&told["id"], &told["cwd"]), (&json!(session), &json!(lab.project)));
    assert_eq!(run(&lab, &["continue", &session, "SAY:here"]).await?.good()?, "here\n");
    let nowhere = run(&lab, &["sessions", "move", &session, "nowhere"]).await?;
    assert!(nowhere.code == Some(2) && nowhere.err.contains("nowhere"), "{nowhere:?}");
    fs::write(lab.project.join("file"), "")?;
    let refused = run(&lab, &["sessions", "move", &session, "file"]).await?;
    assert!(refused.code == Some(1) && refused.out.is_empty(), "the daemon decides which: {refused:?}");
    daemon.stop().await
}

#[tokio::test]
async fn deleting_is_said_twice() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "SAY:x").await?;
    let refused = run(&lab, &["sessions", "delete", &session]).await?;
    assert!(refused.code == Some(2) && refused.err.contains("--yes"), "{refused:?}");
    assert!(run(&lab, &["sessions"]).await?.out.contains(&session));
    let told = run(&lab, &["sessions", "delete", &session, "--thread", "--yes", "--json"]).await?.json()?;
    assert_eq!(told, json!({ "deleted": session }));
    let gone = run(&lab, &["sessions", "show", &session]).await?;
    assert_eq!(gone.code, Some(1));
    daemon.stop().await
}
