//! Titles: how they are folded and cut, where they come from, and who may change them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fake_codex_rig::{Rig, assert_refused, text};

/// A title, whether it is locked, and its source, as the list and the session itself show them.
async fn title(rig: &Rig, session: &str) -> Result<(String, bool, String)> {
    let list = rig.daemon.get("/sessions").await?.body;
    let lines = list["sessions"].as_array().cloned().unwrap_or_default();
    let line = lines.into_iter().find(|line| line["sessionId"] == session).unwrap_or_default();
    let meta = rig.session(session).await?["meta"].clone();
    let of = |value: &Value| (text(value, "title"), value["titleLocked"] == true, text(value, "titleSource"));
    assert_eq!(of(&line), of(&meta));
    Ok(of(&meta))
}

fn is(title: &str, locked: bool, source: &str) -> (String, bool, String) {
    (title.to_owned(), locked, source.to_owned())
}

async fn started(rig: &Rig, body: Value) -> Result<String> {
    let reply = rig.daemon.post("/start", body).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    Ok(text(&reply.body, "sessionId"))
}

async fn renamed(rig: &Rig, session: &str, title: &str) -> Result<()> {
    let reply = rig.daemon.post("/sessions/rename", json!({"sessionId": session, "title": title})).await?;
    assert_eq!((reply.status, reply.body), (200, json!({"ok": true})));
    Ok(())
}

async fn autonamed(rig: &Rig, session: &str, force: Option<bool>) -> Result<String> {
    let mut body = json!({"sessionId": session});
    if let Some(force) = force {
        body["force"] = json!(force);
    }
    let reply = rig.daemon.post("/sessions/autoname", body).await?;
    assert_eq!((reply.status, &reply.body["ok"]), (200, &json!(true)), "{reply:?}");
    Ok(text(&reply.body, "title"))
}

#[tokio::test]
async fn white_space_is_folded_and_forty_characters_are_kept() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let cases = [
        ("  Fix \t the   build \nand this not".to_owned(), "Fix the build".to_owned()),
        ("windows line\r\nsecond".to_owned(), "windows line".to_owned()),
        ("x".repeat(40), "x".repeat(40)),
        ("x".repeat(41), "x".repeat(39) + "…"),
        ("é".repeat(60), "é".repeat(39) + "…"),
        ("試".repeat(400), "試".repeat(39) + "…"),
        ("🦀".repeat(41), "🦀".repeat(39) + "…"),
    ];
    for (prompt, expected) in cases {
        let automatic = started(&rig, json!({"prompt": prompt})).await?;
        assert_eq!(title(&rig, &automatic).await?, is(&expected, false, "auto"));
    }
    for (given, expected) in [
        (" a \n b\t c ".to_owned(), "a b c".to_owned()),
        ("y".repeat(40), "y".repeat(40)),
        ("字".repeat(41), "字".repeat(39) + "…"),
    ] {
        let session = started(&rig, json!({"prompt": "SAY:x", "title": given})).await?;
        assert_eq!(title(&rig, &session).await?.0, expected);
        let other = started(&rig, json!({"prompt": "SAY:x"})).await?;
        renamed(&rig, &other, &given).await?;
        assert_eq!(title(&rig, &other).await?, is(&expected, true, "manual"));
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn an_automatic_title_follows_the_latest_prompt() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = started(&rig, json!({"prompt": "first"})).await?;
    assert_eq!(title(&rig, &session).await?, is("first", false, "auto"));
    rig.daemon.go_on(&session, "second\nline").await?;
    assert_eq!(title(&rig, &session).await?, is("second", false, "auto"));
    assert_eq!(autonamed(&rig, &session, None).await?, "second");
    Ok(())
}

#[tokio::test]
async fn a_given_title_is_kept_but_not_locked() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = started(&rig, json!({"prompt": "first", "title": "given"})).await?;
    assert_eq!(title(&rig, &session).await?, is("given", false, "manual"));
    rig.daemon.go_on(&session, "second").await?;
    assert_eq!(title(&rig, &session).await?, is("given", false, "manual"));
    // Not locked: autoname may.
    assert_eq!(autonamed(&rig, &session, Some(false)).await?, "second");
    assert_eq!(title(&rig, &session).await?, is("second", false, "auto"));
    rig.daemon.go_on(&session, "third").await?;
    assert_eq!(title(&rig, &session).await?, is("third", false, "auto"));
    Ok(())
}

#[tokio::test]
async fn rename_locks_and_only_force_gets_past_it() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = started(&rig, json!({"prompt": "first"})).await?;
    renamed(&rig, &session, "mine").await?;
    rig.daemon.go_on(&session, "second").await?;
    assert_eq!(title(&rig, &session).await?, is("mine", true, "manual"));
    for force in [None, Some(false)] {
        assert_eq!(autonamed(&rig, &session, force).await?, "mine");
        assert_eq!(title(&rig, &session).await?, is("mine", true, "manual"));
    }
    // By force the title and its source change, not the lock.
    assert_eq!(autonamed(&rig, &session, Some(true)).await?, "second");
    assert_eq!(title(&rig, &session).await?, is("second", true, "auto"));
    rig.daemon.go_on(&session, "third").await?;
    assert_eq!(title(&rig, &session).await?, is("second", true, "auto"));
    renamed(&rig, &session, "mine again").await?;
    assert_eq!(title(&rig, &session).await?, is("mine again", true, "manual"));
    Ok(())
}

#[tokio::test]
async fn titles_of_a_wrong_kind_are_refused() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let session = started(&rig, json!({"prompt": "first"})).await?;
    for body in [
        json!({"sessionId": session, "title": 5}),
        json!({"sessionId": session}),
        json!({"title": "x"}),
        json!({"sessionId": 5, "title": "x"}),
    ] {
        assert_refused(&rig.daemon.post("/sessions/rename", body).await?, 400, "BAD_REQUEST");
    }
    for body in [json!({"sessionId": session, "force": "yes"}), json!({}), json!({"sessionId": ["x"]})] {
        assert_refused(&rig.daemon.post("/sessions/autoname", body).await?, 400, "BAD_REQUEST");
    }
    assert_refused(&rig.daemon.post("/start", json!({"prompt": "x", "title": {}})).await?, 400, "BAD_REQUEST");
    // Whatever is made of an empty one, a title never becomes empty by it.
    let reply = rig.daemon.post("/sessions/rename", json!({"sessionId": session, "title": " \n "})).await?;
    assert!(reply.status < 500, "{reply:?}");
    assert_eq!(title(&rig, &session).await?.0, "first");
    Ok(())
}
