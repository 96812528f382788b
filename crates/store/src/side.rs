//! What is kept beside sessions: idempotency keys and grants.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use types::{Grant, SessionId, Timestamp, TurnId};

use crate::{
    IdempotencyKey, Remembered, StoreError, StoredGrant,
    apply::{found, json, refused},
    read,
    rows::{self, optional_id, optional_time},
};

/// Keeps a key. What is older than a day goes, so the table holds one day's keys.
pub(crate) fn remember(conn: &Connection, new: &Remembered) -> Result<(), StoreError> {
    forget_keys(conn, Timestamp::from_millis(new.at.as_millis() - Remembered::DAY))?;
    let changed = conn
        .prepare_cached(
            "INSERT INTO idempotency (principal, method, path, key, body, session, turn, at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            new.key.principal,
            new.key.method,
            new.key.path,
            new.key.key,
            new.body,
            new.session.as_str(),
            new.turn.as_ref().map(TurnId::as_str),
            new.at.as_millis(),
        ])?;
    if changed == 0 {
        return Err(refused("the idempotency key is taken"));
    }
    Ok(())
}

/// What a key began is another turn's.
pub(crate) fn rebind(conn: &Connection, key: &IdempotencyKey, turn: &TurnId) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE idempotency SET turn = ?5 WHERE principal = ?1 AND method = ?2 AND path = ?3 AND key = ?4",
    )?
    .execute(params![key.principal, key.method, key.path, key.key, turn.as_str()])?;
    Ok(())
}

/// A key is free again.
pub(crate) fn release(conn: &Connection, key: &IdempotencyKey) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM idempotency WHERE principal = ?1 AND method = ?2 AND path = ?3 AND key = ?4")?
        .execute(params![key.principal, key.method, key.path, key.key])?;
    Ok(())
}

/// The key that began a turn is free again. There are a day's keys at most, and this is rare.
pub(crate) fn forget(conn: &Connection, turn: &TurnId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM idempotency WHERE turn = ?1")?.execute([turn.as_str()])?;
    Ok(())
}

pub(crate) fn forget_keys(conn: &Connection, before: Timestamp) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM idempotency WHERE at <= ?1")?.execute([before.as_millis()])?;
    Ok(())
}

/// What came of the request that this key belongs to, if it is not too old at `now`.
pub(crate) fn remembered(
    conn: &Connection,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<Option<Remembered>, StoreError> {
    let sql = "SELECT body, session, turn, at FROM idempotency \
        WHERE principal = ?1 AND method = ?2 AND path = ?3 AND key = ?4 AND at > ?5";
    let params = params![key.principal, key.method, key.path, key.key, now.as_millis() - Remembered::DAY];
    read::one(conn, sql, params, |row| {
        Ok(Remembered {
            key: key.clone(),
            body: row.get(0)?,
            session: rows::id(row, 1, SessionId::parse)?,
            turn: optional_id(row, 2, TurnId::parse)?,
            at: rows::time(row, 3)?,
        })
    })
}

pub(crate) fn add_grant(conn: &Connection, grant: &Grant, hash: &[u8; 32]) -> Result<(), StoreError> {
    let there: Option<i64> = conn
        .prepare_cached("SELECT 1 FROM grants WHERE name = ?1")?
        .query_row([&grant.name], |row| row.get(0))
        .optional()?;
    if there.is_some() {
        return Err(refused(format!("there is a grant {} already", grant.name)));
    }
    conn.prepare_cached(
        "INSERT INTO grants (name, hash, scopes, roots, max_sandbox, created_at, expires_at, last_used_at) \
         VALUES (:name, :hash, :scopes, :roots, :max_sandbox, :created_at, :expires_at, :last_used_at)",
    )?
    .execute(named_params! {
        ":name": grant.name,
        ":hash": hash,
        ":scopes": json(&grant.scopes)?,
        ":roots": json(&grant.roots)?,
        ":max_sandbox": grant.max_sandbox.map(|sandbox| sandbox.as_str()),
        ":created_at": grant.created_at.as_millis(),
        ":expires_at": grant.expires_at.map(Timestamp::as_millis),
        ":last_used_at": grant.last_used_at.map(Timestamp::as_millis),
    })?;
    Ok(())
}

/// What Codex is, in the words of who keeps it.
pub(crate) fn keep_program(conn: &Connection, text: &str) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO meta (key, value) VALUES ('program', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    conn.prepare_cached(sql)?.execute([text])?;
    Ok(())
}

pub(crate) fn program(conn: &Connection) -> Result<Option<String>, StoreError> {
    read::one(conn, "SELECT value FROM meta WHERE key = 'program'", [], |row| row.get(0))
}

/// Another token for a grant. That of before opens until then as well, or not at all.
pub(crate) fn rotate_grant(
    conn: &Connection,
    name: &str,
    hash: &[u8; 32],
    at: Timestamp,
    previous_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let changed = conn
        .prepare_cached(
            "UPDATE grants SET hash = :hash, rotated_at = :at, previous_until = :until, \
             previous = CASE WHEN :until IS NULL THEN NULL ELSE hash END WHERE name = :name",
        )?
        .execute(named_params! {
            ":hash": hash,
            ":at": at.as_millis(),
            ":until": previous_until.map(Timestamp::as_millis),
            ":name": name,
        })?;
    found(changed, "grant", name)
}

pub(crate) fn remove_grant(conn: &Connection, name: &str) -> Result<(), StoreError> {
    let changed = conn.prepare_cached("DELETE FROM grants WHERE name = ?1")?.execute([name])?;
    found(changed, "grant", name)?;
    // A later token of that name is somebody else's: it does not find what this one did.
    let principal = types::Principal::Grant(name.to_owned()).name();
    conn.prepare_cached("DELETE FROM idempotency WHERE principal = ?1")?.execute([principal])?;
    Ok(())
}

pub(crate) fn grant_used(conn: &Connection, name: &str, at: Timestamp) -> Result<(), StoreError> {
    // It may have been revoked in the meantime.
    conn.prepare_cached("UPDATE grants SET last_used_at = ?2 WHERE name = ?1")?
        .execute(params![name, at.as_millis()])?;
    Ok(())
}

/// All grants with the hashes of their tokens, by name.
pub(crate) fn grants(conn: &Connection) -> Result<Vec<StoredGrant>, StoreError> {
    let sql = "SELECT name, scopes, roots, max_sandbox, created_at, expires_at, last_used_at, rotated_at, previous_until, \
        hash, previous FROM grants ORDER BY name";
    read::all(conn, sql, [], |row| Ok(StoredGrant { grant: grant(row)?, hash: row.get(9)?, previous: row.get(10)? }))
}

fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let bounded = row.get_ref(3)?.as_str_or_null()?.is_some();
    Ok(Grant {
        name: row.get(0)?,
        scopes: rows::json(row, 1)?,
        roots: rows::json(row, 2)?,
        max_sandbox: if bounded { Some(rows::word_at(row, 3)?) } else { None },
        created_at: rows::time(row, 4)?,
        expires_at: optional_time(row, 5)?,
        last_used_at: optional_time(row, 6)?,
        rotated_at: optional_time(row, 7)?,
        previous_until: optional_time(row, 8)?,
    })
}
