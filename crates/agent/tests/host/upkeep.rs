//! A Codex at rest is looked after, and one that works is left alone.

use std::time::Duration;

use agent::{Message, Options, Port as _, Upkeep, What};

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
    up.agent.restart(true);
    up.until(|what| ended(what).is_some()).await;
    let Message::Down { error, .. } = next(&mut up.messages).await else { panic!("no end") };
    assert!(error.contains("somebody asked"), "{error}");
    let Message::Up { agent: second, .. } = next(&mut up.messages).await else { panic!("no other one") };
    up.id = second;
    // At once, in the middle of a turn: the turn's end is never heard.
    let thread = up.thread(3, home.spec()).await;
    up.ask(4, home.turn(&thread, "SLOW:1000:20"));
    up.until(|what| matches!(what, What::TurnStarted { .. })).await;
    up.agent.restart(false);
    loop {
        match next(&mut up.messages).await {
            Message::Report(report) => assert!(!matches!(report.what, What::TurnEnded { .. })),
            Message::Down { .. } => break,
            other @ Message::Up { .. } => panic!("{other:?}"),
        }
    }
    assert!(matches!(next(&mut up.messages).await, Message::Up { attached: false, .. }));
    up.agent.stop().await;
    assert_eq!(home.count(), 0);
}
