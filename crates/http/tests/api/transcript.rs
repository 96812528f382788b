//! The whole history in one answer.

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

use crate::daemon::{Daemon, request};

#[tokio::test]
async fn a_program_reads_all_of_it() {
    let daemon = Daemon::open().await;
    let session = daemon.session("0").await;
    let path = format!("/v1/sessions/{session}");
    // More than one page.
    for n in 1..45 {
        daemon.post(&format!("{path}/turns?wait=30"), json!({"prompt": n.to_string()})).await.ok();
    }
    let whole = daemon.get(&format!("{path}/transcript")).await;
    assert_eq!(whole.header("content-type"), "application/json");
    assert_eq!(whole.header("content-disposition"), format!("attachment; filename=\"{session}.json\""));
    let whole = whole.ok();
    assert_eq!(whole["session"], daemon.get(&path).await.ok());
    let turns = whole["turns"].as_array().unwrap();
    let prompts: Vec<_> = turns.iter().map(|turn| turn["prompt"].as_str().unwrap().to_owned()).collect();
    assert_eq!(prompts, (0..45).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(turns[44]["items"][1]["text"], "echo: 44");
    assert_eq!(daemon.get(&format!("{path}/transcript?format=json")).await.ok(), whole);
    let empty = daemon.post("/v1/sessions", json!({})).await.with(201)["session"].clone();
    let nothing = daemon.get(&format!("/v1/sessions/{}/transcript", empty["id"].as_str().unwrap())).await.ok();
    assert_eq!(nothing, json!({"session": empty, "resumed": [], "turns": []}));
}

#[tokio::test]
async fn a_person_reads_all_of_it() {
    let daemon = Daemon::open().await;
    let session = daemon.session("work").await;
    let path = format!("/v1/sessions/{session}");
    for prompt in ["fail", "stop", "```\nnot a fence"] {
        daemon.post(&format!("{path}/turns?wait=30"), json!({"prompt": prompt})).await.ok();
    }
    daemon.patch(&path, json!({"title": "# [a](b)"})).await.ok();
    let whole = daemon.get(&format!("{path}/transcript?format=markdown")).await;
    assert_eq!(whole.header("content-type"), "text/markdown; charset=utf-8");
    assert_eq!(whole.header("content-disposition"), format!("attachment; filename=\"{session}.md\""));
    let text = whole.text;
    for expected in [
        "# \\# \\[a\\]\\(b\\)\n",
        "## Turn 1: completed\n",
        "### Prompt\n\n```text\nwork\n```\n",
        "### Thoughts\n\n> **Think**\n",
        "### Command (failed)\n\n````sh\necho '```'\n````\n",
        "- Exit code: 3\n",
        "\n`````text\n````\n# not a heading\n␛[31mred\n`````\n",
        "Codex cut the output.\n",
        "### Files (declined)\n\nChanged: ``a`b.md``\n\n````diff\n--- a\n",
        "New: `new.txt`\n\n```diff\nhello\n```\n",
        "- completed: first\n- pending: \\# second\n",
        "`search` of `docs`\n",
        "### Search on the web\n\n`rust`\n",
        "### Warning\n\n> mind the ```\n",
        "### Answer\n\n> done:\n> ```rust\n> never closed\n",
        "## Turn 2: failed\n",
        "**The turn failed (MODEL_ERROR)**\n\n> the model said no\n",
        "## Turn 3: interrupted\n",
        "**The turn was interrupted",
        "## Turn 4: completed\n",
        "````text\n```\nnot a fence\n````\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
    // Nothing of a turn is outside of a quote or a fence that is longer: what remains is ours.
    assert_eq!(text.lines().filter(|line| line.starts_with("## ")).count(), 4);
}

#[tokio::test]
async fn a_session_that_was_replayed_says_so_where_it_happened() {
    let daemon = Daemon::open().await;
    let session = daemon.session("before").await;
    daemon.echo.forget_everything().await;
    let path = format!("/v1/sessions/{session}");
    let turn = daemon.post(&format!("{path}/turns?wait=30"), json!({"prompt": "after"})).await.ok()["turn"].clone();
    let whole = daemon.get(&format!("{path}/transcript")).await.ok();
    assert_eq!((&whole["resumed"][0]["how"], &whole["resumed"][0]["turnId"]), (&json!("replayed"), &turn["id"]));
    assert_eq!(whole["session"]["resumed"]["how"], "replayed");
    let text = daemon.get(&format!("{path}/transcript?format=markdown")).await.text;
    let (first, second) = text.split_once("## Turn 2").unwrap();
    assert!(!first.contains("**Replayed.**") && second.contains("**Replayed.**"), "{text}");
}

/// It is read as fast as it is taken, and what breaks off is told from what ends.
#[tokio::test]
async fn a_transcript_that_can_not_go_on_breaks_off() {
    let daemon = Daemon::open().await;
    let session = daemon.session("0").await;
    let path = format!("/v1/sessions/{session}");
    for n in 1..30 {
        daemon.post(&format!("{path}/turns?wait=30"), json!({"prompt": n.to_string()})).await.ok();
    }
    let begin = async |path: String| {
        let asked = request("GET", &path).body(Body::empty()).unwrap();
        let mut body = daemon.api.router().oneshot(asked).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(first.to_vec()).unwrap();
        assert!(text.contains("echo: 19") && !text.contains("echo: 20"), "a page is twenty turns: {text}");
        body
    };
    let (closed, deleted) =
        (begin(format!("{path}/transcript")).await, begin(format!("{path}/transcript?format=json")).await);
    daemon.delete(&path).await.with(204);
    assert!(deleted.collect().await.is_err());
    daemon.store.close().await;
    assert!(closed.collect().await.is_err());
}
