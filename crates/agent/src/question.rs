//! What a [`RequestId`] holds: a question of Codex's, as far as an answer needs it.
//!
//! The engine keeps the text with the approval, and a process that outlives `codexd` may be answered by a daemon that never
//! saw the question. So everything that shapes an answer is in it: the kind, Codex's own id, whose turn waits, and what was asked for
//! where a yes has to repeat it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{ApprovalKind, ThreadId};

use crate::domain::RequestId;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Codex's id of the question: whatever JSON it chose.
    pub(crate) id: Value,
    /// What it is about.
    pub(crate) kind: ApprovalKind,
    /// The thread that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<ThreadId>,
    /// Codex's id of the turn that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) turn: Option<String>,
    /// What was asked for: permissions, or the schema of a form.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(crate) asked: Value,
}

impl Question {
    /// As the engine keeps it.
    pub(crate) fn request(&self) -> RequestId {
        RequestId(serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads what the engine kept; none when that was never a question.
    pub(crate) fn read(request: &RequestId) -> Option<Self> {
        serde_json::from_str(&request.0).ok()
    }
}

/// A question of which no more than Codex's id is known.
pub(crate) fn bare(id: &Value) -> RequestId {
    RequestId(serde_json::json!({"id": id}).to_string())
}

impl RequestId {
    /// Whether both are the same question of one process. [`crate::What::ApprovalGone`] may know less of it than the
    /// [`crate::ApprovalRequest`] did: Codex names a question by its id alone, and the adapter may not have seen it asked.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let id = |request: &Self| Some(serde_json::from_str::<Value>(&request.0).ok()?.get("id")?.clone());
        self == other || id(self).is_some_and(|mine| id(other) == Some(mine))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_survives_as_text_and_is_found_by_its_id_alone() {
        for id in [json!(0), json!(u64::MAX), json!("a \"b\"")] {
            let question = Question {
                id: id.clone(),
                kind: ApprovalKind::Permissions,
                thread: ThreadId::parse("t1").ok(),
                turn: Some("u1".into()),
                asked: json!({"network": {"enabled": true}}),
            };
            let request = question.request();
            assert_eq!(Question::read(&request), Some(question));
            assert!(request.same(&bare(&id)) && bare(&id).same(&request));
            assert!(!request.same(&bare(&json!(1))));
        }
        let (one, two) = (RequestId("x".into()), RequestId("y".into()));
        assert!(one.same(&one) && !one.same(&two));
        assert_eq!(Question::read(&one), None);
    }
}
