//! Readers that are behind, by little or by much, and those that want no texts.

use store::{Batch, NewEvent, Write};
use types::{EventName, Timestamp};

use super::{
    super::{past::CACHED, *},
    scene::{Client, Scene},
};

#[tokio::test]
async fn a_reader_that_is_far_behind_gets_there() {
    let mut scene = Scene::new().await;
    let mut late = scene.feed.reader(Some(scene.session.clone()), EventId(0));
    let mut watching = scene.feed.reader(None, EventId(0));
    for _ in 0..(CACHED + 300) / 2 {
        scene.begin().await;
        scene.end(0).await;
        watching.step().await.unwrap();
    }
    let (mut client, all) = (Client::default(), scene.everything().await);
    while client.events.len() < all.len() {
        client.hear(late.step().await.unwrap());
    }
    assert_eq!(client.events, all);
}

#[tokio::test]
async fn a_reader_of_one_session_falls_behind_while_others_are_busy_and_misses_nothing() {
    let mut scene = Scene::new().await;
    let mut slow = scene.feed.reader(Some(scene.session.clone()), EventId(0));
    let mut busy = scene.feed.reader(None, EventId(0));
    scene.begin().await;
    scene.end(0).await;
    // Far more than the cache holds, and nothing of it is the slow one's.
    for _ in 0..CACHED + 50 {
        let event = NewEvent {
            name: EventName::AgentStarted,
            at: Timestamp::from_millis(3),
            session: None,
            turn: None,
            item: None,
            detail: None,
        };
        scene.store.commit(Batch { writes: vec![Write::AddEvent(Box::new(event))] }).await.unwrap();
    }
    while !busy.step().await.unwrap().is_empty() {}
    let (mut client, all) = (Client::default(), scene.everything().await);
    client.hear(slow.step().await.unwrap());
    scene.begin().await;
    client.hear(slow.step().await.unwrap());
    let new = scene.everything().await;
    assert_eq!(new.len(), all.len() + 1);
    assert_eq!(client.events, new);
}

#[tokio::test]
async fn who_comes_after_a_long_quiet_time_does_not_read_it_all() {
    let mut scene = Scene::new().await;
    for _ in 0..CACHED {
        scene.begin().await;
        scene.end(0).await;
    }
    let mut reader = scene.feed.reader(None, scene.store.last_event());
    assert!(reader.step().await.unwrap().is_empty());
    assert!(scene.feed.inner.past.cache.lock().await.events.len() <= CACHED);
    scene.begin().await;
    assert_eq!(reader.step().await.unwrap().len(), 1);
    // Who wants all of it gets it all the same.
    let (mut all, mut client) = (scene.feed.reader(Some(scene.session.clone()), EventId(0)), Client::default());
    let wanted = scene.everything().await;
    while client.events.len() < wanted.len() {
        client.hear(all.step().await.unwrap());
    }
    assert_eq!(client.events, wanted);
}

#[tokio::test]
async fn a_reader_of_events_is_nobody_who_watches_and_is_told_no_texts() {
    let mut scene = Scene::new().await;
    let mut reader = scene.feed.reader_of_events(scene.store.last_event());
    assert!(!scene.feed.watched(), "no session writes down at once for its sake");
    let task = tokio::spawn(async move { (reader.next().await.unwrap(), reader) });
    scene.begin().await;
    let (told, mut reader) = task.await.unwrap();
    assert!(matches!(&told[..], [Told::Event(event)] if event.name == EventName::ItemStarted), "{told:?}");
    scene.grow(0, "some text");
    scene.end(0).await;
    let told = reader.next().await.unwrap();
    assert!(matches!(&told[..], [Told::Event(event)] if event.name == EventName::ItemCompleted), "{told:?}");
}
