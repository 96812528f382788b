//! More than there is room for: bodies with and without an end, heads, targets.

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    fake_codex_rig::Rig,
    table::{Case, address, answers, assert_harmless, assert_untouched},
};

#[tokio::test]
async fn what_is_too_large_is_refused() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let head =
        |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    let body = format!(r#"{{"prompt": "{}"}}"#, "x".repeat(300_000));
    let json = "Content-Type: application/json\r\n";
    let said = |line: &str, length: usize| head(line, &format!("{json}Content-Length: {length}\r\n"));
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let cases = [
        Case::new("a body", format!("{}{body}", said("POST /start", body.len())), &[413]),
        Case::new("a body of v1", format!("{}{body}", said("POST /v1/sessions", body.len())), &[413]),
        Case::new("a body where none is wanted", format!("{}{body}", said("GET /metrics", body.len())), &[413]),
        Case::new("a body where there is nothing", format!("{}{body}", said("POST /nothing", body.len())), &[413]),
        Case::new("a length alone", said("POST /start", 10_000_000_000), &[413]),
        Case::new(
            "a length that waits to be asked",
            head("POST /start", &format!("{json}Content-Length: 300000\r\nExpect: 100-continue\r\n")),
            &[413],
        ),
        Case::new("a header", head("POST /start", &format!("X: {}\r\n", "x".repeat(1 << 20))), &[431]),
        Case::new("many headers", head("POST /start", &many), &[431]),
        Case::new("a Host", format!("GET /sessions HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(1 << 20)), &[431]),
        Case::new(
            "a token",
            head("GET /sessions", &format!("Authorization: Bearer {}\r\n", "x".repeat(1 << 20))),
            &[431],
        ),
        Case::new("a target", head(&format!("GET /{}", "x".repeat(1 << 20)), ""), &[414, 431]),
        Case::new("a query", head(&format!("GET /v1/sessions?cursor={}", "x".repeat(60_000)), ""), &[400, 414]),
        Case::new("a method", head(&format!("{} /start", "X".repeat(1 << 20)), ""), &[400, 431]),
    ];
    assert_harmless(&rig, &cases, "").await
}

/// Nobody has to read what never ends: the answer comes once it is too much, and the connection ends while the peer still writes.
#[tokio::test]
async fn chunks_without_an_end_are_cut_off() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    for (path, framing) in [
        ("/start", "Transfer-Encoding: chunked"),
        ("/v1/sessions", "Transfer-Encoding: chunked"),
        ("/start", "Content-Length: 9000000000000"),
    ] {
        let mut stream = TcpStream::connect(&host).await?;
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let (mut reader, mut writer) = stream.into_split();
        let writing = tokio::spawn(async move {
            let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
            let mut sent = 0_u64;
            while writer.write_all(chunk.as_bytes()).await.is_ok() {
                sent += chunk.len() as u64;
            }
            sent
        });
        let mut came = Vec::new();
        // A reset behind the answer is an end as well.
        let _ = reader.read_to_end(&mut came).await;
        let text = String::from_utf8_lossy(&came).into_owned();
        assert_eq!(answers(&text), [413], "{path} {framing}: {text}");
        let sent = writing.await.context("the writer")?;
        assert!(sent < 512 << 20, "{path} {framing}: {sent} bytes went through");
    }
    assert_untouched(&rig)?;
    rig.assert_calm();
    Ok(())
}
