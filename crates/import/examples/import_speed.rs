//! How long an import takes: `cargo run -p import --example import_speed [SESSIONS]` writes a store of the first version with
//! sessions of ten messages into a temporary folder, imports it twice, and prints both times.

#![allow(clippy::print_stdout, reason = "it is all that it does")]

use std::{fs, path::Path, time::Instant};

use import::{Options, import};
use serde_json::json;
use types::{ApprovalPolicy, Sandbox};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions: u64 = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let old = dir.path().join("old");
    let bytes = write(&old, sessions)?;
    println!("{sessions} sessions, {} MiB", bytes >> 20);

    let store = store::Store::open(&dir.path().join("ours"))?;
    let options = Options { sandbox: Sandbox::ReadOnly, approval_policy: ApprovalPolicy::OnRequest };
    for what in ["imported", "once more"] {
        let (began, commits) = (Instant::now(), store.commits());
        let report = import(&store, &old, options, |_, _| {}).await?;
        let import::Report { imported, unchanged, .. } = report;
        let (took, commits) = (began.elapsed(), store.commits() - commits);
        println!("{what}: {took:.2?}, {imported} new, {unchanged} unchanged, {commits} commits");
    }
    let size = fs::metadata(dir.path().join("ours/store.db"))?.len();
    println!("store.db: {} MiB", size >> 20);
    store.close().await;
    Ok(())
}

/// Returns how many bytes were written.
fn write(old: &Path, sessions: u64) -> Result<u64, Box<dyn std::error::Error>> {
    fs::create_dir(old)?;
    let mut index = serde_json::Map::new();
    let mut bytes = 0;
    for n in 0..sessions {
        let id = format!("{:012x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16);
        let begin = 1_700_000_000_000 + n * 60_000;
        let messages = (0..10).map(|m| {
            let role = if m % 2 == 0 { "user" } else { "assistant" };
            let text = format!("message {m} of session {n}: fix parse_config_{n}() in module_{} and 说明 why ", n % 97)
                .repeat(3);
            json!({"role": role, "text": text, "tsMs": begin + m})
        });
        let file = json!({
            "sessionId": id, "createdAtMs": begin, "updatedAtMs": begin + 9, "threadId": format!("thread-{n}"),
            "meta": {"title": format!("session {n}"), "cwd": "/tmp", "model": null, "threadId": format!("thread-{n}")},
            "history": messages.collect::<Vec<_>>(),
        });
        let file = serde_json::to_vec_pretty(&file)?;
        bytes += file.len() as u64;
        fs::write(old.join(format!("{id}.json")), file)?;
        let entry = json!({"createdAtMs": begin, "updatedAtMs": begin + 9, "title": format!("session {n}"),
            "titleLocked": false, "titleSource": ""});
        index.insert(id, entry);
    }
    fs::write(old.join("sessions.json"), serde_json::to_vec_pretty(&json!({"sessions": index}))?)?;
    Ok(bytes)
}
