//! That the checker finds it when one of the records is false: it is given records that agree, and then each time one that does not.

use std::{collections::HashMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    checker::{Findings, Records, messages_in_files},
    ledger,
    people::Given,
    watchers::Seen,
};

/// Two turns that were given and one that asked for what was said: one completed, one interrupted before Codex heard of it.
const STORE: &str = "
    CREATE TABLE turns (n INTEGER PRIMARY KEY, id TEXT, status TEXT, delivery TEXT);
    CREATE TABLE items (n INTEGER PRIMARY KEY, turn INTEGER, id TEXT, kind TEXT, status TEXT, text TEXT);
    CREATE TABLE events (id INTEGER PRIMARY KEY, name TEXT, turn INTEGER, item INTEGER);
    INSERT INTO turns VALUES (1, 't1', 'completed', 'yes'), (2, 't2', 'interrupted', 'no'), (3, 't3', 'completed', 'yes');
    INSERT INTO items VALUES
        (1, 1, 'i1', 'userMessage', 'completed', 'SAY:well [p0-0]'), (2, 1, 'i2', 'agentMessage', 'completed', 'well'),
        (3, 2, 'i3', 'userMessage', 'inProgress', 'SAY:ill [p0-1]'),
        (4, 3, 'i4', 'userMessage', 'completed', 'RECALL'), (5, 3, 'i5', 'agentMessage', 'completed', '[p0-0]');
    INSERT INTO events VALUES
        (1, 'turn.queued', 1, NULL), (2, 'turn.delivered', 1, NULL), (3, 'item.completed', 1, 1), (4, 'item.completed', 1, 2),
        (5, 'turn.completed', 1, NULL), (6, 'turn.queued', 2, NULL), (7, 'turn.interrupted', 2, NULL),
        (8, 'turn.queued', 3, NULL), (9, 'turn.delivered', 3, NULL), (10, 'item.completed', 3, 4), (11, 'item.completed', 3, 5),
        (12, 'turn.completed', 3, NULL);";

/// What Codex has written.
const MESSAGE: &str =
    r#"{"type":"response_item","payload":{"type":"message","role":"user","content":[{"text":"SAY:well [p0-0]"}]}}"#;

/// Everybody's records; they agree.
struct Scene {
    dir: tempfile::TempDir,
    given: Vec<Given>,
    asked: HashMap<String, u32>,
    recalled: HashMap<String, String>,
    told: HashMap<String, Value>,
    seen: Seen,
}

impl Scene {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir_all(dir.path().join("sessions/2026"))?;
        let given = |turn: &str, mark: &str, answer: &str| Given {
            session: "s".into(),
            turn: turn.into(),
            mark: mark.into(),
            answer: Some(answer.into()),
        };
        let told = [
            ("t1".to_owned(), json!({"status": "completed", "delivery": "yes", "answer": "well"})),
            ("t2".to_owned(), json!({"status": "interrupted", "delivery": "no"})),
        ];
        let scene = Self {
            given: vec![given("t1", "[p0-0]", "well"), given("t2", "[p0-1]", "ill")],
            asked: [("[p0-0]".to_owned(), 1)].into(),
            recalled: [("s".to_owned(), "it was said: [p0-0]".to_owned())].into(),
            told: told.into(),
            seen: Seen::default(),
            dir,
        };
        scene.store(STORE)?;
        scene.codex_writes("a", &format!("{MESSAGE}\n"))?;
        let seen = Seen { events: ledger::read(&scene.db())?.events, ..Seen::default() };
        Ok(Self { seen, ..scene })
    }

    fn db(&self) -> std::path::PathBuf {
        self.dir.path().join("store.db")
    }

    /// Does something to the store's file.
    fn store(&self, sql: &str) -> Result<()> {
        Ok(Connection::open(self.db())?.execute_batch(sql)?)
    }

    fn sessions(&self) -> std::path::PathBuf {
        self.dir.path().join("sessions")
    }

    fn codex_writes(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.sessions().join("2026").join(name), text)?)
    }

    fn check(self) -> Result<()> {
        let records = Records {
            files: messages_in_files(Path::new(&self.sessions()))?,
            ledger: ledger::read(&self.db())?,
            asked: self.asked,
            recalled: self.recalled,
            told: self.told,
        };
        Findings::of(&self.given, records).check(&[self.seen])
    }
}

/// Breaks it, and looks that this is found, in these words.
fn finds(what: &str, breaks: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    let mut scene = Scene::new()?;
    breaks(&mut scene)?;
    let found = scene.check().err().with_context(|| format!("not found: {what}"))?.to_string();
    ensure!(found.contains(what), "{what}: {found}");
    Ok(())
}

/// The same for what can't fail.
fn alters(what: &str, alters: impl FnOnce(&mut Scene)) -> Result<()> {
    finds(what, |scene| {
        alters(scene);
        Ok(())
    })
}

