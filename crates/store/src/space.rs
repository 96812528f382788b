//! Giving space back: what was deleted leaves the file, and the log that still shows it is emptied.

use std::time::Duration;

use rusqlite::Connection;

use crate::StoreError;

/// So many pages at once, 1 MB: a commit that comes meanwhile waits no longer than for that.
const PAGES: u32 = 256;

/// How long readers may keep the log from being emptied.
const FOR_READERS: Duration = Duration::from_millis(100);

/// Gives some space back; true when there is more. A file that was made before `auto_vacuum` keeps its free pages, for what comes,
/// until it is compacted.
pub(crate) fn give_back(conn: &Connection) -> bool {
    match free_some(conn) {
        Ok(true) => return true,
        Ok(false) => {}
        // On a full disk, for instance. The next deletion tries again.
        Err(error) => {
            tracing::debug!(%error, "no space was given back");
            return false;
        }
    }
    if let Err(error) = empty_log(conn) {
        tracing::debug!(%error, "the log was not emptied");
    }
    false
}

/// Writes the file anew, as small as it can be, so that it can give space back by itself from then on.
pub(crate) fn compact(conn: &Connection) -> Result<(), StoreError> {
    for index in ["messages_fts", "titles_fts"] {
        conn.execute(&format!("INSERT INTO {index} ({index}) VALUES ('optimize')"), []).map_err(write_error)?;
    }
    conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM").map_err(write_error)?;
    empty_log(conn).map_err(write_error)
}

fn write_error(error: rusqlite::Error) -> StoreError {
    StoreError::from(error).of_a_write()
}

fn free_some(conn: &Connection) -> rusqlite::Result<bool> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let before = number("PRAGMA freelist_count")?;
    if before == 0 || number("PRAGMA auto_vacuum")? != 2 {
        return Ok(false);
    }
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(number("PRAGMA freelist_count")? < before)
}

fn empty_log(conn: &Connection) -> rusqlite::Result<()> {
    let patience = conn.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, i64>(0))?;
    conn.busy_timeout(FOR_READERS)?;
    let emptied = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    conn.busy_timeout(Duration::from_millis(patience.max(0) as u64))?;
    emptied
}
