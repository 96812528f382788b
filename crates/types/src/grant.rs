//! Grants: named tokens, and what their holders may do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ApprovalPolicy, Sandbox, Scope, Timestamp};

/// A named token. What it opens is here; of the token itself only a hash is kept, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its name, unique among those that are there.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// The folders that its holder may work in; without, those that the daemon allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub roots: Vec<PathBuf>,
    /// The widest sandbox that its holder may have; without, what the daemon allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sandbox: Option<Sandbox>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Since when it has the token that it has now, if it had another one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
    /// Until when the token that it had before opens as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
}

impl Grant {
    /// One that is made now, and opens this.
    #[must_use]
    pub fn new(name: String, scopes: Vec<Scope>) -> Self {
        Self {
            name,
            scopes,
            roots: Vec::new(),
            max_sandbox: None,
            created_at: Timestamp::now(),
            expires_at: None,
            last_used_at: None,
            rotated_at: None,
            previous_until: None,
        }
    }
}

/// What a principal may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInfo {
    /// Its name, as turns tell it.
    pub principal: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Where a session works that names no folder.
    #[schema(value_type = String)]
    pub cwd: PathBuf,
    /// The folders that its sessions may work in; any, when there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub roots: Option<Vec<PathBuf>>,
    /// It may name a folder.
    pub choose_cwd: bool,
    /// The sandbox of a session that names none.
    pub sandbox: Sandbox,
    /// The widest that it may name.
    pub widest_sandbox: Sandbox,
    /// The approval policy of a session that names none.
    pub approval_policy: ApprovalPolicy,
    /// The one that asks least and may go with that sandbox.
    pub widest_approval_policy: ApprovalPolicy,
    /// The model of a session that names none; Codex's own default without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The keys of Codex's configuration that it may set.
    pub config: Vec<String>,
    /// When its token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}
