//! Tokens that are almost right, and places where a token does not belong.

use anyhow::Result;

use crate::{
    fake_codex_rig::Rig,
    table::{Case, address, assert_harmless, assert_untouched, post, token},
};

/// A wrong one, or one too many within a second.
const WRONG: &[u16] = &[401, 429];

#[tokio::test]
async fn only_a_whole_token_in_its_place_opens() -> Result<()> {
    let given = "sesame-0123456789abcdef";
    let rig = Rig::new(&["--token", given]).await?;
    let host = address(&rig);
    let made = token(&rig, "made", &["read", "run"]).await?;
    let mut cases = Vec::new();
    for right in [given, made.as_str()] {
        let swapped: String = right.chars().rev().collect();
        for wrong in [
            &right[..right.len() - 1],
            &right[..1],
            &right[1..],
            &right[..right.len() / 2],
            &format!("{right}x"),
            &format!("{right}{right}"),
            &format!("x{right}"),
            &format!("{right} {right}"),
            &format!("{right},"),
            &format!("\"{right}\""),
            &right.to_uppercase(),
            &swapped,
            &format!("{}\t", &right[..right.len() - 1]),
        ] {
            let header = format!("Authorization: Bearer {wrong}\r\n");
            cases.push(Case::start(&format!("Host: {host}\r\n{header}"), WRONG));
        }
        for headers in [
            format!("Authorization: Basic {right}\r\n"),
            format!("Authorization: {right}\r\n"),
            format!("Authorization: Bearer{right}\r\n"),
            format!("Authorization: Bearer {right}\r\nAuthorization: Bearer {right}\r\n"),
            format!("Authorization: Bearer wrong\r\nAuthorization: Bearer {right}\r\n"),
            // Other places.
            format!("Proxy-Authorization: Bearer {right}\r\n"),
            format!("X-Api-Key: {right}\r\n"),
            format!("Cookie: token={right}; authorization={right}\r\n"),
            format!("X-Authorization: Bearer {right}\r\n"),
        ] {
            cases.push(Case::start(&format!("Host: {host}\r\n{headers}"), WRONG));
        }
        for target in [format!("/start?token={right}"), format!("/start?access_token={right}")] {
            cases.push(Case::new(target.clone(), post(&target, &format!("Host: {host}\r\n")), WRONG));
        }
    }
    for nothing in [
        "",
        "Authorization:\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer  \r\n",
    ] {
        cases.push(Case::start(&format!("Host: {host}\r\n{nothing}"), WRONG));
    }
    for odd in ["null", "undefined", "cdx_", "%00", &"x".repeat(30_000), &format!("cdx_{}", "A".repeat(43))] {
        cases.push(Case::start(&format!("Host: {host}\r\nAuthorization: Bearer {odd}\r\n"), WRONG));
    }
    // Without the token there is no use in saying that one is the command line, or local.
    cases.push(Case::start(&format!("Host: {host}\r\nX-Codexd-Origin: cli\r\nX-Forwarded-For: 127.0.0.1\r\n"), WRONG));
    assert_harmless(&rig, &cases, &format!("Authorization: Bearer {given}")).await?;
    let log = rig.daemon.log();
    assert!(!log.contains(given) && !log.contains(&made[4..]), "a token is in the log");
    Ok(())
}

/// What its scopes do not open stays shut, by whatever spelling of a path.
#[tokio::test]
async fn no_spelling_of_a_path_opens_more_than_the_scopes() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let host = address(&rig);
    let runner = token(&rig, "runner", &["read", "run"]).await?;
    let mine = format!("Host: {host}\r\nAuthorization: Bearer {runner}\r\n");
    let grant = r#"{"name": "more", "scopes": ["admin"]}"#;
    let mut cases = Vec::new();
    for target in [
        "/v1/tokens",
        "/v1/tokens/",
        "//v1/tokens",
        "/v1//tokens",
        "/v1/./tokens",
        "/v1/x/../tokens",
        "/V1/tokens",
        "/v1/TOKENS",
        "/v1/%74okens",
        "/v1%2Ftokens",
        "/v1/tokens%2F",
        "/v1/tokens;x",
        "/v1/tokens%00",
        "/v1/import",
        "/v1/approvals/x",
        "/v1/%61pprovals/x",
    ] {
        let headers =
            format!("{mine}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n", grant.len());
        cases.push(Case::new(target, format!("POST {target} HTTP/1.1\r\n{headers}\r\n{grant}"), &[400, 403, 404, 405]));
        let list = format!("GET {target} HTTP/1.1\r\n{mine}Connection: close\r\n\r\n");
        if target.contains("okens") || target.contains("OKENS") {
            cases.push(Case::new(format!("GET {target}"), list, &[403, 404]));
        }
    }
    for case in &cases {
        crate::table::assert_answer(&rig.tcp(), case).await?;
    }
    assert_untouched(&rig)?;
    assert_eq!(crate::table::rows(&rig, "grants")?, 1, "only the one that was made here");
    Ok(())
}
