//! Check 5: connections that do nothing do not stay.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    fake_codex_rig::{Rig, assert_calm, tcp},
    wire::{Call, Door, raw},
};

/// They wait at the same time.
#[tokio::test]
async fn what_does_not_come_is_not_waited_for() -> Result<()> {
    tokio::try_join!(heads_and_bodies(), a_body_at_a_stop())?;
    Ok(())
}

/// A stop does not wait longer than for a body.
async fn a_body_at_a_stop() -> Result<()> {
    let Rig { daemon, lab } = Rig::new(&["--no-auth"]).await?;
    let address = daemon.url.trim_start_matches("http://").to_owned();
    let mut half = TcpStream::connect(&address).await?;
    half.write_all(format!("POST /start HTTP/1.1\r\nHost: {address}\r\nContent-Length: 50\r\n\r\n{{").as_bytes())
        .await?;
    timeout(Duration::from_secs(30), daemon.stop()).await.context("it does not stop")??;
    assert!(!lab.store.join("daemon.json").exists());
    drop(half);
    Ok(())
}

async fn heads_and_bodies() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let door = rig.tcp();
    let Door::Tcp(address) = &door else { anyhow::bail!("not TCP") };
    let nothing = String::new();
    let half_head = format!("GET /sessions HTTP/1.1\r\nHost: {address}\r\nX-Slow");
    let half_body = format!(
        "POST /start HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{\"prompt\""
    );
    let half_chunk = format!(
        "POST /start HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n50\r\n{{\"pro"
    );
    let ended = async |request: &str, within: u64| {
        let begun = Instant::now();
        // However it ends: by an answer, by a close, by a reset.
        let end = timeout(Duration::from_secs(within + 10), raw(&door, request.as_bytes())).await;
        let came =
            end.with_context(|| format!("after {within} s and 10 more still open: {request:?}"))?.unwrap_or_default();
        let came = String::from_utf8_lossy(&came).into_owned();
        assert!(came.is_empty() || came.starts_with("HTTP/1.1 4"), "{request:?}: {came}");
        anyhow::Ok(begun.elapsed())
    };
    let (nothing, head, body, chunk) =
        tokio::join!(ended(&nothing, 10), ended(&half_head, 10), ended(&half_body, 30), ended(&half_chunk, 30));
    nothing?;
    head?;
    // Not so soon that an honest slow client would suffer.
    assert!(body? > Duration::from_secs(20) && chunk? > Duration::from_secs(20));
    assert_eq!(rig.daemon.get("/sessions").await?.body, serde_json::json!({"sessions": []}));
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_full_house_has_room_again() -> Result<()> {
    let rig = Rig::new(&["--no-auth", "--max-connections", "2"]).await?;
    let door = rig.tcp();
    let Door::Tcp(address) = &door else { anyhow::bail!("not TCP") };
    let mut guests = Vec::new();
    for _ in 0..2 {
        let mut guest = TcpStream::connect(address).await?;
        guest.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut some = [0_u8; 12];
        guest.read_exact(&mut some).await?;
        assert_eq!(&some, b"HTTP/1.1 200");
        guests.push(guest);
    }
    // What a third one hears is left open, but it is not served as long as the two stay.
    let third = timeout(Duration::from_secs(1), Call::get("/healthz").send(&door)).await;
    assert!(!matches!(third, Ok(Ok(answer)) if answer.status == 200), "a third connection was served");
    drop(guests);
    let daemon = &rig.daemon;
    eventually("room for another", async || {
        let answer = Call::get("/healthz").send(&tcp(daemon)).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await?;
    assert_calm(daemon);
    Ok(())
}
