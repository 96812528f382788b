//! What the v1 API asks of the machine: options of one turn, compaction, archiving, deletion.

use agent::{Answer, AskError, Outcome, What};
use types::{AgentId, Code, ItemBody, TurnStatus};

use super::{super::*, lab::*};
use crate::OnBusy;

fn options(model: Option<&str>, effort: Option<&str>) -> TurnOptions {
    let own = |text: Option<&str>| text.map(str::to_owned);
    TurnOptions { model: own(model), effort: own(effort), ..TurnOptions::default() }
}

/// Runs a turn to its end, and tells with which model and effort Codex was asked.
fn turn(lab: &mut Lab, agent: &AgentId, options: TurnOptions) -> (Option<String>, Option<String>) {
    let (_, mut out) = lab.submit_with(TurnKind::Prompt, "x", options, OnBusy::Queue).unwrap();
    while !matches!(asked(&out)[..], [Ask::StartTurn(_)]) {
        out = lab.answer(agent, Ok(loaded("t1")));
    }
    let [Ask::StartTurn(spec)] = asked(&out)[..] else { panic!("{:?}", out.effects) };
    let told = (spec.model.clone(), spec.effort.clone());
    lab.answer(agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    assert!(ending(&lab.complete(agent, "1")).is_some());
    told
}

fn told(model: Option<&str>, effort: Option<&str>) -> (Option<String>, Option<String>) {
    (model.map(str::to_owned), effort.map(str::to_owned))
}

#[test]
fn a_model_of_one_turn_is_taken_back_by_the_next() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    assert_eq!(turn(&mut lab, &agent, options(None, None)), told(None, None), "nothing is named without need");
    assert_eq!(turn(&mut lab, &agent, options(Some("big"), None)), told(Some("big"), None));
    assert_eq!(turn(&mut lab, &agent, options(None, Some("high"))), told(Some("base"), Some("high")));
    assert_eq!(turn(&mut lab, &agent, options(None, None)), told(Some("base"), Some("low")));
    assert_eq!(turn(&mut lab, &agent, options(None, None)), told(None, None));
}

#[test]
fn a_model_of_one_turn_is_taken_back_also_after_a_restart() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    turn(&mut lab, &agent, options(Some("big"), Some("high")));
    assert!(lab.state.base.is_some(), "it is kept with the session");
    lab.restart(None, None);
    let agent = AgentId::fresh();
    lab.input(up(&agent, true));
    // Codex tells the model of the last turn as the thread's own.
    let applied = agent::Applied { model: Some("big".into()), effort: Some("high".into()), ..narrow() };
    lab.submit("x").unwrap();
    let out = lab.answer(&agent, Ok(Answer::Thread { thread: Some(thread("t1")), applied: Some(applied) }));
    let [Ask::StartTurn(spec)] = asked(&out)[..] else { panic!("{:?}", out.effects) };
    assert_eq!((spec.model.clone(), spec.effort.clone()), told(Some("base"), Some("low")));
}

#[test]
fn pictures_and_words_go_in_their_order() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    let input = vec![
        InputPart::Text { text: "look".into() },
        InputPart::LocalImage { path: "/w/a.png".into() },
        InputPart::Text { text: "and say".into() },
    ];
    let options = TurnOptions { input: input.clone(), ..TurnOptions::default() };
    lab.submit_with(TurnKind::Prompt, "look\n\nand say", options, OnBusy::Queue).unwrap();
    let out = lab.answer(&agent, Ok(loaded("t1")));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if turn.input == input));
}

