//! The machine by itself: what it asks of Codex, in which order, and what is on disk by then.

mod approvals;
mod draining;
mod forking;
mod holding;
mod lab;
mod settling;
mod steering;
mod stops;
mod v1;

use std::cell::Cell;

use agent::{Answer, Applied, AskError, Outcome, What};
use store::Message;
use types::{AgentId, Code, ItemStatus, Role, Sandbox, TurnError, TurnStatus};

use super::*;
use lab::*;

#[test]
fn a_first_turn_opens_a_thread_and_the_next_one_finds_it_loaded() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    let (_, out) = lab.submit("one").unwrap();
    assert!(matches!(asked(&out)[..], [Ask::StartThread(_)]));
    assert!(matches!(out.batch.writes[0], Write::CreateTurn(_)), "the prompt is on disk before Codex hears anything");
    assert_eq!(stored_asks(&out), 1);
    let out = lab.answer(&agent, Ok(loaded("t1")));
    assert!(
        matches!(asked(&out)[..], [Ask::StartTurn(turn)] if turn.thread == Some(thread("t1")) && text(turn) == "one")
    );
    assert_eq!(stored_asks(&out), 1);
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    let out = lab.complete(&agent, "1");
    assert_eq!(ending(&out), Some((TurnStatus::Completed, Delivery::Yes, None)));
    let (_, out) = lab.submit("two").unwrap();
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if text(turn) == "two"), "one batch from prompt to Codex");
}

#[test]
fn one_turn_at_a_time_in_order_and_a_bounded_queue() {
    let (mut lab, agent) = running("t1");
    for prompt in ["two", "three", "four"] {
        let (_, out) = lab.submit(prompt).unwrap();
        assert!(asked(&out).is_empty());
    }
    assert_eq!(lab.submit("five").unwrap_err().code, Code::QueueFull);
    let out = lab.complete(&agent, "1");
    let out = lab.input(Input::Checked { turn: checking(&out).unwrap(), verdict: Ok(()) });
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if text(turn) == "two"));
}

#[test]
fn a_folder_that_went_away_while_waiting_fails_the_turn_and_the_next_runs() {
    let (mut lab, agent) = running("t1");
    let (gone, _) = lab.submit("two").unwrap();
    lab.submit("three").unwrap();
    lab.complete(&agent, "1");
    let out = lab.input(Input::Checked { turn: gone, verdict: Err("no folder".into()) });
    assert_eq!(ending(&out), Some((TurnStatus::Failed, Delivery::No, Some(TurnErrorCode::Other))));
    assert!(checking(&out).is_some());
}

#[test]
fn codex_dies_under_the_turn_then_the_thread_is_resumed() {
    let (mut lab, _) = running("t1");
    lab.submit("waits").unwrap();
    let out = lab.input(Input::AgentDown { error: "killed".into(), retrying: true });
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::Unknown, Some(TurnErrorCode::AgentExited))));
    assert!(lab.state.at_rest(), "what waited is held");
    let next = AgentId::fresh();
    assert!(asked(&lab.input(up(&next, true))).is_empty());
    let (_, out) = lab.submit("goes on").unwrap();
    let out = lab.input(Input::Checked { turn: checking(&out).unwrap(), verdict: Ok(()) });
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { thread: it, .. }] if *it == thread("t1")));
    let out = lab.answer(&next, Ok(loaded("t1")));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if text(turn) == "waits"));
    assert_eq!(lab.state.session.resumed.unwrap().how, types::ResumedHow::Resumed);
}

#[test]
fn a_prompt_that_may_have_been_heard_is_never_sent_again() {
    for (error, again) in [(AskError::Exited { heard: true }, false), (AskError::Exited { heard: false }, true)] {
        let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
        lab.input(up(&agent, true));
        lab.submit("one").unwrap();
        lab.answer(&agent, Ok(loaded("t1")));
        let out = lab.answer(&agent, Err(error));
        assert_eq!(ending(&out), None, "what ended Codex is not known yet");
        let out = lab.input(Input::AgentDown { error: "gone".into(), retrying: true });
        assert_eq!(ending(&out).is_none(), again);
        assert_eq!(told(&out).is_some_and(|message| message.contains("gone")), !again);
        let out = lab.input(up(&AgentId::fresh(), true));
        assert_eq!(!asked(&out).is_empty(), again);
    }
}

#[test]
fn a_prompt_that_came_too_late_for_a_process_goes_to_the_next() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    let out = lab.input(Input::AgentDown { error: "gone".into(), retrying: true });
    assert_eq!(ending(&out), None, "the answer will say whether it was heard");
    lab.answer(&agent, Err(AskError::Exited { heard: false }));
    let out = lab.input(up(&AgentId::fresh(), true));
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { .. }]));
}

