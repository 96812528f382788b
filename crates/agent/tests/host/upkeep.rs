//! A Codex at rest is looked after, and one that works is left alone.

use std::time::Duration;

use agent::{Ask, Message, Options, Port as _, Upkeep, What};
use types::{AgentId, AskId};

use crate::{
    agent::{Home, ended, next},
    lab::lives,
    restart::signal,
};

fn upkeep(change: impl FnOnce(&mut Upkeep)) -> impl FnOnce(&mut Options) {
    move |options| change(&mut options.upkeep)
}

#[tokio::test]
async fn one_that_answers_nothing_any_more_is_replaced() {
    let home = Home::new();
    let hasty = upkeep(|upkeep| {
        upkeep.ask_after = Duration::from_millis(20);
        upkeep.answer_limit = Duration::from_millis(200);
    });
    let mut up = home.up_with(hasty).await;
    let first = up.agent.info().pid.unwrap();
    // It is asked all the time, and its answers keep it alive: a turn and what follows go well.
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SLOW:10:20"));
    up.until(|what| ended(what).is_some()).await;
    signal(first, "-STOP");
    let Message::Down { error, retrying: true, .. } = next(&mut up.messages).await else { panic!("it is still there") };
    assert!(error.contains("did not answer 3 questions"), "{error}");
    assert!(!lives(first));
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    up.agent.stop().await;
}

#[tokio::test]
async fn one_that_answers_late_is_left_alone() {
    let home = Home::new();
    let mut up = home
        .up_with(upkeep(|upkeep| {
            upkeep.ask_after = Duration::from_millis(50);
            upkeep.answer_limit = Duration::from_secs(3);
        }))
        .await;
    let pid = up.agent.info().pid.unwrap();
    // It does nothing for longer than one answer may take: a slow machine, or one that was asleep.
    signal(pid, "-STOP");
    tokio::time::sleep(Duration::from_millis(3500)).await;
    signal(pid, "-CONT");
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SAY:late"));
    up.until(|what| ended(what).is_some()).await;
    assert_eq!(up.agent.info().pid, Some(pid));
    up.agent.stop().await;
}

/// What Codex said is on disk before its host goes with it.
#[tokio::test]
async fn it_is_not_replaced_before_what_it_said_is_on_disk() {
    let home = Home::new();
    let mut up = home.up().await;
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SAY:x"));
    up.agent.restart(Some(&up.id), true, "somebody asked for that");
    let mut kept = Vec::new();
    let end = loop {
        match next(&mut up.messages).await {
            Message::Report(report) if ended(&report.what).is_some() => break report,
            Message::Report(report) => kept.push(report),
            other => panic!("{other:?}"),
        }
    };
    // It answers as long as somebody asks, so it is still there.
    up.ask(3, Ask::Models);
    loop {
        match next(&mut up.messages).await {
            Message::Report(report) if matches!(report.what, What::Answer(AskId(3), Ok(_))) => break kept.push(report),
            Message::Report(report) => kept.push(report),
            other => panic!("{other:?}"),
        }
    }
    for report in kept.iter().chain([&end]) {
        up.agent.ack(&report.agent, report.seq);
    }
    loop {
        match next(&mut up.messages).await {
            Message::Report(report) => up.agent.ack(&report.agent, report.seq),
            Message::Down { error, .. } => break assert_eq!(error, "somebody asked for that"),
            other @ Message::Up { .. } => panic!("{other:?}"),
        }
    }
    up.agent.stop().await;
}

#[tokio::test]
async fn an_old_one_is_replaced_when_its_turn_has_ended() {
    let home = Home::new();
    let mut up = home.up_with(upkeep(|upkeep| upkeep.recycle_after = Some(Duration::from_millis(300)))).await;
    let first = up.agent.info().pid.unwrap();
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SLOW:20:30"));
    up.until(|what| ended(what).is_some()).await;
    let Message::Down { error, retrying: true, .. } = next(&mut up.messages).await else { panic!("no end") };
    assert!(error.contains("old enough"), "{error}");
    assert!(!lives(first));
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    up.agent.stop().await;
}

#[tokio::test]
async fn a_big_one_is_replaced_when_its_turn_has_ended() {
    let home = Home::new();
    let small = upkeep(|upkeep| {
        upkeep.ask_after = Duration::from_secs(2);
        upkeep.most_memory = Some(1);
    });
    let mut up = home.up_with(small).await;
    let first = up.agent.info().pid.unwrap();
    let thread = up.thread(1, home.spec()).await;
    // In its turn it is silent for longer than one at rest may be.
    up.ask(2, home.turn(&thread, "SLOW:2:3000"));
    up.until(|what| ended(what).is_some()).await;
    let Message::Down { error, retrying: true, .. } = next(&mut up.messages).await else { panic!("no end") };
    assert!(error.contains("of memory, which is more than"), "{error}");
    assert!(!lives(first));
    up.agent.stop().await;
}

#[tokio::test]
async fn it_is_restarted_once_it_is_at_rest_or_at_once() {
    let home = Home::new();
    let mut up = home.up().await;
    let thread = up.thread(1, home.spec()).await;
    up.ask(2, home.turn(&thread, "SLOW:20:20"));
    up.until(|what| matches!(what, What::TurnStarted { .. })).await;
    // One that is gone already is nobody's to restart.
    up.agent.restart(Some(&AgentId::fresh()), false, "by mistake");
    up.agent.restart(Some(&up.id), true, "somebody asked for that");
    up.until(|what| ended(what).is_some()).await;
    let Message::Down { error, .. } = next(&mut up.messages).await else { panic!("no end") };
    assert!(error.contains("somebody asked"), "{error}");
    let Message::Up { agent: second, .. } = next(&mut up.messages).await else { panic!("no other one") };
    up.id = second;
    // At once, in the middle of a turn: the turn's end is never heard.
    let thread = up.thread(3, home.spec()).await;
    up.ask(4, home.turn(&thread, "SLOW:1000:20"));
    up.until(|what| matches!(what, What::TurnStarted { .. })).await;
    up.agent.restart(Some(&up.id), false, "at once");
    loop {
        match next(&mut up.messages).await {
            Message::Report(report) => assert!(!matches!(report.what, What::TurnEnded { .. })),
            Message::Down { error, .. } => break assert_eq!(error, "at once"),
            other @ Message::Up { .. } => panic!("{other:?}"),
        }
    }
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    up.agent.stop().await;
    assert_eq!(home.count(), 0);
}
