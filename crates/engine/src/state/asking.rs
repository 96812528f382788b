//! What Codex asks before it acts. Each question is on disk before anybody can see it, is answered once, by a person or by its
//! deadline, and the answer is on disk before Codex hears it.

use std::time::{Duration, Instant};

use agent::{ApprovalRequest, Reply, RequestId};
use serde_json::json;
use store::{NewApproval, Resolution, SessionChange, TurnChange, Write};
use types::{
    AgentId, Allowed, Approval, ApprovalId, ApprovalKind, ApprovalStatus, ChangeKind, Code, Decision, EventName,
    FileChange, ItemBody, Origin, Principal, Scope, Timestamp,
};

use super::{Active, Effect, Now, Output, Phase, State};
use crate::{OnExpiry, Policy, Refusal, Verdict};

/// The most that is kept of what a person allowed for the rest of a session; beyond that Codex alone knows it.
const ALLOWED: usize = 256;

/// The most questions that one turn may have open.
const OPEN: usize = 64;

/// How long the question of a turn that came by MCP stays open: its caller does not wait for a day.
const MCP_LIMIT: Duration = Duration::from_secs(600);

/// A question that is open.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) approval: Approval,
    pub(super) agent: AgentId,
    pub(super) request: RequestId,
    pub(super) until: Instant,
}

/// Who decides.
#[derive(Debug)]
pub(crate) struct Decider {
    pub(crate) name: String,
    /// Also over what they asked for themselves.
    pub(crate) own: bool,
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
        let known = self.session.allowed.iter().any(|allowed| {
            // Nobody approves their own turns by way of somebody else's.
            let own = allowed.by == active.job.principal.name() || active.steerers.contains(&allowed.by);
            (!own || approves_own(&self.limits.policy, &allowed.by))
                && covers(allowed, &asked, &changes_of(active, &asked))
        });
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
            rule: asked.rule,
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
        if known {
            // Somebody has allowed it for the whole session; a Codex that was started since does not know.
            let reply = Reply::Decide(Decision::Accept);
            self.resolve(&approval.id, ApprovalStatus::Accepted, "policy", Some(reply), now, out);
        }
    }

    /// Somebody decided.
    pub(crate) fn decide(
        &mut self,
        id: &ApprovalId,
        verdict: Verdict,
        by: &Decider,
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
        if !by.own && self.active.as_ref().is_some_and(|active| active.steerers.contains(&by.name)) {
            let detail = "this token has added to the turn, so it can't approve what the turn asks; the scope approve-own allows that";
            return refuse(Code::Forbidden, detail.to_owned());
        }
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
            Verdict::AllowRule(rule) => {
                if rule.is_empty() || rule != open.approval.rule {
                    let detail = "`rule` is not the one that Codex proposes; the approval lists that as `rule`";
                    return refuse(Code::BadRequest, detail.to_owned());
                }
                let allow = Allowed { rule, ..allowed_of(&open.approval, by, now.at) };
                let allow = Allowed { command: None, cwd: None, ..allow };
                self.allow(allow, out);
                // Codex itself would allow the same line again, and we allow the rule.
                let yes = Reply::Decide(Decision::Accept);
                self.resolve(id, ApprovalStatus::Accepted, &by.name, Some(yes), now, out);
                return Ok(());
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
        let for_session = reply == Reply::Decide(Decision::AcceptForSession);
        if for_session {
            let allow = allowed_of(&open.approval, by, now.at);
            self.allow(allow, out);
        }
        // Codex would not ask about turns of the decider's own either: that is ours to remember.
        let reply = if for_session && !by.own { Reply::Decide(Decision::Accept) } else { reply };
        self.resolve(id, status, &by.name, Some(reply), now, out);
        Ok(())
    }

    fn allow(&mut self, allowed: Allowed, out: &mut Output) {
        if self.session.allowed.len() >= ALLOWED {
            return;
        }
        self.session.allowed.push(allowed.clone());
        let change = SessionChange { allow: Some(allowed), ..SessionChange::default() };
        out.batch.push(Write::UpdateSession { id: self.session.id.clone(), change: Box::new(change) });
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
        let told = reply.as_ref().and_then(|reply| serde_json::to_string(reply).ok());
        let resolution = Resolution { status, reply: told, by: by.to_owned(), at: now.at };
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

/// What is allowed from now on by a yes for the session.
fn allowed_of(approval: &Approval, by: &Decider, at: Timestamp) -> Allowed {
    Allowed {
        kind: approval.kind,
        command: approval.command.clone(),
        cwd: approval.cwd.clone(),
        rule: Vec::new(),
        paths: approval.changes.iter().map(|change| change.path.clone()).collect(),
        reason: matches!(approval.kind, ApprovalKind::Permissions | ApprovalKind::FileChange)
            .then(|| approval.reason.clone())
            .flatten(),
        by: by.name.clone(),
        at,
    }
}

/// Whether a command, out of the shell that runs it, is these words and has nothing that a shell would make more of.
fn is_nothing_but(command: &str, words: &[String]) -> bool {
    let script = command
        .split_once(" -lc ")
        .or_else(|| command.split_once(" -c "))
        .filter(|(shell, _)| !shell.contains(' ') && shell.rsplit('/').next().is_some_and(|name| name.ends_with("sh")));
    let text = script.map_or(command, |(_, text)| text);
    let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@% ".contains(c);
    text.chars().all(plain) && text.split(' ').filter(|word| !word.is_empty()).eq(words.iter().map(String::as_str))
}

/// Whether somebody may approve what their own turns ask, as things are now.
fn approves_own(policy: &Policy, name: &str) -> bool {
    let who = Principal::from_name(name);
    match policy.grants.of(&who) {
        Ok(Some(grant)) => grant.scopes.contains(&Scope::ApproveOwn),
        Ok(None) => who == Principal::Local,
        Err(_) => false,
    }
}

/// Whether a question is about nothing but what was allowed before.
fn covers(allowed: &Allowed, asked: &ApprovalRequest, changes: &[FileChange]) -> bool {
    if allowed.kind != asked.kind {
        return false;
    }
    match allowed.kind {
        // Of a line with several commands Codex proposes a rule for one of them: a rule is about a line that is nothing else.
        ApprovalKind::Command if !allowed.rule.is_empty() => {
            let command = asked.command.as_deref().unwrap_or_default();
            asked.rule.starts_with(&allowed.rule) && is_nothing_but(command, &asked.rule)
        }
        ApprovalKind::Command => {
            asked.command.is_some() && allowed.command == asked.command && allowed.cwd == asked.cwd
        }
        ApprovalKind::FileChange => {
            let known = |change: &FileChange| {
                matches!(change.kind, ChangeKind::Add | ChangeKind::Update) && allowed.paths.contains(&change.path)
            };
            allowed.reason == asked.reason && !changes.is_empty() && changes.iter().all(known)
        }
        ApprovalKind::Permissions => allowed.reason.is_some() && allowed.reason == asked.reason,
        ApprovalKind::UserInput | ApprovalKind::Elicitation => false,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
