//! What happens in the engine by itself and belongs into the audit log: Codex starts and ends, questions are settled by their deadline or by a
//! rule. What somebody asks for is noted where they come in, with who they are.

use audit::{Audit, Decision, Fact, Kind};
use store::{Batch, Resolution, Write};
use types::{ApprovalStatus, EventName};

/// Who settles a question when nobody answers it, as the store has it.
const NOBODY: [&str; 2] = ["expiry", "policy"];

/// Notes what a batch that was committed says.
pub(crate) fn note(audit: &Audit, batch: &Batch) {
    for write in &batch.writes {
        match write {
            Write::ResolveApproval { id, resolution } if NOBODY.contains(&resolution.by.as_str()) => {
                let Resolution { status, by, at, .. } = resolution;
                let allowed = *status == ApprovalStatus::Accepted;
                let decision = if allowed { Decision::Allowed } else { Decision::Refused };
                let fact = Fact { at: *at, decision, ..Fact::own(Kind::ApprovalSettled) };
                audit.note(
                    fact.about("approval", id.as_str()).about("status", status.as_str()).about("by", by.as_str()),
                );
            }
            Write::AddEvent(event) => {
                let kind = match event.name {
                    EventName::AgentStarted => Kind::AgentStarted,
                    EventName::AgentRestarted => Kind::AgentRestarted,
                    EventName::AgentExited => Kind::AgentExited,
                    EventName::AgentAttached => Kind::AgentAttached,
                    _ => continue,
                };
                let mut fact = Fact { at: event.at, ..Fact::own(kind) };
                let told = event.detail.as_ref().and_then(|detail| detail.as_object());
                fact.about.extend(
                    told.into_iter()
                        .flatten()
                        .filter(|(_, value)| !value.is_null())
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
                audit.note(fact);
            }
            _ => {}
        }
    }
}
