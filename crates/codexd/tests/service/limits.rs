//! How many files codexd may have open.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::eventually;

use crate::systemd::Systemd;

/// The soft and the hard limit of a process.
fn open_files(pid: &str) -> Result<(u64, u64)> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("no such limit")?;
    let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
    Ok((numbers.next().context("no soft limit")?, numbers.next().context("no hard limit")?))
}

#[tokio::test]
async fn the_soft_limit_is_raised_and_not_too_far() -> Result<()> {
    let (_, hard) = open_files("self")?;
    let systemd = Systemd::new().await?;
    for (shell, expected) in [
        ("ulimit -Sn 256; ", (hard.min(65_536), hard)),
        // The operator's hard limit stays.
        ("ulimit -Sn 256; ulimit -Hn 512; ", (512, 512)),
    ] {
        let (service, _) = systemd.ready(&systemd.serve(&[])?, shell, vec![]).await?;
        assert_eq!(open_files(&service.pid.to_string())?, expected, "{shell}");
        let codex = eventually("Codex", async || systemd.codexes().ok()?.pop()).await?;
        let pid = codex["pid"].to_string();
        assert!(open_files(&pid)?.0 <= 65_536, "what Codex and its commands inherit");
        service.stop().await?;
        assert!(systemd.heard().await?.contains("STOPPING=1"));
        std::fs::remove_file(systemd.journal())?;
    }
    Ok(())
}

#[tokio::test]
async fn many_connections_need_no_setting() -> Result<()> {
    let (_, hard) = open_files("self")?;
    assert!(hard >= 1024, "this machine allows {hard} open files, too few to try");
    let systemd = Systemd::new().await?;
    let (service, _) = systemd.ready(&systemd.serve(&["--no-auth"])?, "ulimit -Sn 64; ", vec![]).await?;
    let url = systemd.daemon_json()?["http"].as_str().context("no address")?.to_owned();
    let address = url.trim_start_matches("http://");
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(tokio::net::TcpStream::connect(address).await?);
    }
    let client = client::Client::tcp(&url, None)?;
    let body = json!({"prompt": "SAY:still here"}).to_string().into();
    let limit = std::time::Duration::from_secs(60);
    let (status, answer) = client.request("POST".parse()?, "/start", Some(body), limit).await?;
    assert_eq!(status.as_u16(), 200);
    assert!(String::from_utf8_lossy(&answer).contains("still here"));
    drop(silent);
    service.stop().await
}
