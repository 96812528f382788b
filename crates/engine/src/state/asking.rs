//! What Codex asks before it acts. Each question is on disk before anybody can see it, is answered once, by a person or by its
//! deadline, and the answer is on disk before Codex hears it.

use std::time::{Duration, Instant};

use agent::{ApprovalRequest, Reply, RequestId};
use serde_json::json;
use store::{NewApproval, Resolution, TurnChange, Write};
use types::{
    AgentId, Approval, ApprovalId, ApprovalKind, ApprovalStatus, Code, Decision, EventName, FileChange, ItemBody,
    Origin, Timestamp,
};

use super::{Active, Effect, Now, Output, Phase, State};
use crate::{OnExpiry, Refusal, Verdict};

/// The most questions that one turn may have open.
const OPEN: usize = 64;

/// How long the question of a turn that came by MCP stays open: its caller does not wait for a day.
const MCP_LIMIT: Duration = Duration::from_secs(600);

/// A question that is open.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) approval: Approval,
    agent: AgentId,
    request: RequestId,
    until: Instant,
}

impl State {
    pub(super) fn asked_for_approval(&mut self, asked: ApprovalRequest, now: &Now<'_>, out: &mut Output) {
        let Some(agent) = self.agent.as_ref().map(|agent| agent.id.clone()) else { return };
        let session = self.session.id.clone();
        let limit = self.limits.bounds.approval;
        let takes = |active: &&mut Active| {
            let asked = matches!(active.phase, Phase::Asked | Phase::Running);
            asked && active.open.len() < OPEN && active.stopping.is_none()
        };
        let Some(active) = self.active.as_mut().filter(takes) else {
            // Nothing runs that it could be about, or it is about to stop.
            let reply = Reply::Decide(Decision::Decline);
            out.effects.push(Effect::Reply { agent, request: asked.request, reply });
            return;
        };
        let limit = if active.job.origin == Origin::Mcp { limit.min(MCP_LIMIT) } else { limit };
        let changes = changes_of(active, &asked);
        let approval = Approval {
            id: ApprovalId::fresh(),
            session_id: session,
            turn_id: active.job.turn.clone(),
            kind: asked.kind,
            command: asked.command,
            cwd: asked.cwd,
            reason: asked.reason,
            changes,
            questions: asked.questions,
            decisions: asked.decisions,
            status: ApprovalStatus::Pending,
            requested_at: now.at,
            expires_at: Timestamp::from_millis(now.at.as_millis().saturating_add(millis(limit))),
            resolved_by: None,
            resolved_at: None,
        };
        let request = asked.request.0.clone();
        out.batch.push(Write::AddApproval(Box::new(NewApproval {
            approval: approval.clone(),
            agent: agent.clone(),
            request,
        })));
        active.waiting_since.get_or_insert(now.clock);
        active.open.push(Open { approval: approval.clone(), agent, request: asked.request, until: now.clock + limit });
        self.event_of(EventName::ApprovalRequested, &approval, now, out);
    }

    /// Somebody decided.
    pub(crate) fn decide(
        &mut self,
        id: &ApprovalId,
        verdict: Verdict,
        by: &str,
        now: &Now<'_>,
        out: &mut Output,
    ) -> Result<(), Refusal> {
        let refuse = |code, detail: String| Err(Refusal::new(code, detail).of_session(&self.session.id));
        let open = self.active.as_ref().and_then(|active| active.open.iter().find(|open| open.approval.id == *id));
        let Some(open) = open else {
            return refuse(Code::ApprovalResolved, format!("the approval {id} is not open any more"));
        };
        let stopping = self.active.as_ref().is_some_and(|active| active.stopping.is_some());
        let yes = !matches!(verdict, Verdict::Decide(Decision::Decline | Decision::Cancel));
        if stopping && yes {
            return refuse(
                Code::ApprovalResolved,
                "the turn is being interrupted; nothing is allowed any more".to_owned(),
            );
        }
        let (status, reply) = match verdict {
            Verdict::Decide(decision) => {
                if !open.approval.decisions.contains(&decision) {
                    let detail = if open.approval.kind == ApprovalKind::UserInput {
                        "this is a question: give `answers`, or decline".to_owned()
                    } else {
                        "this decision can't be given here; `decisions` lists those that can".to_owned()
                    };
                    return refuse(Code::BadRequest, detail);
                }
                (status_of(decision), Reply::Decide(decision))
            }
            Verdict::Answers(answers) => {
                if open.approval.questions.is_empty() {
                    return refuse(
                        Code::BadRequest,
                        "nothing is asked that words could answer; give a `decision`".to_owned(),
                    );
                }
                if let Some(question) =
                    open.approval.questions.iter().find(|question| answers.get(&question.id).is_none_or(Vec::is_empty))
                {
                    return refuse(Code::BadRequest, format!("the question `{}` has no answer", question.id));
                }
                let known = |id: &String| open.approval.questions.iter().any(|question| question.id == *id);
                if let Some(unknown) = answers.keys().find(|id| !known(id)) {
                    return refuse(Code::BadRequest, format!("there is no question `{unknown}`"));
                }
                (ApprovalStatus::Accepted, Reply::Answers(answers))
            }
        };
        self.resolve(id, status, by, Some(reply), now, out);
        Ok(())
    }

