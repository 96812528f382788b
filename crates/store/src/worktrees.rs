//! Worktrees that were made for sessions: what is intended before git is run, and what is left of it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, params};
use types::{SessionId, Timestamp, Worktree};

use crate::{
    Store, StoreError,
    apply::{found, refused},
    read, rows,
};

/// How far a worktree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorktreeState {
    /// It is to be made, or being made: nobody has worked in it.
    Planned,
    /// A session has it. Set by the commit that makes the session.
    Used,
    /// It is to go with its session, when nothing would be lost.
    Leaving,
    /// It stays when its session is gone.
    Kept,
}

impl WorktreeState {
    const ALL: [Self; 4] = [Self::Planned, Self::Used, Self::Leaving, Self::Kept];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Used => "used",
            Self::Leaving => "leaving",
            Self::Kept => "kept",
        }
    }
}

/// A worktree with what callers don't see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorktree {
    /// The session that it was made for. It may be gone, or not be there yet.
    pub session: SessionId,
    /// What callers see.
    pub worktree: Worktree,
    /// Where its repository keeps what all its worktrees share.
    pub common: PathBuf,
    /// How far it is.
    pub state: WorktreeState,
    /// Since when.
    pub at: Timestamp,
}

/// What [`stored`] reads, from `worktrees w`.
const COLUMNS: &str = "w.session, w.path, w.repository, w.branch, w.base, w.common, w.state, w.at";

impl Store {
    /// What is known of the worktree that was made for a session.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn worktree(&self, session: &SessionId) -> Result<Option<StoredWorktree>, StoreError> {
        let id = session.clone();
        let sql = format!("SELECT {COLUMNS} FROM worktrees w WHERE w.session = ?1");
        self.inner.readers.read(move |conn| read::one(conn, &sql, [id.as_str()], stored)).await
    }

    /// All worktrees whose session is not there.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn worktrees_without_session(&self) -> Result<Vec<StoredWorktree>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM worktrees w WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = w.session) \
             ORDER BY w.session"
        );
        self.inner.readers.read(move |conn| read::all(conn, &sql, [], stored)).await
    }

    /// All folders of worktrees that are known.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn worktree_paths(&self) -> Result<Vec<PathBuf>, StoreError> {
        let sql = "SELECT path FROM worktrees ORDER BY session";
        self.inner.readers.read(move |conn| read::all(conn, sql, [], |row| Ok(row.get::<_, String>(0)?.into()))).await
    }

    /// A session that works in this folder or below.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn session_within(&self, folder: &Path) -> Result<Option<SessionId>, StoreError> {
        let below = folder.join("");
        let (folder, below) = (folder.to_string_lossy().into_owned(), below.to_string_lossy().into_owned());
        let sql = "SELECT id FROM sessions WHERE cwd = ?1 OR substr(cwd, 1, length(?2)) = ?2 LIMIT 1";
        let read = move |conn: &Connection| {
            read::one(conn, sql, params![folder, below], |row| rows::id(row, 0, SessionId::parse))
        };
        self.inner.readers.read(read).await
    }
}

pub(crate) fn plan(conn: &Connection, new: &StoredWorktree) -> Result<(), StoreError> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| refused("the name of a folder of the worktree is not UTF-8"))
    };
    let Worktree { path, repository, branch, base } = &new.worktree;
    conn.prepare_cached(
        "INSERT INTO worktrees (session, path, repository, common, branch, base, state, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        new.session.as_str(),
        text(path)?,
        text(repository)?,
        text(&new.common)?,
        branch,
        base,
        new.state.as_str(),
        new.at.as_millis(),
    ])?;
    Ok(())
}

/// A session that is made has its worktree from then on.
pub(crate) fn used(conn: &Connection, session: &SessionId, at: Timestamp) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE worktrees SET state = 'used', at = ?2 WHERE session = ?1 AND state = 'planned'")?
        .execute(params![session.as_str(), at.as_millis()])?;
    Ok(())
}

pub(crate) fn mark(
    conn: &Connection,
    session: &SessionId,
    state: WorktreeState,
    at: Timestamp,
) -> Result<(), StoreError> {
    let changed = conn
        .prepare_cached("UPDATE worktrees SET state = ?2, at = ?3 WHERE session = ?1")?
        .execute(params![session.as_str(), state.as_str(), at.as_millis()])?;
    found(changed, "worktree of session", session.as_str())
}

pub(crate) fn forget(conn: &Connection, session: &SessionId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM worktrees WHERE session = ?1")?.execute([session.as_str()])?;
    Ok(())
}

/// What is worth knowing of those without a session: their folders.
pub(crate) fn left(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(
        "SELECT path FROM worktrees w WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = w.session) ORDER BY session",
    )?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredWorktree> {
    let state: String = row.get(6)?;
    let known = WorktreeState::ALL.into_iter().find(|known| known.as_str() == state);
    let path = |column: usize| row.get::<_, String>(column).map(PathBuf::from);
    Ok(StoredWorktree {
        session: rows::id(row, 0, SessionId::parse)?,
        worktree: Worktree { path: path(1)?, repository: path(2)?, branch: row.get(3)?, base: row.get(4)? },
        common: path(5)?,
        // What a newer program wrote: nothing is done with it.
        state: known.unwrap_or(WorktreeState::Kept),
        at: rows::time(row, 7)?,
    })
}