#[test]
fn no_record_means_a_new_thread_with_the_saved_messages() {
    let mut old = session();
    old.thread_id = Some(thread("t1"));
    old.turn_count = 1;
    for inject in [true, false] {
        let (mut lab, agent) = (Lab::new(old.clone()), AgentId::fresh());
        lab.input(up(&agent, inject));
        let (turn, out) = lab.submit("two").unwrap();
        assert!(matches!(asked(&out)[..], [Ask::ResumeThread { .. }]));
        let out = lab.answer(&agent, Err(AskError::NoRecord("no rollout found".into())));
        assert!(matches!(asked(&out)[..], [Ask::StartThread(_)]));
        let out = lab.answer(&agent, Ok(loaded("t2")));
        assert!(matches!(out.effects[..], [Effect::LoadHistory { .. }, Effect::Ack { .. }]));
        let earlier = TurnId::fresh();
        let messages = vec![
            Message {
                turn: earlier.clone(),
                role: Role::User,
                text: "one".into(),
                at: Timestamp::from_millis(0),
                delivery: Delivery::Yes,
            },
            Message {
                turn: earlier,
                role: Role::Assistant,
                text: "1".into(),
                at: Timestamp::from_millis(0),
                delivery: Delivery::Yes,
            },
        ];
        let mut out = lab.input(Input::History { turn, messages: Ok(messages) });
        if inject {
            assert!(matches!(asked(&out)[..], [Ask::Inject { messages, .. }] if messages.len() == 2));
            out = lab.answer(&agent, Ok(Answer::Done));
        }
        let [Ask::StartTurn(turn)] = asked(&out)[..] else { panic!("{:?}", out.effects) };
        assert_eq!(text(turn) == "two", inject);
        assert!(text(turn).ends_with("two") && (inject || text(turn).contains("one")));
        assert_eq!(lab.state.session.resumed.unwrap().how, types::ResumedHow::Replayed);
    }
}

#[test]
fn a_thread_that_was_not_given_what_was_said_is_not_kept() {
    let mut old = session();
    old.thread_id = Some(thread("t1"));
    old.turn_count = 1;
    let (mut lab, agent) = (Lab::new(old), AgentId::fresh());
    lab.input(up(&agent, true));
    for again in ["t2", "t3"] {
        let (turn, out) = lab.submit("two").unwrap();
        let mut first = asked(&out).into_iter().next().cloned();
        if matches!(first, Some(Ask::ResumeThread { .. })) {
            let out = lab.answer(&agent, Err(AskError::NoRecord("no rollout found".into())));
            first = asked(&out).into_iter().next().cloned();
        }
        assert!(matches!(first, Some(Ask::StartThread(_))), "{first:?}");
        lab.answer(&agent, Ok(loaded(again)));
        let (at, delivery) = (Timestamp::from_millis(0), Delivery::Yes);
        let message = Message { turn: TurnId::fresh(), role: Role::User, text: "one".into(), at, delivery };
        lab.input(Input::History { turn, messages: Ok(vec![message]) });
        let out = lab.answer(&agent, Err(AskError::Refused("no".into())));
        assert!(ending(&out).is_some());
        assert!(!out.batch.writes.iter().any(|write| matches!(write, Write::AddThread { .. })));
    }
    let (turn, out) = lab.submit("three").unwrap();
    assert!(matches!(asked(&out)[..], [Ask::StartThread(_)]), "still owed");
    lab.answer(&agent, Ok(loaded("t4")));
    let out = lab.input(Input::History { turn, messages: Err("disk".into()) });
    assert!(matches!(ending(&out), Some((TurnStatus::Failed, Delivery::No, _))), "no turn without its memory");
}

#[test]
fn the_end_of_another_turn_is_not_the_end_of_this_one() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    lab.submit("two").unwrap();
    let late = |turn: &str| What::TurnEnded {
        codex_turn: Some(turn.into()),
        outcome: Outcome::Completed,
        last_message: Some("of another".into()),
    };
    assert_eq!(ending(&lab.say(&agent, late("c"))), None, "ours has no name yet");
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "d".into() }));
    assert_eq!(ending(&lab.say(&agent, late("c"))), None);
    assert!(ending(&lab.say(&agent, late("d"))).is_some());
}

#[test]
fn other_errors_of_a_resume_are_no_reason_to_replay() {
    let mut old = session();
    old.thread_id = Some(thread("t1"));
    for error in [
        AskError::Refused("session t1 is archived".into()),
        AskError::Timeout { heard: true },
        AskError::Overloaded,
        AskError::NotSupported,
    ] {
        let (mut lab, agent) = (Lab::new(old.clone()), AgentId::fresh());
        lab.input(up(&agent, true));
        lab.submit("two").unwrap();
        let out = lab.answer(&agent, Err(error.clone()));
        assert!(asked(&out).is_empty(), "{error:?}");
        assert!(matches!(ending(&out), Some((TurnStatus::Failed, Delivery::No, Some(_)))), "{error:?}");
        assert_eq!(lab.state.session.thread_id, Some(thread("t1")), "the thread is kept");
    }
}

