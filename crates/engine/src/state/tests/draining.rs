//! No turn begins while Codex is about to be started anew, and none is left behind.

use agent::{Answer, AskError};
use types::{AgentId, Code, TurnStatus};

use super::{super::*, lab::*};
use crate::OnBusy;

fn down(retrying: bool) -> Input {
    Input::AgentDown { error: "somebody asked for a restart".into(), retrying }
}

/// The turn that waited wants its folder looked at, and then its thread of this process.
fn goes_on(lab: &mut Lab, out: &Output) {
    let turn = checking(out).unwrap();
    let out = lab.input(Input::Checked { turn, verdict: Ok(()) });
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { .. }]), "{out:?}");
}

#[test]
fn the_running_turn_comes_to_its_end_and_those_behind_it_wait_for_the_next_codex() {
    let (mut lab, agent) = running("t1");
    lab.input(Input::Drain);
    let (_, out) = lab.submit("two").unwrap();
    assert!(asked(&out).is_empty() && events(&out).contains(&EventName::TurnQueued));
    let out = lab.complete(&agent, "done");
    assert_eq!(ending(&out).unwrap().0, TurnStatus::Completed);
    assert!(asked(&out).is_empty() && checking(&out).is_none(), "it begins no other one: {out:?}");
    assert!(!lab.state.at_rest(), "it is not put to rest with a turn that waits");
    let gone = lab.input(down(true));
    assert!(asked(&gone).is_empty());
    lab.input(up(&AgentId::fresh(), true));
    goes_on(&mut lab, &gone);
}

#[test]
fn a_session_at_rest_takes_turns_and_starts_them_later() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "done");
    lab.input(Input::Drain);
    let (turn, out) = lab.submit_with(TurnKind::Prompt, "two", TurnOptions::default(), OnBusy::Reject).unwrap();
    assert!(asked(&out).is_empty() && !lab.state.opens(&turn), "its caller is answered at once");
    let refused = lab.submit_with(TurnKind::Prompt, "three", TurnOptions::default(), OnBusy::Reject).unwrap_err();
    assert_eq!(refused.code, Code::TurnActive, "one waits already");
    lab.input(down(true));
    let out = lab.input(up(&AgentId::fresh(), true));
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { .. }]), "{out:?}");
}

/// Told to drain by words that came late: the turn was on its way to its thread.
#[test]
fn a_turn_on_its_way_is_not_lost_with_the_codex_that_it_was_on_its_way_to() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    lab.input(Input::Drain);
    let out = lab.answer(&agent, Ok(loaded("t1")));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(_)]), "what has begun goes on");
    lab.answer(&agent, Err(AskError::Exited { heard: false }));
    lab.input(down(true));
    let second = AgentId::fresh();
    lab.input(up(&second, true));
    let out = lab.answer(&second, Err(AskError::NoRecord("no rollout found".into())));
    assert!(matches!(asked(&out)[..], [Ask::StartThread(_)]), "{out:?}");
    lab.answer(&second, Ok(loaded("t2")));
    lab.answer(&second, Ok(Answer::Turn { codex_turn: "c".into() }));
    assert_eq!(ending(&lab.complete(&second, "done")).unwrap().0, TurnStatus::Completed);
}

#[test]
fn nothing_waits_for_a_codex_that_does_not_come() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "done");
    lab.input(Input::Drain);
    lab.submit("two").unwrap();
    let out = lab.input(down(false));
    assert_eq!(ending(&out).unwrap().0, TurnStatus::Failed);
    assert!(lab.state.at_rest());
}

#[test]
fn a_turn_that_is_ended_by_a_restart_says_who_wanted_it() {
    let wanted = || Input::AgentDown { error: "token:ops asked for a restart".into(), retrying: true };
    let (mut lab, _) = running("t1");
    assert!(told(&lab.input(wanted())).unwrap().contains("token:ops asked for a restart"));
    // Also when Codex had not answered yet whether it takes it.
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    lab.answer(&agent, Err(AskError::Exited { heard: true }));
    assert!(told(&lab.input(wanted())).unwrap().contains("token:ops asked for a restart"));
}
