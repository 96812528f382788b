//! Every route that the daemon tells of passes the same checks. The list comes from its own document, so that what is added later is here.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    fake_codex_rig::Rig,
    table::{BODY, Case, address, assert_answer, assert_untouched},
};

/// The paths that need no authority.
const FREE: [&str; 3] = ["/health", "/healthz", "/readyz"];

const TOKEN: &str = "sesame-0123456789";

/// Method and path, with ids in their places.
fn operations(document: &Value) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().context("no paths")? {
        let path: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        for method in item.as_object().context("no operations")?.keys().filter(|key| *key != "parameters") {
            found.push((method.to_uppercase(), path.join("/")));
        }
    }
    // And where there is nothing.
    for path in ["/", "/nothing", "/v1/nothing", "/mcp", "/debug/pprof", "/favicon.ico"] {
        found.extend(["GET", "POST"].map(|method| (method.to_owned(), path.to_owned())));
    }
    Ok(found)
}

#[tokio::test]
async fn every_route_is_behind_every_check() -> Result<()> {
    let rig = Rig::new(&["--token", TOKEN]).await?;
    let host = address(&rig);
    let document = rig.daemon.get("/openapi.json").await?.body;
    let all = operations(&document)?;
    for known in ["/metrics", "/openapi.json", "/start", "/v1/sessions", "/v1/tokens", "/healthz"] {
        assert!(all.iter().any(|(_, path)| path == known), "{known} is not in the document");
    }
    let (door, bearer) = (rig.tcp(), format!("Authorization: Bearer {TOKEN}\r\n"));
    for (method, path) in &all {
        let ask = |headers: &str, body: &str| {
            let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            format!("{method} {path} HTTP/1.1\r\n{headers}{length}Connection: close\r\n\r\n{body}")
        };
        let ours = format!("Host: {host}\r\n");
        let free = FREE.contains(&path.as_str()) && method == "GET";
        let mut cases = vec![
            ("a foreign Host", ask(&format!("Host: evil.example\r\n{bearer}"), ""), [421].as_slice()),
            ("two Hosts", ask(&format!("{ours}{ours}{bearer}"), ""), &[421]),
            ("no Host", ask(&bearer, ""), &[421]),
            ("Origin: null", ask(&format!("{ours}Origin: null\r\n{bearer}"), ""), &[403]),
            ("a foreign Origin", ask(&format!("{ours}Origin: http://evil.example\r\n{bearer}"), BODY), &[403]),
            (
                "a form of our own page",
                ask(&format!("{ours}Origin: http://{host}\r\nContent-Type: text/plain\r\n{bearer}"), BODY),
                &[415],
            ),
            (
                "too much",
                ask(
                    &format!(
                        "{ours}Content-Type: application/json\r\nContent-Length: 262145\r\nExpect: 100-continue\r\n{bearer}"
                    ),
                    "",
                ),
                &[413],
            ),
        ];
        if !free {
            cases.push(("no token", ask(&ours, BODY), &[401]));
            cases.push(("half a token", ask(&format!("{ours}Authorization: Bearer sesame\r\n"), BODY), &[401, 429]));
        }
        for (what, request, statuses) in cases {
            assert_answer(&door, &Case::new(format!("{method} {path}: {what}"), request, statuses)).await?;
        }
    }
    assert_untouched(&rig)?;
    rig.assert_calm();
    Ok(())
}
