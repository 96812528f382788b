//! A turn whose Codex died under it, and what the next Codex has on record of it.

use agent::{Outcome, Record, RecordedItem, RecordedTurn};

use super::*;

/// A Codex that has a record.
fn recording(agent: &AgentId) -> Input {
    let Input::AgentUp(mut up) = up(agent, true) else { unreachable!() };
    up.capabilities.record = true;
    Input::AgentUp(up)
}

/// A session whose first turn runs in a Codex that has a record, on the thread `t1` as the turn `c`.
fn busy() -> (Lab, AgentId, TurnId) {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(recording(&agent));
    let (turn, _) = lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    lab.say(&agent, What::TurnStarted { codex_turn: "c".into() });
    (lab, agent, turn)
}

fn dies(lab: &mut Lab) -> Output {
    lab.input(Input::AgentDown { error: "signal 9".into(), retrying: true })
}

/// The next Codex comes, resumes the thread and is asked for its record.
fn asked_for_record(lab: &mut Lab) -> AgentId {
    let next = AgentId::fresh();
    let out = lab.input(recording(&next));
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { thread: it, .. }] if *it == thread("t1")), "{out:?}");
    let out = lab.answer(&next, Ok(loaded("t1")));
    assert!(matches!(asked(&out)[..], [Ask::Record { thread: it, .. }] if *it == thread("t1")), "{out:?}");
    assert_eq!(stored_asks(&out), 1);
    next
}

fn item(codex_id: &str, given: Option<&str>, body: ItemBody) -> RecordedItem {
    let (codex_id, given) = (codex_id.to_owned(), given.map(str::to_owned));
    RecordedItem { codex_id, given, status: ItemStatus::Completed, body }
}

fn said(codex_id: &str, text: &str) -> RecordedItem {
    item(codex_id, None, ItemBody::AgentMessage { text: text.into() })
}

fn prompt(given: &str, text: &str) -> RecordedItem {
    item("u", Some(given), ItemBody::UserMessage { text: text.into(), images: vec![] })
}

fn on_record(outcome: Outcome, items: Vec<RecordedItem>) -> Result<Answer, AskError> {
    Ok(Answer::Record(Record::Turn(RecordedTurn { codex_turn: "c".into(), outcome, items })))
}

/// The turn as it is on disk while it runs.
fn stored(lab: &Lab, turn: &TurnId, agent: &AgentId) -> StoredTurn {
    let at = Timestamp::from_millis(0);
    let turn = types::Turn {
        id: turn.clone(),
        session_id: lab.state.session.id.clone(),
        kind: TurnKind::Prompt,
        status: TurnStatus::Running,
        held: false,
        delivery: Delivery::Unknown,
        prompt: "one".into(),
        retry_of: None,
        answer: None,
        items: Vec::new(),
        usage: None,
        error: None,
        declined: Vec::new(),
        origin: types::Origin::Http,
        principal: "local".into(),
        position: None,
        created_at: at,
        started_at: Some(at),
        ended_at: None,
    };
    let (agent, thread) = (Some(agent.clone()), Some(thread("t1")));
    let (prompt_item, codex_turn, ask) = (ItemId::fresh(), Some("c".into()), Some(AskId(2)));
    StoredTurn { turn, options: TurnOptions::default(), prompt_item, agent, thread, codex_turn, ask, stopping: false }
}

fn finished(out: &Output) -> &Finished {
    let found = out.effects.iter().find_map(|effect| match effect {
        Effect::Ended(finished) => Some(finished),
        _ => None,
    });
    found.expect("it ended")
}

#[test]
fn a_turn_that_codex_had_finished_is_completed_with_its_text() {
    let (mut lab, _, turn) = busy();
    let out = dies(&mut lab);
    assert_eq!(ending(&out), None, "whoever waits gets the true end");
    assert!(!lab.state.at_rest());
    let next = asked_for_record(&mut lab);
    let items = vec![prompt(turn.as_str(), "one"), said("m", "the answer")];
    let out = lab.answer(&next, on_record(Outcome::Completed, items));
    assert_eq!(ending(&out), Some((TurnStatus::Completed, Delivery::Yes, None)));
    assert_eq!(finished(&out).answer.as_deref(), Some("the answer"));
    assert_eq!(messages(&out), [("one", ItemStatus::Completed)]);
    assert!(events(&out).contains(&EventName::TurnDelivered));
    // Its thread is loaded, and nothing is asked again for the next turn.
    let (_, out) = lab.submit("two").unwrap();
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(it)] if text(it) == "two" && it.thread == Some(thread("t1"))));
}

