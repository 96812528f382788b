//! What can be noted.

use serde::Serialize;
use serde_json::{Map, Value};
use types::{Code, Principal, Timestamp};

/// Something that was decided.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub what: Kind,
    /// What was decided.
    pub decision: Decision,
    /// Who asked, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// By which way.
    pub transport: Transport,
    /// From where: an address, or the user and process at the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Why it was refused, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What it was about.
    #[serde(flatten)]
    pub about: Map<String, Value>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// The daemon listens.
    #[serde(rename = "daemon.started")]
    DaemonStarted,
    /// It ends.
    #[serde(rename = "daemon.stopped")]
    DaemonStopped,
    /// Somebody showed no token, or a wrong one.
    #[serde(rename = "auth.failed")]
    AuthFailed,
    /// A request called us by a foreign name, or came from a foreign page.
    #[serde(rename = "request.foreign")]
    Foreign,
    /// Somebody asked for more than they may.
    #[serde(rename = "policy.refused")]
    PolicyRefused,
    /// A token was made.
    #[serde(rename = "token.made")]
    TokenMade,
    /// A token was replaced.
    #[serde(rename = "token.rotated")]
    TokenRotated,
    /// A token was ended.
    #[serde(rename = "token.revoked")]
    TokenRevoked,
    /// Somebody answered what Codex asked.
    #[serde(rename = "approval.answered")]
    ApprovalAnswered,
    /// What Codex asked was settled by its deadline, or by a rule.
    #[serde(rename = "approval.settled")]
    ApprovalSettled,
    /// Something else that needs the scope `admin` was done.
    #[serde(rename = "admin.done")]
    AdminDone,
    /// A Codex runs.
    #[serde(rename = "agent.started")]
    AgentStarted,
    /// It was replaced by another one.
    #[serde(rename = "agent.restarted")]
    AgentRestarted,
    /// It ended.
    #[serde(rename = "agent.exited")]
    AgentExited,
    /// A Codex of an earlier daemon was gone on with.
    #[serde(rename = "agent.attached")]
    AgentAttached,
}

impl Kind {
    /// Whether anybody can cause it who has no token.
    #[must_use]
    pub const fn is_cheap(self) -> bool {
        matches!(self, Self::AuthFailed | Self::Foreign)
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// It was let happen.
    Allowed,
    /// It was not.
    Refused,
    /// There was nothing to decide.
    Noted,
}

/// By which way somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// The store's socket.
    Socket,
    /// The command line, while no daemon runs.
    Store,
    /// Nobody came: codexd itself.
    Codexd,
}

impl Fact {
    /// Something that codexd does by itself.
    #[must_use]
    pub fn own(what: Kind) -> Self {
        Self {
            at: Timestamp::now(),
            what,
            decision: Decision::Noted,
            principal: None,
            transport: Transport::Codexd,
            peer: None,
            code: None,
            about: Map::new(),
        }
    }

    /// Something that somebody did to the store while no daemon had it.
    #[must_use]
    pub fn of_store(what: Kind) -> Self {
        let principal = Some(Principal::Local.name());
        Self { decision: Decision::Allowed, principal, transport: Transport::Store, ..Self::own(what) }
    }

    /// Adds what it was about.
    #[must_use]
    pub fn about(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.about.insert(name.to_owned(), value.into());
        self
    }
}
