//! Tokens that are made, used, narrowed and revoked while the daemon runs.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::Reply;

use crate::{fake_codex_rig::Rig, wire::Call};

async fn new_token(rig: &Rig, body: Value) -> Result<String> {
    let made = rig.daemon.post("/v1/tokens", body).await?;
    anyhow::ensure!(made.status == 201, "{made:?}");
    Ok(made.body["token"].as_str().context("no token")?.to_owned())
}

async fn ask(rig: &Rig, token: &str, call: Call) -> Result<Reply> {
    call.token(token).ask(&rig.tcp()).await
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_say_and_nothing_once_it_is_revoked() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let reader = new_token(&rig, json!({"name": "reader", "scopes": ["read"]})).await?;
    let runner = new_token(&rig, json!({"name": "runner", "scopes": ["run"]})).await?;
    let admin = new_token(&rig, json!({"name": "boss", "scopes": ["read", "admin"]})).await?;
    assert!(reader.starts_with("cdx_") && reader.len() == 47);

    let start = || Call::json("/v1/sessions", &json!({"prompt": "SAY:x"}));
    let (list, tokens) = (|| Call::get("/v1/sessions"), || Call::get("/v1/tokens"));
    for (token, call, status) in [
        (&reader, list(), 200),
        (&reader, start(), 403),
        (&reader, Call::json("/start", &json!({"prompt": "SAY:x"})), 403),
        (&reader, tokens(), 403),
        (&reader, Call::get("/v1/nothing"), 404),
        (&reader, Call::json("/v1/nothing", &json!({})), 403),
        (&runner, start(), 201),
        (&runner, list(), 403),
        (&admin, tokens(), 200),
        (&admin, start(), 403),
    ] {
        let reply = ask(&rig, token, call.clone()).await?;
        assert_eq!(reply.status, status, "{call:?} {reply:?}");
        if status == 403 {
            assert_eq!(reply.body["code"], "FORBIDDEN", "{reply:?}");
        }
    }
    let listed = rig.daemon.get("/v1/tokens").await?.body;
    let names: Vec<&str> =
        listed["tokens"].as_array().into_iter().flatten().filter_map(|grant| grant["name"].as_str()).collect();
    assert_eq!(names, ["boss", "reader", "runner"]);
    let text = listed.to_string();
    assert!(!text.contains("cdx_") && !text.contains(&reader[4..]), "a token is shown once: {text}");

    // It outlives the daemon, and ends at once when it is revoked.
    let rig = rig.restarted(&[], &[], |_| {}).await?;
    assert_eq!(ask(&rig, &reader, list()).await?.status, 200);
    assert_eq!(rig.daemon.request("DELETE", "/v1/tokens/reader", None).await?.status, 204);
    assert_eq!(ask(&rig, &reader, list()).await?.status, 401);
    assert_eq!(rig.daemon.request("DELETE", "/v1/tokens/reader", None).await?.status, 404);
    let store = std::fs::read(rig.lab.store.join("store.db"))?;
    let wal = std::fs::read(rig.lab.store.join("store.db-wal")).unwrap_or_default();
    let found = |bytes: &[u8]| bytes.windows(43).any(|window| window == &admin.as_bytes()[4..]);
    assert!(!found(&store) && !found(&wal) && !rig.daemon.log().contains(&admin), "only a hash is at rest");
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn a_token_is_confined_to_its_roots_and_its_sandbox() -> Result<()> {
    let rig = Rig::new(&["--allow-cwd-override", "--allow-sandbox-override"]).await?;
    let inner = rig.lab.project.join("inner");
    std::fs::create_dir_all(&inner)?;
    let body = json!({"name": "narrow", "scopes": ["read", "run"], "roots": [inner], "maxSandbox": "read-only"});
    let token = new_token(&rig, body).await?;
    let create = |body: Value| Call::json("/v1/sessions", &body);
    let fine = ask(&rig, &token, create(json!({"prompt": "SAY:x"}))).await?;
    assert_eq!(fine.status, 201, "{fine:?}");
    let session = &fine.body["session"];
    assert_eq!((&session["cwd"], &session["sandbox"]), (&json!(inner), &json!("read-only")));
    let outside = ask(&rig, &token, create(json!({"cwd": rig.lab.project}))).await?;
    assert_eq!((outside.status, &outside.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{outside:?}");
    let wide = ask(&rig, &token, create(json!({"sandbox": "workspace-write"}))).await?;
    assert_eq!((wide.status, &wide.body["code"]), (403, &json!("SANDBOX_FORBIDDEN")), "{wide:?}");

    // Who may do more makes a session; this token continues it with less, or not at all.
    let local = rig.daemon.post("/v1/sessions", json!({"cwd": inner, "sandbox": "workspace-write"})).await?;
    let id = local.body["session"]["id"].as_str().context("no id")?.to_owned();
    let turn = Call::json(&format!("/v1/sessions/{id}/turns?wait=60"), &json!({"prompt": "SAY:y"}));
    let reply = ask(&rig, &token, turn).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    let heard = rig.heard()?;
    let last = crate::fake_codex_rig::of_method(&heard, "turn/start").into_iter().last().context("no turn")?;
    assert_eq!(last["sandboxPolicy"]["type"], "readOnly", "{last}");
    let elsewhere = rig.daemon.post("/v1/sessions", json!({"cwd": rig.lab.project})).await?;
    let id = elsewhere.body["session"]["id"].as_str().context("no id")?.to_owned();
    let reply = ask(&rig, &token, Call::json(&format!("/v1/sessions/{id}/turns"), &json!({"prompt": "x"}))).await?;
    assert_eq!((reply.status, &reply.body["code"]), (403, &json!("CWD_FORBIDDEN")), "{reply:?}");

    let policy = ask(&rig, &token, Call::get("/v1/policy")).await?.body;
    assert_eq!((&policy["widestSandbox"], &policy["roots"]), (&json!("read-only"), &json!([inner])), "{policy}");
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_makes_no_token() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    for body in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "a b"}),
        json!({"name": "start"}),
        json!({"name": "x", "scopes": []}),
        json!({"name": "x", "scopes": ["everything"]}),
        json!({"name": "x", "roots": ["relative"]}),
        json!({"name": "x", "maxSandbox": "none"}),
        json!({"name": "x", "expiresAt": "2001-01-01T00:00:00Z"}),
        json!({"name": "x", "expiresAt": "tomorrow"}),
        json!({"name": "x", "bogus": 1}),
    ] {
        let reply = rig.daemon.post("/v1/tokens", body.clone()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("BAD_REQUEST")), "{body} {reply:?}");
    }
    assert_eq!(rig.daemon.get("/v1/tokens").await?.body, json!({"tokens": []}));
    Ok(())
}