#[test]
fn a_turn_that_was_cut_off_has_what_codex_recorded_and_no_item_twice() {
    let (mut lab, agent, turn) = busy();
    let body = ItemBody::AgentMessage { text: "first".into() };
    lab.say(&agent, What::ItemCompleted { codex_id: "m1".into(), status: ItemStatus::Completed, body });
    let body = ItemBody::AgentMessage { text: String::new() };
    for codex_id in ["m2", "m4"] {
        lab.say(&agent, What::ItemStarted { codex_id: codex_id.into(), body: body.clone() });
    }
    dies(&mut lab);
    let next = asked_for_record(&mut lab);
    let items = vec![prompt(turn.as_str(), "one"), said("m1", "first"), said("m2", "second"), said("m3", "third")];
    let out = lab.answer(&next, on_record(Outcome::Interrupted, items));
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::Yes, Some(TurnErrorCode::AgentExited))));
    let error = finished(&out).error.clone().unwrap();
    assert!(error.retryable && error.message.contains("signal 9"), "{error:?}");
    let mut told = Vec::new();
    for write in &out.batch.writes {
        if let Write::PutItem { item, codex_id: Some(codex_id), .. } = write {
            told.push((codex_id.as_str(), item.status));
        }
    }
    let complete = ItemStatus::Completed;
    assert_eq!(told, [("m2", complete), ("m3", complete), ("m4", ItemStatus::Incomplete)]);
}

#[test]
fn a_prompt_that_codex_did_not_record_is_not_delivered_and_not_sent_again() {
    let (mut lab, _, _) = busy();
    lab.submit("waits").unwrap();
    dies(&mut lab);
    let next = asked_for_record(&mut lab);
    let out = lab.answer(&next, Ok(Answer::Record(Record::Absent { cut_off: None })));
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::No, Some(TurnErrorCode::AgentExited))));
    assert!(finished(&out).error.as_ref().unwrap().message.contains("retry"));
    assert!(asked(&out).is_empty() && lab.state.at_rest(), "what waited is held");
    assert_eq!(lab.state.session.thread_id, Some(thread("t1")));
}

#[test]
fn what_codex_may_remember_without_a_record_is_taken_out_of_its_memory() {
    for (answer, delivery) in [
        (Ok(Answer::Done), Delivery::No),
        (Err(AskError::Refused("failed to revert session".into())), Delivery::Unknown),
        (Err(AskError::Timeout { heard: true }), Delivery::Unknown),
    ] {
        let (mut lab, _, _) = busy();
        dies(&mut lab);
        let next = asked_for_record(&mut lab);
        let out = lab.answer(&next, Ok(Answer::Record(Record::Absent { cut_off: Some("c".into()) })));
        assert!(matches!(asked(&out)[..], [Ask::Revert { codex_turn, .. }] if codex_turn == "c"));
        assert_eq!(ending(&out), None);
        let out = lab.answer(&next, answer);
        assert_eq!(ending(&out), Some((TurnStatus::Interrupted, delivery, Some(TurnErrorCode::AgentExited))));
    }
}

#[test]
fn a_first_turn_that_codex_lost_altogether_is_followed_by_a_new_thread() {
    let (mut lab, _, _) = busy();
    dies(&mut lab);
    let next = AgentId::fresh();
    lab.input(recording(&next));
    let out = lab.answer(&next, Err(AskError::NoRecord("no rollout found".into())));
    assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::No, Some(TurnErrorCode::AgentExited))));
    let (_, out) = lab.submit("two").unwrap();
    assert!(matches!(asked(&out)[..], [Ask::StartThread(_)]));
    let out = lab.answer(&next, Ok(loaded("t2")));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(it)] if text(it) == "two"), "nothing was said: {out:?}");
}

