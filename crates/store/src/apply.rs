//! Writes as SQL. Each function runs inside the writer's transaction and its batch's savepoint, so it may stop in the
//! middle: nothing of the batch stays then. A write that points to something unknown is refused, never dropped.

use rusqlite::{Connection, OptionalExtension as _, named_params, params};
use types::{Delivery, EventId, Item, ItemId, ItemStatus, SessionId, TurnId, TurnStatus};

use crate::{
    Batch, Committed, NewEvent, NewSession, NewTurn, SessionChange, StoreError, TurnChange, Write, approvals, copies,
    rows::{item_columns, item_status},
    side, worktrees,
    write::{PendingAsk, first_item},
};

/// Applies the writes of a batch in their order.
pub(crate) fn apply(conn: &Connection, batch: &Batch) -> Result<Committed, StoreError> {
    let mut committed = Committed::default();
    for write in &batch.writes {
        match write {
            Write::CreateSession(new) => create_session(conn, new)?,
            Write::UpdateSession { id, change } => update_session(conn, id, change)?,
            Write::DeleteSession(id) => {
                let changed = conn.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([id.as_str()])?;
                found(changed, "session", id.as_str())?;
            }
            Write::CopyTurns { from, to } => copies::turns(conn, session_row(conn, from)?, session_row(conn, to)?)?,
            Write::Rebind { key, turn } => side::rebind(conn, key, turn)?,
            Write::Release(key) => side::release(conn, key)?,
            Write::Forget(turn) => side::forget(conn, turn)?,
            Write::AddThread { thread, session, backend, at } => {
                let n = session_row(conn, session)?;
                add_thread(conn, n, thread.as_str(), Some(backend.as_str()), at.as_millis())?;
                conn.prepare_cached("UPDATE sessions SET thread_id = ?2, backend = ?3 WHERE n = ?1")?
                    .execute(params![n, thread.as_str(), backend.as_str()])?;
            }
            Write::CreateTurn(new) => create_turn(conn, new)?,
            Write::UpdateTurn { id, change } => update_turn(conn, id, change)?,
            Write::PutItem { session, turn, item, codex_id } => {
                put_item(conn, session, turn, item, codex_id.as_deref())?;
            }
            Write::AddEvent(new) => committed.events.push(add_event(conn, new)?),
            Write::AddAsk(ask) => add_ask(conn, ask)?,
            Write::SettleAsk(id) => {
                // An answer may come twice, from the agent and from its end: the second one finds nothing.
                conn.prepare_cached("DELETE FROM asks WHERE id = ?1")?.execute([id.0])?;
            }
            Write::Seen { session, agent, seq } => {
                let seq = i64::try_from(*seq).map_err(|_| refused("line numbers end at 2^63"))?;
                // The number of one process only grows, also when batches of its lines overtake each other.
                let changed = conn
                    .prepare_cached(
                        "UPDATE sessions SET seen_agent = ?2, \
                         seen_seq = CASE WHEN seen_agent IS ?2 THEN max(seen_seq, ?3) ELSE ?3 END WHERE id = ?1",
                    )?
                    .execute(params![session.as_str(), agent.as_str(), seq])?;
                found(changed, "session", session.as_str())?;
            }
            Write::Remember(remembered) => side::remember(conn, remembered)?,
            Write::ForgetKeys { before } => side::forget_keys(conn, *before)?,
            Write::AddGrant { grant, hash } => side::add_grant(conn, grant, hash)?,
            Write::RotateGrant { name, hash, at, previous_until } => {
                side::rotate_grant(conn, name, hash, *at, *previous_until)?;
            }
            Write::AddApproval(new) => approvals::add(conn, new)?,
            Write::ResolveApproval { id, resolution } => approvals::resolve(conn, id, resolution)?,
            Write::Try => {
                let sql = "INSERT INTO meta (key, value) VALUES ('tried', '0') ON CONFLICT (key) \
                    DO UPDATE SET value = value + 1";
                conn.prepare_cached(sql)?.execute([])?;
            }
            Write::PlanWorktree(new) => worktrees::plan(conn, new)?,
            Write::MarkWorktree { session, state, at } => worktrees::mark(conn, session, *state, *at)?,
            Write::ForgetWorktree(session) => worktrees::forget(conn, session)?,
            Write::KeepProgram(text) => side::keep_program(conn, text)?,
            Write::RemoveGrant(name) => side::remove_grant(conn, name)?,
            Write::GrantUsed { name, at } => side::grant_used(conn, name, *at)?,
        }
    }
    Ok(committed)
}

