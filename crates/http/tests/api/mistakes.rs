//! What is wrong with a v1 request is said in a sentence that names it, and nothing is done.

use serde_json::{Value, json};

use crate::daemon::{Daemon, request};

#[tokio::test]
async fn each_mistake_in_a_body_is_named() {
    let daemon = Daemon::open().await;
    let session = format!("/v1/sessions/{}", daemon.session("hello").await);
    let turns = format!("{session}/turns");
    let before = daemon.get(&session).await.ok();
    let both = json!({"prompt": "a", "input": [{"type": "text", "text": "b"}]});
    for (method, path, body, said) in [
        ("POST", "/v1/sessions", json!({"promt": "a"}), "there is no field `promt`; did you mean `prompt`?"),
        ("POST", "/v1/sessions", json!({"approval_policy": "untrusted"}), "did you mean `approvalPolicy`?"),
        ("POST", "/v1/sessions", json!({"nonsense": null}), "there is no field `nonsense`"),
        ("POST", "/v1/sessions", json!({"prompt": 7}), "`prompt` must be a string, not a number"),
        ("POST", "/v1/sessions", json!({"prompt": " "}), "the prompt is empty"),
        ("POST", "/v1/sessions", both.clone(), "`prompt` and `input` can't both be given"),
        ("POST", "/v1/sessions", json!({"input": []}), "the prompt is empty"),
        ("POST", "/v1/sessions", json!({"input": "a"}), "`input` must be an array, not a string"),
        (
            "POST",
            "/v1/sessions",
            json!({"input": [{"type": "text", "text": "a"}, {"type": "x"}]}),
            "`input[1].type` must be one of text, image, localImage",
        ),
        ("POST", "/v1/sessions", json!({"effort": "high"}), "`effort` needs a `prompt`"),
        ("POST", "/v1/sessions", json!({"outputSchema": {}}), "`outputSchema` needs a `prompt`"),
        ("POST", "/v1/sessions", json!({"prompt": "a", "effort": ""}), "`effort` is empty"),
        ("POST", "/v1/sessions", json!({"model": " "}), "`model` is empty"),
        (
            "POST",
            "/v1/sessions",
            json!({"outputSchema": [], "prompt": "a"}),
            "`outputSchema` must be an object, not an array",
        ),
        (
            "POST",
            "/v1/sessions",
            json!({"sandbox": "none"}),
            "`sandbox` must be one of read-only, workspace-write, danger-full-access, not \"none\"",
        ),
        ("POST", "/v1/sessions", json!({"approvalPolicy": 1}), "`approvalPolicy` must be a string, not a number"),
        ("POST", "/v1/sessions", json!({"labels": {"a": 1}}), "`labels.a` must be a string, not a number"),
        ("POST", "/v1/sessions", json!({"labels": {"a": null}}), "`labels.a` must be a string, not null"),
        ("POST", "/v1/sessions", json!({"config": true}), "`config` must be an object, not true or false"),
        ("POST", &turns, json!({}), "`prompt` is missing"),
        ("POST", &turns, json!({"prompt": null}), "`prompt` is missing"),
        ("POST", &turns, both, "`prompt` and `input` can't both be given"),
        (
            "POST",
            &turns,
            json!({"prompt": "a", "onHeld": "no"}),
            "`onHeld` must be one of fail, wait, fork, not \"no\"",
        ),
        ("POST", &turns, json!({"prompt": "a", "sandbox": "read-only"}), "there is no field `sandbox`"),
        ("POST", &turns, json!({"prompt": "a", "onBusy": true}), "`onBusy` must be a string, not true or false"),
        ("PATCH", &session, json!({"title": 1}), "`title` must be a string, not a number"),
        ("PATCH", &session, json!({"archived": "yes"}), "`archived` must be true or false, not a string"),
        ("PATCH", &session, json!({"model": "x"}), "there is no field `model`"),
        ("PATCH", &session, json!({"labels": {"": "x"}}), "a label's key"),
        ("POST", &format!("{session}/autoname"), json!({"forced": true}), "did you mean `force`?"),
        ("POST", &format!("{session}/compact"), json!({"force": true}), "there is no field `force`"),
        ("POST", "/v1/turns/x/retry", json!({"force": 1}), "`force` must be true or false, not a number"),
        ("POST", &turns, json!([]), "the body must be a JSON object, not an array"),
        ("POST", "/v1/sessions", json!(null), "the body must be a JSON object, not null"),
    ] {
        let sent = request(method, path).header("content-type", "application/json");
        let refused = daemon.send(sent.body(axum::body::Body::from(body.to_string())).unwrap()).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{method} {path} {body}");
        assert!(refused.said().contains(said), "{method} {path} {body}: {}", refused.said());
    }
    for path in ["/v1/sessions", turns.as_str()] {
        assert!(daemon.post_nothing(path).await.said().contains("the body is empty"));
    }
    assert_eq!(daemon.get(&session).await.ok(), before);
    assert_eq!(daemon.engine.sessions(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_mistake_in_a_query_is_named() {
    let daemon = Daemon::open().await;
    let session = format!("/v1/sessions/{}", daemon.session("hello").await);
    for (path, said) in [
        ("/v1/sessions?limit=0", "`limit` must be a whole number from 1 to 200, not 0"),
        ("/v1/sessions?limit=201", "`limit` must be a whole number from 1 to 200, not 201"),
        ("/v1/sessions?limit=ten", "`limit` must be a whole number from 1 to 200, not \"ten\""),
        ("/v1/sessions?limit=1&limit=2", "`limit` is given more than once"),
        ("/v1/sessions?cursor=x&cursor=y", "`cursor` is given more than once"),
        ("/v1/sessions?cursor=x", "`cursor` is none of ours"),
        ("/v1/sessions?cursor=", "`cursor` is none of ours"),
        ("/v1/sessions?status=busy", "`status` must be one of idle, running, waitingApproval"),
        ("/v1/sessions?archived=maybe", "`archived` must be one of false, true, all"),
        ("/v1/sessions?label=a", "`label` must be `key:value`, not \"a\""),
        ("/v1/sessions?id_prefix=a", "there is no parameter `id_prefix`; did you mean `idPrefix`?"),
        ("/v1/search", "`q` is missing"),
        ("/v1/search?q=a&limit=51", "`limit` must be a whole number from 1 to 50, not 51"),
        (&format!("{session}?x=1"), "there is no parameter `x`"),
        (&format!("{session}/turns?order=up"), "`order` must be one of asc, desc"),
        (&format!("{session}/turns?cursor=%2e"), "`cursor` is none of ours"),
        (&format!("{session}/turns?limit=999"), "`limit` must be a whole number from 1 to 200, not 999"),
        (&format!("{session}/transcript?format=html"), "`format` must be one of json, markdown"),
        ("/v1/turns/x?wait=601", "`wait` must be a whole number from 0 to 600, not 601"),
        ("/v1/turns/x?wait=-1", "`wait` must be a whole number from 0 to 600, not \"-1\""),
        ("/v1/turns/x?wait=1.5", "`wait` must be a whole number from 0 to 600"),
        ("/v1/turns/x?wait=99999999999999999999", "`wait` must be a whole number from 0 to 600"),
        ("/v1/turns/x?timeout=1", "there is no parameter `timeout`"),
    ] {
        let refused = daemon.get(path).await;
        assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{path}");
        assert!(refused.said().contains(said), "{path}: {}", refused.said());
    }
    for path in ["/v1/sessions".to_owned(), format!("{session}/turns")] {
        let refused = daemon.post(&format!("{path}?wait=601"), json!({"prompt": "x"})).await;
        assert!(refused.said().contains("`wait` must be"), "{}", refused.said());
    }
    assert_eq!(daemon.engine.sessions(10).await.unwrap().len(), 1);
}

/// Also where there are none: whoever adds a route can't forget it.
#[tokio::test]
async fn no_operation_of_v1_takes_a_parameter_that_it_does_not_know() {
    let daemon = Daemon::open().await;
    let document: Value = serde_json::from_str(http_api::openapi()).unwrap();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            let path = format!("{}?nonsense=1", path.replace("{id}", "x").replace("{name}", "x"));
            let sent = axum::http::Request::builder().method(method.to_uppercase().as_str()).uri(&path);
            let sent = sent.extension(http_api::Peer::SameUser).header("content-type", "application/json");
            let refused = daemon.send(sent.body(axum::body::Body::from("{}")).unwrap()).await;
            assert_eq!(refused.refused(), (400, "BAD_REQUEST"), "{method} {path}");
            assert!(refused.said().contains("`nonsense`"), "{method} {path}: {}", refused.said());
            tried += 1;
        }
    }
    assert!(tried > 15, "{tried}");
}
