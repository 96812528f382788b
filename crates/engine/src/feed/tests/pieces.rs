//! Texts in progress: their pieces, and what is there for who comes late.

use super::{
    super::{
        texts::{PIECE, TEXT},
        *,
    },
    scene::{Client, Scene},
};

#[tokio::test]
async fn who_watches_without_a_break_has_the_whole_text_in_pieces() {
    let mut scene = Scene::new().await;
    let (mut reader, mut client) = (scene.feed.reader(None, EventId(0)), Client::default());
    scene.begin().await;
    for number in 0..500 {
        scene.grow(0, &format!("{number} "));
        if number % 7 == 0 {
            client.hear(reader.next().await.unwrap());
        }
    }
    scene.end(0).await;
    client.hear(reader.next().await.unwrap());
    let (item, text) = scene.done.iter().next().unwrap();
    assert_eq!(client.texts[item], *text);
}

#[tokio::test]
async fn who_comes_late_sees_what_is_in_progress_first() {
    let mut scene = Scene::new().await;
    scene.begin().await;
    scene.grow(0, "so far");
    let mut reader = scene.feed.reader(Some(scene.session.clone()), scene.store.last_event());
    let told = reader.next().await.unwrap();
    assert!(
        matches!(&told[..], [Told::Text(piece)] if piece.snapshot && piece.offset == 0 && piece.text == "so far"),
        "{told:?}"
    );
    scene.grow(0, ", and on");
    let told = reader.next().await.unwrap();
    assert!(
        matches!(&told[..], [Told::Text(piece)] if !piece.snapshot && piece.offset == 6 && piece.text == ", and on"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_is_sent_of_a_text_is_made_once_for_all_who_keep_up() {
    let mut scene = Scene::new().await;
    let mut readers = [scene.feed.reader(None, EventId(0)), scene.feed.reader(Some(scene.session.clone()), EventId(0))];
    scene.begin().await;
    for reader in &mut readers {
        reader.next().await.unwrap();
    }
    scene.grow(0, "hello");
    let [first, second] = &mut readers;
    let (first, second) = (first.next().await.unwrap(), second.next().await.unwrap());
    let (Told::Text(first), Told::Text(second)) = (&first[0], &second[0]) else { panic!("{first:?} {second:?}") };
    assert!(Arc::ptr_eq(first, second));
    // Who comes now is given the same text as a snapshot, which is another thing to send.
    let told = scene.feed.reader(None, scene.store.last_event()).next().await.unwrap();
    assert!(matches!(&told[..], [Told::Text(piece)] if piece.snapshot && piece.text == "hello"), "{told:?}");
}

#[tokio::test]
async fn the_end_of_one_turn_takes_nothing_from_another() {
    let mut scene = Scene::new().await;
    scene.begin().await;
    scene.grow(0, "hello ");
    let mut reader = scene.feed.reader(None, scene.store.last_event());
    reader.next().await.unwrap();
    scene.feed.quiet(&scene.session, &TurnId::fresh());
    scene.grow(0, "wonderful world");
    let told = reader.next().await.unwrap();
    assert!(
        matches!(&told[..], [Told::Text(piece)] if piece.offset == 6 && piece.text == "wonderful world"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_is_cut_and_stays_exact() {
    let mut scene = Scene::new().await;
    let (mut reader, mut client) = (scene.feed.reader(None, EventId(0)), Client::default());
    scene.begin().await;
    for _ in 0..5 {
        scene.grow(0, &"x".repeat(TEXT / 3));
        scene.grow(0, "y");
        client.hear(reader.step().await.unwrap());
    }
    let told = client.texts.values().next().map_or(0, String::len);
    assert!(told > 0 && told <= 5 * PIECE, "in small pieces");
    scene.end(0).await;
    let (item, text) = scene.done.iter().next().unwrap();
    while !client.over.contains(item) {
        let told = reader.next().await.unwrap();
        let held: usize = told.iter().map(|told| if let Told::Text(piece) = told { piece.text.len() } else { 0 }).sum();
        assert!(held <= PIECE, "{held} bytes at once");
        client.hear(told);
    }
    assert_eq!(client.texts[item], *text, "the rest came before the end");
}

#[tokio::test]
async fn a_token_that_is_cut_over_two_pieces_is_shown_to_nobody() {
    let mut scene = Scene::new().await;
    scene.begin().await;
    let token = format!("cdx_{}", "a".repeat(43));
    for (piece, shown) in [
        ("say ", "say "),
        (&token[..2], "say "),
        (&token[2..20], "say "),
        (&token[20..], "say [redacted token]"),
        (" abc", "say [redacted token] ab"),
        ("d", "say [redacted token] ab"),
        ("e", "say [redacted token] abcde"),
    ] {
        scene.grow(0, piece);
        let (pieces, _) = scene.feed.inner.texts.look(None, &texts::Offsets::default());
        assert_eq!(pieces[0].text, shown, "after {piece:?}");
    }
}
