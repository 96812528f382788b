//! The file: how it is opened and set, and how an older one becomes today's.
//!
//! `PRAGMA user_version` is the number of migrations that a file has seen. Each runs in a transaction with its number, so
//! a crash leaves the file at the version before or the one after. A file with a higher number than this program knows is
//! not touched at all: an older program must not write what it does not understand.
//!
//! **What is deleted is gone.** `secure_delete` overwrites what a page held, and the search index drops a text's entries with the
//! text instead of marking them. A new file can give pages back (`auto_vacuum`), which the writer does when it has time.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{OpenError, care::MARK, private::private_file};

/// All of them, oldest first. A released one is never changed; what it did is on people's disks.
pub(crate) const MIGRATIONS: [&str; 6] = [
    include_str!("../migrations/0001_sessions.sql"),
    include_str!("../migrations/0002_v1.sql"),
    include_str!("../migrations/0003_approvals.sql"),
    include_str!("../migrations/0004_live.sql"),
    include_str!("../migrations/0005_rotation.sql"),
    include_str!("../migrations/0006_worktrees.sql"),
];

/// How long a connection waits for a lock that another program (`sqlite3`, a backup tool) holds.
const BUSY_MILLIS: u64 = 5_000;

/// The page caches, in KiB. What is not in them is still in the system's; the daemon should rest at some 12 MB.
const WRITER_CACHE_KIB: i64 = 2_048;
const READER_CACHE_KIB: i64 = 1_024;

/// After a checkpoint the log shrinks to this many bytes.
const LOG_BYTES: i64 = 16 << 20;

/// Opens the file for the writer: makes it when it is missing, migrates it when it is old.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    // Made here and not by SQLite, so that it is private from its first moment; SQLite gives the log the same rights.
    private_file(path).map_err(|source| OpenError::NotWritable { path: path.to_owned(), source })?;
    let failed = |error: rusqlite::Error| OpenError::from_sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    set(&conn, WRITER_CACHE_KIB).map_err(failed)?;
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    if found == 0 && conn.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)? {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    if found == 0 {
        // Counts only before the first table.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(failed)?;
    }
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(OpenError::NoWal { path: path.to_owned() });
    }
    conn.execute_batch("PRAGMA synchronous = FULL").map_err(failed)?;
    conn.query_row("PRAGMA secure_delete = 1", [], |_| Ok(())).map_err(failed)?;
    if cfg!(target_os = "macos") {
        // Its fsync does not reach the disk.
        conn.execute_batch("PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1").map_err(failed)?;
    }
    conn.pragma_update(None, "journal_size_limit", LOG_BYTES).map_err(failed)?;
    migrate(&mut conn, found).map_err(failed)?;
    delete_well(&conn).map_err(failed)?;
    renew_epoch(&mut conn).map_err(failed)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Opens the file for reading only.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set(&conn, READER_CACHE_KIB)?;
    conn.execute_batch("PRAGMA query_only = 1")?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

pub(crate) fn set(conn: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_MILLIS))?;
    // Without it a statement whose plan could depend on a bound value is prepared again each time that it runs.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    // Memory-mapped pages count as the daemon's, and a failing disk would end it by a signal.
    conn.query_row("PRAGMA mmap_size = 0", [], |_| Ok(())).or_else(no_rows)?;
    // What is sorted may be somebody's prompts: not into files elsewhere.
    conn.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON")
}

fn no_rows(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

fn migrate(conn: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (version, sql) in (1_i64..).zip(MIGRATIONS) {
        if version > found {
            let transaction = conn.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
            tracing::info!(version, "migrated the store");
        }
    }
    Ok(())
}

/// Makes the search indexes drop what is deleted, once a file.
fn delete_well(conn: &Connection) -> rusqlite::Result<()> {
    for index in ["messages_fts", "titles_fts"] {
        let asked = format!("SELECT count(*) FROM {index}_config WHERE k = 'secure-delete' AND v = 1");
        if conn.query_row(&asked, [], |row| row.get::<_, i64>(0))? == 0 {
            conn.execute(&format!("INSERT INTO {index} ({index}, rank) VALUES ('secure-delete', 1)"), [])?;
        }
    }
    Ok(())
}

/// A backup that is a store from now on is another one: the next numbers of its events have been given once.
fn renew_epoch(conn: &mut Connection) -> rusqlite::Result<()> {
    let transaction = conn.transaction()?;
    if transaction.execute("DELETE FROM meta WHERE key = ?1", [MARK])? > 0 {
        transaction.execute("UPDATE meta SET value = lower(hex(randomblob(16))) WHERE key = 'epoch'", [])?;
        tracing::info!("the store is a backup that was restored; readers of its events are told to begin anew");
    }
    transaction.commit()
}
