//! What Codex asks: seen, answered, waited with; and turns that are interrupted.

use anyhow::{Context as _, Result, ensure};
use testkit::{Daemon, Lab, eventually, fake_codex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::{
    ran::{CODEXD, end, ids_of, rig, run, signal, spawn, started},
    terminal::Sitting,
};

/// Starts a turn that asks before this command, and waits until it does: the ids of session, turn and approval.
async fn asked(lab: &Lab, daemon: &Daemon, command: &str) -> Result<(String, String, String)> {
    let (session, turn) =
        run(lab, &["start", &format!("ESCALATE:{command}\nSAY:did {command}"), "--detach"]).await?.ids()?;
    let approval = pending(daemon, &session).await?;
    Ok((session, turn, approval))
}

/// The first approval that is pending in a session, once there is one.
pub(crate) async fn pending(daemon: &Daemon, session: &str) -> Result<String> {
    eventually("a question", async || {
        let told = daemon.get(&format!("/v1/approvals?status=pending&sessionId={session}")).await.ok()?;
        Some(told.body["approvals"][0]["id"].as_str()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn what_codex_asks_is_listed_shown_and_accepted() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let none = run(&lab, &["approvals"]).await?;
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
    assert!(none.err.contains("waits for no answer"), "{}", none.err);
    let nobody = run(&lab, &["approvals", "accept"]).await?;
    assert!(nobody.code == Some(1) && nobody.err.contains("waits for no answer"), "{nobody:?}");

    let (session, turn, approval) = asked(&lab, &daemon, "echo hi").await?;
    let listed = run(&lab, &["approvals", "list"]).await?.good()?;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("APPROVAL") && lines[1].starts_with(&approval), "{listed}");
    assert!(lines[1].contains("did echo hi") || lines[1].contains("ESCALATE"), "the session's title: {listed}");
    assert!(lines[1].contains("run: ") && lines[1].contains("echo hi"), "{listed}");
    let told = run(&lab, &["approvals", "--json"]).await?.json()?;
    assert_eq!(told["approvals"][0]["id"], approval.as_str());

    let shown = run(&lab, &["approvals", "show", &approval[..approval.len() - 1]]).await?;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in [approval.as_str(), &session, &turn, "$ ", "echo hi", "the fake model wants it", "project"] {
        assert!(shown.out.contains(part), "{part} is missing: {}", shown.out);
    }
    assert!(shown.err.contains(&format!("codexd approvals accept {approval}")), "{}", shown.err);
    let told = run(&lab, &["approvals", "show", &approval, "--json"]).await?.json()?;
    assert_eq!((told["id"].as_str(), told["status"].as_str()), (Some(approval.as_str()), Some("pending")));

    let accepted = run(&lab, &["approvals", "accept"]).await?;
    assert_eq!((accepted.code, accepted.out.as_str()), (Some(0), ""), "{accepted:?}");
    assert!(accepted.err.contains("accepted (by local)") && accepted.err.contains("echo hi"), "{}", accepted.err);
    assert_eq!(run(&lab, &["turn", "wait", &turn]).await?.good()?, "did echo hi\n");
    let again = run(&lab, &["approvals", "accept", &approval, "--json"]).await?;
    assert_eq!((again.code, again.json()?["code"].as_str()), (Some(1), Some("APPROVAL_RESOLVED")));
    assert_eq!(run(&lab, &["approvals"]).await?.good()?, "");
    let all = run(&lab, &["approvals", "list", "--all"]).await?.good()?;
    assert!(all.contains(&approval) && all.contains("accepted"), "{all}");
    let unknown = run(&lab, &["approvals", "show", "nothing"]).await?;
    assert!(unknown.code == Some(1) && unknown.err.contains("nothing"), "{unknown:?}");
    daemon.stop().await
}

#[tokio::test]
async fn of_several_one_must_be_named() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (one, first, declined) = asked(&lab, &daemon, "echo one").await?;
    let (two, second, cancelled) = asked(&lab, &daemon, "echo two").await?;
    for args in [&["approvals", "accept"][..], &["approvals", "decline", "--cancel"]] {
        let which = run(&lab, args).await?;
        assert_eq!((which.code, which.out.as_str()), (Some(2), ""), "{which:?}");
        for part in [declined.as_str(), cancelled.as_str(), "echo one", "echo two"] {
            assert!(which.err.contains(part), "{part} is missing: {}", which.err);
        }
    }
    let common = run(&lab, &["approvals", "decline", &declined[..4]]).await?;
    assert!(common.code == Some(1) && common.err.contains("several approvals"), "{common:?}");
    let listed = run(&lab, &["approvals", "--session", &two]).await?.good()?;
    assert!(listed.contains(&cancelled) && !listed.contains(&declined), "{listed}");
    let told = run(&lab, &["approvals", "decline", &declined, "--json"]).await?.json()?;
    assert_eq!(told["status"], "declined");
    assert_eq!(run(&lab, &["turn", "wait", &first]).await?.code, Some(0), "the turn went on");
    run(&lab, &["approvals", "decline", &cancelled, "--cancel"]).await?.good()?;
    assert_eq!(run(&lab, &["turn", "wait", &second]).await?.code, Some(5), "the turn ended");

    let turn =
        run(&lab, &["continue", &one, "ESCALATE:echo x\nESCALATE:echo x\nSAY:twice", "--detach"]).await?.ids()?.1;
    let third = pending(&daemon, &one).await?;
    let told = run(&lab, &["approvals", "accept", &third, "--for-session", "--json"]).await?.json()?;
    assert_eq!(told["status"], "accepted");
    assert_eq!(run(&lab, &["turn", "wait", &turn]).await?.good()?, "twice\n", "it was asked once");
    daemon.stop().await
}

#[tokio::test]
async fn questions_are_answered() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let daemon = lab.serve_with(&fake_codex()?, &[], &[("FAKE_CODEX_FAULT", "ask-input")]).await?;
    let (session, turn) = run(&lab, &["start", "x", "--detach"]).await?.ids()?;
    let approval = pending(&daemon, &session).await?;
    let shown = run(&lab, &["approvals", "show", &approval]).await?;
    assert!(shown.out.contains("colour: Which colour?") && shown.out.contains("- blue"), "{shown:?}");
    assert!(shown.err.contains("approvals answer") && shown.err.contains("colour=…"), "{}", shown.err);
    let wrong = run(&lab, &["approvals", "answer", &approval, "size=1"]).await?;
    assert!(wrong.code == Some(1) && wrong.err.contains("colour"), "{wrong:?}");
    assert_eq!(run(&lab, &["approvals", "answer", &approval, "red"]).await?.code, Some(2));
    run(&lab, &["approvals", "answer", &approval, "colour=red"]).await?.good()?;
    let answer = run(&lab, &["turn", "wait", &turn]).await?.good()?;
    assert!(answer.contains("red"), "{answer}");

    let mut sitting = Sitting::down(&lab, &["start", "x"], 80)?;
    sitting.sees("answer to colour: ").await?;
    sitting.types("green\n")?;
    let (code, seen) = sitting.end().await?;
    assert!(code == Some(0) && seen.contains("- blue") && seen.contains("\"green\""), "{seen}");
    daemon.stop().await
}

#[tokio::test]
async fn a_script_that_waits_is_told_once_and_goes_on() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let mut waiting = spawn(lab.command(&["start", "ESCALATE:echo hi\nSAY:done"]))?;
    let mut told = BufReader::new(waiting.stderr.take().context("no stderr")?);
    let mut text = String::new();
    told.read_line(&mut text).await?;
    let (session, _) = ids_of(&text).with_context(|| text.clone())?;
    while !text.contains("answer with: ") {
        ensure!(told.read_line(&mut text).await? > 0, "it ended: {text}");
    }
    let approval = pending(&daemon, &session).await?;
    assert!(text.contains("echo hi") && text.contains("project"), "{text}");
    assert!(
        text.contains(&format!("codexd approvals accept {approval} | codexd approvals decline {approval}")),
        "{text}"
    );
    run(&lab, &["approvals", "accept", &approval]).await?.good()?;
    let ran = end(waiting).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "done\n"), "{ran:?}");
    let mut rest = String::new();
    told.read_to_string(&mut rest).await?;
    assert!(!rest.contains("answer with"), "it is told once: {rest}");
    daemon.stop().await
}

