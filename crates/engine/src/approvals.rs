//! Answers to what Codex asks: who may give them, and which.

use std::collections::BTreeMap;

use types::{Approval, ApprovalId, ApprovalStatus, Code, Decision, Principal, Scope, SessionId};

use crate::{Engine, Refusal, mail::Mail, state::Decider};

/// What becomes of a question that nobody answers in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// The turn is interrupted: an agent that works around a silent refusal is worse than one that stops.
    #[default]
    Cancel,
    /// The answer is no, and the turn goes on.
    Decline,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A decision.
    Decide(Decision),
    /// Yes, and for the rest of the session to all commands that begin so. It has to be the rule that the approval lists.
    AllowRule(Vec<String>),
    /// What a person says to its questions, by their ids.
    Answers(BTreeMap<String, Vec<String>>),
}

/// The longest list of approvals.
const LIST: u32 = 1_000;

impl Engine {
    /// Approvals, oldest first: of one session or of all, with one status or with any.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn approvals(
        &self,
        session: Option<&SessionId>,
        status: Option<ApprovalStatus>,
    ) -> Result<Vec<Approval>, Refusal> {
        Ok(self.store.approvals(session, status, LIST).await?)
    }

    /// One approval.
    ///
    /// # Errors
    /// When there is none, or the store can't be read.
    pub async fn approval(&self, id: &ApprovalId) -> Result<Approval, Refusal> {
        let found = self.store.approval(id).await?;
        found.ok_or_else(|| Refusal::new(Code::NoApproval, format!("there is no approval {id}")))
    }

    /// Answers Codex, after the answer is on disk. Tells the approval as it is then.
    ///
    /// # Errors
    /// When there is no such approval, it has been answered, the answer does not fit it, or this principal may not give it.
    pub async fn decide(&self, who: &Principal, id: &ApprovalId, verdict: Verdict) -> Result<Approval, Refusal> {
        let found = self.approval(id).await?;
        if found.status != ApprovalStatus::Pending {
            return Err(resolved(&found));
        }
        let own = self.may_decide(who, &found).await?;
        let (id, by) = (id.clone(), Decider { name: who.name(), own });
        let told = self.tell(&found.session_id, |reply| Mail::Decide { id, verdict, by, reply }).await;
        let now = self.approval(&found.id).await?;
        match told {
            Err(refusal) if refusal.code == Code::ApprovalResolved => Err(resolved(&now)),
            told => told.map(|()| now),
        }
    }

    /// What a token started, the same token does not approve, unless its grant says so. Tells whether it does.
    async fn may_decide(&self, who: &Principal, approval: &Approval) -> Result<bool, Refusal> {
        let Some(grant) = self.policy.grants.of(who)? else { return Ok(true) };
        if grant.scopes.contains(&Scope::ApproveOwn) {
            return Ok(true);
        }
        let turn = self.turn(&approval.turn_id).await?;
        if turn.principal != who.name() {
            return Ok(false);
        }
        let detail =
            "this token started the turn, so it can't approve what the turn asks; the scope approve-own allows that";
        Err(Refusal::new(Code::Forbidden, detail))
    }
}

fn resolved(approval: &Approval) -> Refusal {
    let by = approval.resolved_by.as_deref().unwrap_or("somebody");
    let detail = format!("the approval was answered already: {}, by {by}", approval.status.as_str());
    let refusal = Refusal::new(Code::ApprovalResolved, detail).of_session(&approval.session_id);
    Refusal { turn: Some(approval.turn_id.clone()), ..refusal }
}