#[test]
fn a_held_thread_is_asked_for_again_and_not_for_ever() {
    let mut old = session();
    old.thread_id = Some(thread("t1"));
    let (mut lab, agent) = (Lab::new(old), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("two").unwrap();
    let mut tries = 0;
    let out = loop {
        let out = lab.answer(&agent, Err(AskError::Held("already has an active writer".into())));
        if ending(&out).is_some() {
            break out;
        }
        lab.clock = lab.state.wake().unwrap();
        assert!(matches!(asked(&lab.input(Input::Tick))[..], [Ask::ResumeThread { .. }]));
        tries += 1;
    };
    assert!(tries > 10);
    assert!(matches!(ending(&out), Some((TurnStatus::Failed, Delivery::No, Some(TurnErrorCode::Other)))));
}

#[test]
fn a_wider_policy_fails_the_turn_before_it_starts() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    let applied = Applied { sandbox: Ok(Sandbox::DangerFullAccess), ..narrow() };
    let out = lab.answer(&agent, Ok(Answer::Thread { thread: Some(thread("t1")), applied: Some(applied) }));
    assert!(asked(&out).is_empty());
    assert_eq!(ending(&out), Some((TurnStatus::Failed, Delivery::No, Some(TurnErrorCode::PolicyWidened))));
}

#[test]
fn a_thread_that_is_not_loaded_after_all_is_resumed_and_the_prompt_sent_once_more() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    lab.submit("two").unwrap();
    let out = lab.answer(&agent, Err(AskError::NotLoaded));
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { .. }]));
    let out = lab.answer(&agent, Ok(loaded("t1")));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(_)]));
}

#[test]
fn a_turn_has_a_deadline() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    lab.clock = lab.state.wake().unwrap();
    let out = lab.input(Input::Tick);
    assert!(matches!(asked(&out)[..], [Ask::Interrupt { .. }]));
    let mut lab_hung = Lab { state: lab.state.clone(), asks: Cell::new(50), clock: lab.clock };
    let ended = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    let out = lab.say(&agent, ended);
    assert_eq!(ending(&out).unwrap().2, Some(TurnErrorCode::TurnTimeout));
    lab_hung.clock = lab_hung.state.wake().unwrap();
    assert_eq!(unstoppable(&lab_hung.input(Input::Tick)), Some(false));
    let out = lab_hung.input(Input::LeftRunning);
    assert_eq!(ending(&out).unwrap(), (TurnStatus::Interrupted, Delivery::Unknown, Some(TurnErrorCode::TurnTimeout)));
    // It may still be at it: what comes next must not be merged into it.
    assert_eq!(lab_hung.state.session.thread_id, None);
}

#[test]
fn nobody_waits_for_a_codex_that_will_not_come() {
    let mut lab = Lab::new(session());
    lab.submit("one").unwrap();
    lab.submit("two").unwrap();
    let out = lab.input(Input::AgentDown { error: "no such program".into(), retrying: false });
    assert_eq!(ending(&out).unwrap().2, Some(TurnErrorCode::AgentExited));
    assert_eq!(lab.submit("three").unwrap_err().code, Code::AgentUnavailable);
}

#[test]
fn an_item_that_codex_never_finished_is_incomplete() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::ItemStarted { codex_id: "m".into(), body: ItemBody::AgentMessage { text: String::new() } });
    let out = lab.say(
        &agent,
        What::TurnEnded {
            codex_turn: Some("c".into()),
            outcome: Outcome::Failed(TurnError::new(TurnErrorCode::StreamCut, "cut")),
            last_message: None,
        },
    );
    assert!(
        out.batch
            .writes
            .iter()
            .any(|write| matches!(write, Write::PutItem { item, .. } if item.status == ItemStatus::Incomplete))
    );
    assert_eq!(ending(&out).unwrap().2, Some(TurnErrorCode::StreamCut));
}

#[test]
fn what_was_understood_is_in_the_batch_and_what_meant_nothing_is_only_acknowledged() {
    let (mut lab, agent) = running("t1");
    let delta = What::ItemDelta { codex_id: "m".into(), kind: agent::DeltaKind::Text, text: "x".into() };
    let mut out = lab.say(&agent, delta);
    out.seal(&lab.state.session.id);
    assert!(out.batch.is_empty());
    assert_eq!(out.effects, [Effect::Ack { agent: agent.clone(), seq: 9 }]);
    let body = ItemBody::AgentMessage { text: "y".into() };
    let mut out = lab.say(&agent, What::ItemCompleted { codex_id: "m".into(), status: ItemStatus::Completed, body });
    out.seal(&lab.state.session.id);
    assert!(matches!(out.batch.writes.last(), Some(Write::Seen { seq: 9, .. })));
}
