//! Reads that come in pages, and the small ones of the v1 API.
//!
//! A cursor says behind which row the next page begins, so that a page costs the same wherever it is, and nothing that
//! stays where it is comes twice or is left out while other rows come and go.

use std::{fmt, str::FromStr, sync::atomic::Ordering};

use rusqlite::{Connection, ToSql, params_from_iter};
use types::{Resumed, ResumedHow, Session, SessionId, SessionStatus, ThreadId, Turn, TurnId};

use crate::{
    Batch, IdempotencyKey, Remembered, Store, StoreError, StoredTurn, Write, read,
    rows::{self, SESSION, STORED_TURN, TURN},
    side,
};

/// Whether archived sessions are part of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Archived {
    /// Left out.
    #[default]
    No,
    /// Nothing else.
    Only,
    /// As the others.
    Too,
}

/// Which sessions a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// What they are doing.
    pub status: Option<SessionStatus>,
    /// Whether archived ones are among them.
    pub archived: Archived,
    /// Labels that they have, all of them.
    pub labels: Vec<(String, String)>,
    /// What their ids begin with.
    pub id_prefix: Option<String>,
}

/// Behind which session a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCursor {
    updated_at: i64,
    n: i64,
}

impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.updated_at, self.n)
    }
}

impl FromStr for SessionCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (updated_at, n) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse::<i64>().map_err(drop);
        Ok(Self { updated_at: number(updated_at)?, n: number(n)? })
    }
}

/// Behind which turn a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnCursor(i64);

impl fmt::Display for TurnCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for TurnCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        i64::from_str_radix(text, 16).map(Self).map_err(drop)
    }
}

impl Store {
    /// A page of the sessions that the filter lets through, newest activity first, and the cursor of the next page if there
    /// is one.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn sessions_page(
        &self,
        filter: SessionFilter,
        after: Option<SessionCursor>,
        limit: u32,
    ) -> Result<(Vec<Session>, Option<SessionCursor>), StoreError> {
        self.inner.readers.read(move |conn| sessions_page(conn, &filter, after, limit)).await
    }

    /// A page of a session's turns with their items, oldest first or newest first, and the cursor of the next page if there
    /// is one.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn turns_page(
        &self,
        session: &SessionId,
        newest_first: bool,
        after: Option<TurnCursor>,
        limit: u32,
    ) -> Result<(Vec<Turn>, Option<TurnCursor>), StoreError> {
        let id = session.clone();
        self.inner.readers.read(move |conn| turns_page(conn, &id, newest_first, after, limit)).await
    }

    /// A turn with what callers don't see of it.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn stored_turn(&self, id: &TurnId) -> Result<Option<StoredTurn>, StoreError> {
        let id = id.clone();
        let sql =
            format!("SELECT {TURN}, {STORED_TURN} FROM turns t JOIN sessions s ON s.n = t.session WHERE t.id = ?1");
        self.inner.readers.read(move |conn| read::one(conn, &sql, [id.as_str()], rows::stored_turn)).await
    }

    /// How the threads of a session came back, oldest first, each with the turn that needed it.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn resumes(&self, session: &SessionId) -> Result<Vec<(Option<TurnId>, Resumed)>, StoreError> {
        let id = session.clone();
        self.inner.readers.read(move |conn| resumes(conn, &id)).await
    }

    /// All threads that a session has had, newest first.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn threads(&self, session: &SessionId) -> Result<Vec<ThreadId>, StoreError> {
        let id = session.clone();
        let sql =
            "SELECT t.thread_id FROM threads t JOIN sessions s ON s.n = t.session WHERE s.id = ?1 ORDER BY t.n DESC";
        let read = move |conn: &_| read::all(conn, sql, [id.as_str()], |row| rows::id(row, 0, ThreadId::parse));
        self.inner.readers.read(read).await
    }

    /// What came of the request that this key belongs to; nothing when it is too old at `now`.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn remembered(
        &self,
        key: &IdempotencyKey,
        now: types::Timestamp,
    ) -> Result<Option<Remembered>, StoreError> {
        let key = key.clone();
        self.inner.readers.read(move |conn| side::remembered(conn, &key, now)).await
    }

    /// Finds out whether the store can be written now. Tries it only when the last commit failed.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn writable(&self) -> Result<(), StoreError> {
        if self.inner.counters.failing.load(Ordering::Relaxed) {
            self.commit(Batch { writes: vec![Write::Try] }).await?;
        }
        Ok(())
    }

    /// All grants by name, with the hashes of their tokens.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn grants(&self) -> Result<Vec<crate::StoredGrant>, StoreError> {
        self.inner.readers.read(side::grants).await
    }

    /// What program Codex was, as [`Write::KeepProgram`] keeps it.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn program(&self) -> Result<Option<String>, StoreError> {
        self.inner.readers.read(side::program).await
    }
}

