//! Long polls: a thousand at once, none that is forgotten, none that outlives its client.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    fake_codex_rig::Rig,
    wire::{Call, Door},
};

/// So many, over the one connection each that they need.
const WAITERS: usize = 1_000;

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default()
}

fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The processor time that a process has used, in ticks.
fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

async fn hanging(rig: &Rig) -> Result<String> {
    let started = rig.daemon.post("/v1/sessions", json!({"prompt": "HANG"})).await?;
    let turn = started.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    eventually("the turn to run", async || {
        let turn = rig.daemon.get(&format!("/v1/turns/{turn}")).await.ok()?;
        (turn.body["status"] == "running").then_some(())
    })
    .await?;
    Ok(turn)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_wait_for_one_turn_and_cost_next_to_nothing() -> Result<()> {
    // The soft limit that most systems begin with would not do.
    let rig = Rig::with(&["--no-auth", "--max-connections", "1100"], &[]).await?;
    let pid = rig.daemon.pid;
    let turn = hanging(&rig).await?;
    let Door::Tcp(address) = rig.tcp() else { unreachable!("by TCP") };
    let request = format!("GET /v1/turns/{turn}?wait=600 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let before = (open_files(pid), resident_kib(pid).context("no status")?);
    let mut waiting = Vec::new();
    for _ in 0..WAITERS {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(request.as_bytes()).await?;
        waiting.push(stream);
    }
    eventually("all of them to be there", async || (open_files(pid) >= before.0 + WAITERS).then_some(())).await?;
    // Somebody else is served meanwhile, and waiting takes no processor time of note.
    let (began, used) = (std::time::Instant::now(), ticks(pid).context("no stat")?);
    let mut asked = 0_u64;
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(rig.daemon.get("/healthz").await?.status, 200);
        asked += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(asked > 2, "answered while they wait");
    let spent = ticks(pid).context("no stat")? - used;
    assert!(spent < 50, "{spent} ticks of processor time in a second of waiting");
    let grown = resident_kib(pid).context("no status")?.saturating_sub(before.1);
    assert!(grown < 64 * 1024, "{grown} KiB more for {WAITERS} waiters");

    // Half of them go away: what they had is given back.
    waiting.truncate(WAITERS / 2);
    eventually("their connections to go", async || (open_files(pid) < before.0 + WAITERS / 2 + 50).then_some(()))
        .await?;

    // The turn ends, because its session goes: the others are told.
    let session = rig.daemon.get(&format!("/v1/turns/{turn}")).await?.body["sessionId"].clone();
    let session = session.as_str().context("no session")?.to_owned();
    let gone = rig.daemon.request("DELETE", &format!("/v1/sessions/{session}"), None).await?;
    assert_eq!(gone.status, 204, "{gone:?}");
    for mut stream in waiting {
        let mut head = [0_u8; 12];
        tokio::time::timeout(Duration::from_secs(60), stream.read_exact(&mut head)).await??;
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head == "HTTP/1.1 200" || head == "HTTP/1.1 404", "{head}");
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn waiting_ends_with_the_turn_or_with_its_time() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let turn = hanging(&rig).await?;
    let reply = Call::get(&format!("/v1/turns/{turn}?wait=1")).ask(&rig.tcp()).await?;
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("running")));
    let done = rig.daemon.post("/v1/sessions?wait=60", json!({"prompt": "SAY:done"})).await?;
    assert_eq!((done.status, &done.body["turn"]["answer"]), (201, &json!("done")), "{done:?}");
    let session = done.body["session"]["id"].as_str().context("no id")?.to_owned();
    let path = format!("/v1/sessions/{session}/turns");
    let seen = rig.daemon.post(&format!("{path}?wait=60"), json!({"prompt": "SAY:seen"})).await?;
    assert_eq!((seen.status, &seen.body["turn"]["status"]), (200, &json!("completed")), "{seen:?}");
    let not = rig.daemon.post(&path, json!({"prompt": "SAY:not"})).await?;
    assert_eq!(not.status, 202, "{not:?}");
    for wait in ["601", "-1", "x", "1.5", ""] {
        let reply = Call::get(&format!("/v1/turns/{turn}?wait={wait}")).ask(&rig.tcp()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("BAD_REQUEST")), "{wait}: {reply:?}");
    }
    Ok(())
}

/// Whether the daemon has read everything that came by its one TCP connection.
fn all_read(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is = |at: usize, test: &dyn Fn(&str) -> bool| fields.get(at).is_some_and(|field| test(field));
        // Established, and nothing waits to be read.
        is(1, &|field| field.ends_with(&local))
            && is(3, &|field| field == "01")
            && is(4, &|field| field.ends_with(":00000000"))
    })
}

#[tokio::test]
async fn a_stop_answers_who_waits() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let turn = hanging(&rig).await?;
    let Door::Tcp(address) = rig.tcp() else { unreachable!("by TCP") };
    let port = address.rsplit_once(':').context("no port")?.1.parse()?;
    let mut waiting = TcpStream::connect(&address).await?;
    let request = format!("GET /v1/turns/{turn}?wait=600 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    waiting.write_all(request.as_bytes()).await?;
    eventually("it to be heard", async || all_read(port).then_some(())).await?;
    let Rig { daemon, lab: _lab } = rig;
    daemon.stop().await?;
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await?;
    // It goes on without this daemon.
    let running = answer.starts_with("HTTP/1.1 200") && answer.contains("\"status\":\"running\"");
    let stopping = answer.starts_with("HTTP/1.1 503") && answer.contains("SHUTTING_DOWN");
    assert!(running || stopping, "{answer}");
    Ok(())
}
