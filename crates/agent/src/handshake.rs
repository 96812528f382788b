//! The first words with a process: which interface it really speaks.
//!
//! What a program says decides, not what it is called or how it was started: a stub that only speaks `mcp-server` may answer
//! an `app-server` handshake, and a real Codex from 0.154 on takes `mcp-server` for a prompt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;
use types::agent::Backend;

use crate::{adapter::Line, app_server::NOT_WANTED, transport::Transport, version::Version};

/// The id of `initialize`; ids of asks begin at 1.
const INITIALIZE: i64 = 0;

/// How many lines that are no answer are passed over before the program is given up.
const PATIENCE_LINES: usize = 200;

/// A process that has shaken hands. A host keeps it for the next codexd, since `initialize` can't be asked twice.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Met {
    /// What it speaks.
    pub(crate) backend: Backend,
    /// Its version, when it said.
    pub(crate) version: Option<Version>,
}

/// Why there was no handshake.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShakeError {
    #[error("it did not answer `initialize` within {} s", .0.as_secs())]
    Deadline(Duration),
    #[error("it ended before it answered `initialize`")]
    Ended,
    #[error("it wrote something that is not JSON: {0:?}")]
    Garbage(String),
    #[error("it refused `initialize`: {0}")]
    Refused(String),
    #[error("it can't be read: {0}")]
    Broken(String),
}

/// Greets in the words of `backend`, and tells what answered.
pub(crate) async fn shake<T: Transport>(
    transport: &mut T,
    backend: Backend,
    limit: Duration,
) -> Result<Met, ShakeError> {
    let client = json!({"name": "codexd", "title": "codexd", "version": env!("CARGO_PKG_VERSION")});
    let (greeting, thanks) = match backend {
        Backend::AppServer => (
            json!({"id": INITIALIZE, "method": "initialize", "params": {"clientInfo": client,
                "capabilities": {"experimentalApi": true, "optOutNotificationMethods": NOT_WANTED}}}),
            json!({"method": "initialized"}),
        ),
        Backend::McpServer => (
            json!({"jsonrpc": "2.0", "id": INITIALIZE, "method": "initialize",
                "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        ),
    };
    transport.send(Line::untagged(greeting.to_string().into_bytes()));
    let met = match timeout(limit, answer(transport)).await {
        Ok(met) => met?,
        Err(_) => return Err(ShakeError::Deadline(limit)),
    };
    if met.backend == backend {
        transport.send(Line::untagged(thanks.to_string().into_bytes()));
    }
    Ok(met)
}

async fn answer<T: Transport>(transport: &mut T) -> Result<Met, ShakeError> {
    let mut garbage = None;
    for _ in 0..PATIENCE_LINES {
        let (seq, line) = match transport.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Err(garbage.map_or(ShakeError::Ended, ShakeError::Garbage)),
            Err(error) => return Err(ShakeError::Broken(error.to_string())),
        };
        transport.ack(seq);
        let Ok(value) = serde_json::from_slice::<Value>(&line) else {
            let start: String = String::from_utf8_lossy(&line[..line.len().min(400)]).chars().take(120).collect();
            if !start.trim().is_empty() {
                garbage.get_or_insert(start);
            }
            continue;
        };
        if value.get("id").and_then(Value::as_i64) != Some(INITIALIZE) || value.get("method").is_some() {
            continue;
        }
        if let Some(error) = value.get("error") {
            let text = error.get("message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(ShakeError::Refused(text.to_owned()));
        }
        let result = value.get("result").cloned().unwrap_or_default();
        return Ok(if let Some(server) = result.get("serverInfo") {
            let version = server.get("version").and_then(Value::as_str);
            Met { backend: Backend::McpServer, version: version.and_then(Version::find) }
        } else {
            let version = result.get("userAgent").and_then(Value::as_str);
            Met { backend: Backend::AppServer, version: version.and_then(Version::find) }
        });
    }
    Err(ShakeError::Garbage(garbage.unwrap_or_default()))
}
