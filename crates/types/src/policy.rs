//! What Codex may do by itself, from narrow to wide. The order of the variants is the order of width: a request may
//! move down it, never up.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A value that Codex never had, or has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPolicy {
    /// What was being read.
    pub what: &'static str,
    /// What stood there.
    pub value: String,
    /// What could have stood there.
    pub known: &'static str,
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} is unknown; it is one of {}", self.what, self.value, self.known)
    }
}

impl std::error::Error for UnknownPolicy {}

/// What commands that Codex runs may touch. Ordered: a later one allows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Reads everything, writes nothing, no network.
    ReadOnly,
    /// Writes in the working folder and the temporary folder, no network.
    WorkspaceWrite,
    /// Everything that the user may do.
    DangerFullAccess,
}

impl Sandbox {
    /// The word on Codex's command line and in our JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }
}

impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Sandbox {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "read-only" => Ok(Self::ReadOnly),
            "workspace-write" => Ok(Self::WorkspaceWrite),
            "danger-full-access" => Ok(Self::DangerFullAccess),
            other => Err(UnknownPolicy {
                what: "sandbox",
                value: other.to_owned(),
                known: "read-only, workspace-write, danger-full-access",
            }),
        }
    }
}

/// When Codex asks before it acts. Ordered: a later one asks less, so it allows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalPolicy {
    /// Asks before every command that it does not know to be harmless.
    Untrusted,
    /// Asks before it leaves the sandbox.
    OnRequest,
    /// Asks only when a sandboxed command failed. Gone from Codex since 0.153; known so that old scripts are understood.
    OnFailure,
    /// Never asks; what the sandbox forbids fails.
    Never,
}

impl ApprovalPolicy {
    /// The word in Codex's configuration and in our JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::OnRequest => "on-request",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for ApprovalPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ApprovalPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "untrusted" => Ok(Self::Untrusted),
            "on-request" => Ok(Self::OnRequest),
            "on-failure" => Ok(Self::OnFailure),
            "never" => Ok(Self::Never),
            other => Err(UnknownPolicy {
                what: "approval policy",
                value: other.to_owned(),
                known: "untrusted, on-request, on-failure, never",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_width() {
        assert!(Sandbox::ReadOnly < Sandbox::WorkspaceWrite);
        assert!(Sandbox::WorkspaceWrite < Sandbox::DangerFullAccess);
        assert!(ApprovalPolicy::Untrusted < ApprovalPolicy::OnRequest);
        assert!(ApprovalPolicy::OnRequest < ApprovalPolicy::Never);
    }

    #[test]
    fn words_that_codex_never_had_are_refused() {
        for word in ["none", "workspace-read", "trusted", "Read-Only", ""] {
            assert!(word.parse::<Sandbox>().is_err(), "{word}");
            assert!(word.parse::<ApprovalPolicy>().is_err(), "{word}");
        }
    }
}
