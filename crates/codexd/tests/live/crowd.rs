//! Five hundred readers that never read cost nobody anything.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    fake_codex_rig::Rig,
    sse::{Client, Stream},
};

const CROWD: usize = 500;
const DELTAS: usize = 20_000;

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_costs_no_memory_and_holds_nobody_up() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let (door, pid) = (rig.tcp(), rig.daemon.pid);
    // One turn before, so that what is measured is the crowd.
    rig.daemon.start("SAY:warm").await?;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(Stream::open(&door, "/v1/events", None).await?);
    }
    let before = resident_kib(pid).context("no status")?;
    let mut good = Stream::open(&door, "/v1/events", None).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": format!("SLOW:{DELTAS}:0")})).await?;
    let turn = made.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    let mut client = Client::default();
    while !client.names.iter().any(|name| name == "turn.completed") {
        client.hear(&good.next().await?.context("the stream ended")?);
    }
    let after = resident_kib(pid).context("no status")?;
    let ended = rig.daemon.get(&format!("/v1/turns/{turn}")).await?.body;
    let items = ended["items"].as_array().context("no items")?;
    let answer = items.iter().find(|item| item["kind"] == "agentMessage").context("no answer")?;
    let joined = client.texts.get(answer["id"].as_str().unwrap_or_default());
    assert_eq!(joined.map(String::as_str), answer["text"].as_str());
    assert!(answer["text"].as_str().is_some_and(|text| text.split(' ').count() == DELTAS));
    assert!(after.saturating_sub(before) < 20 * 1024, "{before} KiB grew to {after} KiB");
    drop(crowd);
    rig.assert_calm();
    Ok(())
}
