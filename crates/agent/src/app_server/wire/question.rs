//! The fields of Codex's questions. All kinds are read as one: each has some of the fields.

use serde::Deserialize;
use serde_json::Value;
use types::{ApprovalKind, ThreadId};

use super::lenient;

/// A question of Codex's.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Question {
    pub(crate) thread_id: Option<ThreadId>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) turn_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) item_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) command: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) cwd: Option<String>,
    #[serde(deserialize_with = "lenient")]
    reason: Option<String>,
    /// A folder that is to become writable for the rest of the session; with a file change.
    #[serde(deserialize_with = "lenient")]
    grant_root: Option<String>,
    /// The host that a command wants to reach.
    #[serde(deserialize_with = "lenient")]
    network_approval_context: Option<Host>,
    /// What an MCP server says to the person, where a page is to be opened, and the form.
    #[serde(deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(deserialize_with = "lenient")]
    url: Option<String>,
    requested_schema: Value,
    permissions: Value,
    /// How commands begin that would be allowed from now on.
    #[serde(deserialize_with = "lenient")]
    pub(crate) proposed_execpolicy_amendment: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient")]
    questions: Option<Vec<Asked>>,
}

#[derive(Deserialize)]
struct Host {
    host: String,
    #[serde(default)]
    protocol: String,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    #[serde(default)]
    question: String,
    #[serde(default)]
    options: Option<Vec<Offered>>,
}

#[derive(Deserialize)]
struct Offered {
    label: String,
}

impl Question {
    /// Why Codex asks, and what is asked for where no field of ours says it.
    pub(crate) fn reason(&self) -> Option<String> {
        let mut parts: Vec<String> = self.reason.iter().chain(&self.message).cloned().collect();
        parts.extend(self.url.as_ref().map(|url| format!("open {url}")));
        let network = self.network_approval_context.as_ref();
        parts.extend(network.map(|to| format!("network access to {} ({})", to.host, to.protocol)));
        parts.extend(self.grant_root.as_ref().map(|root| format!("write access to {root} for the session")));
        if !self.permissions.is_null() {
            parts.push(format!("permissions: {}", self.permissions));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// What a yes has to repeat.
    pub(crate) fn to_repeat(&self, kind: ApprovalKind) -> Value {
        match kind {
            ApprovalKind::Permissions => self.permissions.clone(),
            ApprovalKind::Elicitation => self.requested_schema.clone(),
            ApprovalKind::Command | ApprovalKind::FileChange | ApprovalKind::UserInput => Value::Null,
        }
    }

    /// What a person is asked: questions, or the fields of a form.
    pub(crate) fn questions(&self) -> Vec<types::Question> {
        let asked = self.questions.iter().flatten().map(|asked| types::Question {
            id: asked.id.clone(),
            question: asked.question.clone(),
            options: asked.options.iter().flatten().map(|offered| offered.label.clone()).collect(),
        });
        let fields = self.requested_schema["properties"].as_object().into_iter().flatten();
        asked.chain(fields.map(|(name, schema)| field(name, schema))).collect()
    }
}

/// A field of a form as a question.
fn field(name: &str, schema: &Value) -> types::Question {
    let text = ["description", "title"].iter().find_map(|key| schema[key].as_str()).unwrap_or(name);
    let words = |value: &Value| -> Vec<String> {
        let several = value.as_array().into_iter().flatten();
        several.filter_map(|word| word.as_str().or_else(|| word["const"].as_str()).map(str::to_owned)).collect()
    };
    // One of several, or several of them; as plain words, or each with a title.
    let places = [&schema["enum"], &schema["oneOf"], &schema["items"]["enum"], &schema["items"]["anyOf"]];
    let mut options = places.iter().map(|place| words(place)).find(|words| !words.is_empty()).unwrap_or_default();
    if schema["type"] == "boolean" {
        options = vec!["true".to_owned(), "false".to_owned()];
    }
    types::Question { id: name.to_owned(), question: text.to_owned(), options }
}
