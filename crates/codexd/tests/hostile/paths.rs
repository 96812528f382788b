//! Ids that are paths, and paths and methods that are almost those of a route.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    fake_codex_rig::Rig,
    table::{BODY, Case, address, assert_harmless, post},
};

/// Every file and folder below one, without what a running daemon makes and removes at any time.
fn below(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(below(&path)?);
        }
        found.insert(path);
    }
    Ok(found)
}

#[tokio::test]
async fn an_id_is_never_a_path() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let secret = rig.lab.dir.path().join("secret.json");
    std::fs::write(&secret, "{\"meta\": \"a secret\"}")?;
    let before = below(rig.lab.dir.path())?;
    let mut cases = Vec::new();
    let absolute = secret.display().to_string().replace('/', "%2F");
    for id in [
        "..%2Fsecret",
        "..%2Fsecret.json",
        "%2E%2E%2Fsecret",
        "..%5Csecret",
        "....%2F%2Fsecret",
        "..%252Fsecret",
        "%c0%ae%c0%ae%c0%afsecret",
        "..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        &absolute,
        "%00",
        "secret%00.json",
        "%FF",
        "~",
        "CON",
        "daemon.json",
        "store.db",
        &"a".repeat(5000),
    ] {
        for (method, path) in [
            ("GET", "/sessions/ID"),
            ("GET", "/v1/sessions/ID"),
            ("GET", "/v1/sessions/ID/transcript"),
            ("GET", "/v1/sessions/ID/events"),
            ("DELETE", "/v1/sessions/ID"),
            ("GET", "/v1/turns/ID"),
            ("GET", "/v1/approvals/ID"),
            ("DELETE", "/v1/tokens/ID"),
        ] {
            let line = format!("{method} {} HTTP/1.1", path.replace("ID", id));
            // `anonymous` may not end tokens; that is told first.
            let statuses: &[u16] = if path.contains("tokens") { &[403] } else { &[404] };
            cases.push(Case::line(&line, &host, statuses));
        }
        let target = format!("/v1/sessions/{id}/turns");
        cases.push(Case::new(target.clone(), post(&target, &format!("Host: {host}\r\n")), &[404]));
    }
    for id in ["../secret", "../../etc/passwd", "/etc/passwd", "..\\\\secret", "\\u0000", "."] {
        for (path, body) in [
            ("/continue", format!(r#"{{"sessionId": "{id}", "prompt": "SAY:in"}}"#)),
            ("/reply", format!(r#"{{"threadId": "{id}", "prompt": "SAY:in"}}"#)),
            ("/sessions/rename", format!(r#"{{"sessionId": "{id}", "title": "in"}}"#)),
        ] {
            let request = post(path, &format!("Host: {host}\r\n"));
            let request =
                request.replace(&format!("Content-Length: {}", BODY.len()), &format!("Content-Length: {}", body.len()));
            cases.push(Case::new(format!("{path} {id}"), request.replace(BODY, &body), &[404]));
        }
    }
    // As it is written, which no client that we know of sends.
    for target in ["/sessions/../daemon.json", "/sessions/../../secret.json", "/v1/sessions/../tokens"] {
        cases.push(Case::line(&format!("GET {target} HTTP/1.1"), &host, &[404]));
    }
    assert_harmless(&rig, &cases, "").await?;
    let logs = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let gone: Vec<_> = before.difference(&below(rig.lab.dir.path())?).filter(|path| !logs(path)).cloned().collect();
    assert!(gone.is_empty(), "{gone:?} went");
    assert_eq!(std::fs::read_to_string(secret)?, "{\"meta\": \"a secret\"}");
    Ok(())
}

#[tokio::test]
async fn almost_a_route_is_none() -> Result<()> {
    let rig = Rig::new(&["--no-auth"]).await?;
    let host = address(&rig);
    let mut cases = Vec::new();
    for target in [
        "//start",
        "/start/",
        "/start//",
        "/./start",
        "/x/../start",
        "/START",
        "/Start",
        "/%73tart",
        "/start%2F",
        "/start%20",
        "/start%00",
        "/start%0d%0aX:y",
        "/start;x=y",
        "/start.json",
        "/start%3Fx",
        "/v1//sessions",
        "//v1/sessions",
        "/v1/sessions/",
        "/V1/sessions",
        "/v1/%73essions",
        "/v1%2Fsessions",
        "/v2/sessions",
        "/v1/sessions%23",
        "http://localhost//start",
        "*",
    ] {
        cases.push(Case::new(target, post(target, &format!("Host: {host}\r\n")), &[400, 404]));
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "post", "Post", "POSTT", "BREW"] {
        for path in ["/start", "/v1/sessions/x/turns"] {
            let allowed = matches!((method, path), ("GET" | "HEAD", "/v1/sessions/x/turns"));
            let request = post(path, &format!("Host: {host}\r\n")).replacen("POST", method, 1);
            cases.push(Case::new(format!("{method} {path}"), request, if allowed { &[404] } else { &[405] }));
        }
    }
    // What another method is called does not change what it is.
    for header in ["X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"] {
        let request = post("/start", &format!("Host: {host}\r\n{header}\r\n")).replacen("POST", "GET", 1);
        cases.push(Case::new(header, request, &[405]));
    }
    cases.push(Case::line("GET /start?_method=POST HTTP/1.1", &host, &[405]));
    cases.push(Case::line(&format!("CONNECT {host} HTTP/1.1"), &host, &[404]));
    assert_harmless(&rig, &cases, "").await
}