#[test]
fn what_can_not_be_read_is_settled_by_what_is_known() {
    let refused = || Err(AskError::Refused("the disk".into()));
    for at_record in [true, false] {
        let (mut lab, _, _) = busy();
        dies(&mut lab);
        let next = if at_record { asked_for_record(&mut lab) } else { AgentId::fresh() };
        if !at_record {
            lab.input(recording(&next));
        }
        let out = lab.answer(&next, refused());
        assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::Unknown, Some(TurnErrorCode::AgentExited))));
        assert_eq!(lab.state.session.thread_id, Some(thread("t1")));
    }
    let (mut lab, _, _) = busy();
    dies(&mut lab);
    let next = asked_for_record(&mut lab);
    let out = lab.answer(&next, Ok(Answer::Record(Record::Unclear("no names".into()))));
    assert_eq!(ending(&out).unwrap().1, Delivery::Unknown);
}

#[test]
fn a_codex_that_does_not_come_is_not_waited_for_for_ever() {
    // It was asked and does not answer; it does not come; it is said that it will not.
    for which in 0..3 {
        let (mut lab, _, _) = busy();
        dies(&mut lab);
        if which == 0 {
            asked_for_record(&mut lab);
        }
        let out = if which == 2 {
            lab.input(Input::AgentDown { error: "again".into(), retrying: false })
        } else {
            assert_eq!(lab.state.wake(), Some(lab.clock + Duration::from_secs(60)));
            lab.clock = lab.state.wake().unwrap();
            lab.input(Input::Tick)
        };
        assert_eq!(ending(&out), Some((TurnStatus::Interrupted, Delivery::Unknown, Some(TurnErrorCode::AgentExited))));
        assert!(finished(&out).error.as_ref().unwrap().message.contains("signal 9"), "the first reason counts");
        assert!(lab.state.at_rest());
    }
}

#[test]
fn a_codex_that_dies_while_it_is_asked_is_followed_by_another_one() {
    let (mut lab, _, turn) = busy();
    dies(&mut lab);
    let next = asked_for_record(&mut lab);
    lab.answer(&next, Err(AskError::Exited { heard: true }));
    assert_eq!(ending(&dies(&mut lab)), None);
    let third = asked_for_record(&mut lab);
    let out = lab.answer(&third, on_record(Outcome::Completed, vec![prompt(turn.as_str(), "one")]));
    assert_eq!(ending(&out), Some((TurnStatus::Completed, Delivery::Yes, None)));
}

#[test]
fn a_record_that_ends_each_codex_is_not_asked_for_again_and_again() {
    let (mut lab, _, _) = busy();
    dies(&mut lab);
    let next = asked_for_record(&mut lab);
    assert_eq!(ending(&lab.answer(&next, Err(AskError::Exited { heard: true }))), None);
    dies(&mut lab);
    let third = asked_for_record(&mut lab);
    let out = lab.answer(&third, Err(AskError::Exited { heard: true }));
    assert_eq!(ending(&out).unwrap().1, Delivery::Unknown);
}

#[test]
fn a_thread_that_a_dying_process_holds_is_asked_for_again() {
    let (mut lab, _, _) = busy();
    dies(&mut lab);
    let next = AgentId::fresh();
    lab.input(recording(&next));
    let out = lab.answer(&next, Err(AskError::Held("already has an active writer".into())));
    assert!(asked(&out).is_empty() && ending(&out).is_none());
    lab.clock = lab.state.wake().unwrap();
    assert!(matches!(asked(&lab.input(Input::Tick))[..], [Ask::ResumeThread { .. }]));
    let out = lab.answer(&next, Ok(loaded("t1")));
    assert!(matches!(asked(&out)[..], [Ask::Record { .. }]));
}

#[test]
fn a_prompt_whose_request_was_never_answered_is_settled_as_well() {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(recording(&agent));
    let (turn, _) = lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded("t1")));
    lab.answer(&agent, Err(AskError::Exited { heard: true }));
    assert_eq!(ending(&dies(&mut lab)), None);
    let next = asked_for_record(&mut lab);
    let out = lab.answer(&next, on_record(Outcome::Interrupted, vec![prompt(turn.as_str(), "one")]));
    assert_eq!(ending(&out).unwrap().1, Delivery::Yes);
    assert!(finished(&out).error.as_ref().unwrap().message.contains("signal 9"), "why it ended is told");
}

