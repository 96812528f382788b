//! Lists come in pages, and searches in order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::daemon::Daemon;

fn ids(page: &Value, list: &str) -> Vec<String> {
    page[list].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// All pages of a list; between them something happens.
async fn walk(daemon: &Daemon, path: &str, list: &str, mut between: impl AsyncFnMut()) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let after = cursor.map(|cursor| format!("{sign}cursor={cursor}")).unwrap_or_default();
        let page = daemon.get(&format!("{path}{after}")).await.ok();
        found.extend(ids(&page, list));
        match page.get("nextCursor") {
            None => return found,
            Some(next) => cursor = Some(next.as_str().unwrap().to_owned()),
        }
        between().await;
    }
}

#[tokio::test]
async fn all_sessions_come_once_while_others_are_added() {
    let daemon = Daemon::open().await;
    let mut made = BTreeSet::new();
    for _ in 0..25 {
        made.insert(
            daemon.post("/v1/sessions", json!({})).await.with(201)["session"]["id"].as_str().unwrap().to_owned(),
        );
    }
    for limit in [1, 7, 25, 200] {
        let path = format!("/v1/sessions?limit={limit}");
        let found = walk(&daemon, &path, "sessions", async || {
            daemon.post("/v1/sessions", json!({})).await.with(201);
        })
        .await;
        let known: Vec<_> = found.iter().filter(|id| made.contains(*id)).collect();
        assert_eq!(known.len(), 25, "{limit}");
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{limit}");
    }
    assert!(daemon.get("/v1/sessions").await.ok()["sessions"].as_array().unwrap().len() == 50);
}

#[tokio::test]
async fn lists_are_filtered() {
    let daemon = Daemon::open().await;
    let session = async |body: Value| {
        daemon.post("/v1/sessions", body).await.with(201)["session"]["id"].as_str().unwrap().to_owned()
    };
    let plain = session(json!({})).await;
    let labelled = session(json!({"labels": {"a": "1", "b": "x:y"}})).await;
    let archived = session(json!({"labels": {"a": "1"}})).await;
    daemon.patch(&format!("/v1/sessions/{archived}"), json!({"archived": true})).await.ok();
    let running = session(json!({"prompt": "hang"})).await;
    for (query, expected) in [
        ("", vec![&running, &labelled, &plain]),
        ("archived=false", vec![&running, &labelled, &plain]),
        ("archived=true", vec![&archived]),
        ("archived=all", vec![&running, &archived, &labelled, &plain]),
        ("label=a:1", vec![&labelled]),
        ("label=a:1&archived=all", vec![&archived, &labelled]),
        ("label=a:1&label=b:x:y&archived=all", vec![&labelled]),
        ("label=a:2", vec![]),
        ("status=running", vec![&running]),
        ("status=idle", vec![&labelled, &plain]),
        ("status=waitingApproval", vec![]),
        (&format!("idPrefix={plain}"), vec![&plain]),
        ("idPrefix=zzz", vec![]),
        ("idPrefix=%25", vec![]),
    ] {
        let found = ids(&daemon.get(&format!("/v1/sessions?{query}")).await.ok(), "sessions");
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected.into_iter().collect(), "{query}");
    }
    daemon.echo.release();
}

#[tokio::test]
async fn all_turns_come_once_in_either_order() {
    let daemon = Daemon::open().await;
    let path = format!("/v1/sessions/{}/turns", daemon.session("0").await);
    for n in 1..9 {
        daemon.post(&format!("{path}?wait=30"), json!({"prompt": n.to_string()})).await.ok();
    }
    let nothing = async || {};
    let oldest_first = walk(&daemon, &format!("{path}?limit=4"), "turns", nothing).await;
    let mut newest_first = walk(&daemon, &format!("{path}?order=desc&limit=4"), "turns", nothing).await;
    assert_eq!(oldest_first.len(), 9);
    newest_first.reverse();
    assert_eq!(oldest_first, newest_first);
    let first = daemon.get(&format!("{path}?order=asc&limit=1")).await.ok();
    assert_eq!(first["turns"][0]["prompt"], "0");
    assert_eq!(first["turns"][0]["items"][1]["text"], "echo: 0");
    let empty = daemon.post("/v1/sessions", json!({})).await.with(201)["session"]["id"].clone();
    let none = daemon.get(&format!("/v1/sessions/{}/turns", empty.as_str().unwrap())).await.ok();
    assert_eq!(none, json!({"turns": []}));
}

#[tokio::test]
async fn a_search_finds_titles_first() {
    let daemon = Daemon::open().await;
    let said = daemon.session("a needle and some hay").await;
    daemon.patch(&format!("/v1/sessions/{said}"), json!({"title": "other"})).await.ok();
    let titled = daemon.session("Needle").await;
    let found = daemon.get("/v1/search?q=NEEDLE").await.ok();
    let order: Vec<_> = found["results"].as_array().unwrap().iter().map(|hit| hit["session"]["id"].clone()).collect();
    assert_eq!(order, [json!(titled), json!(said)]);
    assert_eq!((&found["results"][0]["score"], found["results"][0].get("turnId")), (&json!(1.0), None));
    assert!(
        found["results"][1]["turnId"].is_string()
            && found["results"][1]["snippet"].as_str().unwrap().contains("needle")
    );
    assert_eq!(daemon.get("/v1/search?q=hay+NEED").await.ok()["results"].as_array().unwrap().len(), 1);
    assert_eq!(daemon.get("/v1/search?q=needle&limit=1").await.ok()["results"].as_array().unwrap().len(), 1);
    for none in ["q=nowhere", "q=", "q=%00", "q=%22%20OR%20%22"] {
        assert_eq!(daemon.get(&format!("/v1/search?{none}")).await.ok(), json!({"results": []}), "{none}");
    }
}
