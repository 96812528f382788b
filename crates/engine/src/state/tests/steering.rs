//! What is added to a turn while it runs.

use agent::{Answer, AskError, Outcome, What};
use types::{AgentId, Code, Delivery, ItemBody, ItemStatus, Sandbox, TurnStatus};

use super::{super::*, lab::*};
use crate::Refusal;

/// A turn that Codex has begun and whose prompt it has recorded.
fn begun() -> (Lab, AgentId) {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    said(&mut lab, &agent, "one");
    (lab, agent)
}

/// Codex has recorded a message of the user's.
fn said(lab: &mut Lab, agent: &AgentId, text: &str) -> Output {
    let body = ItemBody::UserMessage { text: text.into(), images: vec![] };
    lab.say(agent, What::ItemStarted { codex_id: text.into(), body: body.clone() });
    lab.say(agent, What::ItemCompleted { codex_id: text.into(), status: ItemStatus::Completed, body })
}

fn over(lab: &mut Lab, agent: &AgentId, outcome: Outcome) -> Output {
    lab.say(agent, What::TurnEnded { codex_turn: Some("c".into()), outcome, last_message: None })
}

fn code(result: Result<Output, Refusal>) -> Code {
    result.unwrap_err().code
}

#[test]
fn what_is_added_is_on_disk_before_codex_hears_it_and_done_when_codex_recorded_it() {
    let (mut lab, agent) = begun();
    let out = lab.steer(None, "more", Principal::Local, None).unwrap();
    assert_eq!(messages(&out), [("more", ItemStatus::InProgress)]);
    assert!(matches!(asked(&out)[..], [Ask::Steer { codex_turn, .. }] if codex_turn == "c"));
    assert!(steered(&out).is_none(), "Codex has not said that it takes it");
    let out = lab.answer(&agent, Ok(Answer::Done));
    assert_eq!(events(&out), [EventName::TurnSteered]);
    assert!(steered(&out).unwrap().is_ok());
    let out = said(&mut lab, &agent, "more");
    assert_eq!((messages(&out), events(&out)), (vec![("more", ItemStatus::Completed)], vec![EventName::ItemCompleted]));
    assert_eq!(ending(&over(&mut lab, &agent, Outcome::Completed)), Some((TurnStatus::Completed, Delivery::Yes, None)));
    assert!(lab.state.at_rest());
}

#[test]
fn before_codex_has_begun_the_turn_it_waits_and_then_goes_out_one_by_one() {
    let (mut lab, agent) = running("t1");
    for text in ["a", "b"] {
        let out = lab.steer(None, text, Principal::Local, None).unwrap();
        assert!(asked(&out).is_empty(), "Codex would say that there is no turn");
    }
    let out = lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    assert_eq!(asked(&out).len(), 1);
    let out = lab.answer(&agent, Ok(Answer::Done));
    assert_eq!(asked(&out).len(), 1, "the second one after the first was taken");
    said(&mut lab, &agent, "one");
    assert_eq!(messages(&said(&mut lab, &agent, "a")), [("a", ItemStatus::Completed)]);
}

#[test]
fn a_record_that_comes_before_the_answer_tells_it_as_well() {
    let (mut lab, agent) = begun();
    lab.steer(None, "more", Principal::Local, None).unwrap();
    let out = said(&mut lab, &agent, "more");
    assert!(steered(&out).unwrap().is_ok());
    let out = lab.answer(&agent, Ok(Answer::Done));
    assert!(steered(&out).is_none() && events(&out).is_empty(), "once");
}

#[test]
fn what_the_turn_did_not_live_to_hear_is_said_so() {
    let (mut lab, agent) = begun();
    lab.steer(None, "more", Principal::Local, None).unwrap();
    let out = over(&mut lab, &agent, Outcome::Completed);
    assert_eq!(messages(&out), [("more", ItemStatus::Incomplete)]);
    assert!(steered(&out).is_none() && !lab.state.at_rest(), "its answer is still to come");
    let out = lab.answer(&agent, Err(AskError::NoTurn));
    assert_eq!(steered(&out).unwrap().as_ref().unwrap_err().code, Code::TurnEnded);
    assert!(lab.state.at_rest());
}

#[test]
fn what_no_turn_took_becomes_one_and_what_may_have_been_heard_does_not() {
    for (error, becomes) in [
        (AskError::NoTurn, true),
        (AskError::Exited { heard: false }, true),
        (AskError::Timeout { heard: true }, false),
    ] {
        let (mut lab, agent) = begun();
        lab.steer(None, "more", Principal::Local, Some("more")).unwrap();
        over(&mut lab, &agent, Outcome::Completed);
        let out = lab.answer(&agent, Err(error.clone()));
        let created =
            out.batch.writes.iter().any(|write| matches!(write, Write::CreateTurn(turn) if turn.prompt == "more"));
        assert_eq!(created, becomes, "{error:?}");
        assert_eq!(steered(&out).unwrap().is_ok(), becomes, "{error:?}");
    }
}

#[test]
fn with_nothing_to_add_to_it_is_a_turn_at_once() {
    let (mut lab, agent) = begun();
    over(&mut lab, &agent, Outcome::Completed);
    let out = lab.steer(None, "more", Principal::Local, Some("more")).unwrap();
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if text(turn) == "more"));
    assert!(steered(&out).unwrap().is_ok());
}

#[test]
fn what_can_not_be_steered_is_refused_by_its_reason() {
    let (mut lab, agent) = begun();
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    let (queued, _) = lab.submit("two").unwrap();
    assert_eq!(code(lab.steer(Some(&queued), "x", Principal::Local, None)), Code::NotSupported);
    assert_eq!(code(lab.steer(Some(&TurnId::fresh()), "x", Principal::Local, None)), Code::TurnEnded);
    for _ in 0..16 {
        lab.steer(Some(&turn), "x", Principal::Local, None).unwrap();
    }
    assert_eq!(code(lab.steer(Some(&turn), "x", Principal::Local, None)), Code::QueueFull);
    lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    assert_eq!(code(lab.steer(Some(&turn), "x", Principal::Local, None)), Code::TurnEnded);
    let out = over(&mut lab, &agent, Outcome::Interrupted);
    assert_eq!(messages(&out).len(), 16, "each is said to be incomplete");

    let (mut old, agent) = (Lab::new(session()), AgentId::fresh());
    old.input(up(&agent, false));
    old.submit("one").unwrap();
    old.answer(&agent, Ok(loaded("t1")));
    assert_eq!(code(old.steer(None, "x", Principal::Local, Some("x"))), Code::NotSupported, "this Codex can't");
}

#[test]
fn nobody_adds_to_a_turn_that_may_do_more_than_they_may_ask_for() {
    let (mut lab, _) = begun();
    assert_eq!(lab.state.session().sandbox, Sandbox::WorkspaceWrite);
    // A token that has ended may have nothing but the narrowest.
    let ended = Principal::Grant("gone".into());
    assert_eq!(code(lab.steer(None, "x", ended, None)), Code::SandboxForbidden);
}
