//! The client's own stream, behind something that cuts its connections again and again.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use client::{Client, EventQuery, Told};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use types::EventId;

use crate::{fake_codex_rig::Rig, wire::Door};

/// So many connections are cut; those that come later are left alone.
const CUTS: usize = 60;

/// What stands between: hands on what comes, and hangs up after so many bytes of each answer.
async fn cutting(to: String) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        let mut chance = 7_u64;
        for n in 0.. {
            let Ok((near, _)) = listener.accept().await else { return };
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let most = if n < CUTS { 600 + (chance >> 33) % 2_500 } else { u64::MAX };
            let to = to.clone();
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(&to).await else { return };
                let ((mut near, mut back), (far, mut there)) = (near.into_split(), far.into_split());
                let asking = tokio::spawn(async move { tokio::io::copy(&mut near, &mut there).await });
                // Byte by byte a cut may be anywhere.
                let (mut far, mut piece) = (far.take(most), [0; 512]);
                while let Ok(count @ 1..) = far.read(&mut piece).await {
                    if back.write_all(&piece[..count]).await.is_err() {
                        break;
                    }
                }
                asking.abort();
            });
        }
    });
    Ok(url)
}

#[tokio::test]
async fn a_stream_that_is_cut_again_and_again_is_whole_to_who_reads_it() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let Door::Tcp(address) = rig.tcp() else { anyhow::bail!("by TCP") };
    let client = Client::tcp(&cutting(address.clone()).await?, None)?;
    let prompt = "RUN:echo one\nESCALATE:echo two\nSLOW:600:15";
    let made = rig.daemon.post("/v1/sessions", json!({ "prompt": prompt })).await?.body;
    let session = made["session"]["id"].as_str().context("no id")?.to_owned();
    let turn = made["turn"]["id"].as_str().context("no turn")?.to_owned();
    let which = |was_there| EventQuery {
        session: Some(session.clone()),
        after: Some(EventId(0)),
        patience: Duration::from_secs(60),
        was_there,
    };
    let mut events = client.events(which(true));
    let (mut ids, mut texts, mut lost, mut asked) = (Vec::new(), HashMap::<String, String>::new(), 0, 0);
    loop {
        match events.next().await? {
            Told::Event(event) => {
                ids.extend(event.id);
                if let Some(approval) =
                    event.approval().filter(|_| event.name.starts_with("approval.re") || event.id.is_none())
                    && approval.status == types::ApprovalStatus::Pending
                {
                    asked += 1;
                    rig.daemon.post(&format!("/v1/approvals/{}", approval.id), json!({"decision": "accept"})).await?;
                }
                if event.name == "turn.completed" {
                    break;
                }
            }
            Told::Text(text) => {
                let joined = texts.entry(text.item.to_string()).or_default();
                assert_eq!(text.offset, joined.len(), "each piece begins where the one before ended");
                joined.push_str(&text.text);
            }
            Told::Lost { .. } => lost += 1,
            Told::Connected { .. } => {}
            told => anyhow::bail!("{told:?}"),
        }
    }
    assert!(lost > 20, "only {lost} cuts: the turn was too short to tell anything");
    assert!(asked > 0, "the question was seen");
    // What somebody is told who was never cut.
    let mut whole = Client::tcp(&format!("http://{address}"), None)?.events(which(false));
    let mut all = Vec::new();
    loop {
        if let Told::Event(event) = whole.next().await? {
            all.extend(event.id);
            if event.name == "turn.completed" {
                break;
            }
        }
    }
    assert_eq!(ids, all, "each event once and in order");
    let ended = rig.daemon.get(&format!("/v1/turns/{turn}")).await?.body;
    let mut compared = 0;
    for item in ended["items"].as_array().context("no items")?.iter().filter(|item| item["kind"] == "agentMessage") {
        let id = item["id"].as_str().context("no id")?;
        if let Some(joined) = texts.get(id) {
            assert_eq!(Some(joined.as_str()), item["text"].as_str());
            compared += 1;
        }
    }
    ensure!(compared > 0, "no text was seen as it was written: {ended}");
    rig.assert_calm();
    Ok(())
}
