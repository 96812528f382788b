//! Slowloris: connections that never come to the point.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    fake_codex_rig::{Rig, assert_answered},
    table::{address, answers, assert_untouched},
    wire::Call,
};

const CROWD: usize = 200;

/// How long a head may take (`serve.rs`), and what a busy machine may add to that.
const LIMIT: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(15);

/// How many connections the daemon counts.
async fn connections(rig: &Rig) -> Result<usize> {
    let metrics = rig.daemon.get("/metrics").await?.body;
    let text = metrics.as_str().context("no metrics")?;
    let line = text.lines().find(|line| line.starts_with("codexd_connections")).context("no such metric")?;
    Ok(line.rsplit(' ').next().context("no number")?.parse::<f64>()? as usize)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_heads_without_an_end_are_cut_and_hold_nobody_up() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let begun = Instant::now();
    let mut crowd = JoinSet::new();
    for n in 0..CROWD {
        let host = host.clone();
        crowd.spawn(async move {
            let mut stream = TcpStream::connect(&host).await?;
            let head = format!("POST /start HTTP/1.1\r\nHost: {host}\r\nContent-Length: 24\r\nX-Slow: ");
            // A third says nothing at all, a third begins and stops, and a third goes on and on, a byte at a time.
            match n % 3 {
                0 => {}
                1 => stream.write_all(head.as_bytes()).await?,
                _ => {
                    stream.write_all(head.as_bytes()).await?;
                    let (mut reader, mut writer) = stream.into_split();
                    let dribble = async {
                        while writer.write_all(b"x").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(200)).await;
                        }
                        std::future::pending::<()>().await;
                    };
                    let mut came = Vec::new();
                    tokio::select! {
                        _ = reader.read_to_end(&mut came) => {}
                        () = dribble => {}
                    }
                    return anyhow::Ok((came, begun.elapsed()));
                }
            }
            let mut came = Vec::new();
            let _ = stream.read_to_end(&mut came).await;
            Ok((came, begun.elapsed()))
        });
    }
    testkit::eventually("all of them to be connected", async || (connections(&rig).await.ok()? >= CROWD).then_some(()))
        .await?;
    assert_untouched(&rig)?;

    // Others are served in the meantime, by the same door.
    let mut served = 0;
    while crowd.len() == CROWD && served < 20 {
        let call = Call::post("/start", json!({"prompt": "SAY:meanwhile"}).to_string());
        let reply = timeout(LIMIT, call.ask(&rig.tcp())).await.context("held up by the crowd")??;
        assert_answered(&reply, "meanwhile");
        served += 1;
    }
    assert!(served > 0, "the crowd was gone before anybody else came");

    while let Some(ended) = crowd.join_next().await {
        let (came, after) = ended??;
        let text = String::from_utf8_lossy(&came).into_owned();
        ensure!(answers(&text).iter().all(|status| *status == 408), "an answer to half a head: {text}");
        ensure!(after < LIMIT + SLACK, "one was held for {after:?}");
    }
    testkit::eventually("their places to be free", async || (connections(&rig).await.ok()? < 10).then_some(())).await?;
    rig.assert_calm();
    Ok(())
}
