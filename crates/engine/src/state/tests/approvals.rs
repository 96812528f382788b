//! What Codex asks, and who answers.

use std::collections::BTreeMap;

use agent::{ApprovalRequest, Outcome, Reply, RequestId, What};
use types::{AgentId, Approval, ApprovalKind, ApprovalStatus, Code, Decision, Question, TurnStatus};

use super::{super::*, lab::*};
use crate::{OnExpiry, Refusal, Verdict};

fn question(kind: ApprovalKind) -> ApprovalRequest {
    let user_input = kind == ApprovalKind::UserInput;
    let questions = if user_input {
        vec![Question { id: "q1".into(), question: "which?".into(), options: vec!["a".into(), "b".into()] }]
    } else {
        Vec::new()
    };
    let mut decisions = vec![Decision::Decline, Decision::Cancel];
    if !user_input {
        decisions.splice(0..0, [Decision::Accept, Decision::AcceptForSession]);
    }
    ApprovalRequest {
        request: RequestId("7".into()),
        kind,
        codex_item: None,
        command: Some("touch x".into()),
        cwd: Some("/w".into()),
        reason: None,
        changes: Vec::new(),
        questions,
        decisions,
        rule: vec!["touch".into()],
    }
}

/// A running turn that waits for an answer.
fn asking(kind: ApprovalKind) -> (Lab, AgentId, Approval, Output) {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    let out = lab.say(&agent, What::Approval(question(kind)));
    let asked = out.batch.writes.iter().find_map(|write| match write {
        Write::AddApproval(new) => Some(new.approval.clone()),
        _ => None,
    });
    (lab, agent, asked.expect("on disk before anybody sees it"), out)
}

fn decide(lab: &mut Lab, approval: &Approval, verdict: Verdict) -> Result<Output, Refusal> {
    decide_as(lab, approval, verdict, &Decider { name: "local".into(), own: true })
}

fn decide_as(lab: &mut Lab, approval: &Approval, verdict: Verdict, by: &Decider) -> Result<Output, Refusal> {
    let mut result = Ok(());
    let out = lab.run(|state, now, out| result = state.decide(&approval.id, verdict, by, now, out));
    result.map(|()| out)
}

fn reply(out: &Output) -> Option<&Reply> {
    out.effects.iter().find_map(|effect| if let Effect::Reply { reply, .. } = effect { Some(reply) } else { None })
}

fn resolved(out: &Output) -> Option<(ApprovalStatus, &str)> {
    out.batch.writes.iter().find_map(|write| match write {
        Write::ResolveApproval { resolution, .. } => Some((resolution.status, resolution.by.as_str())),
        _ => None,
    })
}

fn declined(out: &Output) -> bool {
    out.batch.writes.iter().any(|write| matches!(write, Write::UpdateTurn { change, .. } if change.declined.is_some()))
}

#[test]
fn codex_waits_until_somebody_decides_and_hears_it_once() {
    let (mut lab, _, approval, out) = asking(ApprovalKind::Command);
    assert_eq!((reply(&out), approval.status), (None, ApprovalStatus::Pending));
    assert_eq!(approval.command.as_deref(), Some("touch x"));
    let out = decide(&mut lab, &approval, Verdict::Decide(Decision::Accept)).unwrap();
    assert_eq!(reply(&out), Some(&Reply::Decide(Decision::Accept)));
    assert_eq!(resolved(&out), Some((ApprovalStatus::Accepted, "local")));
    assert!(!declined(&out));
    let again = decide(&mut lab, &approval, Verdict::Decide(Decision::Accept)).unwrap_err();
    assert_eq!(again.code, Code::ApprovalResolved);
}

#[test]
fn what_is_not_accepted_is_named_in_the_turn() {
    for (decision, status) in
        [(Decision::Decline, ApprovalStatus::Declined), (Decision::Cancel, ApprovalStatus::Cancelled)]
    {
        let (mut lab, _, approval, _) = asking(ApprovalKind::FileChange);
        let out = decide(&mut lab, &approval, Verdict::Decide(decision)).unwrap();
        assert_eq!(reply(&out), Some(&Reply::Decide(decision)));
        assert_eq!(resolved(&out), Some((status, "local")));
        assert!(declined(&out));
    }
}

