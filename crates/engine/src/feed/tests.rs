//! Readers that come, go, and are slow: none misses anything, and nothing is told twice.

use proptest::prelude::*;

use super::*;

mod behind;
mod pieces;
mod scene;

use scene::{Client, Scene};

#[derive(Debug, Clone)]
enum Happening {
    Begin,
    Grow(usize, String),
    End(usize),
    Read(usize),
    /// It asks for more and gives up at once.
    Glance(usize),
    /// The connection breaks, and the client comes back with the last number that it has.
    Cut(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Begin),
        8 => (0..4_usize, "[a-zé€🦀]{1,5}").prop_map(|(which, more)| Happening::Grow(which, more)),
        2 => (0..4_usize).prop_map(Happening::End),
        6 => (0..3_usize).prop_map(Happening::Read),
        4 => (0..3_usize).prop_map(Happening::Glance),
        3 => (0..3_usize).prop_map(Happening::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_has_everything_once_however_often_it_is_cut(happenings in prop::collection::vec(happening(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new().await;
            let mut readers: Vec<(Reader, Client)> = (0..3)
                .map(|number| (scene.feed.reader((number > 0).then(|| scene.session.clone()), EventId(0)), Client::default()))
                .collect();
            for happening in happenings {
                match happening {
                    Happening::Begin => scene.begin().await,
                    Happening::Grow(which, more) => scene.grow(which, &more),
                    Happening::End(which) => scene.end(which).await,
                    Happening::Read(which) => {
                        let (reader, client) = &mut readers[which];
                        let would_wait = reader.has_all();
                        let told = reader.step().await.unwrap();
                        assert!(!would_wait || told.is_empty(), "who waits has been told everything");
                        client.hear(told);
                    }
                    Happening::Glance(which) => {
                        let (reader, client) = &mut readers[which];
                        tokio::select! {
                            biased;
                            told = reader.next() => client.hear(told.unwrap()),
                            () = std::future::ready(()) => {}
                        }
                    }
                    Happening::Cut(which) => {
                        let (reader, client) = &mut readers[which];
                        let last = EventId(client.events.last().copied().unwrap_or(0));
                        *reader = scene.feed.reader(reader.session.clone(), last);
                    }
                }
            }
            while !scene.open.is_empty() {
                scene.end(0).await;
            }
            let all = scene.everything().await;
            for (mut reader, mut client) in readers {
                loop {
                    let told = reader.step().await.unwrap();
                    if told.is_empty() {
                        break;
                    }
                    client.hear(told);
                }
                assert_eq!(client.events, all);
                for (item, text) in client.texts {
                    // A client that was cut has the end of a text with the item itself.
                    assert!(scene.done[&item].starts_with(&text), "{text:?}");
                }
            }
        });
    }
}
