//! Values of Codex's own configuration that a request may set: by an allow-list of keys.

use serde_json::{Map, Value};
use types::Code;

use crate::{Policy, Refusal};

/// Keys of Codex's configuration that every request may set: they change how much the model thinks and writes, and nothing
/// about what it may do.
pub const HARMLESS_CONFIG: [&str; 3] = ["model_reasoning_effort", "model_reasoning_summary", "model_verbosity"];

/// Keys that no request may ever set: sandbox, approvals and trust have ways of their own (measured: `sandbox_workspace_write`
/// widens what a turn names), and the others make Codex run programs outside of the sandbox, or talk to somebody else.
const GUARDED_CONFIG: [&str; 29] = [
    "approval_policy",
    "approvals_reviewer",
    "chatgpt_base_url",
    "default_permissions",
    "experimental_compact_prompt_file",
    "experimental_instructions_file",
    "experimental_thread_store_endpoint",
    "hooks",
    "js_repl_node_module_dirs",
    "js_repl_node_path",
    "log_dir",
    "marketplaces",
    "mcp_servers",
    "model_instructions_file",
    "model_provider",
    "model_providers",
    "notify",
    "openai_base_url",
    "otel",
    "permissions",
    "plugins",
    "profile",
    "profiles",
    "projects",
    "sandbox_mode",
    "sandbox_workspace_write",
    "shell_environment_policy",
    "sqlite_home",
    "zsh_path",
];

/// How deep a value of the configuration may be.
const CONFIG_DEPTH: usize = 8;

impl Policy {
    /// Decides over values of Codex's configuration: each must be one that the operator lets requests set.
    pub(crate) fn check_config(&self, config: &Map<String, Value>) -> Result<(), Refusal> {
        let mut paths = Vec::new();
        for (key, value) in config {
            leaves(key, value, 0, &mut paths)?;
        }
        for path in paths {
            let named = |key: &str| path == key || path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
            if is_guarded(&path) {
                let detail =
                    format!("`{path}` can't be set by `config`; sandbox and approvalPolicy have fields of their own");
                return Err(Refusal::new(Code::ConfigForbidden, detail));
            }
            if !HARMLESS_CONFIG.into_iter().any(named) && !self.config_keys.iter().any(|key| named(key)) {
                let detail = format!(
                    "this daemon does not let requests set `{path}` of Codex's configuration; it is started with \
                     --allow-config {path} for that"
                );
                return Err(Refusal::new(Code::ConfigForbidden, detail));
            }
        }
        Ok(())
    }
}

/// Whether a key of Codex's configuration, or the one that it is part of, is never for requests.
#[must_use]
pub fn is_guarded(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    GUARDED_CONFIG.contains(&first)
}

/// The dotted paths of the values in a value of the configuration.
fn leaves(path: &str, value: &Value, depth: usize, paths: &mut Vec<String>) -> Result<(), Refusal> {
    if depth == CONFIG_DEPTH {
        return Err(Refusal::new(Code::BadRequest, format!("`config` is nested more than {CONFIG_DEPTH} levels deep")));
    }
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().try_for_each(|(key, value)| leaves(&format!("{path}.{key}"), value, depth + 1, paths))
        }
        _ => {
            paths.push(path.to_owned());
            Ok(())
        }
    }
}