#[test]
fn a_compaction_is_a_turn_of_its_own() {
    let (mut lab, agent) = running("t1");
    let refused = Lab::new(session()).submit_with(TurnKind::Compact, "", TurnOptions::default(), OnBusy::Queue);
    assert_eq!(refused.unwrap_err().code, Code::NotSupported, "there is nothing to compact");
    lab.complete(&agent, "1");
    let (_, out) = lab.submit_with(TurnKind::Compact, "", TurnOptions::default(), OnBusy::Queue).unwrap();
    assert!(matches!(asked(&out)[..], [Ask::Compact { .. }]));
    lab.answer(&agent, Ok(Answer::Done));
    lab.say(&agent, What::TurnStarted { codex_turn: "k".into() });
    let done = ItemBody::Other { raw: serde_json::json!({"type": "contextCompaction", "id": "i"}) };
    let items = |out: &Output| out.batch.writes.iter().filter(|write| matches!(write, Write::PutItem { .. })).count();
    let out = lab.say(&agent, What::ItemStarted { codex_id: "i".into(), body: done.clone() });
    assert_eq!(items(&out), 0, "its item is there already");
    let status = types::ItemStatus::Completed;
    let out = lab.say(&agent, What::ItemCompleted { codex_id: "i".into(), status, body: done });
    assert_eq!(items(&out), 1);
    let end = What::TurnEnded { codex_turn: Some("k".into()), outcome: Outcome::Completed, last_message: None };
    assert_eq!(ending(&lab.say(&agent, end)), Some((TurnStatus::Completed, Delivery::Yes, None)));
}

#[test]
fn who_does_not_want_to_wait_is_refused_by_a_busy_session() {
    let (mut lab, _) = running("t1");
    let refused = lab.submit_with(TurnKind::Prompt, "x", TurnOptions::default(), OnBusy::Reject);
    assert_eq!(refused.unwrap_err().code, Code::TurnActive);
}

#[test]
fn an_archived_session_takes_no_turn_and_a_busy_one_is_not_archived() {
    let patch = |archived| Patch { archived: Some(archived), ..Patch::default() };
    let (mut lab, agent) = running("t1");
    let mut result = Ok(());
    lab.run(|state, now, out| result = state.change(patch(true), now, out));
    assert_eq!(result.unwrap_err().code, Code::TurnActive);
    lab.complete(&agent, "1");
    lab.run(|state, now, out| state.change(patch(true), now, out).unwrap());
    assert_eq!(lab.submit("two").unwrap_err().code, Code::NotSupported);
    lab.run(|state, now, out| state.change(patch(false), now, out).unwrap());
    assert!(lab.submit("two").is_ok());
}

fn deleted(out: &Output) -> bool {
    let gone = out.batch.writes.iter().any(|write| matches!(write, Write::DeleteSession(_)));
    let told = out.effects.contains(&Effect::Left(Ok(())));
    assert_eq!(gone, told, "who asked is told in the same step");
    gone
}

#[test]
fn a_session_goes_when_its_turn_has_stopped() {
    let (mut lab, agent) = running("t1");
    lab.submit("waits").unwrap();
    let out = lab.run(|state, now, out| state.delete(None, now, out).unwrap());
    assert!(asked(&out).is_empty() && !deleted(&out), "Codex has not begun it yet, and would say that there is none");
    assert_eq!(lab.submit("late").unwrap_err().code, Code::NoSession);
    let out = lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    assert!(matches!(asked(&out)[..], [Ask::Interrupt { .. }]));
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    let out = lab.say(&agent, end);
    assert!(deleted(&out) && ending(&out).is_some());
    let after = out.batch.writes.iter().skip_while(|write| !matches!(write, Write::DeleteSession(_))).count();
    assert_eq!(after, 2, "only the word that it went follows");
    assert!(lab.state.at_rest(), "it may be put to rest");
    let name = lab.say(&agent, What::Named { thread: thread("t9"), applied: None });
    assert!(name.batch.is_empty(), "nothing is written of what is gone");
    assert_eq!(name.effects, [Effect::Ack { agent, seq: 9 }]);
}

#[test]
fn codex_that_says_there_is_nothing_to_stop_is_told_again() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    lab.run(|state, now, out| state.delete(None, now, out).unwrap());
    for _ in 0..3 {
        let out = lab.answer(&agent, Err(AskError::Refused("no active turn to interrupt".into())));
        assert!(asked(&out).is_empty());
        lab.clock = lab.state.wake().unwrap();
        assert!(matches!(asked(&lab.input(Input::Tick))[..], [Ask::Interrupt { .. }]));
    }
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    assert!(deleted(&lab.say(&agent, end)));
}

