//! Reads as SQL, each in one snapshot. None of them takes longer because the store is large: every one follows an index
//! to what it returns.

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use types::{Event, EventId, Item, ItemId, Session, SessionId, Turn, TurnId};

use crate::{
    Message, PendingAsk, Running, StoreError, StoredSession, StoredTurn, approvals,
    rows::{self, EVENT, ITEM, SESSION, STORED_SESSION, STORED_TURN, TURN},
};

pub(crate) fn session(conn: &Connection, id: &SessionId) -> Result<Option<StoredSession>, StoreError> {
    let sql = format!("SELECT {SESSION}, {STORED_SESSION} FROM sessions s WHERE s.id = ?1");
    one(conn, &sql, [id.as_str()], rows::stored_session)
}

pub(crate) fn find_session(conn: &Connection, text: &str) -> Result<Option<SessionId>, StoreError> {
    // Our own ids come first: a thread can't take a session's name.
    let sql = "SELECT id FROM (SELECT 0 AS rank, id FROM sessions WHERE id = ?1 UNION ALL \
        SELECT 1, s.id FROM threads t JOIN sessions s ON s.n = t.session WHERE t.thread_id = ?1) ORDER BY rank LIMIT 1";
    one(conn, sql, [text], |row| rows::id(row, 0, SessionId::parse))
}

pub(crate) fn sessions(conn: &Connection, limit: u32) -> Result<Vec<Session>, StoreError> {
    let sql = format!(
        "SELECT {SESSION} FROM sessions s WHERE s.archived_at IS NULL ORDER BY s.updated_at DESC, s.n DESC LIMIT ?1"
    );
    all(conn, &sql, [limit], rows::session)
}

pub(crate) fn history(conn: &Connection, id: &SessionId) -> Result<Vec<Message>, StoreError> {
    // A waiting turn's prompt is older than the answers of the turn before it: the order is that of the turns.
    // A prompt counts whatever became of it; what was steered in counts once Codex has it, as answers do.
    let sql = "SELECT t.id, i.kind, i.text, i.at, t.delivery FROM sessions s JOIN turns t ON t.session = s.n \
        JOIN items i ON i.turn = t.n AND i.text IS NOT NULL WHERE s.id = ?1 \
        AND (i.status = 'completed' OR i.n = (SELECT min(p.n) FROM items p WHERE p.turn = t.n)) ORDER BY t.n, i.n";
    all(conn, sql, [id.as_str()], rows::message)
}

pub(crate) fn turn(conn: &Connection, id: &TurnId) -> Result<Option<Turn>, StoreError> {
    let sql = format!("SELECT {TURN} FROM turns t JOIN sessions s ON s.n = t.session WHERE t.id = ?1");
    let Some(mut turn) = one(conn, &sql, [id.as_str()], rows::turn)? else { return Ok(None) };
    turn.items = items(conn, id)?;
    Ok(Some(turn))
}

pub(crate) fn turns(conn: &Connection, id: &SessionId) -> Result<Vec<Turn>, StoreError> {
    let sql = format!("SELECT {TURN} FROM sessions s JOIN turns t ON t.session = s.n WHERE s.id = ?1 ORDER BY t.n");
    all(conn, &sql, [id.as_str()], rows::turn)
}

pub(crate) fn unfinished_turns(conn: &Connection, id: &SessionId) -> Result<Vec<StoredTurn>, StoreError> {
    let sql = format!(
        "SELECT {TURN}, {STORED_TURN} FROM sessions s JOIN turns t ON t.session = s.n \
         WHERE s.id = ?1 AND t.status IN ('queued', 'running') ORDER BY t.n"
    );
    let mut turns = all(conn, &sql, [id.as_str()], rows::stored_turn)?;
    for stored in &mut turns {
        stored.turn.items = items(conn, &stored.turn.id)?;
    }
    Ok(turns)
}