    /// Codex does not wait for it any more.
    pub(super) fn approval_gone(&mut self, request: &RequestId, now: &Now<'_>, out: &mut Output) {
        let open = self.active.as_ref().and_then(|active| active.open.iter().find(|open| open.request.same(request)));
        if let Some(id) = open.map(|open| open.approval.id.clone()) {
            self.resolve(&id, ApprovalStatus::Cancelled, "policy", None, now, out);
        }
    }

    /// The earliest deadline of what is open.
    pub(super) fn next_expiry(active: &Active) -> Option<Instant> {
        active.open.iter().map(|open| open.until).min()
    }

    /// Answers what nobody answered in time.
    pub(super) fn expire(&mut self, now: &Now<'_>, out: &mut Output) {
        let decision = match self.limits.bounds.on_expiry {
            OnExpiry::Cancel => Decision::Cancel,
            OnExpiry::Decline => Decision::Decline,
        };
        let over = |open: &&Open| open.until <= now.clock;
        let ids: Vec<ApprovalId> = self
            .active
            .iter()
            .flat_map(|active| active.open.iter().filter(over).map(|open| open.approval.id.clone()))
            .collect();
        for id in ids {
            self.resolve(&id, ApprovalStatus::Expired, "expiry", Some(Reply::Decide(decision)), now, out);
        }
    }

    /// Nothing stays open behind a turn that ended.
    pub(super) fn close_approvals(&mut self, now: &Now<'_>, out: &mut Output) {
        let ids: Vec<ApprovalId> =
            self.active.iter().flat_map(|active| active.open.iter().map(|open| open.approval.id.clone())).collect();
        for id in ids {
            self.resolve(&id, ApprovalStatus::Cancelled, "policy", None, now, out);
        }
    }

    fn resolve(
        &mut self,
        id: &ApprovalId,
        status: ApprovalStatus,
        by: &str,
        reply: Option<Reply>,
        now: &Now<'_>,
        out: &mut Output,
    ) {
        let Some(active) = &mut self.active else { return };
        let Some(place) = active.open.iter().position(|open| open.approval.id == *id) else { return };
        let mut open = active.open.remove(place);
        if active.open.is_empty()
            && let Some(since) = active.waiting_since.take()
        {
            // The time that a person took is not the turn's.
            active.deadline += now.clock.saturating_duration_since(since);
        }
        open.approval.status = status;
        open.approval.resolved_by = Some(by.to_owned());
        open.approval.resolved_at = Some(now.at);
        let resolution = Resolution { status, by: by.to_owned(), at: now.at };
        out.batch.push(Write::ResolveApproval { id: id.clone(), resolution });
        if status != ApprovalStatus::Accepted {
            let change = TurnChange { declined: Some(id.clone()), ..TurnChange::default() };
            out.batch.push(Write::UpdateTurn { id: active.job.turn.clone(), change: Box::new(change) });
        }
        self.event_of(EventName::ApprovalResolved, &open.approval, now, out);
        if let Some(reply) = reply {
            out.effects.push(Effect::Reply { agent: open.agent, request: open.request, reply });
        }
    }

    /// The questions that Codex still waits with.
    pub(crate) fn open_questions(&self) -> Vec<(AgentId, RequestId)> {
        let open = self.active.iter().flat_map(|active| active.open.iter());
        open.map(|open| (open.agent.clone(), open.request.clone())).collect()
    }

    fn event_of(&self, name: EventName, approval: &Approval, now: &Now<'_>, out: &mut Output) {
        let detail = json!({ "approvalId": approval.id });
        self.event(name, Some(&approval.turn_id), None, Some(detail), now, out);
    }
}

const fn status_of(decision: Decision) -> ApprovalStatus {
    match decision {
        Decision::Accept | Decision::AcceptForSession => ApprovalStatus::Accepted,
        Decision::Decline => ApprovalStatus::Declined,
        Decision::Cancel => ApprovalStatus::Cancelled,
    }
}

/// The changes of a question: its own, or those of the item that it is about.
fn changes_of(active: &Active, asked: &ApprovalRequest) -> Vec<FileChange> {
    if !asked.changes.is_empty() {
        return asked.changes.clone();
    }
    let item = asked.codex_item.as_ref().and_then(|id| active.items.get(id));
    match item.and_then(|item| item.open.as_ref()) {
        Some(ItemBody::FileChange { changes }) => changes.clone(),
        _ => Vec::new(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
