//! Search: every character of a query is looked for as it is.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use proptest::prelude::*;
use store::Store;
use support::*;
use types::{ItemId, ItemStatus};

async fn titles(store: &Store, query: &str) -> Vec<String> {
    let found = store.search(query, 50).await.expect(query);
    assert!(found.is_sorted_by(|one, next| one.score >= next.score));
    found.into_iter().map(|found| found.session.title).collect()
}

#[tokio::test]
async fn words_are_substrings_in_any_script() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for (millis, (title, prompt)) in (0..).zip([
        ("english", "The quick brown Foxtrot jumps"),
        ("code", "call parse_config_file() in Foo::bar, 100% sure"),
        ("percent", "1000 sure"),
        ("chinese", "请修复数据库的检索功能"),
        ("japanese", "東京タワーを見る"),
        ("emoji", "ship it 🚀🎉 now"),
        ("greek", "ΟΔΥΣΣΕΥΣ and Straße, ÉCOLE"),
        ("quotes", r#"say "hello world" AND (NOT) bye* -x NEAR(a b) ^c {d} col:umn"#),
        ("short", "a C# Go q"),
        ("nul", "left\0right"),
        ("cherokee", "ᏣᎳᎩ dotless ı ı"),
        ("escapes", r"C:\temp\x_y%z"),
    ]) {
        conversation(&store, title, millis, prompt, "ok").await;
    }
    for (query, expected) in [
        ("oxtro", &["english"][..]),
        ("QUICK", &["english"]),
        ("jumps fox", &["english"]),
        ("quick cat", &[]),
        ("parse_config", &["code"]),
        ("parse_conf", &["code"]),
        ("parsexconfig", &[]),
        ("foo::BAR", &["code"]),
        ("100%", &["code"]),
        ("%", &["escapes", "code"]),
        ("%%", &[]),
        ("_", &["escapes", "code"]),
        ("数据", &["chinese"]),
        ("检索", &["chinese"]),
        ("功能", &["chinese"]),
        ("能", &["chinese"]),
        ("数据库", &["chinese"]),
        ("据数", &[]),
        ("東京タワー", &["japanese"]),
        ("見る", &["japanese"]),
        ("る", &["japanese"]),
        ("🚀", &["emoji"]),
        ("🚀🎉", &["emoji"]),
        ("🎉🚀", &[]),
        ("οδυσσευς", &["greek"]),
        ("straße école", &["greek"]),
        ("éc", &["greek"]),
        ("É", &["greek"]),
        ("\"hello world\"", &["quotes"]),
        ("\"hello", &["quotes"]),
        ("AND", &["quotes", "greek"]),
        ("hello AND bye", &["quotes"]),
        ("hello OR nothing", &[]),
        ("NOT", &["quotes"]),
        ("near(a", &["quotes"]),
        ("bye*", &["quotes"]),
        ("by*", &[]),
        ("-x", &["quotes"]),
        ("col:umn", &["quotes"]),
        ("{d} ^c", &["quotes"]),
        ("c#", &["short"]),
        ("go q", &["short"]),
        ("left\0right", &["nul"]),
        ("leftright", &[]),
        ("t\0r", &["nul"]),
        ("\0", &["nul"]),
        ("ᏣᎳᎩ", &["cherokee"]),
        ("ᎳᎩ", &["cherokee"]),
        ("ı", &["cherokee"]),
        ("ss ı", &["cherokee"]),
        (r"\temp\x_y%z", &["escapes"]),
        ("", &[]),
        (" \t\n\u{3000}", &[]),
    ] {
        assert_eq!(titles(&store, query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn words_may_stand_in_title_and_several_messages() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = conversation(&store, "Deploy the frontend", 1, "first we build it", "then comes a release").await;
    conversation(&store, "other", 2, "build a frontend", "nothing").await;
    for query in ["deploy build release", "release build", "DEPLOY release"] {
        assert_eq!(titles(&store, query).await, ["Deploy the frontend"], "{query}");
    }
    assert_eq!(titles(&store, "deploy nothing").await, Vec::<String>::new());

    let found = store.search("build release", 5).await.unwrap();
    let turn = store.turns(&id).await.unwrap().remove(0).id;
    assert_eq!((found.len(), &found[0].turn), (1, &Some(turn)));
}

#[tokio::test]
async fn titles_come_first_then_the_latest_activity() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    conversation(&store, "old needle", 1, "x", "y").await;
    conversation(&store, "b", 3, "a needle here", "and a needle there").await;
    conversation(&store, "c", 2, "a needle here", "y").await;
    conversation(&store, "new NEEDLE", 4, "needle", "y").await;
    let mut archived = plain_session("archived needle", 9);
    archived.archived_at = Some(at(9));
    store.commit(batch([create(archived)])).await.unwrap();
    let found = store.search("needle", 10).await.unwrap();
    let shown: Vec<_> =
        found.iter().map(|f| (f.session.title.as_str(), f.snippet.as_str(), f.turn.is_some())).collect();
    assert_eq!(
        shown,
        [
            ("new NEEDLE", "new NEEDLE", false),
            ("old needle", "old needle", false),
            ("b", "and a needle there", true),
            ("c", "a needle here", true)
        ]
    );
    assert_eq!(store.search("needle", 3).await.unwrap().len(), 3);
    assert_eq!(store.search("needle", 0).await.unwrap(), []);
}

#[tokio::test]
async fn the_index_follows_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let id = stored(&store, "before", 1).await;
    let (turn, prompt, create_turn) = new_turn(&id, "draft words");
    store.commit(batch([create_turn])).await.unwrap();
    let item = ItemId::fresh();
    for body in [agent(""), agent("half"), agent("half done")] {
        store.commit(batch([put(&id, &turn, &item, ItemStatus::InProgress, body)])).await.unwrap();
    }
    let change = store::SessionChange {
        title: Some(("after".to_owned(), types::TitleSource::Manual, true)),
        ..Default::default()
    };
    store
        .commit(batch([
            put(&id, &turn, &prompt, ItemStatus::Completed, user("final words")),
            put(
                &id,
                &turn,
                &ItemId::fresh(),
                ItemStatus::Completed,
                types::ItemBody::Reasoning { summary: "idea".into() },
            ),
            store::Write::UpdateSession { id: id.clone(), change: Box::new(change) },
        ]))
        .await
        .unwrap();
    for (query, hits) in [("draft", 0), ("final", 1), ("half done", 1), ("before", 0), ("after", 1), ("idea", 0)] {
        assert_eq!(store.search(query, 5).await.unwrap().len(), hits, "{query}");
    }
    store.close().await;
    let conn = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    for index in ["messages_fts", "titles_fts"] {
        conn.execute(&format!("INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)"), []).unwrap();
    }
}

#[tokio::test]
async fn a_rare_word_is_found_behind_many_common_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    conversation(&store, "rare", 1, "common xylophone", "z").await;
    let id = stored(&store, "many", 2).await;
    let (turn, _, create_turn) = new_turn(&id, "p");
    let mut writes = vec![create_turn];
    for _ in 0..2_500 {
        writes.push(put(&id, &turn, &ItemId::fresh(), ItemStatus::Completed, agent("a common word")));
    }
    store.commit(batch(writes)).await.unwrap();
    for (query, expected) in
        [("common", "many"), ("xylophone common", "rare"), ("common xy", "rare"), ("common word", "many")]
    {
        assert_eq!(titles(&store, query).await, [expected], "{query}");
    }
}