fn create_session(conn: &Connection, new: &NewSession) -> Result<(), StoreError> {
    let session = &new.session;
    let cwd = session.cwd.to_str().ok_or_else(|| refused("the folder's name is not UTF-8"))?;
    conn.prepare_cached(
        "INSERT INTO sessions (id, title, title_source, title_locked, cwd, model, sandbox, approval_policy, thread_id, \
         backend, forked_from, labels, config, usage, resumed_how, resumed_at, created_at, updated_at, archived_at, \
         principal, origin, developer_instructions, allowed) VALUES (:id, :title, :title_source, :title_locked, :cwd, :model, :sandbox, \
         :approval_policy, :thread_id, :backend, :forked_from, :labels, :config, :usage, :resumed_how, :resumed_at, \
         :created_at, :updated_at, :archived_at, :principal, :origin, :developer_instructions, :allowed)",
    )?
    .execute(named_params! {
        ":id": session.id.as_str(),
        ":title": session.title,
        ":title_source": session.title_source.as_str(),
        ":title_locked": session.title_locked,
        ":cwd": cwd,
        ":model": session.model,
        ":sandbox": session.sandbox.as_str(),
        ":approval_policy": session.approval_policy.as_str(),
        ":thread_id": session.thread_id.as_ref().map(|id| id.as_str()),
        ":backend": session.backend,
        ":forked_from": session.forked_from.as_ref().map(SessionId::as_str),
        ":labels": json(&session.labels)?,
        ":config": json(&session.config)?,
        ":usage": session.usage.as_ref().map(json).transpose()?,
        ":resumed_how": session.resumed.map(|resumed| resumed.how.as_str()),
        ":resumed_at": session.resumed.map(|resumed| resumed.at.as_millis()),
        ":created_at": session.created_at.as_millis(),
        ":updated_at": session.updated_at.as_millis(),
        ":archived_at": session.archived_at.map(|at| at.as_millis()),
        ":principal": new.principal.name(),
        ":origin": new.origin.as_str(),
        ":developer_instructions": new.developer_instructions,
        ":allowed": json(&session.allowed)?,
    })?;
    worktrees::used(conn, &session.id, session.created_at)?;
    // A session that is imported or forked begins with a thread.
    if let Some(thread) = &session.thread_id {
        let n = session_row(conn, &session.id)?;
        add_thread(conn, n, thread.as_str(), session.backend.as_deref(), session.created_at.as_millis())?;
    }
    Ok(())
}

fn update_session(conn: &Connection, id: &SessionId, change: &SessionChange) -> Result<(), StoreError> {
    let n = session_row(conn, id)?;
    let (title, source, locked) = match &change.title {
        Some((title, source, locked)) => (Some(title), Some(source.as_str()), Some(*locked)),
        None => (None, None, None),
    };
    let cwd = match &change.cwd {
        Some(cwd) => Some(cwd.to_str().ok_or_else(|| refused("the folder's name is not UTF-8"))?),
        None => None,
    };
    conn.prepare_cached(
        "UPDATE sessions SET title = coalesce(:title, title), title_source = coalesce(:source, title_source), \
         title_locked = coalesce(:locked, title_locked), cwd = coalesce(:cwd, cwd), \
         resumed_how = coalesce(:how, resumed_how), resumed_at = coalesce(:resumed_at, resumed_at), \
         archived_at = iif(:archive, :archived_at, archived_at), labels = coalesce(:labels, labels), \
         usage = coalesce(:usage, usage), \
         allowed = iif(:allow IS NULL, allowed, json_insert(allowed, '$[#]', json(:allow))), base = iif(:rebase, :base, base), \
         updated_at = coalesce(:updated_at, updated_at) WHERE n = :n",
    )?
    .execute(named_params! {
        ":n": n,
        ":title": title,
        ":source": source,
        ":locked": locked,
        ":cwd": cwd,
        ":how": change.resumed.map(|resumed| resumed.how.as_str()),
        ":resumed_at": change.resumed.map(|resumed| resumed.at.as_millis()),
        ":archive": change.archived_at.is_some(),
        ":archived_at": change.archived_at.flatten().map(|at| at.as_millis()),
        ":labels": change.labels.as_ref().map(json).transpose()?,
        ":usage": change.usage.as_ref().map(json).transpose()?,
        ":allow": change.allow.as_ref().map(json).transpose()?,
        ":rebase": change.base.is_some(),
        ":base": change.base.as_ref().and_then(Option::as_ref).map(json).transpose()?,
        ":updated_at": change.updated_at.map(|at| at.as_millis()),
    })?;
    match &change.thread {
        None => {}
        Some(None) => {
            conn.prepare_cached("UPDATE sessions SET thread_id = NULL, backend = NULL WHERE n = ?1")?.execute([n])?;
        }
        Some(Some(thread)) => {
            let changed = conn
                .prepare_cached(
                    "UPDATE sessions SET thread_id = t.thread_id, backend = t.backend FROM threads t \
                     WHERE sessions.n = ?1 AND t.session = ?1 AND t.thread_id = ?2",
                )?
                .execute(params![n, thread.as_str()])?;
            found(changed, "thread of the session", thread.as_str())?;
        }
    }
    Ok(())
}

