//! Worktrees of git that sessions have to themselves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A git worktree that was made for one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worktree {
    /// Its folder.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// The checkout that it was made from.
    #[schema(value_type = String)]
    pub repository: PathBuf,
    /// Its branch.
    pub branch: String,
    /// The commit that it began with.
    pub base: String,
}

/// What becomes of a session's worktree when the session goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorktreeFate {
    /// It goes when nothing would be lost with it, and stays otherwise.
    #[default]
    Auto,
    /// It stays.
    Keep,
    /// It goes, with its branch and with whatever would be lost.
    Remove,
}

impl WorktreeFate {
    /// The word in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Keep => "keep",
            Self::Remove => "remove",
        }
    }
}

/// What became of the worktree of a session that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorktreeLeft {
    /// Which one.
    #[serde(flatten)]
    pub worktree: Worktree,
    /// It is gone, and so is its branch. Otherwise it is still there.
    pub removed: bool,
    /// Why it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How to remove it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}
