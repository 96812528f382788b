//! What a page of another origin can make a browser send: simple posts, which no preflight precedes, preflights, websockets.

use anyhow::Result;

use crate::{
    fake_codex_rig::Rig,
    table::{BODY, Case, address, assert_harmless},
};

fn posted(host: &str, headers: &str) -> String {
    let length = BODY.len();
    format!(
        "POST /start HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{BODY}"
    )
}

#[tokio::test]
async fn a_foreign_origin_is_refused_whatever_it_sends() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let port = host.split(':').nth(1).unwrap_or_default().to_owned();
    let mut cases = Vec::new();
    for origin in [
        "null",
        "",
        "http://evil.example",
        "https://evil.example",
        "file://",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        &format!("http://localhost:{port}"),
        &format!("https://{host}"),
        &format!("http://{host}."),
        &format!("http://{host}/"),
        &format!("HTTP://{host}"),
        &format!("http://{host}.evil.example"),
        &format!("http://evil@{host}"),
        &format!("http://{host}, http://evil.example"),
        "chrome-extension://abcdefghijklmnop",
    ] {
        // CORS-simple: no preflight comes before these.
        for media in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]
        {
            let headers = format!("Origin: {origin}\r\nContent-Type: {media}\r\n");
            cases.push(Case::new(format!("{origin:?} {media}"), posted(&host, &headers), &[403]));
        }
    }
    for headers in [
        format!("Origin: http://{host}\r\nOrigin: http://evil.example\r\n"),
        format!("Origin: http://{host}\r\norigin: http://{host}\r\n"),
        "Origin: null\r\nReferer: http://localhost/\r\nSec-Fetch-Site: same-origin\r\n".to_owned(),
    ] {
        cases.push(Case::new(headers.escape_debug().to_string(), posted(&host, &headers), &[403]));
    }
    for path in ["/start", "/v1/sessions", "/metrics", "/nothing"] {
        let preflight = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: content-type\r\nAccess-Control-Request-Private-Network: true\r\nConnection: close\r\n\r\n"
        );
        cases.push(Case::new(format!("preflight {path}"), preflight, &[403]));
    }
    assert_harmless(&rig, &cases, "").await
}

/// What our own page could send by mistake, and what a page without `Origin` would have to be: refused for what it is.
#[tokio::test]
async fn a_simple_post_is_refused_where_a_page_could_have_sent_it() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let own = format!("Origin: http://{host}\r\n");
    let mut cases = Vec::new();
    for media in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
        "Content-Type: text/plain; application/json\r\n",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        "Content-Type: application/jsonx\r\n",
    ] {
        cases.push(Case::new(format!("own {media:?}"), posted(&host, &format!("{own}{media}")), &[415]));
        let v1 = posted(&host, media).replacen("/start", "/v1/sessions", 1);
        cases.push(Case::new(format!("v1 {media:?}"), v1, &[415]));
    }
    // A form's enctype=text/plain makes JSON of a name and a value.
    let form = posted(&host, &format!("{own}Content-Type: text/plain\r\n")).replacen("\": \"", "\":\"=", 1);
    cases.push(Case::new("a form that looks like JSON", form, &[415]));
    assert_harmless(&rig, &cases, "").await
}

#[tokio::test]
async fn nothing_is_ever_upgraded() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let socket = "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let asked = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    let cases = [
        Case::new("a page", asked("GET /v1/events", &format!("Origin: http://evil.example\r\n{socket}")), &[403]),
        Case::new("a sandboxed page", asked("GET /v1/sessions", &format!("Origin: null\r\n{socket}")), &[403]),
        Case::new(
            "a page on another port",
            asked("GET /ws", &format!("Origin: http://127.0.0.1:1\r\n{socket}")),
            &[403],
        ),
        Case::new("nobody's page", asked("GET /ws", socket), &[404]),
        Case::new("where only posts go", asked("GET /start", socket), &[405]),
        // A plain answer, as if nobody had asked for more.
        Case::new("where there is something", asked("GET /v1/sessions", socket), &[200]),
        Case::new(
            "another protocol",
            asked(
                "GET /v1/sessions",
                "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            &[200],
        ),
        // Closed without a word: who speaks HTTP/2 would not understand one.
        Case::new("without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[]),
        Case::new("an encrypted hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(), &[400]),
    ];
    assert_harmless(&rig, &cases, "").await
}
