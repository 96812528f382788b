//! What a caller may say of a thread or a turn, and what else can be asked.

use std::path::Path;

use serde_json::Map;

use super::*;

fn config(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn one(version: Option<Version>, ask: Ask) -> (AppServer, Out) {
    let (mut adapter, mut out) = (AppServer::new(version), Out::default());
    adapter.ask(AskId(5), ask, Instant::now(), &mut out);
    (adapter, out)
}

fn params(ask: Ask) -> Value {
    sent(&one(None, ask).1)[0]["params"].clone()
}

fn answers(adapter: &mut AppServer, lines: &[&str]) -> Vec<Result<Answer, AskError>> {
    let mut out = Out::default();
    for line in lines {
        adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    }
    let answer = |(_, what)| if let What::Answer(AskId(5), answer) = what { answer } else { panic!("{what:?}") };
    out.reports.into_iter().map(answer).collect()
}

#[test]
fn the_configuration_goes_with_every_start_and_resume() {
    let wanted =
        json!({"model_reasoning_effort": "high", "tools": {"web_search": true}, "shell_environment_policy.set.A": "b"});
    let spec = ThreadSpec { config: config(wanted.clone()), ..spec() };
    let thread = ThreadId::parse("t1").unwrap();
    assert_eq!(params(Ask::StartThread(spec.clone()))["config"], wanted);
    assert_eq!(params(Ask::ResumeThread { thread, spec })["config"], wanted);
    assert_eq!(params(Ask::StartThread(super::spec())).get("config"), None);
}

#[test]
fn no_configuration_can_widen_what_was_allowed() {
    let wide = json!({
        "sandbox_mode": "danger-full-access", "sandbox_workspace_write": {"writable_roots": ["/"]},
        "sandbox_workspace_write.network_access": true, "sandbox_workspace_write.writable_roots": ["/"],
        "\"sandbox_workspace_write\".network_access": true, " sandbox_mode": "danger-full-access",
        "approval_policy": "never", "approvals_reviewer": "auto_review", "projects": {"/w": {"trust_level": "trusted"}},
        "projects.\"/w\".trust_level": "trusted", "permissions": {}, "default_permissions": ":danger-full-access",
        "profile": "wide", "profiles.wide.sandbox_mode": "danger-full-access",
    });
    let mut both = config(wide.clone());
    both.insert("model_verbosity".into(), json!("low"));
    let spec = |config| ThreadSpec { config, ..super::spec() };
    assert_eq!(params(Ask::StartThread(spec(both)))["config"], json!({"model_verbosity": "low"}));
    assert_eq!(params(Ask::StartThread(spec(config(wide)))).get("config"), None);
}

#[test]
fn a_turn_says_what_the_caller_said_and_nothing_else() {
    let thread = ThreadId::parse("t1").unwrap();
    let plain = params(Ask::StartTurn(turn(&thread)));
    for field in ["model", "effort", "outputSchema"] {
        assert_eq!(plain.get(field), None, "{field}");
    }
    let said = params(Ask::StartTurn(TurnSpec {
        input: vec![
            InputPart::Text { text: "look".into() },
            InputPart::Image { url: "data:image/png;base64,AAAA".into() },
            InputPart::LocalImage { path: "a.png".into() },
            InputPart::LocalImage { path: "/other/b.png".into() },
        ],
        model: Some("m2".into()),
        effort: Some("high".into()),
        output_schema: Some(json!({"type": "object"})),
        spec: ThreadSpec { model: Some("m1".into()), ..spec() },
        ..turn(&thread)
    }));
    assert_eq!(
        said["input"],
        json!([
            {"type": "text", "text": "look"},
            {"type": "image", "url": "data:image/png;base64,AAAA"},
            {"type": "localImage", "path": Path::new("/w").join("a.png")},
            {"type": "localImage", "path": "/other/b.png"},
        ])
    );
    assert_eq!((&said["model"], &said["effort"]), (&json!("m2"), &json!("high")));
    assert_eq!(said["outputSchema"], json!({"type": "object"}));
    let of_session = TurnSpec { spec: ThreadSpec { model: Some("m1".into()), ..spec() }, ..turn(&thread) };
    assert_eq!(params(Ask::StartTurn(of_session))["model"], "m1");
}

#[test]
fn a_thread_tells_its_model_and_effort() {
    let (mut adapter, _) = one(None, Ask::StartThread(spec()));
    let line = r#"{"id":5,"result":{"thread":{"id":"t1","model":"my-x","reasoningEffort":"minimal"},"model":"my-x","modelProvider":"fake","serviceTier":null,"cwd":"/w","approvalPolicy":"on-request","approvalsReviewer":"user","sandbox":{"type":"readOnly","networkAccess":false},"activePermissionProfile":null,"reasoningEffort":"minimal","multiAgentMode":"explicitRequestOnly"}}"#;
    let answer = answers(&mut adapter, &[line]).remove(0);
    let Ok(Answer::Thread { applied: Some(applied), .. }) = answer else { panic!("{answer:?}") };
    assert_eq!((applied.model.as_deref(), applied.effort.as_deref()), (Some("my-x"), Some("minimal")));
}

#[test]
fn all_pages_of_models_make_one_answer() {
    let (mut adapter, out) = one(None, Ask::Models);
    assert_eq!(sent(&out), [json!({"id": 5, "method": "model/list", "params": {"includeHidden": false}})]);
    let first = r#"{"id":5,"result":{"data":[{"id":"gpt-6-sol","model":"gpt-6-sol","upgrade":null,"upgradeInfo":null,"availabilityNux":null,"displayName":"GPT-6-Sol","description":"Previous generation workhorse model.","modelSpecialty":null,"hidden":false,"supportedReasoningEfforts":[{"reasoningEffort":"low","description":"Fast responses with lighter reasoning"},{"reasoningEffort":"medium","description":"Balances speed and reasoning depth for everyday tasks"}],"defaultReasoningEffort":"medium","inputModalities":["text","image"],"supportsPersonality":false,"isDefault":true}],"nextCursor":"1"}}"#;
    let mut out = Out::default();
    adapter.line(1, first.as_bytes(), Instant::now(), &mut out);
    assert!(out.reports.is_empty());
    let next = json!({"id": 5, "method": "model/list", "params": {"includeHidden": false, "cursor": "1"}});
    assert_eq!(sent(&out), [next]);
    // 0.98.0 knows nothing of hidden ones.
    let second = r#"{"id":5,"result":{"data":[{"id":"gpt-5.2","model":"gpt-5.2","upgrade":"gpt-5.2-codex","displayName":"gpt-5.2","description":"","supportedReasoningEfforts":[],"defaultReasoningEffort":"medium","isDefault":false},{"id":"secret","model":"secret","displayName":"Secret","description":"","hidden":true,"supportedReasoningEfforts":[],"defaultReasoningEffort":"low","isDefault":false}],"nextCursor":null}}"#;
    let model = |id: &str, name: &str, description: Option<&str>, default, efforts: &[&str]| Model {
        id: id.into(),
        name: name.into(),
        description: description.map(str::to_owned),
        default,
        efforts: efforts.iter().map(|&effort| effort.to_owned()).collect(),
        default_effort: Some("medium".into()),
    };
    let sol = model("gpt-6-sol", "GPT-6-Sol", Some("Previous generation workhorse model."), true, &["low", "medium"]);
    let all = vec![sol, model("gpt-5.2", "gpt-5.2", None, false, &[])];
    assert_eq!(answers(&mut adapter, &[second, second]), [Ok(Answer::Models(all))]);
}

#[test]
fn pages_without_end_are_not_read_for_ever() {
    let (mut adapter, _) = one(None, Ask::Models);
    let endless = r#"{"id":5,"result":{"data":[],"nextCursor":"again"}}"#;
    assert_eq!(answers(&mut adapter, &[endless]), [Ok(Answer::Models(Vec::new()))]);
}

#[test]
fn limits_are_told_as_they_are_or_refused_in_codex_s_words() {
    let (mut adapter, out) = one(None, Ask::Limits);
    assert_eq!(sent(&out)[0]["method"], "account/rateLimits/read");
    let refused =
        r#"{"error":{"code":-32600,"message":"codex account authentication required to read rate limits"},"id":5}"#;
    let words = "codex account authentication required to read rate limits".to_owned();
    assert_eq!(answers(&mut adapter, &[refused]), [Err(AskError::Refused(words))]);
    let (mut adapter, _) = one(None, Ask::Limits);
    let told = json!({"rateLimits": {"primary": {"usedPercent": 12}}});
    let line = json!({"id": 5, "result": told}).to_string();
    assert_eq!(answers(&mut adapter, &[&line]), [Ok(Answer::Limits(told))]);
}

#[test]
fn a_record_is_removed_where_codex_can() {
    let thread = ThreadId::parse("t1").unwrap();
    let (mut adapter, out) = one(Some(Version(0, 153, 4)), Ask::DeleteThread { thread: thread.clone() });
    assert_eq!(sent(&out), [json!({"id": 5, "method": "thread/delete", "params": {"threadId": "t1"}})]);
    let none = r#"{"error":{"code":-32600,"message":"no rollout found for thread id t1"},"id":5}"#;
    assert!(matches!(answers(&mut adapter, &[none])[..], [Err(AskError::NoRecord(_))]));

    let (adapter, out) = one(Some(Version(0, 98, 0)), Ask::DeleteThread { thread });
    assert!(out.lines.is_empty());
    assert_eq!(out.reports, [(Route::Ask(AskId(5)), What::Answer(AskId(5), Err(AskError::NotSupported)))]);
    let can = adapter.capabilities();
    assert!(can.compact && can.turn_options && !can.delete && !can.inject);
}
