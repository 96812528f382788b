//! Who asks, and by which way.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::UnknownPolicy;

/// What a principal may do. Ordered for display only; each is given by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// See sessions, turns and events.
    Read,
    /// Start and continue sessions.
    Run,
    /// Answer what Codex asks in turns that others started.
    Approve,
    /// Answer what Codex asks in turns that the same principal started.
    ApproveOwn,
    /// Grants and the agent itself.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Run, Self::Approve, Self::ApproveOwn, Self::Admin];

    /// The word in JSON, on the command line and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Approve => "approve",
            Self::ApproveOwn => "approve-own",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let unknown =
            || UnknownPolicy { what: "scope", value: text.to_owned(), known: "read, run, approve, approve-own, admin" };
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(unknown)
    }
}

/// Who asks. Kept on every turn, approval and audit line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "name")]
pub enum Principal {
    /// The user of this machine, by the socket.
    Local,
    /// Whoever holds the token of this name.
    Grant(String),
    /// A process inside an agent, by the socket: what Codex started, or what that started. Named by Codex's thread where that can be
    /// told, else by the agent.
    Agent(String),
    /// Anybody on loopback; only with `--no-auth` or when called the old way without a token.
    Anonymous,
}

impl Principal {
    /// The name in turns, approvals and logs: `local`, `anonymous`, `agent:ID`, or `token:NAME`.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// From [`Principal::name`], as the store keeps it.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "local" => Self::Local,
            "anonymous" => Self::Anonymous,
            other => match other.strip_prefix("agent:") {
                Some(id) => Self::Agent(id.to_owned()),
                None => Self::Grant(other.strip_prefix("token:").unwrap_or(other).to_owned()),
            },
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Agent(id) => write!(f, "agent:{id}"),
            Self::Grant(name) => write!(f, "token:{name}"),
        }
    }
}

/// The way a turn came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A request to the HTTP API.
    Http,
    /// `codexd start` and its siblings.
    Cli,
    /// A tool call.
    Mcp,
}

impl Origin {
    /// The word in JSON and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Cli => "cli",
            Self::Mcp => "mcp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_comes_back_from_its_name_and_its_json() {
        for (who, name, json) in [
            (Principal::Local, "local", r#"{"kind":"local"}"#),
            (Principal::Anonymous, "anonymous", r#"{"kind":"anonymous"}"#),
            (Principal::Grant("ci".to_owned()), "token:ci", r#"{"kind":"grant","name":"ci"}"#),
            (Principal::Agent("0199-a".to_owned()), "agent:0199-a", r#"{"kind":"agent","name":"0199-a"}"#),
        ] {
            assert_eq!(who.name(), name);
            assert_eq!(Principal::from_name(name), who);
            assert_eq!(serde_json::to_string(&who).unwrap(), json);
            assert_eq!(serde_json::from_str::<Principal>(json).unwrap(), who);
        }
    }
}