fn sessions_page(
    conn: &Connection,
    filter: &SessionFilter,
    after: Option<SessionCursor>,
    limit: u32,
) -> Result<(Vec<Session>, Option<SessionCursor>), StoreError> {
    let mut sql = format!("SELECT {SESSION}, s.n FROM sessions s WHERE true");
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    match filter.archived {
        Archived::No => sql.push_str(" AND s.archived_at IS NULL"),
        Archived::Only => sql.push_str(" AND s.archived_at IS NOT NULL"),
        Archived::Too => {}
    }
    let busy = "(SELECT session FROM turns WHERE status IN ('queued', 'running'))";
    let waiting = "(SELECT session FROM approvals WHERE status = 'pending')";
    match filter.status {
        None => {}
        Some(SessionStatus::Idle) => sql.push_str(&format!(" AND s.n NOT IN {busy}")),
        Some(SessionStatus::Running) => sql.push_str(&format!(" AND s.n IN {busy} AND s.n NOT IN {waiting}")),
        Some(SessionStatus::WaitingApproval) => sql.push_str(&format!(" AND s.n IN {waiting}")),
    }
    for (key, value) in &filter.labels {
        sql.push_str(" AND s.n IN (SELECT session FROM labels WHERE key = ? AND value = ?)");
        values.push(Box::new(key.clone()));
        values.push(Box::new(value.clone()));
    }
    if let Some(prefix) = &filter.id_prefix {
        // Ids are ASCII, so the last of those that begin so lie before the prefix with the last of ASCII behind it.
        sql.push_str(" AND s.id >= ? AND s.id < ?");
        values.push(Box::new(prefix.clone()));
        values.push(Box::new(format!("{prefix}\u{7f}")));
    }
    if let Some(after) = after {
        sql.push_str(" AND (s.updated_at, s.n) < (?, ?)");
        values.push(Box::new(after.updated_at));
        values.push(Box::new(after.n));
    }
    sql.push_str(" ORDER BY s.updated_at DESC, s.n DESC LIMIT ?");
    values.push(Box::new(limit.saturating_add(1)));
    let rows = read::all(conn, &sql, params_from_iter(values), |row| {
        let session = rows::session(row)?;
        let cursor = SessionCursor { updated_at: session.updated_at.as_millis(), n: row.get("n")? };
        Ok((session, cursor))
    })?;
    Ok(page(rows, limit))
}

fn turns_page(
    conn: &Connection,
    session: &SessionId,
    newest_first: bool,
    after: Option<TurnCursor>,
    limit: u32,
) -> Result<(Vec<Turn>, Option<TurnCursor>), StoreError> {
    let (beyond, order) = if newest_first { ("<", "DESC") } else { (">", "ASC") };
    let from = after.map_or(if newest_first { i64::MAX } else { 0 }, |cursor| cursor.0);
    let sql = format!(
        "SELECT {TURN}, t.n FROM sessions s JOIN turns t ON t.session = s.n \
         WHERE s.id = ?1 AND t.n {beyond} ?2 ORDER BY t.n {order} LIMIT ?3"
    );
    let params = rusqlite::params![session.as_str(), from, limit.saturating_add(1)];
    let rows = read::all(conn, &sql, params, |row| Ok((rows::turn(row)?, TurnCursor(row.get("n")?))))?;
    let (mut turns, next) = page(rows, limit);
    for turn in &mut turns {
        turn.items = read::items(conn, &turn.id)?;
    }
    Ok((turns, next))
}

/// One more row was read than the page has: if it is there, there is another page.
fn page<T, C: Copy>(mut rows: Vec<(T, C)>, limit: u32) -> (Vec<T>, Option<C>) {
    let limit = limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|(_, cursor)| *cursor);
    (rows.into_iter().map(|(row, _)| row).collect(), next)
}

fn resumes(conn: &Connection, session: &SessionId) -> Result<Vec<(Option<TurnId>, Resumed)>, StoreError> {
    let sql = "SELECT t.id, e.at, json_extract(e.detail, '$.how') FROM sessions s JOIN events e ON e.session = s.n \
        LEFT JOIN turns t ON t.n = e.turn WHERE s.id = ?1 AND e.name = 'session.resumed' ORDER BY e.id";
    read::all(conn, sql, [session.as_str()], |row| {
        let how: ResumedHow = rows::word_at(row, 2)?;
        Ok((rows::optional_id(row, 0, TurnId::parse)?, Resumed { how, at: rows::time(row, 1)? }))
    })
}