#[test]
fn questions_want_answers_to_each_of_them() {
    let (mut lab, _, approval, _) = asking(ApprovalKind::UserInput);
    let answers = |pairs: &[(&str, &[&str])]| {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        Verdict::Answers(pairs.iter().map(|(id, words)| ((*id).to_owned(), owned(words))).collect::<BTreeMap<_, _>>())
    };
    for wrong in [
        Verdict::Decide(Decision::Accept),
        answers(&[]),
        answers(&[("q1", &[])]),
        answers(&[("q1", &["a"]), ("q2", &["b"])]),
    ] {
        assert_eq!(decide(&mut lab, &approval, wrong).unwrap_err().code, Code::BadRequest);
    }
    let out = decide(&mut lab, &approval, answers(&[("q1", &["a"])])).unwrap();
    assert!(matches!(reply(&out), Some(Reply::Answers(answers)) if answers["q1"] == ["a"]));
    assert_eq!(resolved(&out), Some((ApprovalStatus::Accepted, "local")));
}

#[test]
fn what_nobody_answers_is_answered_by_its_deadline() {
    for (on_expiry, decision) in [(OnExpiry::Cancel, Decision::Cancel), (OnExpiry::Decline, Decision::Decline)] {
        let (mut lab, _, _, _) = asking(ApprovalKind::Command);
        lab.state.limits.bounds.on_expiry = on_expiry;
        lab.clock = lab.state.wake().unwrap();
        let out = lab.input(Input::Tick);
        assert_eq!(reply(&out), Some(&Reply::Decide(decision)));
        assert_eq!(resolved(&out), Some((ApprovalStatus::Expired, "expiry")));
        assert!(declined(&out));
    }
}

#[test]
fn the_time_that_a_person_takes_is_not_the_turns() {
    let (mut lab, _, approval, _) = asking(ApprovalKind::Command);
    let deadline = lab.state.active.as_ref().unwrap().deadline;
    lab.clock = deadline + Duration::from_secs(500);
    let out = lab.input(Input::Tick);
    assert!(asked(&out).is_empty() && ending(&out).is_none(), "it waits for a person, not for Codex");
    decide(&mut lab, &approval, Verdict::Decide(Decision::Accept)).unwrap();
    assert!(lab.state.wake().unwrap() > lab.clock);
}

#[test]
fn nothing_stays_open_behind_a_turn_that_ended() {
    let (mut lab, agent, _, _) = asking(ApprovalKind::Command);
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    let out = lab.say(&agent, end);
    assert_eq!(ending(&out).unwrap().0, TurnStatus::Interrupted);
    assert_eq!((resolved(&out), reply(&out)), (Some((ApprovalStatus::Cancelled, "policy")), None));
    let place = |test: fn(&Write) -> bool| out.batch.writes.iter().position(test).unwrap();
    let closed = place(|write| matches!(write, Write::ResolveApproval { .. }));
    let ended = place(|write| matches!(write, Write::UpdateTurn { change, .. } if change.status.is_some()));
    assert!(closed < ended);

    let (mut lab, _, _, _) = asking(ApprovalKind::Command);
    let out = lab.input(Input::AgentDown { error: "killed".into(), retrying: true });
    assert_eq!(resolved(&out), Some((ApprovalStatus::Cancelled, "policy")));
}

#[test]
fn what_codex_does_not_wait_for_any_more_is_closed() {
    let (mut lab, agent, approval, _) = asking(ApprovalKind::Command);
    let out = lab.say(&agent, What::ApprovalGone { request: RequestId("7".into()) });
    assert_eq!((resolved(&out), reply(&out)), (Some((ApprovalStatus::Cancelled, "policy")), None));
    let late = decide(&mut lab, &approval, Verdict::Decide(Decision::Accept)).unwrap_err();
    assert_eq!(late.code, Code::ApprovalResolved);
}

#[test]
fn a_turn_that_is_to_stop_asks_nobody() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    let out = lab.say(&agent, What::Approval(question(ApprovalKind::Command)));
    assert_eq!(reply(&out), Some(&Reply::Decide(Decision::Decline)), "Codex would wait for ever");
}

#[test]
fn what_a_thread_asks_that_was_given_up_is_not_the_question_of_the_next_turn() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    lab.clock = lab.state.wake().unwrap();
    assert!(unstoppable(&lab.input(Input::Tick)).is_some(), "Codex did not stop");
    assert!(ending(&lab.input(Input::LeftRunning)).is_some(), "and is not started anew: the thread is given up");
    lab.submit("two").unwrap();
    let what = What::Approval(question(ApprovalKind::Command));
    let route = agent::Route::Thread(thread("t1"));
    let out = lab.input(Input::Report(agent::Report { agent, seq: 9, line: 9, route, what }));
    assert_eq!(reply(&out), Some(&Reply::Decide(Decision::Decline)));
    assert!(!out.batch.writes.iter().any(|write| matches!(write, Write::AddApproval(_))));
}

