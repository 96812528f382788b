//! The units, run as systemd would run them. That systemd understands them is for `cargo xtask service`.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, ensure};
use testkit::fake_codex;

use crate::systemd::{CODEXD, Systemd, get, run};

/// The settings of a unit, `Section.Key` to all of their values.
fn unit(name: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd").join(name);
    let text = std::fs::read_to_string(file)?;
    let (mut section, mut settings) = (String::new(), BTreeMap::<_, Vec<_>>::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else {
            let (key, value) = line.split_once('=').with_context(|| line.to_owned())?;
            settings.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
        }
    }
    Ok(settings)
}

fn only<'a>(unit: &'a BTreeMap<String, Vec<String>>, key: &str) -> Result<&'a str> {
    match unit.get(key).map(Vec::as_slice) {
        Some([one]) => Ok(one),
        other => anyhow::bail!("{key}: {other:?}"),
    }
}

#[test]
fn what_is_to_be_copied_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for name in ["systemd/codex-mcp-bridge.service", "systemd/codex-mcp-bridge.socket"] {
        let text = std::fs::read_to_string(root.join(name))?;
        let copied = text.lines().find_map(|line| line.split_once("cp ")?.1.split_whitespace().next());
        assert_eq!(copied, Some(name));
        assert!(root.join(name).is_file());
    }
    Ok(())
}

#[test]
fn the_service_says_what_matters() -> Result<()> {
    let unit = unit("codex-mcp-bridge.service")?;
    let must = [
        ("Service.Type", "notify"),
        // Codex's commands outlive a codexd that is replaced; codexd ends its Codex itself.
        ("Service.KillMode", "process"),
        ("Service.OOMPolicy", "continue"),
        ("Service.Restart", "on-failure"),
        ("Service.LoadCredential", "token:%h/.config/codex-mcp-bridge/token"),
        ("Install.WantedBy", "default.target"),
    ];
    for (key, value) in must {
        assert_eq!(only(&unit, key)?, value, "{key}");
    }
    let stop: u64 = only(&unit, "Service.TimeoutStopSec")?.parse()?;
    assert!(stop > 20, "codexd itself takes up to 20 s");
    let breaks_codex =
        ["NoNewPrivileges", "RestrictNamespaces", "SystemCallFilter", "ProtectHome", "PrivateTmp", "PrivateUsers"];
    for key in breaks_codex {
        assert!(!unit.contains_key(&format!("Service.{key}")), "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn the_service_runs_as_written() -> Result<()> {
    let systemd = Systemd::new().await?;
    let unit = unit("codex-mcp-bridge.service")?;
    let home = systemd.lab.dir.path().canonicalize()?.join("home");
    let credentials = systemd.lab.dir.path().join("credentials");
    std::fs::create_dir(&credentials)?;
    std::fs::write(credentials.join("token"), "of-the-unit\n")?;
    let plain = |text: &str| -> Result<Vec<String>> {
        let text = text.replace("%h", &home.to_string_lossy()).replace("%d", &credentials.to_string_lossy());
        ensure!(!text.contains(['%', '"', '\'', '$', '\\']), "more than this test understands: {text}");
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    let before = plain(only(&unit, "Service.ExecStartPre")?)?;
    let mut prepare = tokio::process::Command::new(&before[0]);
    prepare.args(&before[1..]);
    assert_eq!(run(prepare).await?.0, Some(0));

    let words = plain(only(&unit, "Service.ExecStart")?)?;
    assert_eq!(words[..2], ["/usr/bin/env", "codexd"]);
    let args: Vec<&str> = words[2..].iter().map(String::as_str).collect();
    let mut command = systemd.lab.command(&args);
    assert_eq!(command.as_std().get_program(), CODEXD);
    command.env("CODEXD_PORT", "0").env("CODEXD_CODEX_CMD", fake_codex()?);
    command.env("NOTIFY_SOCKET", systemd.lab.dir.path().join("notify"));
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let (service, _) = systemd.ready(&command, "", vec![]).await?;
    let url = systemd.daemon_json()?["http"].as_str().context("no address")?.to_owned();
    assert_eq!(get(&url, "/sessions", None).await?, 401);
    assert_eq!(get(&url, "/sessions", Some("of-the-unit")).await?, 200);
    service.stop().await
}

/// As systemd restarts it: one process ends, and another one begins.
#[tokio::test]
async fn a_restart_of_the_service_leaves_its_turns_running() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (service, _) = systemd.ready(&systemd.serve(&[])?, "", vec![]).await?;
    let (code, started) = systemd.cli(&["start", "--detach", "SLOW:200:50"]).await?;
    assert_eq!(code, Some(0), "{started}");
    let turn = started.split_whitespace().skip_while(|word| *word != "turn").nth(1).context(started.clone())?;
    let codex = async || -> Result<String> {
        let (_, agent) = systemd.cli(&["agent", "--json"]).await?;
        let pid = agent.split("\"pid\":").nth(1).and_then(|rest| rest.split(',').next());
        Ok(pid.context(agent.clone())?.to_owned())
    };
    testkit::eventually("the turn to be with Codex", async || {
        let (_, shown) = systemd.cli(&["turn", "show", turn, "--json"]).await.ok()?;
        shown.contains("\"delivery\":\"yes\"").then_some(())
    })
    .await?;
    let before = codex().await?;
    service.stop().await?;
    while systemd.try_hear().is_some() {}
    let (service, _) = systemd.ready(&systemd.serve(&[])?, "", vec![]).await?;
    let (code, answer) = systemd.cli(&["turn", "wait", turn]).await?;
    assert_eq!((code, answer.contains(" 200\n")), (Some(0), true), "{answer}");
    assert_eq!(codex().await?, before, "the one that was there");
    service.stop().await
}

#[tokio::test]
async fn the_socket_is_where_codexd_would_listen() -> Result<()> {
    let unit = unit("codex-mcp-bridge.socket")?;
    let address: SocketAddr = only(&unit, "Socket.ListenStream")?.parse()?;
    assert!(address.ip().is_loopback());
    let systemd = Systemd::new().await?;
    let (_, help) = systemd.cli(&["serve", "--help"]).await?;
    assert!(help.contains(&format!("[default: {}]", address.port())), "{help}");
    assert_eq!(only(&unit, "Install.WantedBy")?, "sockets.target");
    Ok(())
}