#[tokio::test]
async fn a_token_that_ends_while_it_waits_is_told_nothing_more() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let token = new_token(&rig, json!({"name": "waits", "scopes": ["read"]})).await?;
    let made = rig.daemon.post("/v1/sessions", json!({"prompt": "SLOW:40:50"})).await?;
    let turn = made.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    let (door, call) = (rig.tcp(), Call::get(&format!("/v1/turns/{turn}?wait=60")).token(&token));
    let waiting = tokio::spawn(async move { call.ask(&door).await });
    // The waiter is heard before the token is ended: its use is noted.
    testkit::eventually("the token to be used", async || {
        let listed = rig.daemon.get("/v1/tokens").await.ok()?.body;
        listed["tokens"][0]["lastUsedAt"].is_string().then_some(())
    })
    .await?;
    assert_eq!(rig.daemon.request("DELETE", "/v1/tokens/waits", None).await?.status, 204);
    let reply = waiting.await??;
    assert_eq!((reply.status, &reply.body["code"]), (401, &json!("UNAUTHORIZED")), "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_makes_none_that_opens_more_and_a_new_one_of_its_name_is_another() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let body = json!({"name": "boss", "scopes": ["read", "run", "admin"], "maxSandbox": "read-only"});
    let boss = new_token(&rig, body.clone()).await?;
    let wide = Call::json("/v1/tokens", &json!({"name": "esc", "scopes": ["read", "run", "approve", "admin"]}));
    let refused = ask(&rig, &boss, wide).await?;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("FORBIDDEN")), "{refused:?}");
    let narrow = Call::json("/v1/tokens", &json!({"name": "less", "scopes": ["read"], "maxSandbox": "read-only"}));
    assert_eq!(ask(&rig, &boss, narrow).await?.status, 201);

    let keyed = || Call::json("/v1/sessions", &json!({"prompt": "SAY:x"})).header("Idempotency-Key", "k");
    let first = ask(&rig, &boss, keyed()).await?;
    assert_eq!(rig.daemon.request("DELETE", "/v1/tokens/boss", None).await?.status, 204);
    let again = new_token(&rig, body).await?;
    let second = ask(&rig, &again, keyed()).await?;
    assert_eq!((first.status, second.status), (201, 201), "{second:?}");
    assert_ne!(first.body["session"]["id"], second.body["session"]["id"], "what the old one did is not the new one's");
    Ok(())
}

