//! What codexd tells a service manager.

use anyhow::{Context as _, Result};
use testkit::eventually;
use tokio::net::TcpListener;

use crate::systemd::{FOR_ME, Systemd, get};

#[tokio::test]
async fn it_is_ready_when_it_answers_and_says_when_it_stops() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (mut service, word) = systemd.ready(&systemd.serve(&[])?, "", vec![]).await?;
    // At this moment, with no second try.
    let daemon = systemd.daemon_json()?;
    let url = daemon["http"].as_str().context("no address")?;
    assert_eq!(get(url, "/healthz", None).await?, 200);
    let lines: Vec<&str> = word.lines().collect();
    assert!(lines.contains(&format!("MAINPID={}", service.pid).as_str()), "{word}");
    let status = lines.iter().find_map(|line| line.strip_prefix("STATUS=")).context("no status")?;
    assert!(status.contains(url) && status.contains("codexd.sock"), "{status}");

    service.terminate().await?;
    assert!(systemd.heard().await?.lines().any(|line| line == "STOPPING=1"));
    assert!(service.ended().await?.success(), "{}", service.log());
    assert_eq!(systemd.try_hear(), None);
    Ok(())
}

#[tokio::test]
async fn one_that_does_not_come_up_is_never_ready() -> Result<()> {
    let systemd = Systemd::new().await?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let port = taken.local_addr()?.port().to_string();
    let (code, log) = systemd.refused(&systemd.serve(&["--port", &port])?, "", vec![]).await?;
    assert!(code == 1 && log.contains(&port), "{code}: {log}");
    Ok(())
}

#[tokio::test]
async fn a_watchdog_hears_that_it_runs() -> Result<()> {
    let systemd = Systemd::new().await?;
    let mut command = systemd.serve(&[])?;
    command.env("WATCHDOG_USEC", "100000");
    let (service, _) = systemd.ready(&command, "export WATCHDOG_PID=$$; ", vec![]).await?;
    for _ in 0..3 {
        assert_eq!(systemd.heard().await?.trim_end(), "WATCHDOG=1");
    }
    service.stop().await
}

#[tokio::test]
async fn a_watchdog_of_another_process_does_not() -> Result<()> {
    let systemd = Systemd::new().await?;
    let mut command = systemd.serve(&[])?;
    // So short that it would hear it many times.
    command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let (mut service, _) = systemd.ready(&command, "", vec![]).await?;
    eventually("Codex", async || (!systemd.codexes().ok()?.is_empty()).then_some(())).await?;
    service.terminate().await?;
    assert!(systemd.heard().await?.contains("STOPPING=1"));
    assert!(service.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_manager_that_does_not_read_keeps_it_from_nothing() -> Result<()> {
    let systemd = Systemd::new().await?;
    systemd.stop_reading()?;
    let mut command = systemd.serve(&[])?;
    command.env("WATCHDOG_USEC", "1000");
    let service = systemd.start(&command, "", vec![])?;
    let daemon = eventually("it to listen", async || systemd.daemon_json().ok()).await?;
    assert_eq!(get(daemon["http"].as_str().context("no address")?, "/healthz", None).await?, 200);
    eventually("it to complain", async || service.log().contains("NOTIFY_SOCKET").then_some(())).await?;
    service.stop().await
}

#[tokio::test]
async fn a_manager_that_is_gone_keeps_it_from_nothing() -> Result<()> {
    let systemd = Systemd::new().await?;
    let mut command = systemd.serve(&[])?;
    command.env("NOTIFY_SOCKET", systemd.lab.dir.path().join("nobody"));
    let service = systemd.start(&command, "", vec![])?;
    eventually("it to complain", async || service.log().contains("NOTIFY_SOCKET").then_some(())).await?;
    assert_eq!(systemd.cli(&["status"]).await?.0, Some(0));
    service.stop().await
}

#[tokio::test]
async fn what_the_manager_says_is_not_for_codex() -> Result<()> {
    let systemd = Systemd::new().await?;
    let credentials = systemd.lab.dir.path().join("credentials");
    std::fs::create_dir(&credentials)?;
    std::fs::write(credentials.join("token"), "from-a-credential\n")?;
    let file = credentials.join("token");
    let mut command = systemd.serve(&["--token-file", file.to_str().context("not UTF-8")?])?;
    command.env("WATCHDOG_USEC", "60000000").env("CREDENTIALS_DIRECTORY", &credentials);
    command.env("CODEXD_TOKEN", "from-the-environment").env("LISTEN_PIDFDID", "1").env("OF_THE_USER", "kept");
    let given = TcpListener::bind("127.0.0.1:0").await?;
    let given = vec![given.into_std()?.into()];
    let shell = format!("{FOR_ME}export WATCHDOG_PID=$$; ");
    let (service, _) = systemd.ready(&command, &shell, given).await?;
    let started = eventually("Codex", async || systemd.codexes().ok()?.into_iter().next()).await?;
    let names: Vec<&str> =
        started["env"].as_array().context("no names")?.iter().filter_map(|name| name.as_str()).collect();
    assert!(names.contains(&"OF_THE_USER"), "{names:?}");
    let beginnings = ["NOTIFY_", "LISTEN_", "WATCHDOG_", "CREDENTIALS_", "CODEXD_"];
    let told: Vec<_> =
        names.iter().filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning))).collect();
    // The mark by which its processes are found is not systemd's.
    assert_eq!(told, [&"CODEXD_AGENT"]);
    let url = systemd.daemon_json()?["http"].as_str().context("no address")?.to_owned();
    assert_eq!(get(&url, "/sessions", None).await?, 401);
    assert_eq!(get(&url, "/sessions", Some("from-a-credential")).await?, 200);
    service.stop().await
}
