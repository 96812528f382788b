//! What is in the store's own file, read without the daemon, and what has to agree in there.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};

/// The store's file.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The status of each turn.
    pub(crate) turns: HashMap<String, String>,
    /// For each turn what was asked.
    pub(crate) prompts: HashMap<String, String>,
    /// The name of each event.
    pub(crate) events: BTreeMap<i64, String>,
    /// What contradicts itself in there.
    pub(crate) wrong: Vec<String>,
}

/// What there may be none of, once all turns have ended. Each selects what is wrong.
const NEVER: [(&str, &str); 9] = [
    (
        "a turn without its prompt",
        "SELECT id FROM turns t WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.turn = t.n AND i.kind = 'userMessage')",
    ),
    (
        "a turn that completed without an answer",
        "SELECT id FROM turns t WHERE status = 'completed' AND NOT EXISTS \
         (SELECT 1 FROM items i WHERE i.turn = t.n AND i.kind = 'agentMessage' AND i.status = 'completed' AND i.text IS NOT NULL)",
    ),
    (
        // A prompt that Codex did not record stays so.
        "an item of a turn that ended is still in progress",
        "SELECT i.id FROM items i JOIN turns t ON t.n = i.turn WHERE i.status = 'inProgress' AND (i.kind <> 'userMessage' OR t.delivery = 'yes')",
    ),
    (
        "an item whose end was not told once",
        "SELECT id || ' ' || kind || ' ' || status FROM items i WHERE kind <> 'userMessage' AND \
         (SELECT count(*) FROM events e WHERE e.item = i.n AND e.name = 'item.completed') <> 1",
    ),
    (
        "an event of an item that is not there",
        "SELECT id || ' ' || name FROM events e WHERE item IS NOT NULL AND NOT EXISTS (SELECT 1 FROM items i WHERE i.n = e.item)",
    ),
    (
        "an event of a turn that is not there",
        "SELECT id || ' ' || name FROM events e WHERE turn IS NOT NULL AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.n = e.turn)",
    ),
    (
        "a turn that was not told to be queued once",
        "SELECT id FROM turns t WHERE (SELECT count(*) FROM events e WHERE e.turn = t.n AND e.name = 'turn.queued') <> 1",
    ),
    (
        "a turn whose end was not told once, as it was",
        "SELECT id || ' ' || status FROM turns t WHERE \
         (SELECT group_concat(name) FROM events e WHERE e.turn = t.n AND e.name IN ('turn.completed', 'turn.failed', 'turn.interrupted')) \
         IS NOT 'turn.' || status",
    ),
    (
        "a turn that was delivered, or not, and told otherwise",
        "SELECT id || ' ' || delivery FROM turns t WHERE delivery <> 'unknown' AND \
         (SELECT count(*) FROM events e WHERE e.turn = t.n AND e.name = 'turn.delivered') <> (delivery = 'yes')",
    ),
];

/// Reads it.
pub(crate) fn read(path: &Path) -> Result<Ledger> {
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // One moment of it, while the daemon writes.
    let store = store.unchecked_transaction()?;
    let pairs = |query: &str| -> Result<HashMap<String, String>> {
        let rows =
            store.prepare(query)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(rows)
    };
    let turns = pairs("SELECT id, status FROM turns")?;
    let prompts = pairs(
        "SELECT t.id, i.text FROM turns t JOIN items i ON i.n = (SELECT min(n) FROM items WHERE turn = t.n) WHERE i.text IS NOT NULL",
    )?;
    let events: BTreeMap<i64, String> = store
        .prepare("SELECT id, name FROM events")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut wrong = Vec::new();
    for (what, query) in NEVER {
        let found: Vec<String> = store.prepare(query)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        wrong.extend(found.into_iter().map(|found| format!("{what}: {found}")));
    }
    // No session is deleted here, which is all that takes events away.
    if let Some((due, _)) = (1..).zip(events.keys()).find(|(due, id)| due != *id) {
        wrong.push(format!("an event that is not there: {due}, and there are later ones"));
    }
    Ok(Ledger { turns, prompts, events, wrong })
}
