//! What the last daemon left: turns that ran are settled, turns that waited are held.
//!
//! Codex ended with the daemon, so nothing can come of what it was asked. A turn that ran is interrupted, with a `delivery` that
//! says what is known: `yes` when Codex had recorded the prompt, else `unknown`, since it had been given it. A turn that
//! waited was never heard; it stays, held, until somebody asks for something in its session again.

use store::{Batch, NewEvent, Resolution, SessionChange, Store, StoreError, TurnChange, Write};
use types::{
    Approval, ApprovalStatus, EventName, ItemStatus, SessionId, Timestamp, TurnError, TurnErrorCode, TurnId, TurnStatus,
};

use crate::Finished;

/// Settles everything. Returns how many turns were interrupted.
pub(crate) async fn settle(store: &Store) -> Result<usize, StoreError> {
    let at = Timestamp::now();
    let mut interrupted = 0;
    let mut batch = Batch::default();
    for ask in store.pending_asks().await? {
        batch.push(Write::SettleAsk(ask.id));
    }
    for session in store.unfinished_sessions().await? {
        for stored in store.unfinished_turns(&session).await? {
            let turn = stored.turn;
            if turn.status == TurnStatus::Running {
                interrupted += 1;
                let message =
                    "codexd ended while the turn ran, and Codex with it. The session goes on with the next prompt";
                let change = TurnChange {
                    status: Some(TurnStatus::Interrupted),
                    error: Some(TurnError::new(TurnErrorCode::AgentExited, message)),
                    ended_at: Some(at),
                    ..TurnChange::default()
                };
                batch.push(Write::UpdateTurn { id: turn.id.clone(), change: Box::new(change) });
                for mut item in turn.items {
                    if item.status == ItemStatus::InProgress && item.id != stored.prompt_item {
                        item.status = ItemStatus::Incomplete;
                        let (session, turn) = (session.clone(), turn.id.clone());
                        batch.push(Write::PutItem { session, turn, item: Box::new(item), codex_id: None });
                    }
                }
                batch.push(event(EventName::TurnInterrupted, &session, &turn.id, at));
            } else if !turn.held {
                let change = TurnChange { held: Some(true), ..TurnChange::default() };
                batch.push(Write::UpdateTurn { id: turn.id.clone(), change: Box::new(change) });
                batch.push(event(EventName::TurnHeld, &session, &turn.id, at));
            }
        }
    }
    for approval in store.approvals(None, Some(ApprovalStatus::Pending), u32::MAX).await? {
        forget(&approval, at, &mut batch);
    }
    if !batch.is_empty() {
        store.commit(batch).await?;
    }
    Ok(interrupted)
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
    let resolution = Resolution { status: ApprovalStatus::Cancelled, by: "policy".to_owned(), at };
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