#[test]
fn records_that_agree_have_no_findings() -> Result<()> {
    Scene::new()?.check()
}

#[test]
fn what_is_wrong_in_the_store_is_found() -> Result<()> {
    for (what, sql) in [
        ("the store's file says the same", "UPDATE turns SET status = 'failed' WHERE n = 1"),
        ("the store's file says the same", "DELETE FROM turns WHERE n = 2"),
        ("a turn without its prompt: t1", "DELETE FROM items WHERE n = 1"),
        ("a turn that completed without an answer: t1", "DELETE FROM items WHERE n = 2"),
        ("a turn that completed without an answer: t1", "UPDATE items SET text = NULL WHERE n = 2"),
        ("an event of an item that is not there: 4 item.completed", "DELETE FROM items WHERE n = 2"),
        ("still in progress: i2", "UPDATE items SET status = 'inProgress' WHERE n = 2"),
        ("still in progress: i1", "UPDATE items SET status = 'inProgress' WHERE n = 1"),
        ("whose end was not told once: i2", "UPDATE events SET item = NULL WHERE id = 4"),
        ("whose end was not told once: i2", "UPDATE events SET item = 2 WHERE id = 3"),
        ("an event of a turn that is not there: 6 turn.queued", "DELETE FROM turns WHERE n = 2"),
        ("not told to be queued once: t2", "UPDATE events SET name = 'turn.started' WHERE id = 6"),
        ("whose end was not told once, as it was: t1", "UPDATE events SET name = 'turn.failed' WHERE id = 5"),
        ("whose end was not told once, as it was: t1", "UPDATE events SET name = 'turn.completed' WHERE id = 1"),
        ("was delivered, or not, and told otherwise: t1", "UPDATE events SET name = 'turn.started' WHERE id = 2"),
        ("was delivered, or not, and told otherwise: t2", "UPDATE events SET name = 'turn.delivered' WHERE id = 6"),
        ("an event that is not there: 5", "DELETE FROM events WHERE id = 5"),
        (
            "a turn that nobody was told of: t4",
            "INSERT INTO turns VALUES (4, 't4', 'failed', 'no'); INSERT INTO items VALUES (6, 4, 'i6', 'userMessage', 'completed', 'again')",
        ),
    ] {
        finds(what, |scene| scene.store(sql))?;
    }
    Ok(())
}

#[test]
fn what_was_asked_twice_or_never_is_found() -> Result<()> {
    let told = |scene: &mut Scene, name: &str, value: &str| {
        scene
            .told
            .insert("t1".into(), json!({"status": "completed", "delivery": "yes", "answer": "well", name: value}));
    };
    alters("nobody asked the model twice", |scene| *scene.asked.entry("[p0-0]".into()).or_default() = 2)?;
    alters("completed means that the model was asked", |scene| scene.asked.clear())?;
    alters("the answer is the model's", |scene| told(scene, "answer", "we"))?;
    alters("completed means delivered", |scene| told(scene, "delivery", "no"))?;
    alters("it has ended", |scene| told(scene, "status", "running"))?;
    alters("it has ended", |scene| scene.told.clear())
}

#[test]
fn what_codex_has_otherwise_is_found() -> Result<()> {
    let remembers = "Codex remembers what was delivered once, and nothing else";
    for said in ["", "it was said: [p0-0] [p0-0]", "it was said: [p0-0] [p0-1]"] {
        alters(remembers, |scene| *scene.recalled.entry("s".into()).or_default() = said.into())?;
    }
    let delivered = "delivered is in a file of Codex's, once";
    finds(delivered, |scene| scene.codex_writes("a", ""))?;
    finds(delivered, |scene| scene.codex_writes("a", &format!("{MESSAGE}\n{MESSAGE}\n{{\"type\":\"resp")))?;
    let not = "not delivered is at most once in Codex's files";
    let other = MESSAGE.replace("[p0-0]", "[p0-1]");
    finds(not, |scene| scene.codex_writes("b", &format!("{other}\n{other}\n")))?;
    finds(not, |scene| {
        scene.codex_writes("b", &other)?;
        scene.codex_writes("c", &other)
    })
}

#[test]
fn what_watchers_saw_otherwise_is_found() -> Result<()> {
    alters("missed [(4,", |scene| scene.seen.events.retain(|id, _| *id != 4))?;
    alters("saw nothing behind 11 of 12", |scene| scene.seen.events.retain(|id, _| *id < 12))?;
    alters("saw [(4, \"turn.failed\")]", |scene| *scene.seen.events.entry(4).or_default() = "turn.failed".into())?;
    alters("in pieces", |scene| scene.seen.torn.push("\"a\" in pieces, and then b".into()))?;
    finds("saw [(12,", |scene| {
        scene.store("DELETE FROM events WHERE id = 12; INSERT INTO events VALUES (13, 'x', NULL, NULL)")
    })
}
