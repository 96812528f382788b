//! Threads that another process has, and turns that Codex does not stop.

use agent::{AskError, What};
use types::{AgentId, Code, OnHeld, TurnStatus};

use super::{super::*, lab::*};
use crate::OnBusy;

/// A session whose thread is not loaded, and a turn that wants it.
fn wanting(on_held: OnHeld) -> (Lab, AgentId, TurnId) {
    let mut old = session();
    old.thread_id = Some(thread("t1"));
    old.turn_count = 1;
    let (mut lab, agent) = (Lab::new(old), AgentId::fresh());
    lab.input(up(&agent, true));
    let options = TurnOptions { on_held, ..TurnOptions::default() };
    let (turn, _) = lab.submit_with(TurnKind::Prompt, "two", options, OnBusy::Queue).unwrap();
    lab.run(|state, _, _| assert_eq!(state.opens(&turn), on_held == OnHeld::Fail));
    (lab, agent, turn)
}

/// Codex says that the thread is held, until something else than asking again comes of it.
fn until_told(lab: &mut Lab, agent: &AgentId) -> Output {
    for _ in 0..100 {
        let out = lab.answer(agent, Err(AskError::Held("already has an active writer".into())));
        if !out.batch.writes.iter().all(|write| matches!(write, Write::SettleAsk(_) | Write::Seen { .. })) {
            return out;
        }
        lab.clock = lab.state.wake().unwrap();
        assert!(matches!(asked(&lab.input(Input::Tick))[..], [Ask::ResumeThread { .. }]));
    }
    panic!("it is asked for without end");
}

fn opened(out: &Output) -> Option<Result<(), Code>> {
    out.effects.iter().find_map(|effect| match effect {
        Effect::Opened { result, .. } => Some(result.clone().map_err(|refusal| refusal.code)),
        _ => None,
    })
}

#[test]
fn the_caller_of_a_turn_whose_thread_is_held_is_refused_and_its_key_is_free() {
    let (mut lab, agent, turn) = wanting(OnHeld::Fail);
    let out = until_told(&mut lab, &agent);
    assert_eq!(opened(&out), Some(Err(Code::ThreadHeld)));
    assert!(out.batch.writes.iter().any(|write| matches!(write, Write::Forget(of) if *of == turn)));
    assert_eq!(ending(&out).unwrap().0, TurnStatus::Failed);
}

#[test]
fn the_caller_of_a_turn_that_gets_its_thread_is_told_before_codex_is_asked() {
    let (mut lab, agent, _) = wanting(OnHeld::Fail);
    let out = lab.answer(&agent, Ok(loaded("t1")));
    assert_eq!(opened(&out), Some(Ok(())));
    let (mut lab, _, _) = wanting(OnHeld::Fail);
    let out = lab.input(Input::AgentDown { error: "x".into(), retrying: true });
    assert_eq!(opened(&out), Some(Ok(())), "nobody waits for a Codex that is not there");
}

#[test]
fn a_turn_may_wait_for_its_thread_and_says_so_once() {
    let (mut lab, agent, _) = wanting(OnHeld::Wait);
    let out = until_told(&mut lab, &agent);
    assert!(ending(&out).is_none() && events(&out) == [EventName::ItemCompleted], "a warning");
    for _ in 0..20 {
        lab.clock = lab.state.wake().unwrap();
        lab.input(Input::Tick);
        let out = lab.answer(&agent, Err(AskError::Held("x".into())));
        assert!(events(&out).is_empty());
    }
    lab.clock = lab.state.wake().unwrap();
    lab.input(Input::Tick);
    assert!(matches!(asked(&lab.answer(&agent, Ok(loaded("t1"))))[..], [Ask::StartTurn(_)]));
}

#[test]
fn a_turn_may_go_on_with_a_copy_of_its_thread() {
    let (mut lab, agent, _) = wanting(OnHeld::Fork);
    let out = until_told(&mut lab, &agent);
    assert!(matches!(asked(&out)[..], [Ask::Fork { thread: of, .. }] if *of == thread("t1")));
    let out = lab.answer(&agent, Ok(loaded("t2")));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if turn.thread == Some(thread("t2"))));
    assert_eq!(lab.state.session().resumed.unwrap().how, types::ResumedHow::Forked);
}

/// A turn that Codex was told to stop, and that goes on.
fn unstopped(force: bool) -> (Lab, AgentId, Output) {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    lab.run(|state, now, out| state.interrupt(&turn, force, now, out).unwrap());
    lab.clock = lab.state.wake().unwrap();
    let out = lab.input(Input::Tick);
    (lab, agent, out)
}

#[test]
fn a_codex_that_does_not_stop_a_turn_may_be_started_anew() {
    for force in [false, true] {
        let (mut lab, _, out) = unstopped(force);
        assert_eq!(unstoppable(&out), Some(force));
        assert!(ending(&out).is_none());
        let out = lab.input(Input::AgentDown { error: "stopped".into(), retrying: true });
        assert_eq!(ending(&out).unwrap().0, TurnStatus::Interrupted);
        assert_eq!(lab.state.session().thread_id, Some(thread("t1")), "Codex's own record brings it back");
    }
}

#[test]
fn a_codex_that_is_not_started_anew_leaves_its_thread_behind() {
    let (mut lab, _, _) = unstopped(false);
    let out = lab.input(Input::LeftRunning);
    assert_eq!(ending(&out).unwrap().0, TurnStatus::Interrupted);
    assert_eq!(lab.state.session().thread_id, None);
    let (mut lab, _, _) = unstopped(true);
    lab.clock = lab.state.wake().unwrap();
    assert!(ending(&lab.input(Input::Tick)).is_some(), "not for ever");
}

#[test]
fn what_an_interrupt_left_is_looked_for_again_unless_another_turn_has_begun() {
    let clean = |lab: &mut Lab, agent: &AgentId| {
        let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
        lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
        let end =
            What::TurnEnded { codex_turn: Some("c".into()), outcome: agent::Outcome::Interrupted, last_message: None };
        lab.say(agent, end)
    };
    let cleaned = |out: &Output| matches!(asked(out)[..], [Ask::CleanTerminals { .. }]);
    for another in [false, true] {
        let (mut lab, agent) = running("t1");
        lab.can_clean();
        lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
        assert!(cleaned(&clean(&mut lab, &agent)));
        assert!(!lab.state.at_rest());
        if another {
            lab.submit("two").unwrap();
            assert!(lab.state.sweeps.is_empty(), "its own commands are not ended");
            continue;
        }
        for _ in SWEEPS {
            lab.clock = lab.state.wake().unwrap();
            assert!(cleaned(&lab.input(Input::Tick)));
        }
        assert!(lab.state.at_rest());
    }
}
