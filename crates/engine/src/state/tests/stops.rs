//! Stopping, leaving and going back, when something gets in the way.

use agent::{Answer, Applied, AskError, Outcome, What};
use types::{AgentId, Code, ItemBody, ItemStatus, Sandbox, TitleSource, TurnStatus, agent::Backend};

use super::{super::*, lab::*};
use crate::OnBusy;

fn with_model(model: &str) -> TurnOptions {
    TurnOptions { model: Some(model.to_owned()), ..TurnOptions::default() }
}

/// The model that Codex is asked for a turn with.
#[track_caller]
fn model(out: &Output) -> Option<String> {
    let [Ask::StartTurn(turn)] = asked(out)[..] else { panic!("{:?}", out.effects) };
    turn.model.clone()
}

/// A lab whose Codex speaks `mcp-server`, with a turn that it was asked for.
fn by_mcp() -> (Lab, AgentId) {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    let capabilities = agent::Capabilities { interrupt: true, ..Default::default() };
    lab.input(Input::AgentUp(Up { id: agent.clone(), backend: Backend::McpServer, capabilities, attached: false }));
    lab.submit("one").unwrap();
    lab.answer(&agent, Ok(Answer::Thread { thread: None, applied: None }));
    (lab, agent)
}

/// A lab whose last turn had a model of its own.
fn after_a_model() -> (Lab, AgentId) {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit_with(TurnKind::Prompt, "x", with_model("big"), OnBusy::Queue).unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    lab.complete(&agent, "1");
    (lab, agent)
}

fn delete(lab: &mut Lab) -> Output {
    lab.run(|state, now, out| state.delete(None, now, out).unwrap())
}

#[test]
fn what_waits_is_held_when_a_session_can_not_go() {
    let (mut lab, agent) = running("t1");
    lab.submit("waits").unwrap();
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    lab.run(|state, now, out| state.delete(Some(vec![thread("t1")]), now, out).unwrap());
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    assert!(matches!(asked(&lab.say(&agent, end))[..], [Ask::DeleteThread { .. }]));
    lab.answer(&agent, Err(AskError::Refused("no".into())));
    assert!(lab.state.queue.iter().all(|waiting| waiting.held) && lab.state.at_rest());
}

#[test]
fn a_session_that_got_its_thread_just_now_does_not_leave_it_behind() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    let out = lab.run(|state, now, out| state.delete(Some(Vec::new()), now, out).unwrap());
    assert!(matches!(asked(&out)[..], [Ask::DeleteThread { thread: it }] if *it == thread("t1")));
}

#[test]
fn the_way_back_to_the_model_is_kept_until_codex_has_gone_it() {
    let (mut lab, agent) = after_a_model();
    assert_eq!(model(&lab.submit("plain").unwrap().1).as_deref(), Some("base"));
    lab.answer(&agent, Err(AskError::Overloaded));
    assert_eq!(model(&lab.submit("again").unwrap().1).as_deref(), Some("base"), "it was not heard");
}

#[test]
fn the_way_back_to_the_model_outlives_the_process_that_did_not_hear_it() {
    let (mut lab, agent) = after_a_model();
    lab.submit("plain").unwrap();
    lab.answer(&agent, Err(AskError::Exited { heard: false }));
    lab.input(Input::AgentDown { error: "x".into(), retrying: true });
    let agent = AgentId::fresh();
    lab.input(up(&agent, true));
    let applied = Applied { model: Some("big".into()), ..narrow() };
    let out = lab.answer(&agent, Ok(Answer::Thread { thread: Some(thread("t1")), applied: Some(applied) }));
    assert_eq!(model(&out).as_deref(), Some("base"));
}

#[test]
fn what_a_loaded_thread_has_is_known_also_after_a_rest() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    let loaded = lab.state.loaded();
    lab.restart(None, loaded.as_ref());
    lab.input(up(&agent, true));
    let (_, out) = lab.submit_with(TurnKind::Prompt, "x", with_model("big"), OnBusy::Queue).unwrap();
    assert_eq!(model(&out).as_deref(), Some("big"));
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    lab.complete(&agent, "1");
    assert_eq!(model(&lab.submit("plain").unwrap().1).as_deref(), Some("base"));
}

#[test]
fn a_turn_that_was_stopped_is_not_given_to_the_next_codex() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    let (turn, _) = lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    let out = lab.say(&agent, What::Answer(AskId(2), Err(AskError::Exited { heard: false })));
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::No, None)));
    lab.input(Input::AgentDown { error: "x".into(), retrying: true });
    assert!(asked(&lab.input(up(&AgentId::fresh(), true))).is_empty());
}

#[test]
fn a_turn_for_which_codex_was_ended_says_so_also_when_it_was_never_answered() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    lab.clock += Duration::from_secs(101);
    lab.input(Input::Tick);
    lab.clock += Duration::from_secs(11);
    let unstoppable = Effect::Unstoppable { agent: agent.clone(), force: false };
    assert!(lab.input(Input::Tick).effects.contains(&unstoppable));
    lab.answer(&agent, Err(AskError::Exited { heard: true }));
    let out = lab.input(Input::AgentDown { error: "killed".into(), retrying: true });
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::Unknown, Some(TurnErrorCode::TurnTimeout))));
}