#[test]
fn a_session_goes_also_when_codex_does_not_stop() {
    let (mut lab, agent) = running("t1");
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    lab.run(|state, now, out| state.delete(None, now, out).unwrap());
    lab.clock = lab.state.wake().unwrap();
    assert_eq!(unstoppable(&lab.input(Input::Tick)), Some(false));
    assert!(deleted(&lab.input(Input::LeftRunning)));
}

#[test]
fn codex_removes_its_records_first_and_what_it_has_not_is_no_obstacle() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    let threads = vec![thread("t1"), thread("t0")];
    let out = lab.run(|state, now, out| state.delete(Some(threads.clone()), now, out).unwrap());
    assert!(matches!(asked(&out)[..], [Ask::DeleteThread { thread: it }] if *it == thread("t1")));
    let out = lab.answer(&agent, Ok(Answer::Done));
    assert!(matches!(asked(&out)[..], [Ask::DeleteThread { thread: it }] if *it == thread("t0")));
    assert!(deleted(&lab.answer(&agent, Err(AskError::NoRecord("none".into())))));
}

#[test]
fn a_session_whose_record_stays_stays_too() {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    lab.run(|state, now, out| state.delete(Some(vec![thread("t1")]), now, out).unwrap());
    let out = lab.answer(&agent, Err(AskError::Refused("no".into())));
    assert!(!deleted(&out));
    let why = out.effects.iter().find_map(|effect| match effect {
        Effect::Left(Err(refusal)) => Some(refusal.code),
        _ => None,
    });
    assert_eq!(why, Some(Code::AgentError));
    assert!(lab.submit("goes on").is_ok());
}

#[test]
fn tokens_are_summed_over_the_turns() {
    let (mut lab, agent) = running("t1");
    let tokens = Usage { input_tokens: 3, cached_input_tokens: 1, output_tokens: 2, reasoning_tokens: 1 };
    lab.say(&agent, What::Usage(tokens));
    lab.complete(&agent, "1");
    lab.submit("two").unwrap();
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    lab.say(&agent, What::Usage(tokens));
    lab.say(&agent, What::Usage(tokens));
    lab.complete(&agent, "2");
    assert_eq!(lab.state.session.usage.unwrap().input_tokens, 9);
}

fn interrupt(lab: &mut Lab, turn: &TurnId) -> Result<Output, Code> {
    let mut result = Ok(());
    let out = lab.run(|state, now, out| result = state.interrupt(turn, false, now, out));
    result.map(|()| out).map_err(|refusal| refusal.code)
}

#[test]
fn a_turn_that_waits_is_over_at_once_and_the_others_stay_in_their_places() {
    let (mut lab, agent) = running("t1");
    let (two, _) = lab.submit("two").unwrap();
    lab.submit("three").unwrap();
    let out = interrupt(&mut lab, &two).unwrap();
    assert!(asked(&out).is_empty() && out.effects.iter().any(|effect| matches!(effect, Effect::Ended(_))));
    assert_eq!(interrupt(&mut lab, &two).unwrap_err(), Code::TurnEnded);
    let out = lab.complete(&agent, "1");
    let out = lab.input(Input::Checked { turn: checking(&out).unwrap(), verdict: Ok(()) });
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if text(turn) == "three"));
}

#[test]
fn a_turn_that_runs_is_told_to_stop_once_and_what_waits_is_held() {
    let (mut lab, agent) = running("t1");
    let turn = lab.state.active.as_ref().unwrap().job.turn.clone();
    lab.submit("two").unwrap();
    assert!(asked(&interrupt(&mut lab, &turn).unwrap()).is_empty(), "Codex would say that there is none");
    let out = lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    assert!(matches!(asked(&out)[..], [Ask::Interrupt { .. }]));
    assert!(asked(&interrupt(&mut lab, &turn).unwrap()).is_empty(), "told already");
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    let out = lab.say(&agent, end);
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::Unknown, None)));
    assert!(lab.state.at_rest(), "what waited is held");
}

#[test]
fn a_turn_that_codex_was_not_asked_for_yet_is_over_at_once() {
    let mut lab = Lab::new(session());
    let (turn, _) = lab.submit("one").unwrap();
    let out = interrupt(&mut lab, &turn).unwrap();
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::No, None)));
}