#[test]
fn any_query_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    runtime.block_on(async {
        conversation(&store, "title \"x\" %", 1, "some prompt_text * - ( ) 日本語", "an answer \\ ' \" 🙂").await;
        conversation(&store, "other", 2, "AND OR NOT NEAR", "a\0b").await;
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
    let query =
        prop_oneof![any::<String>(), "[\"'*%_^(){}:+\\-\0 aANDORT\\\\日本🙂]{0,40}", "\\PC{0,3}( \\PC{0,6}){0,4}"];
    runner
        .run(&query, |query| {
            let found = runtime.block_on(store.search(&query, 10)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(found.len() <= 2);
            prop_assert!(found.is_empty() || !query.trim().is_empty());
            Ok(())
        })
        .unwrap();
    // One letter that the index folds beside one that it doesn't know.
    runtime.block_on(async {
        conversation(&store, "mixed", 3, "before𐲀Ϲbehind", "").await;
        assert!(!store.search("𐲀Ϲ", 10).await.unwrap().is_empty());
    });
    // Whatever was written is found by itself.
    let runner = &mut proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(100));
    runner
        .run(&prop_oneof!["[a-zA-Z\"%_*日本語ÄßΣς🙂-]{1,12}", "[\\p{L}\\p{N}\\p{P}]{1,6}"], |word| {
            let found = runtime.block_on(async {
                conversation(&store, "any", 3, &format!("before{word}behind"), "").await;
                store.search(&word, 10).await
            });
            prop_assert!(!found.map_err(|e| TestCaseError::fail(e.to_string()))?.is_empty());
            Ok(())
        })
        .unwrap();
}