#[test]
fn nothing_is_allowed_while_a_turn_is_stopping() {
    let (mut lab, _, approval, _) = asking(ApprovalKind::Command);
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    let late = decide(&mut lab, &approval, Verdict::Decide(Decision::Accept)).unwrap_err();
    assert_eq!(late.code, Code::ApprovalResolved);
}

#[test]
fn what_was_allowed_for_the_session_is_not_asked_again_by_a_codex_that_forgot() {
    let (mut lab, agent, approval, _) = asking(ApprovalKind::Command);
    let out = decide(&mut lab, &approval, Verdict::Decide(Decision::AcceptForSession)).unwrap();
    let kept = |write: &Write| matches!(write, Write::UpdateSession { change, .. } if change.allow.is_some());
    assert!(out.batch.writes.iter().any(kept), "it is kept with the session");
    assert_eq!(reply(&out), Some(&Reply::Decide(Decision::AcceptForSession)));
    let out = lab.say(&agent, What::Approval(question(ApprovalKind::Command)));
    assert_eq!(resolved(&out), Some((ApprovalStatus::Accepted, "policy")));
    assert_eq!(reply(&out), Some(&Reply::Decide(Decision::Accept)));
    let other = ApprovalRequest { command: Some("touch y".into()), ..question(ApprovalKind::Command) };
    assert_eq!(reply(&lab.say(&agent, What::Approval(other))), None, "another command is another question");
    let elsewhere = ApprovalRequest { cwd: Some("/".into()), ..question(ApprovalKind::Command) };
    assert_eq!(reply(&lab.say(&agent, What::Approval(elsewhere))), None, "and so is another folder");
}

#[test]
fn a_rule_allows_the_commands_that_begin_so() {
    let (mut lab, agent, approval, _) = asking(ApprovalKind::Command);
    let wrong = decide(&mut lab, &approval, Verdict::AllowRule(vec!["rm".into()])).unwrap_err();
    assert_eq!(wrong.code, Code::BadRequest, "only what Codex proposes");
    decide(&mut lab, &approval, Verdict::AllowRule(vec!["touch".into()])).unwrap();
    assert_eq!(lab.state.session().allowed[0].rule, ["touch"]);
    let with = |command: &str, rule: &[&str]| ApprovalRequest {
        command: Some(command.into()),
        rule: rule.iter().map(|word| (*word).to_owned()).collect(),
        ..question(ApprovalKind::Command)
    };
    let out = lab.say(&agent, What::Approval(with("touch y", &["touch", "y"])));
    assert_eq!(resolved(&out), Some((ApprovalStatus::Accepted, "policy")));
    let shell = with("/bin/bash -lc 'touch z'", &["touch", "z"]);
    assert_eq!(resolved(&lab.say(&agent, What::Approval(shell))), Some((ApprovalStatus::Accepted, "policy")));
    // Of several commands in a line Codex proposes a rule for one.
    for (command, rule) in [
        ("rm y", vec!["rm", "y"]),
        ("touch y; rm x", vec![]),
        ("/bin/bash -lc 'touch y && rm x'", vec!["touch", "y"]),
        ("/bin/bash -lc 'touch y $(rm x)'", vec!["touch", "y"]),
        ("touch y x", vec!["touch", "y"]),
    ] {
        assert_eq!(reply(&lab.say(&agent, What::Approval(with(command, &rule)))), None, "{command}");
    }
}

#[test]
fn who_added_to_a_turn_does_not_approve_what_it_asks() {
    let (mut lab, _, approval, _) = asking(ApprovalKind::Command);
    let by = Principal::Local;
    lab.steer(None, "more", by.clone(), None).unwrap();
    let yes = || Verdict::Decide(Decision::Accept);
    let refused = decide_as(&mut lab, &approval, yes(), &Decider { name: by.name(), own: false }).unwrap_err();
    assert_eq!(refused.code, Code::Forbidden);
    decide_as(&mut lab, &approval, yes(), &Decider { name: "token:other".into(), own: false }).unwrap();
}
