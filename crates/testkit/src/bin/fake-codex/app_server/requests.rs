//! The shape of each request: the fields of 0.169.0 that need no `experimentalApi`, and their types.
//!
//! The double is where our side of the contract is checked, so it is stricter than the real one in one thing: a field that is not
//! known, which the real one passes over, is refused. The texts of all other errors are the real one's.
#![expect(dead_code, reason = "that the fields are there and have their types is all that is asked")]

use serde::Deserialize;
use serde_json::{Map, Value};

use super::METHODS;
use super::checks::{Refusal, refuse};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Initialize {
    client_info: ClientInfo,
    capabilities: Option<Capabilities>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClientInfo {
    name: String,
    title: Option<String>,
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Capabilities {
    experimental_api: Option<bool>,
    request_attestation: Option<bool>,
    extensions: Option<Map<String, Value>>,
    opt_out_notification_methods: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartThread {
    approval_policy: Option<ApprovalPolicy>,
    approvals_reviewer: Option<String>,
    base_instructions: Option<String>,
    config: Option<Map<String, Value>>,
    cwd: Option<String>,
    developer_instructions: Option<String>,
    ephemeral: Option<bool>,
    model: Option<String>,
    model_provider: Option<String>,
    personality: Option<String>,
    sandbox: Option<Sandbox>,
    service_name: Option<String>,
    service_tier: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResumeThread {
    thread_id: String,
    approval_policy: Option<ApprovalPolicy>,
    approvals_reviewer: Option<String>,
    base_instructions: Option<String>,
    config: Option<Map<String, Value>>,
    cwd: Option<String>,
    developer_instructions: Option<String>,
    #[serde(default)]
    exclude_turns: bool,
    model: Option<String>,
    model_provider: Option<String>,
    personality: Option<String>,
    sandbox: Option<Sandbox>,
    service_tier: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ForkThread {
    thread_id: String,
    approval_policy: Option<ApprovalPolicy>,
    approvals_reviewer: Option<String>,
    base_instructions: Option<String>,
    config: Option<Map<String, Value>>,
    cwd: Option<String>,
    developer_instructions: Option<String>,
    #[serde(default)]
    ephemeral: bool,
    #[serde(default)]
    exclude_turns: bool,
    last_turn_id: Option<String>,
    model: Option<String>,
    model_provider: Option<String>,
    sandbox: Option<Sandbox>,
    service_tier: Option<String>,
    thread_source: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StartTurn {
    thread_id: String,
    input: Vec<Input>,
    approval_policy: Option<ApprovalPolicy>,
    approvals_reviewer: Option<String>,
    client_user_message_id: Option<String>,
    cwd: Option<String>,
    effort: Option<String>,
    model: Option<String>,
    output_schema: Option<Value>,
    personality: Option<String>,
    sandbox_policy: Option<SandboxPolicy>,
    service_tier: Option<String>,
    summary: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SteerTurn {
    thread_id: String,
    expected_turn_id: String,
    input: Vec<Input>,
    client_user_message_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InterruptTurn {
    thread_id: String,
    turn_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfThread {
    thread_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InjectItems {
    thread_id: String,
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NameThread {
    thread_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadThread {
    thread_id: String,
    #[serde(default)]
    include_turns: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListTurns {
    thread_id: String,
    cursor: Option<String>,
    items_view: Option<ItemsView>,
    limit: Option<u32>,
    sort_direction: Option<SortDirection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ItemsView {
    NotLoaded,
    Summary,
    Full,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum SortDirection {
    Asc,
    Desc,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListItems {
    thread_id: String,
    turn_id: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
    sort_direction: Option<SortDirection>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevertThread {
    thread_id: String,
    before_turn_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListModels {
    cursor: Option<String>,
    include_hidden: Option<bool>,
    limit: Option<u32>,
    model_provider: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
enum Input {
    Text {
        text: String,
        #[serde(default)]
        text_elements: Vec<Value>,
    },
    Image {
        url: String,
        detail: Option<String>,
    },
    LocalImage {
        path: String,
        detail: Option<String>,
    },
    Audio {
        url: String,
    },
    LocalAudio {
        path: String,
    },
    Skill {
        name: String,
        path: String,
    },
    Mention {
        name: String,
        path: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ApprovalPolicy {
    Untrusted,
    OnRequest,
    Granular(Value),
    Never,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sandbox {
    ReadOnly,
    WorkspaceWrite,
    DangerFullAccess,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum SandboxPolicy {
    DangerFullAccess {},
    ReadOnly {
        #[serde(default)]
        network_access: bool,
    },
    ExternalSandbox {
        network_access: Option<String>,
    },
    WorkspaceWrite {
        #[serde(default)]
        exclude_slash_tmp: bool,
        #[serde(default)]
        exclude_tmpdir_env_var: bool,
        #[serde(default)]
        network_access: bool,
        #[serde(default)]
        writable_roots: Vec<String>,
    },
}

/// Whether a request of a method that the double has is well formed.
pub(super) fn check(method: &str, params: &Value) -> Result<(), Refusal> {
    let checked = match method {
        "account/rateLimits/read" => return Ok(()),
        _ if params.is_null() && METHODS.contains(&method) => return refuse("Invalid request: missing field `params`"),
        "initialize" => Initialize::deserialize(params).map(drop),
        "thread/start" => StartThread::deserialize(params).map(drop),
        "thread/resume" => ResumeThread::deserialize(params).map(drop),
        "thread/fork" => ForkThread::deserialize(params).map(drop),
        "thread/archive"
        | "thread/unarchive"
        | "thread/delete"
        | "thread/unsubscribe"
        | "thread/compact/start"
        | "thread/backgroundTerminals/clean" => OfThread::deserialize(params).map(drop),
        "thread/name/set" => NameThread::deserialize(params).map(drop),
        "thread/read" => ReadThread::deserialize(params).map(drop),
        "thread/turns/list" => ListTurns::deserialize(params).map(drop),
        "thread/items/list" => ListItems::deserialize(params).map(drop),
        "thread/revert" => RevertThread::deserialize(params).map(drop),
        "thread/inject_items" => InjectItems::deserialize(params).map(drop),
        "turn/start" => StartTurn::deserialize(params).map(drop),
        "turn/steer" => SteerTurn::deserialize(params).map(drop),
        "turn/interrupt" => InterruptTurn::deserialize(params).map(drop),
        "model/list" => ListModels::deserialize(params).map(drop),
        // Lists take filters that the double does not have.
        _ => Ok(()),
    };
    checked.or_else(|error| refuse(format!("Invalid request: {error}")))
}
