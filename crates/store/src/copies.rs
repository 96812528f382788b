//! A history once more, for a session that begins with that of another one.
//!
//! Copies have ids of their own, so that whatever names a turn or an item names one of one session. What only Codex could make
//! something of, its own ids, is left behind: the copies are about no thread.

use rusqlite::{Connection, params};
use types::{ItemId, TurnId};

use crate::{StoreError, read};

/// Copies the turns that have ended, in their order.
pub(crate) fn turns(conn: &Connection, from: i64, to: i64) -> Result<(), StoreError> {
    let sql = "SELECT n FROM turns WHERE session = ?1 AND status IN ('completed', 'failed', 'interrupted') ORDER BY n";
    let turns: Vec<i64> = read::all(conn, sql, [from], |row| row.get(0))?;
    for turn in &turns {
        conn.prepare_cached(
            "INSERT INTO turns (id, session, status, delivery, origin, principal, usage, error, declined, created_at, \
             started_at, ended_at, kind, options) \
             SELECT ?1, ?2, status, delivery, origin, principal, usage, error, declined, created_at, started_at, ended_at, \
             kind, options FROM turns WHERE n = ?3",
        )?
        .execute(params![TurnId::fresh().as_str(), to, turn])?;
        let copy = conn.last_insert_rowid();
        let items: Vec<i64> =
            read::all(conn, "SELECT n FROM items WHERE turn = ?1 ORDER BY n", [turn], |row| row.get(0))?;
        for item in items {
            conn.prepare_cached(
                "INSERT INTO items (turn, session, id, kind, status, at, text, body) \
                 SELECT ?1, ?2, ?3, kind, status, at, text, body FROM items WHERE n = ?4",
            )?
            .execute(params![copy, to, ItemId::fresh().as_str(), item])?;
        }
    }
    conn.prepare_cached("UPDATE sessions SET turn_count = turn_count + ?2 WHERE n = ?1")?
        .execute(params![to, turns.len() as i64])?;
    Ok(())
}
