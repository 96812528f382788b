//! `GET /sessions/search`: best matches, filled up with the newest.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    fake_codex_rig::{Rig, assert_keys, text},
    wire::Call,
};

/// The session ids of a search, in order.
async fn found(rig: &Rig, query: &str) -> Result<Vec<String>> {
    let reply = rig.daemon.get(&format!("/sessions/search?{query}")).await?;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    assert_keys(&reply.body, &["sessions"]);
    let lines = reply.body["sessions"].as_array().cloned().unwrap_or_default();
    for line in &lines {
        assert_keys(line, &["sessionId", "createdAtMs", "updatedAtMs", "title", "titleLocked", "titleSource"]);
    }
    Ok(lines.iter().map(|line| text(line, "sessionId")).collect())
}

/// As one value of a query.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Sessions with these prompts, the newest first.
async fn started(rig: &Rig, prompts: &[&str]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for prompt in prompts {
        ids.insert(0, rig.daemon.start(prompt).await?.0);
    }
    Ok(ids)
}

#[tokio::test]
async fn the_limit_is_clamped_and_the_newest_fill_up() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    assert!(found(&rig, "q=anything").await?.is_empty());
    let prompts: Vec<String> = (0..12).map(|n| format!("prompt number {n}")).collect();
    let newest = started(&rig, &prompts.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for (limit, count) in
        [("", 3), ("&limit=1", 1), ("&limit=0", 1), ("&limit=-5", 1), ("&limit=10", 10), ("&limit=11", 10)]
    {
        assert_eq!(found(&rig, &format!("q=nowhere{limit}")).await?, newest[..count], "limit {limit:?}");
    }
    assert_eq!(found(&rig, "q=nowhere&limit=4000000000").await?, newest[..10]);
    Ok(())
}

#[tokio::test]
async fn the_best_match_comes_first_and_only_once() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let ids = started(&rig, &["a zebrafish swims", "two", "three", "four"]).await?;
    let [four, three, two, zebrafish] = ids.as_slice() else { anyhow::bail!("{ids:?}") };
    let filled = [zebrafish.clone(), four.clone(), three.clone(), two.clone()];
    // The whole word, inside the word, at its end, in other case, two words in any order.
    for query in ["zebrafish", "brafi", "fish", "ZeBRaFiSH", "zebra", "swims%20zebrafish", "swims+zebra"] {
        assert_eq!(found(&rig, &format!("q={query}")).await?, filled[..3], "{query}");
        assert_eq!(found(&rig, &format!("limit=10&q={query}")).await?, filled, "{query}");
    }
    assert_eq!(found(&rig, "q=zebrafish&limit=1").await?, filled[..1]);
    Ok(())
}

#[tokio::test]
async fn titles_prompts_and_answers_are_searched() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    // The answer of BIG has words that its prompt has not.
    let ids = started(&rig, &["BIG:200", "later\n\nin the quagmire body", "newest", "newest of all"]).await?;
    let rename = json!({"sessionId": ids[3], "title": "Quokka notes"});
    assert_eq!(rig.daemon.post("/sessions/rename", rename).await?.status, 200);
    for (query, session) in
        [("quokka", &ids[3]), ("line%20answer", &ids[3]), ("quagmire", &ids[2]), ("of%20all", &ids[0])]
    {
        assert_eq!(found(&rig, &format!("q={query}&limit=1")).await?, std::slice::from_ref(session), "{query}");
    }
    // A later message of a session is found as its first.
    rig.daemon.go_on(&ids[2], "SAY:platypus").await?;
    assert_eq!(found(&rig, "q=platypus&limit=1").await?, [ids[2].clone()]);
    Ok(())
}

#[tokio::test]
async fn words_without_spaces_and_short_ones_are_found() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let prompts = [
        "数据库连接失败了",
        "サーバーを再起動してください",
        "Größenänderung im Menü",
        "fn q2_total() -> i64",
        "🦀 crab",
        "filler",
        "newest",
    ];
    let ids = started(&rig, &prompts).await?;
    for (query, at) in [
        ("连接失败", 6),
        ("连接", 6),
        ("库", 6),
        ("再起動", 5),
        ("größenä", 4),
        ("q2_total()", 3),
        ("-> i64", 3),
        ("🦀", 2),
        ("q2", 3),
    ] {
        let first = found(&rig, &format!("q={}&limit=1", escaped(query))).await?;
        assert_eq!(first, [ids[at].clone()], "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn odd_queries_are_harmless() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let ids = started(&rig, &["one \"quoted\" 100% sure*", "two"]).await?;
    let odd = [
        "\"",
        "'",
        "*",
        "%",
        "_",
        "(",
        "AND",
        "NOT OR",
        "a OR b*",
        "-x",
        "^",
        "title:x",
        "\\",
        "NEAR(a b)",
        "\u{0}",
        "x\u{301}",
    ];
    for query in odd {
        let mut all = found(&rig, &format!("q={}", escaped(query))).await?;
        all.sort();
        let mut expected = ids.clone();
        expected.sort();
        assert_eq!(all, expected, "{query:?}");
    }
    let long = found(&rig, &format!("q={}", "long".repeat(1000))).await?;
    assert_eq!(long.len(), 2);
    for (query, at) in [("\"quoted\"", 1), ("100%", 1), ("sure*", 1)] {
        assert_eq!(found(&rig, &format!("limit=1&q={}", escaped(query))).await?, [ids[at].clone()], "{query}");
    }
    // What the contract leaves open, but never an inner error.
    for path in [
        "/sessions/search",
        "/sessions/search?q=",
        "/sessions/search?q=%FF",
        "/sessions/search?q=a&limit=x",
        "/sessions/search?q=a&q=b",
    ] {
        let answer = Call::get(path).send(&rig.socket()).await?;
        assert!(answer.status < 500, "{path}: {}", answer.text());
    }
    rig.assert_calm();
    Ok(())
}

#[tokio::test]
async fn old_sessions_are_found_behind_many() -> Result<()> {
    let rig = Rig::new(&[]).await?;
    let (old, _) = rig.daemon.start("the word capybara is only here").await?;
    for n in 0..30 {
        rig.daemon.start(&format!("SAY:{n}")).await?;
    }
    assert_eq!(found(&rig, "q=capybara&limit=1").await?, [old]);
    let list: Value = rig.daemon.get("/sessions").await?.body;
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(31), "all sessions are listed");
    Ok(())
}