#[test]
fn texts_in_progress_are_let_go_with_the_codex_that_wrote_them() {
    let (mut lab, agent) = running("t1");
    let body = ItemBody::AgentMessage { text: String::new() };
    lab.say(&agent, What::ItemStarted { codex_id: "m".into(), body });
    let delta = What::ItemDelta { codex_id: "m".into(), kind: agent::DeltaKind::Text, text: "x".into() };
    let ack = Effect::Ack { agent: agent.clone(), seq: 9 };
    assert!(!lab.say(&agent, delta).effects.contains(&ack), "its host keeps it");
    let out = lab.input(Input::AgentDown { error: "killed".into(), retrying: true });
    assert!(out.effects.contains(&ack));
}

#[test]
fn codex_is_told_to_stop_when_it_has_begun_and_not_before() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    assert!(asked(&delete(&mut lab)).is_empty());
    lab.say(&agent, What::Answer(AskId(2), Ok(Answer::Turn { codex_turn: "c".into() })));
    let out = lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    assert!(matches!(asked(&out)[..], [Ask::Interrupt { .. }]));
}

#[test]
fn a_turn_on_a_thread_that_is_not_the_sessions_own_yet_is_told_to_stop_there() {
    let mut old = session();
    old.turn_count = 1;
    let (mut lab, agent) = (Lab::new(old), AgentId::fresh());
    lab.input(up(&agent, false));
    let (turn, _) = lab.submit("two").unwrap();
    lab.answer(&agent, Ok(loaded("t9")));
    lab.input(Input::History { turn, messages: Ok(Vec::new()) });
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    let out = delete(&mut lab);
    assert!(matches!(asked(&out)[..], [Ask::Interrupt { thread: it, .. }] if *it == thread("t9")), "{:?}", out.effects);
}

#[test]
fn a_turn_of_mcp_server_is_told_to_stop_by_hand_and_by_its_deadline() {
    let named = || What::Named { thread: thread("t1"), applied: None };
    let (mut lab, agent) = by_mcp();
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "2".into() }));
    lab.say(&agent, named());
    assert!(matches!(asked(&delete(&mut lab))[..], [Ask::Interrupt { .. }]));

    let (mut lab, agent) = by_mcp();
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "2".into() }));
    lab.say(&agent, named());
    lab.clock = lab.state.wake().unwrap();
    assert!(matches!(asked(&lab.input(Input::Tick))[..], [Ask::Interrupt { .. }]));

    // It was to stop before it had a name.
    let (mut lab, agent) = by_mcp();
    assert!(asked(&delete(&mut lab)).is_empty());
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "2".into() }));
    assert!(matches!(asked(&lab.say(&agent, named()))[..], [Ask::Interrupt { .. }]));
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let (mut lab, _) = running("t1");
    let title = Some(("T".to_owned(), TitleSource::Manual, true));
    let patch = Patch { title, archived: Some(true), ..Patch::default() };
    let mut result = Ok(());
    lab.run(|state, now, out| result = state.change(patch, now, out));
    assert_eq!(result.unwrap_err().code, Code::TurnActive);
    assert!(!lab.state.session.title_locked && lab.state.session.title != "T");
}

#[test]
fn nothing_is_asked_for_a_session_that_is_gone() {
    let (mut lab, agent) = by_mcp();
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "2".into() }));
    delete(&mut lab);
    let applied = Applied { sandbox: Ok(Sandbox::DangerFullAccess), ..narrow() };
    let out = lab.say(&agent, What::Named { thread: thread("t1"), applied: Some(applied) });
    let behind = out.batch.writes.iter().skip_while(|write| !matches!(write, Write::DeleteSession(_)));
    assert!(!behind.into_iter().any(|write| matches!(write, Write::AddAsk(_))), "the store would refuse the batch");
}

#[test]
fn who_waits_for_a_codex_is_looked_at_again_when_it_comes() {
    let mut lab = Lab::new(session());
    lab.submit_as(types::Principal::Anonymous, "one");
    let out = lab.input(up(&AgentId::fresh(), true));
    let turn = checking(&out).expect("a look at the folder, and at what this principal may do");
    let out = lab.input(Input::Checked { turn, verdict: Err("revoked".into()) });
    assert!(matches!(ending(&out), Some((TurnStatus::Failed, Delivery::No, _))));
}

#[test]
fn a_compaction_that_has_no_thread_fails_and_does_not_wait() {
    let mut old = session();
    old.turn_count = 1;
    let mut lab = Lab::new(old);
    lab.state.has_history = false;
    lab.submit_with(TurnKind::Compact, "", TurnOptions::default(), OnBusy::Queue).unwrap();
    let (agent, capabilities) = (AgentId::fresh(), agent::Capabilities { interrupt: true, ..Default::default() });
    lab.input(Input::AgentUp(Up { id: agent.clone(), backend: Backend::McpServer, capabilities, attached: false }));
    let out = lab.answer(&agent, Ok(Answer::Thread { thread: None, applied: None }));
    assert!(matches!(ending(&out), Some((TurnStatus::Failed, Delivery::No, _))));
}

#[test]
fn a_prompt_that_was_recorded_after_it_was_to_stop_still_counts() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    let body = ItemBody::UserMessage { text: "?".into(), images: vec![] };
    lab.say(&agent, What::ItemCompleted { codex_id: "u".into(), status: ItemStatus::Completed, body });
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    assert_eq!(ending(&lab.say(&agent, end)), Some((TurnStatus::Interrupted, Delivery::Yes, None)));
}