#[tokio::test]
async fn a_person_at_a_terminal_is_asked() -> Result<()> {
    let (lab, daemon) = rig().await?;
    for (typed, code, says) in [("y\n", 0, "done"), ("what\nNO\n", 0, "done"), ("c\n", 5, "interrupted")] {
        let mut sitting = Sitting::down(&lab, &["start", "ESCALATE:echo hi\nSAY:done"], 80)?;
        sitting.sees("[c]ancel the turn? ").await?;
        assert!(sitting.seen().contains("echo hi") && sitting.seen().contains("project"), "{}", sitting.seen());
        sitting.types(typed)?;
        let (ended, seen) = sitting.end().await?;
        assert!(ended == Some(code) && seen.contains(says), "{typed:?} {ended:?}: {seen}");
        assert!(!seen.contains("answer with"), "{seen}");
    }
    let all = run(&lab, &["approvals", "--all", "--json"]).await?.json()?;
    let all: Vec<&str> =
        all["approvals"].as_array().into_iter().flatten().filter_map(|a| a["status"].as_str()).collect();
    assert_eq!(all, ["accepted", "declined", "cancelled"]);

    let sitting = Sitting::down(&lab, &["start", "ESCALATE:echo hi\nSAY:done"], 80)?;
    sitting.sees("[y]es").await?;
    run(&lab, &["approvals", "accept"]).await?.good()?;
    let (code, seen) = sitting.end().await?;
    assert!(code == Some(0) && seen.contains("done\n"), "{seen}");
    daemon.stop().await
}