/// A thread belongs to one session. Codex's own ids are unique; a program that only speaks `mcp-server` may give the same one
/// again after a restart: then it is a new thread of the newest session, and the older one has none any more.
fn add_thread(conn: &Connection, n: i64, thread: &str, backend: Option<&str>, at: i64) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE sessions SET thread_id = NULL, backend = NULL WHERE thread_id = ?1 AND n <> ?2 \
         AND n = (SELECT session FROM threads WHERE thread_id = ?1)",
    )?
    .execute(params![thread, n])?;
    conn.prepare_cached(
        "INSERT INTO threads (thread_id, session, backend, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (thread_id) \
         DO UPDATE SET session = excluded.session, backend = coalesce(excluded.backend, backend)",
    )?
    .execute(params![thread, n, backend, at])?;
    Ok(())
}

fn create_turn(conn: &Connection, new: &NewTurn) -> Result<(), StoreError> {
    let session = session_row(conn, &new.session)?;
    conn.prepare_cached(
        "INSERT INTO turns (id, session, status, delivery, origin, principal, created_at, kind, options, retry_of) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        new.id.as_str(),
        session,
        TurnStatus::Queued.as_str(),
        Delivery::No.as_str(),
        new.origin.as_str(),
        new.principal.name(),
        new.created_at.as_millis(),
        new.kind.as_str(),
        (!new.options.is_plain()).then(|| json(&new.options)).transpose()?,
        new.retry_of.as_ref().map(TurnId::as_str),
    ])?;
    conn.prepare_cached("UPDATE sessions SET turn_count = turn_count + 1 WHERE n = ?1")?.execute([session])?;
    // The turn is new, so this is its first item: that is how the prompt is found.
    let prompt = Item {
        id: new.prompt_item.clone(),
        status: ItemStatus::InProgress,
        at: new.created_at,
        body: first_item(new.kind, &new.prompt, &new.options),
    };
    put_item(conn, &new.session, &new.id, &prompt, None)
}

fn update_turn(conn: &Connection, id: &TurnId, change: &TurnChange) -> Result<(), StoreError> {
    let changed = conn
        .prepare_cached(
            "UPDATE turns SET status = coalesce(:status, status), held = coalesce(:held, held), \
             delivery = coalesce(:delivery, delivery), codex_thread = coalesce(:thread, codex_thread), \
             codex_turn = coalesce(:codex_turn, codex_turn), ask = coalesce(:ask, ask), \
             stopping = coalesce(:stopping, stopping), agent = coalesce(:agent, agent), \
             error = coalesce(:error, error), usage = coalesce(:usage, usage), \
             declined = iif(:declined IS NULL, declined, json_insert(declined, '$[#]', :declined)), \
             started_at = coalesce(:started_at, started_at), ended_at = coalesce(:ended_at, ended_at) WHERE id = :id",
        )?
        .execute(named_params! {
            ":id": id.as_str(),
            ":status": change.status.map(TurnStatus::as_str),
            ":held": change.held,
            ":delivery": change.delivery.map(Delivery::as_str),
            ":thread": change.thread.as_ref().map(|thread| thread.as_str()),
            ":codex_turn": change.codex_turn,
            ":ask": change.ask.map(|ask| ask.0),
            ":stopping": change.stopping,
            ":agent": change.agent.as_ref().map(|agent| agent.as_str()),
            ":error": change.error.as_ref().map(json).transpose()?,
            ":usage": change.usage.as_ref().map(json).transpose()?,
            ":declined": change.declined.as_ref().map(|approval| approval.as_str()),
            ":started_at": change.started_at.map(|at| at.as_millis()),
            ":ended_at": change.ended_at.map(|at| at.as_millis()),
        })?;
    found(changed, "turn", id.as_str())
}

