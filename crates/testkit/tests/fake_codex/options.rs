//! Models, efforts, configuration, images, schemas; and how strictly they are read.

use serde_json::{Value, json};

use crate::server::{Server, answer};

/// What a turn with these fields, and `OPTIONS` for its first text, says that it was given.
fn given(server: &mut Server, thread: &str, fields: &Value) -> Value {
    let mut params = json!({"threadId": thread, "input": [{"type": "text", "text": "OPTIONS"}]});
    for (name, value) in fields.as_object().expect("is an object") {
        params[name] = value.clone();
    }
    server.request("turn/start", &params);
    let turn = server.until(|message| message["method"] == "turn/completed");
    serde_json::from_str(answer(&turn)).expect("is JSON")
}

fn in_force(reply: &Value) -> (&Value, &Value) {
    let result = &reply["result"];
    assert_eq!(
        (&result["model"], &result["reasoningEffort"]),
        (&result["thread"]["model"], &result["thread"]["reasoningEffort"])
    );
    (&result["model"], &result["reasoningEffort"])
}

#[test]
fn model_and_effort_stay_as_measured() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let started = server.ask("thread/start", &json!({}));
    assert_eq!(in_force(&started), (&json!("fake-model"), &Value::Null));
    let thread = started["result"]["thread"]["id"].as_str().expect("has an id").to_owned();
    let turns = [
        (json!({}), "fake-model", Value::Null),
        (json!({"model": "x", "effort": "high"}), "x", json!("high")),
        (json!({}), "x", json!("high")),
        (json!({"model": null, "effort": null}), "x", json!("high")),
        (json!({"model": "fake-model"}), "fake-model", json!("high")),
        (json!({"model": "y"}), "y", json!("high")),
    ];
    for (fields, model, effort) in turns {
        let told = given(&mut server, &thread, &fields);
        assert_eq!((&told["model"], &told["effort"]), (&json!(model), &effort), "{fields}");
    }
    let loaded = server.ask("thread/resume", &json!({"threadId": thread, "model": "ignored"}));
    assert_eq!(in_force(&loaded), (&json!("y"), &json!("high")));
    let resumes = [
        (json!({}), "y", json!("high")),
        (json!({"model": "z"}), "z", Value::Null),
        (json!({}), "z", Value::Null),
        (json!({"config": {"model_reasoning_effort": "low"}}), "fake-model", json!("low")),
        (json!({"model": "z", "config": {"model_reasoning_effort": "low"}}), "z", json!("low")),
    ];
    for (fields, model, effort) in resumes {
        server.kill();
        server = Server::app(home.path(), &[]);
        let mut params = fields.clone();
        params["threadId"] = json!(thread);
        let resumed = server.ask("thread/resume", &params);
        assert_eq!(in_force(&resumed), (&json!(model), &effort), "{fields}");
        let told = given(&mut server, &thread, &json!({}));
        assert_eq!((&told["model"], &told["effort"]), (&json!(model), &effort), "{fields}");
    }
}

#[test]
fn a_turn_tells_what_it_was_given() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let config = json!({"model_reasoning_effort": "low", "tools": {"web_search": true}});
    let started = server.ask("thread/start", &json!({"config": config}));
    assert_eq!(in_force(&started).1, "low");
    let thread = started["result"]["thread"]["id"].as_str().expect("has an id").to_owned();
    let input = json!([{"type": "text", "text": "OPTIONS"}, {"type": "image", "url": "data:image/png;base64,AA"},
        {"type": "localImage", "path": "/w/a.png"}]);
    let told = given(&mut server, &thread, &json!({"input": input, "outputSchema": {"type": "object"}}));
    assert_eq!(
        told,
        json!({"config": config, "effort": "low", "images": ["data:image/png;base64,AA", "/w/a.png"],
            "model": "fake-model", "schema": {"type": "object"}})
    );
    let told = given(&mut server, &thread, &json!({}));
    assert_eq!((&told["schema"], &told["images"]), (&Value::Null, &json!([])), "neither stays");
}