#[test]
fn what_was_added_is_told_as_codex_recorded_it() {
    let (mut lab, agent, turn) = busy();
    let body = ItemBody::UserMessage { text: "one".into(), images: vec![] };
    lab.say(&agent, What::ItemCompleted { codex_id: "u".into(), status: ItemStatus::Completed, body });
    let out = lab.steer(None, "heard", Principal::Local, None).unwrap();
    let [Ask::Steer { item: heard, .. }] = asked(&out)[..] else { panic!() };
    let heard = heard.clone();
    lab.steer(None, "unheard", Principal::Local, None).unwrap();
    let out = lab.answer(&agent, Err(AskError::Exited { heard: true }));
    assert_eq!(steered(&out).unwrap().as_ref().unwrap_err().code, Code::TurnEnded);
    assert!(messages(&out).is_empty(), "it may have been recorded");
    dies(&mut lab);
    let next = asked_for_record(&mut lab);
    let items = vec![prompt(turn.as_str(), "one"), prompt(heard.as_str(), "heard")];
    let out = lab.answer(&next, on_record(Outcome::Interrupted, items));
    assert_eq!(messages(&out), [("heard", ItemStatus::Completed), ("unheard", ItemStatus::Incomplete)]);
}

#[test]
fn what_comes_meanwhile_finds_a_turn_that_is_over() {
    let (mut lab, _, turn) = busy();
    dies(&mut lab);
    let refused = lab.steer(Some(&turn), "more", Principal::Local, None).unwrap_err();
    assert_eq!(refused.code, Code::TurnEnded);
    let out = lab.run(|state, now, out| state.interrupt(&turn, false, now, out).unwrap());
    assert!(ending(&out).is_none() && asked(&out).is_empty(), "the record tells how it ended");
    lab.submit("goes on").unwrap();
    let next = asked_for_record(&mut lab);
    let out = lab.answer(&next, Ok(Answer::Record(Record::Absent { cut_off: None })));
    assert!(ending(&out).is_some() && checking(&out).is_some(), "who asks after the death is not held");
}

#[test]
fn a_session_that_goes_does_not_wait_for_the_record() {
    let (mut lab, _, _) = busy();
    dies(&mut lab);
    let out = lab.run(|state, now, out| state.delete(None, now, out).unwrap());
    assert!(ending(&out).is_some() && out.effects.contains(&Effect::Left(Ok(()))));
}

#[test]
fn a_thread_with_more_than_is_allowed_is_read_and_not_used() {
    let (mut lab, _, turn) = busy();
    dies(&mut lab);
    let next = AgentId::fresh();
    lab.input(recording(&next));
    let applied = Applied { sandbox: Ok(Sandbox::DangerFullAccess), ..narrow() };
    let out = lab.answer(&next, Ok(Answer::Thread { thread: Some(thread("t1")), applied: Some(applied) }));
    assert!(matches!(asked(&out)[..], [Ask::Record { .. }]));
    let out = lab.answer(&next, on_record(Outcome::Completed, vec![prompt(turn.as_str(), "one")]));
    assert_eq!(ending(&out).unwrap().0, TurnStatus::Completed);
    let (_, out) = lab.submit("two").unwrap();
    assert!(matches!(asked(&out)[..], [Ask::ResumeThread { .. }]), "it is looked at again, and refused");
}

#[test]
fn a_turn_of_a_daemon_that_is_gone_is_settled_by_the_record() {
    let (mut lab, old, turn) = busy();
    let running = Running {
        turn: stored(&lab, &turn, &old),
        codex_ids: Vec::new(),
        asks: Vec::new(),
        approvals: Vec::new(),
        steers: Vec::new(),
    };
    lab.restart(Some(running), None);
    let out = lab.input(Input::AgentDown { error: "the first one did not start".into(), retrying: true });
    assert_eq!(ending(&out), None);
    let next = asked_for_record(&mut lab);
    let out = lab.answer(&next, on_record(Outcome::Completed, vec![prompt(turn.as_str(), "one"), said("m", "1")]));
    assert_eq!(ending(&out), Some((TurnStatus::Completed, Delivery::Yes, None)));
    assert_eq!(finished(&out).answer.as_deref(), Some("1"));
}