pub(crate) fn unfinished_sessions(conn: &Connection) -> Result<Vec<SessionId>, StoreError> {
    let sql = "SELECT s.id FROM (SELECT DISTINCT session FROM turns WHERE status IN ('queued', 'running')) t \
        JOIN sessions s ON s.n = t.session ORDER BY s.n";
    all(conn, sql, [], |row| rows::id(row, 0, SessionId::parse))
}

pub(crate) fn pending_asks(conn: &Connection) -> Result<Vec<PendingAsk>, StoreError> {
    let sql = format!("SELECT {ASK} FROM asks a JOIN sessions s ON s.n = a.session ORDER BY a.id");
    all(conn, &sql, [], rows::ask)
}

/// What a pending ask is read from.
const ASK: &str = "a.id, a.agent, s.id, a.turn, a.meaning, a.at, a.thread";

/// The turn of a session that runs, with all that is on disk of it.
pub(crate) fn running(conn: &Connection, id: &SessionId) -> Result<Option<Running>, StoreError> {
    let Some(turn) =
        unfinished_turns(conn, id)?.into_iter().find(|stored| stored.turn.status == types::TurnStatus::Running)
    else {
        return Ok(None);
    };
    let name = turn.turn.id.as_str();
    let codex_ids = all(
        conn,
        "SELECT i.id, i.codex_id FROM turns t JOIN items i ON i.turn = t.n WHERE t.id = ?1 AND i.codex_id IS NOT NULL ORDER BY i.n",
        [name],
        |row| Ok((rows::id(row, 0, ItemId::parse)?, row.get(1)?)),
    )?;
    let sql = format!("SELECT {ASK} FROM asks a JOIN sessions s ON s.n = a.session WHERE a.turn = ?1 ORDER BY a.id");
    let asks = all(conn, &sql, [name], rows::ask)?;
    let approvals = approvals::of_turn(conn, name)?;
    // The event that began the item says who added it; one that says that Codex took it names the item.
    let steers = all(
        conn,
        "SELECT i.id, e.detail ->> 'principal', EXISTS (SELECT 1 FROM events k WHERE k.session = e.session \
         AND k.turn = e.turn AND k.name = 'turn.steered' AND k.detail ->> 'itemId' = i.id) \
         FROM turns t JOIN events e ON e.session = t.session AND e.turn = t.n JOIN items i ON i.n = e.item \
         WHERE t.id = ?1 AND e.name = 'item.started' AND e.detail ->> 'principal' IS NOT NULL ORDER BY e.id",
        [name],
        |row| Ok((rows::id(row, 0, ItemId::parse)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok(Some(Running { turn, codex_ids, asks, approvals, steers }))
}

pub(crate) fn events_after(
    conn: &Connection,
    session: Option<&SessionId>,
    after: EventId,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let pointed = "LEFT JOIN turns t ON t.n = e.turn LEFT JOIN items i ON i.n = e.item";
    match session {
        None => {
            let sql = format!(
                "SELECT {EVENT} FROM events e LEFT JOIN sessions s ON s.n = e.session {pointed} \
                 WHERE e.id > ?1 ORDER BY e.id LIMIT ?2"
            );
            all(conn, &sql, params![after.0, limit], rows::event)
        }
        Some(session) => {
            let sql = format!(
                "SELECT {EVENT} FROM sessions s JOIN events e ON e.session = s.n {pointed} \
                 WHERE s.id = ?3 AND e.id > ?1 ORDER BY e.id LIMIT ?2"
            );
            all(conn, &sql, params![after.0, limit, session.as_str()], rows::event)
        }
    }
}

pub(crate) fn items(conn: &Connection, turn: &TurnId) -> Result<Vec<Item>, StoreError> {
    let sql = format!("SELECT {ITEM} FROM turns t JOIN items i ON i.turn = t.n WHERE t.id = ?1 ORDER BY i.n");
    all(conn, &sql, [turn.as_str()], rows::item)
}

/// The row that there is, if any.
pub(crate) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    Ok(conn.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// All rows.
pub(crate) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