#[test]
fn what_is_not_as_it_should_be_is_refused() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::app(home.path(), &[]);
    let thread = server.thread();
    let turn = |fields: Value| {
        let mut params = json!({"threadId": thread, "input": []});
        params.as_object_mut().expect("is an object").extend(fields.as_object().expect("is an object").clone());
        ("turn/start", params)
    };
    let cases = [
        (turn(json!({"input": "x"})), "Invalid request: invalid type: string \"x\", expected a sequence"),
        (turn(json!({"effort": 7})), "Invalid request: invalid type: integer `7`, expected a string"),
        (turn(json!({"model": 7})), "Invalid request: invalid type: integer `7`, expected a string"),
        (turn(json!({"input": [{"type": "text"}]})), "Invalid request: missing field `text`"),
        (turn(json!({"input": [{"type": "localImage", "url": "x"}]})), "Invalid request: unknown field `url`"),
        (
            turn(json!({"input": [{"type": "hologram"}]})),
            "Invalid request: unknown variant `hologram`, expected one of `text`, `image`, `localImage`, `audio`, \
             `localAudio`, `skill`, `mention`",
        ),
        (
            turn(json!({"input": [{"type": "image", "url": "https://example.com/x.png"}]})),
            "remote image URLs are not supported; use an inline data URL instead",
        ),
        (
            turn(json!({"approvalPolicy": "on-failure"})),
            "Invalid request: unknown variant `on-failure`, expected one of `untrusted`, `on-request`, `granular`, `never`",
        ),
        (turn(json!({"sandboxPolicy": {"type": "readOnly", "writableRoots": []}})), "Invalid request: unknown field"),
        (turn(json!({"prompt": "x"})), "Invalid request: unknown field `prompt`"),
        (("thread/start", json!({"config": [1]})), "Invalid request: invalid type: sequence, expected a map"),
        (("thread/start", json!({"writable": true})), "Invalid request: unknown field `writable`"),
        (
            ("thread/start", json!({"config": {"model_reasoning_effort": 7}})),
            "failed to load configuration: invalid type: integer `7`, expected a string\nin `model_reasoning_effort`\n",
        ),
        (("thread/compact/start", json!({})), "Invalid request: missing field `threadId`"),
        (("thread/delete", json!({"threadId": null})), "Invalid request: invalid type: null, expected a string"),
        (("model/list", json!({"cursor": "zzz"})), "invalid cursor: zzz"),
        (("model/list", json!({"limit": "x"})), "Invalid request: invalid type: string \"x\", expected u32"),
        (("model/list", Value::Null), "Invalid request: missing field `params`"),
        (("foo/bar", json!({})), "Invalid request: unknown variant `foo/bar`, expected one of `initialize`, "),
        (("account/rateLimits/read", Value::Null), "codex account authentication required to read rate limits"),
    ];
    for ((method, params), text) in cases {
        let refused = server.ask(method, &params);
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(text), "{method} {params}: {refused}");
    }
}

#[test]
fn models_come_in_pages_and_limits_with_an_account() {
    let home = tempfile::tempdir().expect("has a folder");
    let env = [("FAKE_CODEX_FAULT", "small-pages"), ("FAKE_CODEX_LIMITS", "37")];
    let mut server = Server::app(home.path(), &env);
    let mut page = |cursor: Value| {
        let listed = server.ask("model/list", &json!({"includeHidden": false, "cursor": cursor}));
        let ids: Vec<Value> =
            listed["result"]["data"].as_array().expect("has data").iter().map(|model| model["id"].clone()).collect();
        (ids, listed["result"]["nextCursor"].clone())
    };
    let (first, cursor) = page(Value::Null);
    assert_eq!((first, page(cursor)), (vec![json!("fake-model")], (vec![json!("fake-mini")], Value::Null)));
    let limits = server.ask("account/rateLimits/read", &Value::Null);
    assert_eq!(limits["result"]["rateLimits"]["primary"]["usedPercent"], 37);
}

#[test]
fn the_removed_server_tells_too_and_is_as_strict() {
    let home = tempfile::tempdir().expect("has a folder");
    let mut server = Server::start(home.path(), &["mcp-server"], &[("FAKE_CODEX_VERSION", "0.153.4")]);
    server.ask("initialize", &json!({"protocolVersion": "2025-06-18", "clientInfo": {"name": "t", "version": "1"}}));
    let mut call = |arguments: Value| {
        let id = server.request("tools/call", &json!({"name": "codex", "arguments": arguments}));
        let answered = server.until(|message| message["id"] == id).pop().expect("has answered");
        answered["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    let config = json!({"model_reasoning_effort": "high"});
    let told = call(json!({"prompt": "OPTIONS", "model": "m", "config": config}));
    assert_eq!(
        serde_json::from_str::<Value>(&told).expect("is JSON"),
        json!({"config": config, "effort": "high", "images": [], "model": "m", "schema": null})
    );
    for (arguments, text) in [
        (json!({"prompt": "x", "bogus": 1}), "unknown field `bogus`"),
        (json!({}), "missing field `prompt`"),
        (
            json!({"prompt": "x", "approval-policy": "untrusted"}),
            "unknown variant `untrusted`, expected `on-request` or `never`",
        ),
    ] {
        let refused = call(arguments);
        assert!(refused.starts_with(&format!("Failed to parse configuration for Codex tool: {text}")), "{refused}");
    }
}
