//! Sessions that begin with the history of another one.

use agent::{Applied, AskError, Outcome, What};
use types::{AgentId, Origin, Sandbox, SessionId};

use super::{super::*, lab::*};
use crate::mail::Fork;

fn fork(lab: &mut Lab) -> (SessionId, Output) {
    let (id, policy) = (SessionId::fresh(), lab.state.limits.policy.clone());
    let (principal, at) = (Principal::Local, types::Timestamp::from_millis(5));
    let wish = Fork { id: id.clone(), title: None, principal, origin: Origin::Http, at, place: None };
    let of = |session: &Session| wish.of(session, &policy);
    let out = lab.run(|state, now, out| state.fork(id.clone(), of, None, now, out).unwrap());
    (id, out)
}

/// The session that a batch makes, if its history goes with it.
fn made(out: &Output) -> Option<&Session> {
    let copied = out.batch.writes.iter().any(|write| matches!(write, Write::CopyTurns { .. }));
    out.batch.writes.iter().find_map(|write| match write {
        Write::CreateSession(new) if copied => Some(&new.session),
        _ => None,
    })
}

fn idle() -> (Lab, AgentId) {
    let (mut lab, agent) = running("t1");
    lab.complete(&agent, "1");
    (lab, agent)
}

#[test]
fn codex_copies_the_thread_of_an_idle_session_and_nothing_begins_meanwhile() {
    let (mut lab, agent) = idle();
    let (id, out) = fork(&mut lab);
    assert!(matches!(asked(&out)[..], [Ask::Fork { thread: of, .. }] if *of == thread("t1")));
    assert!(made(&out).is_none() && !lab.state.at_rest());
    let (_, out) = lab.submit("two").unwrap();
    assert!(asked(&out).is_empty(), "it would be part of the copy, or not");
    lab.asks.set(lab.asks.get());
    let out = lab.answer(&agent, Ok(loaded("t2")));
    let new = made(&out).unwrap();
    assert_eq!((&new.id, &new.forked_from), (&id, &Some(lab.state.session().id.clone())));
    assert_eq!(new.thread_id, Some(thread("t2")));
    assert_eq!(lab.state.session().thread_id, Some(thread("t1")), "the old one keeps its own");
    let loaded = |effect: &Effect| matches!(effect, Effect::Loaded { session, .. } if *session == id);
    assert!(out.effects.iter().any(loaded));
    assert!(matches!(asked(&out)[..], [Ask::StartTurn(turn)] if text(turn) == "two"), "what waited goes on");
}

#[test]
fn without_a_copy_of_codex_s_the_saved_messages_do() {
    let wide = Applied { sandbox: Ok(Sandbox::DangerFullAccess), ..narrow() };
    let wide = agent::Answer::Thread { thread: Some(thread("t2")), applied: Some(wide) };
    for answer in [Err(AskError::NoRecord("x".into())), Err(AskError::Exited { heard: true }), Ok(wide)] {
        let (mut lab, agent) = idle();
        fork(&mut lab);
        let out = lab.answer(&agent, answer);
        assert_eq!(made(&out).unwrap().thread_id, None);
        assert!(lab.state.at_rest());
    }
}

#[test]
fn a_turn_that_runs_is_no_part_of_the_copy() {
    let (mut lab, agent) = running("t1");
    let (_, out) = fork(&mut lab);
    assert!(asked(&out).is_empty());
    assert_eq!(made(&out).unwrap().thread_id, None);
    let end = What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Interrupted, last_message: None };
    assert!(ending(&lab.say(&agent, end)).is_some());
}