#[tokio::test]
async fn who_is_asked_hears_that_somebody_else_answered() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let mut sitting = Sitting::down(&lab, &["start", "ESCALATE:echo one\nESCALATE:echo two\nSAY:done"], 80)?;
    sitting.sees("[y]es").await?;
    run(&lab, &["approvals", "accept"]).await?.good()?;
    sitting.sees("answered meanwhile: accepted (by local)").await?;
    eventually("the second question", async || (sitting.seen().matches("[y]es").count() == 2).then_some(())).await?;
    sitting.types("y\n")?;
    let (code, seen) = sitting.end().await?;
    assert!(code == Some(0) && seen.contains("done\n"), "{seen}");
    daemon.stop().await
}

#[tokio::test]
async fn control_c_at_a_question_interrupts_the_turn() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let sitting = Sitting::down(&lab, &["start", "ESCALATE:echo hi"], 80)?;
    sitting.sees("[y]es").await?;
    signal("INT", sitting.child.id().context("gone")?).await?;
    let (code, seen) = sitting.end().await?;
    assert!(code == Some(5) && seen.contains("interrupting the turn") && seen.contains("was interrupted"), "{seen}");
    let all = run(&lab, &["approvals", "--all", "--json"]).await?.json()?;
    assert_eq!(all["approvals"][0]["status"], "cancelled");
    daemon.stop().await
}

#[tokio::test]
async fn a_turn_is_interrupted_by_its_id_or_its_session() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, turn) = run(&lab, &["start", "HANG", "--detach"]).await?.ids()?;
    let later = run(&lab, &["continue", &session, "SAY:later", "--detach"]).await?.ids()?.1;
    let latest = run(&lab, &["continue", &session, "SAY:latest", "--detach"]).await?.ids()?.1;
    let ran = run(&lab, &["interrupt", &later]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "interrupted\n"), "{ran:?}");
    let told = run(&lab, &["interrupt", &session, "--json"]).await?.json()?;
    assert_eq!((told["id"].as_str(), told["status"].as_str()), (Some(turn.as_str()), Some("interrupted")));
    assert!(told.get("items").is_none(), "{told}");
    let told = run(&lab, &["interrupt", &session, "--json"]).await?.json()?;
    assert_eq!(told["id"].as_str(), Some(latest.as_str()), "what waits, when nothing runs");
    let none = run(&lab, &["interrupt", &session]).await?;
    assert!(none.code == Some(1) && none.err.contains("no turn of the session"), "{none:?}");

    let (_, done) = started(&lab, "SAY:done").await?;
    let ran = run(&lab, &["interrupt", &done]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "completed\n"), "{ran:?}");
    let (_, failed) = run(&lab, &["start", "FAIL:400"]).await?.ids()?;
    let ran = run(&lab, &["interrupt", &failed]).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), "failed\n"), "{ran:?}");
    let nobody = run(&lab, &["interrupt", "nobody"]).await?;
    assert!(nobody.code == Some(1) && nobody.err.contains("nobody"), "{nobody:?}");
    daemon.stop().await
}