#[tokio::test]
async fn a_replaced_token_opens_nothing_and_ends_what_it_watches() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let old = new_token(&rig, json!({"name": "ci", "scopes": ["read", "run"], "maxSandbox": "read-only"})).await?;
    let list = || Call::get("/v1/sessions");
    // It watches, and it waits for a turn.
    let (door, events) = (rig.tcp(), Call::get("/v1/events").token(&old));
    let watching = tokio::spawn(async move { events.send(&door).await });
    let made = ask(&rig, &old, Call::json("/v1/sessions", &json!({"prompt": "SLOW:40:50"}))).await?;
    let turn = made.body["turn"]["id"].as_str().context("no turn")?.to_owned();
    let (door, call) = (rig.tcp(), Call::get(&format!("/v1/turns/{turn}?wait=60")).token(&old));
    let waiting = tokio::spawn(async move { call.ask(&door).await });
    let metric = "codexd_http_requests_total";
    testkit::eventually("both to be heard", async || {
        let metrics = rig.daemon.get("/metrics").await.ok()?.body;
        let line = metrics.as_str()?.lines().find(|line| line.starts_with("codexd_connections"))?.to_owned();
        (line.rsplit(' ').next()?.parse::<f64>().ok()? >= 3.0 && metrics.as_str()?.contains(metric)).then_some(())
    })
    .await?;

    let rotated = rig.daemon.post("/v1/tokens/ci/rotate", json!({})).await?;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let new = rotated.body["token"].as_str().context("no token")?.to_owned();
    let grant = &rotated.body["grant"];
    assert_eq!(
        (&grant["name"], &grant["scopes"], &grant["maxSandbox"]),
        (&json!("ci"), &json!(["read", "run"]), &json!("read-only"))
    );
    assert!(grant["rotatedAt"].is_string() && grant["previousUntil"].is_null(), "{grant}");
    assert_eq!(ask(&rig, &old, list()).await?.status, 401);
    assert_eq!(ask(&rig, &new, list()).await?.status, 200);
    assert_eq!(waiting.await??.status, 401, "it waited with the old one");
    let seen = watching.await??.text();
    assert!(seen.contains("event: server.closing") && !seen.contains("turn.completed"), "{seen}");
    // What it began goes on: it is the grant's.
    let ended = ask(&rig, &new, Call::get(&format!("/v1/turns/{turn}?wait=60"))).await?.body;
    assert_eq!((&ended["status"], &ended["principal"]), (&json!("completed"), &json!("token:ci")), "{ended}");

    let rig = rig.restarted(&[], &[], |_| {}).await?;
    assert_eq!((ask(&rig, &old, list()).await?.status, ask(&rig, &new, list()).await?.status), (401, 200));
    Ok(())
}

#[tokio::test]
async fn a_grace_lets_both_in_and_nobody_gets_a_token_wider_than_their_own() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let old = new_token(&rig, json!({"name": "ci", "scopes": ["read"]})).await?;
    let boss = new_token(&rig, json!({"name": "boss", "scopes": ["read", "admin"]})).await?;
    new_token(&rig, json!({"name": "wide", "scopes": ["read", "run", "approve"]})).await?;
    let rotate = |name: &str, body: Value| Call::json(&format!("/v1/tokens/{name}/rotate"), &body);
    let rotated = ask(&rig, &boss, rotate("ci", json!({"graceSeconds": 3600}))).await?;
    assert!(rotated.status == 200 && rotated.body["grant"]["previousUntil"].is_string(), "{rotated:?}");
    let new = rotated.body["token"].as_str().context("no token")?.to_owned();
    let rig = rig.restarted(&[], &[], |_| {}).await?;
    for token in [&old, &new] {
        assert_eq!(ask(&rig, token, Call::get("/v1/sessions")).await?.status, 200);
    }
    for (call, token, status, code) in [
        (rotate("wide", json!({})), &boss, 403, "FORBIDDEN"),
        (rotate("ci", json!({})), &new, 403, "FORBIDDEN"),
        (rotate("nobody", json!({})), &boss, 404, "NOT_FOUND"),
        (rotate("ci", json!({"graceSeconds": 2_592_001})), &boss, 400, "BAD_REQUEST"),
        (rotate("ci", json!({"graceSeconds": -1})), &boss, 400, "BAD_REQUEST"),
        (rotate("ci", json!({"grace": 1})), &boss, 400, "BAD_REQUEST"),
    ] {
        let reply = ask(&rig, token, call.clone()).await?;
        assert_eq!((reply.status, &reply.body["code"]), (status, &json!(code)), "{call:?} {reply:?}");
    }
    assert_eq!(rig.daemon.request("DELETE", "/v1/tokens/ci", None).await?.status, 204);
    for token in [&old, &new] {
        assert_eq!(ask(&rig, token, Call::get("/v1/sessions")).await?.status, 401, "revoked is revoked");
    }
    Ok(())
}

/// Narrower is always allowed, also where nothing may be widened.
#[tokio::test]
async fn whoever_asks_for_less_gets_it() -> Result<()> {
    let rig = Rig::new(&["--sandbox", "workspace-write"]).await?;
    let token = new_token(&rig, json!({"name": "t", "scopes": ["read", "run"]})).await?;
    for (body, field, value) in [
        (json!({"sandbox": "read-only"}), "sandbox", "read-only"),
        (json!({"approvalPolicy": "untrusted"}), "approvalPolicy", "untrusted"),
    ] {
        let made = ask(&rig, &token, Call::json("/v1/sessions", &body)).await?;
        assert_eq!((made.status, &made.body["session"][field]), (201, &json!(value)), "{made:?}");
    }
    let boss = new_token(&rig, json!({"name": "boss", "scopes": ["read", "admin"]})).await?;
    let less = json!({"name": "less", "scopes": ["read"], "roots": [rig.lab.project], "maxSandbox": "read-only"});
    assert_eq!(ask(&rig, &boss, Call::json("/v1/tokens", &less)).await?.status, 201);
    Ok(())
}
