//! Approvals as rows.

use rusqlite::{Connection, Row, ToSql, params, params_from_iter};
use serde::{Deserialize, Serialize};
use types::{
    Approval, ApprovalId, ApprovalKind, ApprovalStatus, Decision, FileChange, Question, SessionId, Timestamp, TurnId,
};

use crate::{
    NewApproval, Resolution, Store, StoreError, StoredApproval,
    apply::{found, json, refused, turn_row},
    read,
    rows::{self, optional_time},
};

/// What was asked; the rest of an approval has columns of its own.
#[derive(Serialize, Deserialize)]
struct Body {
    kind: ApprovalKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<FileChange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    questions: Vec<Question>,
    decisions: Vec<Decision>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rule: Vec<String>,
}

pub(crate) const APPROVAL: &str =
    "a.id, s.id, t.id, a.status, a.body, a.requested_at, a.expires_at, a.resolved_by, a.resolved_at";
pub(crate) const FROM: &str = "approvals a JOIN turns t ON t.n = a.turn JOIN sessions s ON s.n = a.session";

impl Store {
    /// An approval, by its id.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn approval(&self, id: &ApprovalId) -> Result<Option<Approval>, StoreError> {
        let id = id.clone();
        let sql = format!("SELECT {APPROVAL} FROM {FROM} WHERE a.id = ?1");
        self.inner.readers.read(move |conn| read::one(conn, &sql, [id.as_str()], approval)).await
    }

    /// Approvals, oldest first: of one session or of all, with one status or with any.
    ///
    /// # Errors
    /// As [`Store::session`].
    pub async fn approvals(
        &self,
        session: Option<&SessionId>,
        status: Option<ApprovalStatus>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError> {
        let session = session.cloned();
        let read = move |conn: &Connection| {
            let mut sql = format!("SELECT {APPROVAL} FROM {FROM} WHERE true");
            let mut values: Vec<Box<dyn ToSql>> = Vec::new();
            match status {
                // In words of the index, which holds only these.
                Some(ApprovalStatus::Pending) => sql.push_str(" AND a.status = 'pending'"),
                Some(status) => {
                    sql.push_str(" AND a.status = ?");
                    values.push(Box::new(status.as_str()));
                }
                None => {}
            }
            if let Some(session) = &session {
                sql.push_str(" AND s.id = ?");
                values.push(Box::new(session.as_str().to_owned()));
            }
            sql.push_str(" ORDER BY a.n LIMIT ?");
            values.push(Box::new(limit));
            read::all(conn, &sql, params_from_iter(values), approval)
        };
        self.inner.readers.read(read).await
    }
}

/// What Codex asked in a turn, oldest first.
pub(crate) fn of_turn(conn: &Connection, turn: &str) -> Result<Vec<StoredApproval>, StoreError> {
    let sql = format!("SELECT {APPROVAL}, a.request, a.reply FROM {FROM} WHERE t.id = ?1 ORDER BY a.n");
    read::all(conn, &sql, [turn], |row| {
        Ok(StoredApproval { approval: approval(row)?, request: row.get(9)?, reply: row.get(10)? })
    })
}

pub(crate) fn approval(row: &Row<'_>) -> rusqlite::Result<Approval> {
    let body: Body = rows::json(row, 4)?;
    Ok(Approval {
        id: rows::id(row, 0, ApprovalId::parse)?,
        session_id: rows::id(row, 1, SessionId::parse)?,
        turn_id: rows::id(row, 2, TurnId::parse)?,
        kind: body.kind,
        command: body.command,
        cwd: body.cwd,
        reason: body.reason,
        changes: body.changes,
        questions: body.questions,
        decisions: body.decisions,
        rule: body.rule,
        status: rows::word_at(row, 3)?,
        requested_at: rows::time(row, 5)?,
        expires_at: rows::time(row, 6)?,
        resolved_by: row.get(7)?,
        resolved_at: optional_time(row, 8)?,
    })
}

pub(crate) fn add(conn: &Connection, new: &NewApproval) -> Result<(), StoreError> {
    let approval = &new.approval;
    let turn = turn_row(conn, &approval.turn_id)?;
    let body = Body {
        kind: approval.kind,
        command: approval.command.clone(),
        cwd: approval.cwd.clone(),
        reason: approval.reason.clone(),
        changes: approval.changes.clone(),
        questions: approval.questions.clone(),
        decisions: approval.decisions.clone(),
        rule: approval.rule.clone(),
    };
    let changed = conn
        .prepare_cached(
            "INSERT INTO approvals (id, session, turn, status, body, agent, request, requested_at, expires_at) \
             SELECT ?1, t.session, t.n, ?2, ?3, ?4, ?5, ?6, ?7 FROM turns t JOIN sessions s ON s.n = t.session \
             WHERE t.n = ?8 AND s.id = ?9",
        )?
        .execute(params![
            approval.id.as_str(),
            approval.status.as_str(),
            json(&body)?,
            new.agent.as_str(),
            new.request,
            approval.requested_at.as_millis(),
            approval.expires_at.as_millis(),
            turn,
            approval.session_id.as_str(),
        ])?;
    found(changed, "session", approval.session_id.as_str())
}

/// Only what is open can be decided, and only once.
pub(crate) fn resolve(conn: &Connection, id: &ApprovalId, resolution: &Resolution) -> Result<(), StoreError> {
    let changed = conn
        .prepare_cached(
            "UPDATE approvals SET status = ?2, resolved_by = ?3, resolved_at = ?4, reply = ?5 \
             WHERE id = ?1 AND status = 'pending'",
        )?
        .execute(params![
            id.as_str(),
            resolution.status.as_str(),
            resolution.by,
            Timestamp::as_millis(resolution.at),
            resolution.reply,
        ])?;
    if changed == 0 {
        return Err(refused(format!("the approval {id} is not open")));
    }
    Ok(())
}