fn put_item(
    conn: &Connection,
    session: &SessionId,
    turn: &TurnId,
    item: &Item,
    codex_id: Option<&str>,
) -> Result<(), StoreError> {
    let (text, body) = item_columns(&item.body).map_err(|error| refused(error.to_string()))?;
    // No row comes of a turn that is not there or not in that session, nor of an item of another turn.
    let changed = conn
        .prepare_cached(
            "INSERT INTO items (turn, session, id, kind, status, at, codex_id, text, body) \
             SELECT t.n, t.session, ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
             FROM turns t JOIN sessions s ON s.n = t.session WHERE t.id = ?8 AND s.id = ?9 \
             ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, status = excluded.status, at = excluded.at, \
             codex_id = coalesce(excluded.codex_id, codex_id), text = excluded.text, body = excluded.body \
             WHERE turn = excluded.turn",
        )?
        .execute(params![
            item.id.as_str(),
            item.body.kind(),
            item_status(item.status),
            item.at.as_millis(),
            codex_id,
            text,
            body,
            turn.as_str(),
            session.as_str(),
        ])?;
    if changed == 0 {
        let (item, turn) = (&item.id, turn.as_str());
        return Err(refused(format!("item {item} is another turn's, or session {session} has no turn {turn}")));
    }
    Ok(())
}

fn add_event(conn: &Connection, new: &NewEvent) -> Result<EventId, StoreError> {
    let session = new.session.as_ref().map(|id| session_row(conn, id)).transpose()?;
    let turn = new.turn.as_ref().map(|id| turn_row(conn, id)).transpose()?;
    let item = new.item.as_ref().map(|id| item_row(conn, id)).transpose()?;
    conn.prepare_cached("INSERT INTO events (name, at, session, turn, item, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            new.name.as_str(),
            new.at.as_millis(),
            session,
            turn,
            item,
            new.detail.as_ref().map(json).transpose()?,
        ])?;
    Ok(EventId(conn.last_insert_rowid()))
}

fn add_ask(conn: &Connection, ask: &PendingAsk) -> Result<(), StoreError> {
    let session = session_row(conn, &ask.session)?;
    conn.prepare_cached(
        "INSERT INTO asks (id, agent, session, turn, meaning, at, thread) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        ask.id.0,
        ask.agent.as_str(),
        session,
        ask.turn.as_ref().map(TurnId::as_str),
        ask.meaning,
        ask.at.as_millis(),
        ask.thread.as_ref().map(|thread| thread.as_str()),
    ])?;
    Ok(())
}

fn session_row(conn: &Connection, id: &SessionId) -> Result<i64, StoreError> {
    row_of(conn, "SELECT n FROM sessions WHERE id = ?1", "session", id.as_str())
}

pub(crate) fn turn_row(conn: &Connection, id: &TurnId) -> Result<i64, StoreError> {
    row_of(conn, "SELECT n FROM turns WHERE id = ?1", "turn", id.as_str())
}

fn item_row(conn: &Connection, id: &ItemId) -> Result<i64, StoreError> {
    row_of(conn, "SELECT n FROM items WHERE id = ?1", "item", id.as_str())
}

fn row_of(conn: &Connection, sql: &str, what: &str, id: &str) -> Result<i64, StoreError> {
    let row = conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    row.ok_or_else(|| refused(format!("there is no {what} {id}")))
}

pub(crate) fn found(changed: usize, what: &str, id: &str) -> Result<(), StoreError> {
    if changed == 0 {
        return Err(refused(format!("there is no {what} {id}")));
    }
    Ok(())
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| refused(error.to_string()))
}

pub(crate) fn refused(why: impl Into<String>) -> StoreError {
    StoreError::Constraint(why.into())
}
