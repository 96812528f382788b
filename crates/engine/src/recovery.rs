//! What the last daemon left: turns that waited, and what Codex was asked.
//!
//! A turn that ran is its session's to go on with (`state/reviving.rs`), or to settle by Codex's own record (`state/settling.rs`): that is known
//! once the first process of Codex is up, or can't be started. A turn that waited was never heard. It goes on, or is held until somebody asks for something in its session
//! again, as the operator says.

use std::collections::BTreeMap;

use agent::AskKind;
use store::{Batch, NewEvent, Resolution, SessionChange, Store, StoreError, TurnChange, Write};
use types::{
    AgentId, Approval, ApprovalStatus, EventName, SessionId, Timestamp, TurnError, TurnErrorCode, TurnId, TurnStatus,
};

use crate::{Finished, asks};

/// Holds the turns that waited.
pub(crate) async fn hold(store: &Store) -> Result<(), StoreError> {
    let at = Timestamp::now();
    let mut batch = Batch::default();
    for session in store.unfinished_sessions().await? {
        let turns = store.unfinished_turns(&session).await?;
        if turns.iter().any(|stored| stored.turn.status == TurnStatus::Running) {
            // They wait for that one: what becomes of it decides over them.
            continue;
        }
        for turn in turns.into_iter().map(|stored| stored.turn).filter(|turn| !turn.held) {
            let change = TurnChange { held: Some(true), ..TurnChange::default() };
            batch.push(Write::UpdateTurn { id: turn.id.clone(), change: Box::new(change) });
            batch.push(event(EventName::TurnHeld, &session, &turn.id, at));
        }
    }
    if batch.is_empty() { Ok(()) } else { store.commit(batch).await.map(drop) }
}

/// Forgets what was asked of processes that are gone; nothing can come of it.
pub(crate) async fn forget_asks(store: &Store, alive: Option<&AgentId>) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    for ask in store.pending_asks().await?.into_iter().filter(|ask| Some(&ask.agent) != alive) {
        batch.push(Write::SettleAsk(ask.id));
    }
    if batch.is_empty() { Ok(()) } else { store.commit(batch).await.map(drop) }
}

/// What processes of Codex were asked by daemons that are gone, and have not answered; and the turns that they run.
///
/// # Errors
/// When the store can't be read.
pub async fn pending(store: &Store) -> Result<BTreeMap<AgentId, Vec<agent::PendingAsk>>, StoreError> {
    let mut pending: BTreeMap<AgentId, Vec<agent::PendingAsk>> = BTreeMap::new();
    let all = store.pending_asks().await?;
    for ask in &all {
        if let Some(what) = asks::kind(&ask.meaning) {
            let known = agent::PendingAsk { id: ask.id, what, thread: ask.thread.clone() };
            pending.entry(ask.agent.clone()).or_default().push(known);
        }
    }
    for session in store.unfinished_sessions().await? {
        let Some(running) = store.running(&session).await? else { continue };
        let turn = running.turn;
        if let (Some(agent), Some(id), Some(codex_turn)) = (turn.agent, turn.ask, turn.codex_turn)
            && !all.iter().any(|ask| ask.id == id)
        {
            let known = agent::PendingAsk { id, what: AskKind::RunningTurn(codex_turn), thread: turn.thread };
            pending.entry(agent).or_default().push(known);
        }
    }
    Ok(pending)
}

fn event(name: EventName, session: &SessionId, turn: &TurnId, at: Timestamp) -> Write {
    Write::AddEvent(Box::new(NewEvent {
        name,
        at,
        session: Some(session.clone()),
        turn: Some(turn.clone()),
        item: None,
        detail: None,
    }))
}

/// Codex does not wait for the answer any more.
fn forget(approval: &Approval, at: Timestamp, batch: &mut Batch) {
    let resolution = Resolution { status: ApprovalStatus::Cancelled, reply: None, by: "policy".to_owned(), at };
    batch.push(Write::ResolveApproval { id: approval.id.clone(), resolution });
    let change = TurnChange { declined: Some(approval.id.clone()), ..TurnChange::default() };
    batch.push(Write::UpdateTurn { id: approval.turn_id.clone(), change: Box::new(change) });
    batch.push(Write::AddEvent(Box::new(NewEvent {
        name: EventName::ApprovalResolved,
        at,
        session: Some(approval.session_id.clone()),
        turn: Some(approval.turn_id.clone()),
        item: None,
        detail: Some(serde_json::json!({ "approvalId": approval.id })),
    })));
}

/// What it takes to fail the turn that runs in a session and to hold those that wait, without its thread.
pub(crate) async fn fail_session(
    store: &Store,
    session: &SessionId,
    message: &str,
    at: Timestamp,
) -> Result<(Batch, Vec<Finished>), StoreError> {
    let mut batch = Batch::default();
    let mut failed = Vec::new();
    for stored in store.unfinished_turns(session).await? {
        let turn = stored.turn;
        if turn.status == TurnStatus::Running {
            let error = TurnError::new(TurnErrorCode::Other, message);
            let change = TurnChange {
                status: Some(TurnStatus::Failed),
                error: Some(error.clone()),
                ended_at: Some(at),
                ..TurnChange::default()
            };
            batch.push(Write::UpdateTurn { id: turn.id.clone(), change: Box::new(change) });
            batch.push(event(EventName::TurnFailed, session, &turn.id, at));
            failed.push(Finished {
                turn: turn.id,
                status: TurnStatus::Failed,
                delivery: turn.delivery,
                answer: turn.answer,
                error: Some(error),
                thread: None,
            });
        } else if !turn.held {
            let change = TurnChange { held: Some(true), ..TurnChange::default() };
            batch.push(Write::UpdateTurn { id: turn.id.clone(), change: Box::new(change) });
            batch.push(event(EventName::TurnHeld, session, &turn.id, at));
        }
    }
    for approval in store.approvals(Some(session), Some(ApprovalStatus::Pending), u32::MAX).await? {
        forget(&approval, at, &mut batch);
    }
    let change = SessionChange { thread: Some(None), ..SessionChange::default() };
    batch.push(Write::UpdateSession { id: session.clone(), change: Box::new(change) });
    Ok((batch, failed))
}
