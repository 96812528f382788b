//! Approvals: listed, shown, answered once, by who may.

use serde_json::{Value, json};
use types::{ApprovalStatus, TurnId};

use crate::daemon::{Answered, Daemon};

impl Daemon {
    /// A session whose turn waits for an answer: the approval.
    async fn asking(&self, prompt: &str) -> Value {
        let made = self.post("/v1/sessions", json!({ "prompt": prompt })).await.with(201);
        self.asked(made["turn"]["id"].as_str().unwrap()).await
    }

    /// The approval that a turn waits with.
    pub(crate) async fn asked(&self, turn: &str) -> Value {
        for _ in 0..3_000 {
            let pending = self.engine.approvals(None, Some(ApprovalStatus::Pending)).await.unwrap();
            if let Some(found) = pending.iter().find(|approval| approval.turn_id.as_str() == turn) {
                return serde_json::to_value(found).unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the turn {turn} asked nothing");
    }

    async fn decide(&self, approval: &Value, body: Value) -> Answered {
        // As `local`: who comes by TCP without a token may not.
        self.post_local(&path(approval), body).await
    }

    async fn ended(&self, approval: &Value) -> Value {
        let turn = TurnId::parse(approval["turnId"].as_str().unwrap()).unwrap();
        serde_json::to_value(self.finished(&turn).await.unwrap()).unwrap()
    }
}

fn path(approval: &Value) -> String {
    format!("/v1/approvals/{}", approval["id"].as_str().unwrap())
}

#[tokio::test]
async fn what_codex_asks_is_listed_and_shown_while_it_waits() {
    let daemon = Daemon::open().await;
    assert_eq!(daemon.get("/v1/approvals").await.ok(), json!({"approvals": []}));
    let (first, second) = (daemon.asking("ask").await, daemon.asking("question").await);
    assert_eq!(
        (&first["kind"], &first["command"], &first["status"], first.get("resolvedBy")),
        (&json!("command"), &json!("touch x"), &json!("pending"), None)
    );
    assert_eq!(first["decisions"], json!(["accept", "decline", "cancel"]));
    assert_eq!(second["questions"][0]["options"], json!(["red", "blue"]));
    assert_eq!(daemon.get("/v1/approvals?status=pending").await.ok()["approvals"], json!([first, second]));
    assert_eq!(daemon.get(&path(&first)).await.ok(), first);
    let of_second = format!("/v1/approvals?sessionId={}", second["sessionId"].as_str().unwrap());
    assert_eq!(daemon.get(&of_second).await.ok()["approvals"], json!([second]));
    let waiting = daemon.get("/v1/sessions?status=waitingApproval").await.ok();
    assert_eq!(waiting["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!(waiting["sessions"][0]["status"], "waitingApproval");

    let answered = daemon.decide(&first, json!({"decision": "accept"})).await.ok();
    assert_eq!((&answered["status"], &answered["resolvedBy"]), (&json!("accepted"), &json!("local")));
    assert!(answered["resolvedAt"].is_string());
    assert_eq!(daemon.get("/v1/approvals?status=pending").await.ok()["approvals"], json!([second]));
    assert_eq!(daemon.get("/v1/approvals?status=accepted").await.ok()["approvals"], json!([answered]));
    assert_eq!(daemon.get("/v1/approvals").await.ok()["approvals"], json!([answered, second]));
}

#[tokio::test]
async fn each_decision_reaches_codex_and_the_turn_says_what_was_not_accepted() {
    let daemon = Daemon::open().await;
    for (word, status, answer) in [
        ("accept", "accepted", "Decide(Accept)"),
        ("once", "accepted", "Decide(Accept)"),
        ("decline", "declined", "Decide(Decline)"),
        ("reject", "declined", "Decide(Decline)"),
        ("cancel", "cancelled", ""),
    ] {
        let approval = daemon.asking("ask").await;
        let answered = daemon.decide(&approval, json!({"decision": word})).await.ok();
        assert_eq!(answered["status"], status, "{word}");
        let turn = daemon.ended(&approval).await;
        assert_eq!(turn["status"], if answer.is_empty() { "interrupted" } else { "completed" }, "{turn}");
        assert_eq!(turn["answer"].as_str().unwrap_or_default(), answer, "{turn}");
        let declined = if status == "accepted" { json!([]) } else { json!([approval["id"]]) };
        assert_eq!(turn["declined"], declined, "{word}");
        let again = daemon.decide(&approval, json!({"decision": "accept"})).await;
        assert_eq!(again.refused(), (409, "APPROVAL_RESOLVED"));
        assert!(again.said().contains(&format!("{status}, by local")), "{}", again.said());
        assert_eq!((&again.json["turnId"], &again.json["sessionId"]), (&approval["turnId"], &approval["sessionId"]));
    }
    let approval = daemon.asking("ask").await;
    let session_wide = daemon.decide(&approval, json!({"decision": "always"})).await;
    assert_eq!(session_wide.refused(), (400, "BAD_REQUEST"), "this one does not offer it");
    assert!(session_wide.said().contains("`decisions`"), "{}", session_wide.said());
}

#[tokio::test]
async fn questions_are_answered_in_words() {
    let daemon = Daemon::open().await;
    let approval = daemon.asking("question").await;
    for (body, said) in [
        (json!({"decision": "accept"}), "answers"),
        (json!({"answers": {}}), "empty"),
        (json!({"answers": {"colour": []}}), "`colour`"),
        (json!({"answers": {"colour": ["red"], "size": ["1"]}}), "`size`"),
    ] {
        let refused = daemon.decide(&approval, body.clone()).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{body}");
        assert!(refused.said().contains(said), "{body}: {}", refused.said());
    }
    let answered = daemon.decide(&approval, json!({"answers": {"colour": ["red", "or so"]}})).await.ok();
    assert_eq!(answered["status"], "accepted");
    assert_eq!(daemon.ended(&approval).await["answer"], r#"Answers({"colour": ["red", "or so"]})"#);

    let command = daemon.asking("ask").await;
    for answers in [json!({}), json!({"x": ["y"]})] {
        let refused = daemon.decide(&command, json!({ "answers": answers })).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "a command is no question");
    }
    assert_eq!(daemon.get(&path(&command)).await.ok()["status"], "pending");
}

#[tokio::test]
async fn mistakes_change_nothing() {
    let daemon = Daemon::open().await;
    let approval = daemon.asking("ask").await;
    for (body, said) in [
        (json!({}), "`decision` is missing"),
        (json!({"decision": null}), "`decision` is missing"),
        (json!({"decision": "accept", "answers": {"a": ["b"]}}), "both"),
        (json!({"decision": "yes"}), "`decision` must be one of accept"),
        (json!({"decision": true}), "`decision` must be a string"),
        (json!({"answers": {"a": "b"}}), "`answers.a` must be an array"),
        (json!({"decision": "accept", "why": "x"}), "`why`"),
    ] {
        let refused = daemon.decide(&approval, body.clone()).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{body}");
        assert!(refused.said().contains(said), "{body}: {}", refused.said());
    }
    for query in ["status=open", "status=pending&status=pending", "session=x", "limit=5"] {
        assert_eq!(daemon.get(&format!("/v1/approvals?{query}")).await.refused(), (400, "BAD_REQUEST"), "{query}");
    }
    assert_eq!(daemon.get("/v1/approvals?sessionId=nobody").await.refused(), (404, "NO_SESSION"));
    for id in ["nobody", "..%2fx", "%ff", "a%20b", &"x".repeat(500)] {
        let path = format!("/v1/approvals/{id}");
        assert_eq!(daemon.get(&path).await.refused(), (404, "NO_APPROVAL"), "{id}");
        let decided = daemon.post_local(&path, json!({"decision": "accept"})).await;
        assert_eq!(decided.refused(), (404, "NO_APPROVAL"), "{id}");
    }
    assert_eq!(daemon.get(&path(&approval)).await.ok(), approval);
}

#[tokio::test]
async fn only_who_may_answers_and_nobody_what_their_own_turn_asks() {
    let daemon = Daemon::open().await;
    let mut tokens = Vec::new();
    for scopes in [json!(["read", "run"]), json!(["run", "approve"]), json!(["run", "approve", "approve-own"])] {
        let body = json!({"name": format!("t{}", tokens.len()), "scopes": scopes});
        let made = daemon.post_local("/v1/tokens", body).await.with(201);
        tokens.push(made["token"].as_str().unwrap().to_owned());
    }
    let [plain, other, own] = &tokens[..] else { panic!("three of them") };
    let yes = || Some(json!({"decision": "accept"}));
    for (starts, refused, answers) in
        [(plain, vec![plain], other), (other, vec![plain, other], own), (own, vec![], own)]
    {
        let begun = daemon.as_holder(starts, "POST", "/v1/sessions", Some(json!({"prompt": "ask"}))).await.with(201);
        let approval = daemon.asked(begun["turn"]["id"].as_str().unwrap()).await;
        // Who shows no token is `anonymous`, and may not either.
        assert_eq!(daemon.post(&path(&approval), yes().unwrap()).await.refused(), (403, "FORBIDDEN"));
        for token in refused {
            let refused = daemon.as_holder(token, "POST", &path(&approval), yes()).await;
            assert_eq!(refused.refused(), (403, "FORBIDDEN"));
            let word = if token == plain { "`approve`" } else { "approve-own" };
            assert!(refused.said().contains(word), "{}", refused.said());
        }
        assert_eq!(daemon.get(&path(&approval)).await.ok()["status"], "pending");
        let answered = daemon.as_holder(answers, "POST", &path(&approval), yes()).await.ok();
        assert_eq!(answered["status"], "accepted");
        assert_eq!(daemon.ended(&approval).await["status"], "completed");
    }
}
