//! What all classes share: a request with the answer that it must get, and the proof that nothing came of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    fake_codex_rig::{Rig, assert_answered, of_method},
    wire::{Call, Door, raw},
};

/// A good request's body: were it let through, there would be a session and a turn.
pub(crate) const BODY: &str = r#"{"prompt": "SAY:let in"}"#;

/// How long an answer may take, or the end of a connection: longer than a head or the idle time between two may.
const PATIENCE: Duration = Duration::from_secs(40);

/// A request, and the answers that it may get.
#[derive(Debug)]
pub(crate) struct Case {
    what: String,
    bytes: Vec<u8>,
    /// One of these; none: the connection just ends.
    statuses: &'static [u16],
}

impl Case {
    /// A request out of these bytes, which must get this answer.
    pub(crate) fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Self {
        Self { what: what.into(), bytes: bytes.into(), statuses }
    }

    /// A `POST /start` that is good but for these header lines, which stand first and name the Host.
    pub(crate) fn start(headers: &str, statuses: &'static [u16]) -> Self {
        Self::new(headers.escape_debug().to_string(), post("/start", headers), statuses)
    }

    /// A request without a body that is good but for its first line.
    pub(crate) fn line(line: &str, host: &str, statuses: &'static [u16]) -> Self {
        Self::new(line, format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n"), statuses)
    }
}

/// A `POST` of [`BODY`] with these header lines, each ended by its line break.
pub(crate) fn post(target: &str, headers: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// `HOST:PORT`.
pub(crate) fn address(rig: &Rig) -> String {
    rig.daemon.url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// Sends each, compares its answer, and asserts that nothing came of all of them: no row, nothing that Codex or a model heard. At last a good
/// request shows that the door was not simply shut. `right`: the header lines of a good one.
pub(crate) async fn assert_harmless(rig: &Rig, cases: &[Case], right: &str) -> Result<()> {
    ensure!(cases.len() >= 3, "three cases at least");
    let door = rig.tcp();
    for case in cases {
        assert_answer(&door, case).await?;
    }
    assert_untouched(rig)?;
    let mut good = Call::post("/start", BODY);
    for line in right.lines() {
        let (name, value) = line.split_once(": ").context("a header")?;
        good = good.header(name, value);
    }
    assert_answered(&good.ask(&door).await?, "let in");
    rig.assert_calm();
    Ok(())
}

/// Sends one and compares its answer.
pub(crate) async fn assert_answer(door: &Door, case: &Case) -> Result<()> {
    let what = &case.what;
    // Who is cut off in the middle of his request may find the connection reset.
    let came = timeout(PATIENCE, raw(door, &case.bytes)).await.with_context(|| format!("{what}: no end"))?;
    let came = came.unwrap_or_default();
    let text = String::from_utf8_lossy(&came);
    let answers: Vec<u16> = answers(&text);
    assert!(answers.len() <= 1, "{what}: {} answers: {text}", answers.len());
    match answers.first() {
        Some(status) => assert!(case.statuses.contains(status), "{what}: {status}, not {:?}: {text}", case.statuses),
        None => assert!(case.statuses.is_empty(), "{what}: no answer, not {:?}", case.statuses),
    }
    assert!(!text.to_ascii_lowercase().contains("\r\naccess-control-"), "{what}: {text}");
    Ok(())
}

/// The statuses of all answers in what came.
pub(crate) fn answers(text: &str) -> Vec<u16> {
    let rest = text.split("HTTP/1.").skip(1);
    rest.filter_map(|answer| answer.get(2..5)?.parse().ok()).collect()
}

/// Asserts that nobody has begun, changed or asked for anything.
pub(crate) fn assert_untouched(rig: &Rig) -> Result<()> {
    for table in ["sessions", "threads", "turns", "items", "asks", "approvals", "idempotency"] {
        assert_eq!(rows(rig, table)?, 0, "rows in {table}");
    }
    let heard: Vec<Value> = rig.heard()?;
    for method in ["thread/start", "thread/resume", "thread/fork", "turn/start"] {
        assert!(of_method(&heard, method).is_empty(), "Codex heard {method}");
    }
    assert_eq!(rig.lab.model.request_count(), 0, "requests of the model");
    Ok(())
}

/// How many rows a table of the store has.
pub(crate) fn rows(rig: &Rig, table: &str) -> Result<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(rig.lab.store.join("store.db"), flags)?;
    let count: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    Ok(u64::try_from(count)?)
}

/// A token with these scopes.
pub(crate) async fn token(rig: &Rig, name: &str, scopes: &[&str]) -> Result<String> {
    let made = rig.daemon.post("/v1/tokens", json!({"name": name, "scopes": scopes})).await?;
    ensure!(made.status == 201, "{made:?}");
    Ok(made.body["token"].as_str().context("no token")?.to_owned())
}
