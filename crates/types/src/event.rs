//! Events: numbered, durable facts. They point to what they are about; what that was is stored once.

use std::{fmt, str::FromStr};

use crate::{EventId, ItemId, SessionId, Timestamp, TurnId};

/// What happened. The names are the API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventName {
    /// A session began.
    SessionCreated,
    /// Its title, folder or labels changed, or it was brought back.
    SessionUpdated,
    /// It was put away.
    SessionArchived,
    /// It is gone; the detail says which one it was.
    SessionDeleted,
    /// Its thread was brought back; the detail says how.
    SessionResumed,
    /// A turn is on disk.
    TurnQueued,
    /// A waiting turn was held because the one before it was lost.
    TurnHeld,
    /// Codex has been asked.
    TurnStarted,
    /// Codex has recorded the prompt.
    TurnDelivered,
    /// Something was added to a turn while it runs; the detail says what, and who added it.
    TurnSteered,
    /// The turn ended as it should.
    TurnCompleted,
    /// The turn ended with an error.
    TurnFailed,
    /// The turn was stopped, or lost.
    TurnInterrupted,
    /// Tokens were counted.
    TurnUsage,
    /// What the turn changed in files, all in one; the detail holds it.
    TurnDiff,
    /// An item began.
    ItemStarted,
    /// An item ended.
    ItemCompleted,
    /// Codex asked.
    ApprovalRequested,
    /// Somebody, or a rule, answered.
    ApprovalResolved,
    /// A Codex process is ready.
    AgentStarted,
    /// A Codex process is gone.
    AgentExited,
    /// Another Codex process is ready, in the place of one that is gone.
    AgentRestarted,
    /// A Codex process that was there before this daemon goes on.
    AgentAttached,
}

/// Every name with its word; the one table for both directions.
const NAMES: [(EventName, &str); 23] = [
    (EventName::SessionCreated, "session.created"),
    (EventName::SessionUpdated, "session.updated"),
    (EventName::SessionArchived, "session.archived"),
    (EventName::SessionDeleted, "session.deleted"),
    (EventName::SessionResumed, "session.resumed"),
    (EventName::TurnQueued, "turn.queued"),
    (EventName::TurnHeld, "turn.held"),
    (EventName::TurnStarted, "turn.started"),
    (EventName::TurnDelivered, "turn.delivered"),
    (EventName::TurnSteered, "turn.steered"),
    (EventName::TurnCompleted, "turn.completed"),
    (EventName::TurnFailed, "turn.failed"),
    (EventName::TurnInterrupted, "turn.interrupted"),
    (EventName::TurnUsage, "turn.usage"),
    (EventName::TurnDiff, "turn.diff"),
    (EventName::ItemStarted, "item.started"),
    (EventName::ItemCompleted, "item.completed"),
    (EventName::ApprovalRequested, "approval.requested"),
    (EventName::ApprovalResolved, "approval.resolved"),
    (EventName::AgentStarted, "agent.started"),
    (EventName::AgentExited, "agent.exited"),
    (EventName::AgentRestarted, "agent.restarted"),
    (EventName::AgentAttached, "agent.attached"),
];

impl EventName {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The dotted word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(name, _)| *name == self).map_or("unknown", |(_, word)| word)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        NAMES.iter().find(|(_, word)| *word == text).map(|(name, _)| *name).ok_or(())
    }
}

/// A numbered event, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number.
    pub id: EventId,
    /// What happened.
    pub name: EventName,
    /// When.
    pub at: Timestamp,
    /// In which session; none for the agent's own events.
    pub session_id: Option<SessionId>,
    /// In which turn.
    pub turn_id: Option<TurnId>,
    /// To which item.
    pub item_id: Option<ItemId>,
    /// What can't be read from the thing pointed to.
    pub detail: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for (name, word) in NAMES {
            assert_eq!(name.as_str(), word);
            assert_eq!(word.parse(), Ok(name));
        }
    }
}
