//! Listeners that the service manager opened.

use std::{
    net::TcpListener,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream},
    },
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::systemd::{FOR_ME, Systemd, get};

fn listener(address: &str) -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind(address)?;
    let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
    Ok((listener, url))
}

/// Another handle of the same listener: systemd keeps its own.
fn give(listener: &TcpListener) -> Result<Vec<OwnedFd>> {
    Ok(vec![listener.try_clone()?.into()])
}

#[tokio::test]
async fn a_given_listener_is_served_in_the_place_of_the_port() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (listener, url) = listener("127.0.0.1:0")?;
    // Nobody may bind port 1; nobody tries.
    let command = systemd.serve(&["--token", "secret", "--port", "1"])?;
    let (service, word) = systemd.ready(&command, FOR_ME, give(&listener)?).await?;
    assert!(word.contains(&url), "{word}");
    assert_eq!(get(&url, "/sessions", Some("secret")).await?, 200);
    assert_eq!(get(&url, "/sessions", None).await?, 401);
    assert_eq!(systemd.daemon_json()?["http"], url.as_str());
    assert_eq!(systemd.cli(&["sessions"]).await?.0, Some(0), "the store's own socket is there as well");
    service.stop().await
}

#[tokio::test]
async fn connections_wait_while_codexd_is_replaced() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (listener, url) = listener("127.0.0.1:0")?;
    let command = systemd.serve(&["--no-auth"])?;
    let (first, _) = systemd.ready(&command, FOR_ME, give(&listener)?).await?;
    first.stop().await?;
    assert!(systemd.heard().await?.contains("STOPPING=1"));
    let asked = tokio::spawn(async move { get(&url, "/sessions", None).await });
    let (second, _) = systemd.ready(&command, FOR_ME, give(&listener)?).await?;
    assert_eq!(asked.await??, 200);
    second.stop().await
}

#[tokio::test]
async fn a_given_address_that_others_reach_needs_a_token() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (listener, url) = listener("0.0.0.0:0")?;
    for flags in [&[][..], &["--no-auth"]] {
        let (code, log) = systemd.refused(&systemd.serve(flags)?, FOR_ME, give(&listener)?).await?;
        assert!(code == 64 && log.contains("token") && log.contains("0.0.0.0"), "{flags:?}: {code}: {log}");
    }
    let (service, _) = systemd.ready(&systemd.serve(&["--token", "secret"])?, FOR_ME, give(&listener)?).await?;
    assert_eq!(get(&url, "/sessions", None).await?, 401);
    assert_eq!(get(&url, "/sessions", Some("secret")).await?, 200);
    service.stop().await
}

#[tokio::test]
async fn a_given_unix_socket_takes_the_place_of_the_stores() -> Result<()> {
    let systemd = Systemd::new().await?;
    let path = systemd.lab.dir.path().canonicalize()?.join("given.sock");
    let listener = UnixListener::bind(&path)?;
    let (tcp, url) = self::listener("127.0.0.1:0")?;
    let given = vec![listener.try_clone()?.into(), tcp.try_clone()?.into()];
    let (service, _) = systemd.ready(&systemd.serve(&["--no-auth"])?, FOR_ME, given).await?;
    let daemon = systemd.daemon_json()?;
    assert_eq!((&daemon["socket"], &daemon["http"]), (&Value::from(path.to_str()), &Value::from(url.as_str())));
    assert!(!systemd.lab.store.join("codexd.sock").exists());
    let (code, text) = systemd.cli(&["start", "SAY:by the given socket"]).await?;
    assert!(code == Some(0) && text.contains("by the given socket"), "{code:?}: {text}");
    assert_eq!(get(&url, "/sessions", None).await?, 200);
    service.stop().await?;
    // It is not ours to remove, and whoever connects now waits for the next one.
    UnixStream::connect(&path).context("the socket is gone")?;
    Ok(())
}

#[tokio::test]
async fn listeners_of_another_process_are_left_alone() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (listener, url) = listener("127.0.0.1:0")?;
    for shell in ["export LISTEN_PID=1; ", "unset LISTEN_PID; "] {
        let (service, _) = systemd.ready(&systemd.serve(&[])?, shell, give(&listener)?).await?;
        assert_ne!(systemd.daemon_json()?["http"], url.as_str(), "{shell}");
        service.stop().await?;
        assert!(systemd.heard().await?.contains("STOPPING=1"));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_listener_of_ours_is_refused() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (listener, _) = listener("127.0.0.1:0")?;
    let (another, _) = self::listener("127.0.0.1:0")?;
    let nameless =
        UnixListener::bind_addr(&UnixAddress::from_abstract_name(format!("codexd-{}", std::process::id()))?)?;
    let (connected, _other_end) = UnixStream::pair()?;
    let given: [(Vec<OwnedFd>, &str); 5] = [
        (vec![std::fs::File::open("/dev/null")?.into()], "neither"),
        (vec![std::net::UdpSocket::bind("127.0.0.1:0")?.into()], "neither"),
        (vec![listener.into(), another.into()], "second"),
        (vec![nameless.into()], "without a path"),
        (vec![connected.into()], "does not listen"),
    ];
    for (given, word) in given {
        let (code, log) = systemd.refused(&systemd.serve(&["--no-auth"])?, FOR_ME, given).await?;
        assert!(code == 64 && log.contains(word) && !log.contains("panicked"), "{word}: {code}: {log}");
    }
    Ok(())
}
