//! What Codex asks before it acts, and what it can be answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{ApprovalKind, Decision, FileChange, Question};

/// A question of Codex's, as text that holds all that is needed to answer it; the adapter's own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub String);

/// A question of Codex's.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalRequest {
    /// By which the reply finds it.
    pub request: RequestId,
    /// What it is about.
    pub kind: ApprovalKind,
    /// Codex's id of the item that it is about.
    pub codex_item: Option<String>,
    /// The command that it wants to run.
    pub command: Option<String>,
    /// Where.
    pub cwd: Option<String>,
    /// Why, in the model's words.
    pub reason: Option<String>,
    /// The files that it wants to change, where the question tells; otherwise they are in the item.
    pub changes: Vec<FileChange>,
    /// What a person is asked.
    pub questions: Vec<Question>,
    /// The decisions that can be given. Answers to the questions can be given beside them.
    pub decisions: Vec<Decision>,
    /// How commands begin that Codex proposes to allow from now on; none where it proposes nothing.
    pub rule: Vec<String>,
}

/// The answer to a question of Codex's. What makes no sense for the question is a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// A decision.
    Decide(Decision),
    /// Answers, by the ids of the questions.
    Answers(BTreeMap<String, Vec<String>>),
}
