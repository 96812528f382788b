//! A page whose own name was made to point to us, and everything else that calls us by a name that is not ours.

use anyhow::Result;

use crate::{
    fake_codex_rig::Rig,
    table::{Case, address, assert_harmless, post},
};

const REFUSED: &[u16] = &[421];

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let port = address(&rig).split(':').nth(1).unwrap_or_default().to_owned();
    let mut cases: Vec<Case> = Vec::new();
    for host in [
        // The page's own name, also where it contains ours.
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1.nip.io",
        "localhost.evil.example",
        "evil.example:80@localhost",
        // The root's dot: another name to a browser, and so another origin.
        "localhost.",
        &format!("localhost.:{port}"),
        &format!("127.0.0.1.:{port}"),
        "[::1].",
        // Other ways to write an address, and addresses beside ours.
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.000.000.001",
        "0.0.0.0",
        &format!("0.0.0.0:{port}"),
        "127.0.0.2",
        "::1",
        &format!("::1:{port}"),
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1%lo]",
        "[::1%25lo]",
        "[::1",
        "[0:0:0:0:0:0:0:2]",
        // Nothing, and what is no name.
        "",
        " ",
        "localhost:",
        "localhost:0",
        "localhost:99999",
        "localhost:80:80",
        "localhost/",
        "http://localhost",
        "localhost, localhost",
        "local%68ost",
        "*",
    ] {
        cases.push(Case::start(&format!("Host: {host}\r\n"), REFUSED));
    }
    for headers in [
        // Repeated, in whatever order and case.
        format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"),
        format!("Host: evil.example\r\nHost: 127.0.0.1:{port}\r\n"),
        "Host: localhost\r\nhost: localhost\r\n".to_owned(),
        "Host: localhost\r\nHost:\r\n".to_owned(),
        // Not there. What a proxy adds is no Host.
        String::new(),
        "X-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n".to_owned(),
        "Host: evil.example\r\nX-Forwarded-Host: localhost\r\nX-Host: localhost\r\n".to_owned(),
    ] {
        cases.push(Case::start(&headers, REFUSED));
    }
    for (target, host) in [
        // Absolute form: both must name us.
        ("http://evil.example/start", "localhost"),
        ("http://localhost/start", "evil.example"),
        ("http://evil.example/start", "evil.example"),
        ("http://localhost./start", "localhost"),
        ("http://localhost@evil.example/start", "localhost"),
        ("http://evil.example@localhost/start", "localhost"),
        ("http://[::ffff:127.0.0.1]/start", "localhost"),
        ("https://evil.example/start", "localhost"),
    ] {
        cases.push(Case::new(format!("{target} {host}"), post(target, &format!("Host: {host}\r\n")), REFUSED));
    }
    cases.push(Case::line("CONNECT evil.example:443 HTTP/1.1", "localhost", REFUSED));
    // HTTP/1.0 need not have one, but here it must.
    let old =
        format!("POST /start HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", crate::table::BODY.len(), crate::table::BODY);
    cases.push(Case::new("HTTP/1.0 without Host", old, REFUSED));
    assert_harmless(&rig, &cases, "").await
}

#[tokio::test]
async fn odd_forms_of_our_own_names_are_ours() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    for host in ["LOCALHOST", "LocalHost:1", "[::1]", "[0:0:0:0:0:0:0:1]:65535", "127.0.0.1:80"] {
        let answer = crate::wire::Call::get("/sessions").host(host).send(&rig.tcp()).await?;
        assert_eq!(answer.status, 200, "{host}");
    }
    Ok(())
}
