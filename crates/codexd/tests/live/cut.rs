//! A stream that is cut again and again misses nothing and repeats nothing.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    fake_codex_rig::Rig,
    sse::{Client, Stream},
    wire::Door,
};

const LONG: &str = "RUN:echo one\nESCALATE:echo two\nSLOW:2500:4";

/// So many times it is cut.
const CUTS: usize = 200;

async fn approve_all(rig: &Rig) -> Result<()> {
    let open = rig.daemon.get("/v1/approvals?status=pending").await?.body;
    for approval in open["approvals"].as_array().into_iter().flatten() {
        let id = approval["id"].as_str().context("no id")?;
        // Somebody else, and not the one who watches.
        rig.daemon.post(&format!("/v1/approvals/{id}"), json!({"decision": "accept"})).await?;
    }
    Ok(())
}

/// All that there is of a session, in one go.
async fn whole(door: &Door, path: &str) -> Result<Client> {
    let (mut stream, mut client) = (Stream::open(door, path, Some(0)).await?, Client::default());
    while !client.names.iter().any(|name| name == "turn.completed") {
        client.hear(&stream.next().await?.context("the stream ended")?);
    }
    Ok(client)
}

#[tokio::test]
async fn two_hundred_cuts_lose_nothing_and_repeat_nothing() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": LONG})).await?;
    let session = made.body["session"]["id"].as_str().context("no id")?.to_owned();
    let turn = made.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    let path = format!("/v1/sessions/{session}/events");
    let (door, mut client, mut cuts) = (rig.tcp(), Client::default(), 0);
    let mut chance = 1_u64;
    while !client.names.iter().any(|name| name == "turn.completed") {
        let mut stream = Stream::open(&door, &path, Some(client.last())).await?;
        approve_all(&rig).await?;
        // Some pieces, then it breaks, until it has broken often enough.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pieces = if cuts < CUTS { (chance >> 33) % 6 } else { u64::MAX };
        for _ in 0..pieces {
            let Some(frame) = stream.next().await? else { break };
            client.hear(&frame);
            if frame.name == "approval.requested" || frame.name == "approval.pending" {
                approve_all(&rig).await?;
            }
            if frame.name == "turn.completed" {
                break;
            }
        }
        cuts += 1;
    }
    assert!(cuts > CUTS, "only {cuts} cuts: the turn was too short to tell anything");
    let all = whole(&door, &path).await?;
    assert_eq!(client.events, all.events);
    assert_eq!(client.names, all.names);
    let answer = rig.daemon.get(&format!("/v1/turns/{turn}")).await?.body;
    assert_eq!(answer["status"], "completed", "{answer}");
    for item in answer["items"].as_array().context("no items")? {
        let (Some(id), Some(text)) = (item["id"].as_str(), item["text"].as_str()) else { continue };
        if let Some(joined) = client.texts.get(id) {
            assert!(text.starts_with(joined.as_str()), "{joined:?} of {text:?}");
        }
    }
    assert_eq!(client.asked.len(), 1, "the question was seen");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn who_watches_from_the_beginning_joins_the_whole_answer_and_sees_the_order() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    let mut stream = Stream::open(&door, "/v1/events", None).await?;
    let first = stream.next().await?.context("nothing")?;
    assert_eq!((first.name.as_str(), first.id), ("server.connected", None));
    assert!(first.data["storeEpoch"].is_string() && first.data["lastId"].is_i64(), "{first:?}");
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "SLOW:60:2"})).await?;
    let turn = made.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    let mut client = Client::default();
    while !client.names.iter().any(|name| name == "turn.completed") {
        client.hear(&stream.next().await?.context("the stream ended")?);
    }
    let names: Vec<&str> = client.names.iter().map(String::as_str).collect();
    let place =
        |name: &str| names.iter().position(|other| *other == name).with_context(|| format!("{name} in {names:?}"));
    let order = ["session.created", "turn.queued", "turn.started", "turn.delivered", "item.started", "turn.completed"];
    for pair in order.windows(2) {
        assert!(place(pair[0])? < place(pair[1])?, "{pair:?} in {names:?}");
    }
    let ended = rig.daemon.get(&format!("/v1/turns/{turn}")).await?.body;
    let items = ended["items"].as_array().context("no items")?;
    let answer = items.iter().find(|item| item["kind"] == "agentMessage").context("no answer")?;
    let joined = client.texts.get(answer["id"].as_str().unwrap_or_default()).map(String::as_str);
    assert_eq!(joined, answer["text"].as_str(), "joined deltas are the answer");
    Ok(())
}

#[tokio::test]
async fn a_number_of_another_store_is_told_so_and_a_stop_closes_streams() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    let mut stream = Stream::open(&door, "/v1/events", Some(1_000_000)).await?;
    assert_eq!(stream.next().await?.map(|frame| frame.name).as_deref(), Some("server.connected"));
    assert_eq!(stream.next().await?.map(|frame| frame.name).as_deref(), Some("stream.reset"));
    let began = std::time::Instant::now();
    let Rig { daemon, lab: _lab } = rig;
    daemon.stop().await?;
    let mut names: Vec<String> = Vec::new();
    while let Some(frame) = stream.next().await? {
        names.push(frame.name);
    }
    assert_eq!(names.last().map(String::as_str), Some("server.closing"), "{names:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(15), "a stop does not wait for readers");
    Ok(())
}

#[tokio::test]
async fn what_is_no_number_is_refused() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for path in ["/v1/events?after=x", "/v1/events?after=-1", "/v1/events?before=1"] {
        let reply = crate::wire::Call::get(path).ask(&rig.tcp()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (400, &Value::from("BAD_REQUEST")), "{path} {reply:?}");
    }
    let none = crate::wire::Call::get("/v1/sessions/none/events").ask(&rig.tcp()).await?;
    assert_eq!(none.status, 404);
    Ok(())
}
