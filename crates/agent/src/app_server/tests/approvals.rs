//! Codex's questions and what it is answered.

use std::collections::BTreeMap;

use types::{ApprovalKind, Decision};

use super::*;
use crate::domain::ApprovalRequest;

const COMMAND: &str = r#"{"method":"item/commandExecution/requestApproval","id":0,"params":{"kind":"command","threadId":"t1","turnId":"u1","itemId":"call_19","startedAtMs":1795392628645,"environmentId":"local","reason":"the fake model wants it","command":"/bin/bash -lc 'echo esc'","cwd":"/root/cxwd","commandActions":[{"type":"unknown","command":"echo esc"}],"proposedExecpolicyAmendment":["echo","esc"],"availableDecisions":["accept",{"acceptWithExecpolicyAmendment":{"execpolicy_amendment":["echo","esc"]}},"cancel"]}}"#;
const OLD_COMMAND: &str = r#"{"method":"item/commandExecution/requestApproval","id":0,"params":{"threadId":"t1","turnId":"1","itemId":"call_1","reason":null,"command":"/bin/bash -lc 'touch u'","cwd":"/w","commandActions":[{"type":"unknown","command":"touch u"}],"proposedExecpolicyAmendment":["touch","u"]}}"#;
const PATCH: &str = r#"{"method":"item/fileChange/requestApproval","id":14,"params":{"threadId":"t1","turnId":"u1","itemId":"call_29","startedAtMs":1795408321943,"reason":null,"grantRoot":null}}"#;
const RESOLVED: &str =
    r#"{"method":"serverRequest/resolved","params":{"threadId":"t1","requestId":0},"emittedAtMs":1795392628645}"#;
const STOPPED: &str = r#"{"method":"turn/completed","params":{"threadId":"t1","turn":{"id":"u1","items":[],"itemsView":"notLoaded","status":"interrupted","error":null}}}"#;
/// As the schema of 0.169.0 has them; the real one was not made to ask these.
const PERMISSIONS: &str = r#"{"method":"item/permissions/requestApproval","id":2,"params":{"threadId":"t1","turnId":"u1","itemId":"call_2","startedAtMs":1,"environmentId":null,"cwd":"/w","reason":"to build","permissions":{"network":{"enabled":true},"fileSystem":null}}}"#;
const FORM: &str = r#"{"method":"mcpServer/elicitation/request","id":3,"params":{"threadId":"t1","turnId":"u1","serverName":"s","mode":"form","message":"Where to?","requestedSchema":{"type":"object","properties":{"count":{"type":"integer"},"place":{"type":"string","title":"Place","enum":["here","there"]},"sure":{"type":"boolean"},"tags":{"type":"array","items":{"enum":["a","b"],"type":"string"}}},"required":["place"]}}}"#;
const PAGE: &str = r#"{"method":"mcpServer/elicitation/request","id":4,"params":{"threadId":"t1","turnId":null,"serverName":"s","mode":"url","message":"Log in","url":"https://example.com/x","elicitationId":"e"}}"#;
const INPUT: &str = r#"{"method":"item/tool/requestUserInput","id":5,"params":{"threadId":"t1","turnId":"u1","itemId":"call_5","isBlocking":true,"autoResolutionMs":null,"questions":[{"id":"q1","header":"H","question":"Which?","isOther":true,"isSecret":false,"options":[{"label":"A","description":"a"},{"label":"B","description":"b"}]},{"id":"q2","header":"H","question":"Why?","isOther":false,"isSecret":false,"options":null}]}}"#;

fn at(version: Version) -> AppServer {
    AppServer::new(Some(version))
}

fn hear(adapter: &mut AppServer, line: &str) -> Vec<What> {
    let mut out = Out::default();
    adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    assert!(out.lines.is_empty());
    out.reports.into_iter().map(|(route, what)| (assert_eq!(route, on_thread()), what).1).collect()
}

fn on_thread() -> Route {
    Route::Thread(ThreadId::parse("t1").unwrap())
}

fn asked(adapter: &mut AppServer, line: &str) -> ApprovalRequest {
    match hear(adapter, line).pop() {
        Some(What::Approval(approval)) => approval,
        other => panic!("{other:?}"),
    }
}

/// What a reply to the question becomes, when an adapter that never saw it asked is to send it.
fn replied(question: &str, reply: Reply) -> Vec<Value> {
    let request = asked(&mut at(Version(0, 169, 0)), question).request;
    let (mut adapter, mut out) = (at(Version(0, 169, 0)), Out::default());
    adapter.reply(request, reply, &mut out);
    sent(&out)
}

fn answers(pairs: &[(&str, &[&str])]) -> Reply {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Reply::Answers(pairs.iter().map(|(id, of)| ((*id).to_owned(), words(of))).collect())
}

#[test]
fn a_command_is_asked_for_with_all_that_is_told() {
    let approval = asked(&mut at(Version(0, 169, 0)), COMMAND);
    assert_eq!(approval.kind, ApprovalKind::Command);
    assert_eq!(approval.codex_item.as_deref(), Some("call_19"));
    assert_eq!(approval.command.as_deref(), Some("/bin/bash -lc 'echo esc'"));
    assert_eq!(approval.cwd.as_deref(), Some("/root/cxwd"));
    assert_eq!(approval.reason.as_deref(), Some("the fake model wants it"));
    let all = [Decision::Accept, Decision::AcceptForSession, Decision::Decline, Decision::Cancel];
    assert_eq!(approval.decisions, all);
    let old = asked(&mut at(Version(0, 98, 0)), OLD_COMMAND);
    assert_eq!((old.reason, old.decisions.as_slice()), (None, &all[..]));
    let network =
        COMMAND.replace(r#""cwd":"#, r#""networkApprovalContext":{"host":"example.com","protocol":"https"},"cwd":"#);
    let reason = asked(&mut at(Version(0, 169, 0)), &network).reason.unwrap();
    assert_eq!(reason, "the fake model wants it; network access to example.com (https)");
}

#[test]
fn each_decision_has_a_word_and_what_makes_no_sense_is_a_no() {
    let words = [
        (Reply::Decide(Decision::Accept), "accept"),
        (Reply::Decide(Decision::AcceptForSession), "acceptForSession"),
        (Reply::Decide(Decision::Decline), "decline"),
        (Reply::Decide(Decision::Cancel), "cancel"),
        (answers(&[("q1", &["A"])]), "decline"),
    ];
    for (reply, word) in words {
        assert_eq!(replied(COMMAND, reply.clone()), [json!({"id": 0, "result": {"decision": word}})]);
        assert_eq!(replied(PATCH, reply), [json!({"id": 14, "result": {"decision": word}})]);
    }
}

#[test]
fn permissions_are_granted_as_they_were_asked_for_and_a_cancel_stops_the_turn() {
    let approval = asked(&mut at(Version(0, 169, 0)), PERMISSIONS);
    let wanted = r#"to build; permissions: {"fileSystem":null,"network":{"enabled":true}}"#;
    assert_eq!((approval.kind, approval.reason.as_deref()), (ApprovalKind::Permissions, Some(wanted)));
    let asked = json!({"network": {"enabled": true}, "fileSystem": null});
    let granted = |scope: &str| json!({"id": 2, "result": {"permissions": asked, "scope": scope}});
    assert_eq!(replied(PERMISSIONS, Reply::Decide(Decision::Accept)), [granted("turn")]);
    assert_eq!(replied(PERMISSIONS, Reply::Decide(Decision::AcceptForSession)), [granted("session")]);
    let no = [json!({"id": 2, "result": {"permissions": {}, "scope": "turn"}})];
    assert_eq!(replied(PERMISSIONS, Reply::Decide(Decision::Decline)), no);
    assert_eq!(replied(PERMISSIONS, answers(&[])), no);
    let stop = json!({"id": "cancel 2", "method": "turn/interrupt", "params": {"threadId": "t1", "turnId": "u1"}});
    let [no] = no;
    assert_eq!(replied(PERMISSIONS, Reply::Decide(Decision::Cancel)), [stop, no]);
}

#[test]
fn a_person_s_answers_go_by_the_ids_of_the_questions() {
    let approval = asked(&mut at(Version(0, 169, 0)), INPUT);
    assert_eq!(approval.kind, ApprovalKind::UserInput);
    let ids: Vec<&str> = approval.questions.iter().map(|question| question.id.as_str()).collect();
    assert_eq!(
        (ids.as_slice(), approval.questions[0].options.as_slice()),
        (&["q1", "q2"][..], &["A".into(), "B".into()][..])
    );
    assert_eq!(approval.decisions, [Decision::Decline, Decision::Cancel]);
    let given = json!({"id": 5, "result": {"answers": {"q1": {"answers": ["A", "C"]}}}});
    assert_eq!(replied(INPUT, answers(&[("q1", &["A", "C"])])), [given]);
    let none = [json!({"id": 5, "result": {"answers": {}}})];
    assert_eq!(replied(INPUT, Reply::Decide(Decision::Accept)), none);
    assert_eq!(replied(INPUT, Reply::Decide(Decision::Decline)), none);
    let stopped = replied(INPUT, Reply::Decide(Decision::Cancel));
    assert_eq!((stopped[0]["method"].as_str(), &stopped[1..]), (Some("turn/interrupt"), &none[..]));
}

#[test]
fn a_form_takes_each_answer_in_its_type() {
    let approval = asked(&mut at(Version(0, 169, 0)), FORM);
    assert_eq!((approval.kind, approval.reason.as_deref()), (ApprovalKind::Elicitation, Some("Where to?")));
    let options: BTreeMap<&str, usize> =
        approval.questions.iter().map(|question| (question.id.as_str(), question.options.len())).collect();
    assert_eq!(options, [("count", 0), ("place", 2), ("sure", 2), ("tags", 2)].into());
    assert_eq!(approval.decisions, [Decision::Accept, Decision::Decline, Decision::Cancel]);
    let filled: &[(&str, &[&str])] =
        &[("count", &["3"]), ("place", &["here"]), ("sure", &["true"]), ("tags", &["a", "b"])];
    let content = json!({"count": 3, "place": "here", "sure": true, "tags": ["a", "b"]});
    assert_eq!(replied(FORM, answers(filled)), [json!({"id": 3, "result": {"action": "accept", "content": content}})]);
    let words = replied(FORM, answers(&[("count", &["many"])]));
    assert_eq!(words[0]["result"]["content"], json!({"count": "many"}));
    assert_eq!(replied(FORM, Reply::Decide(Decision::Accept))[0]["result"], json!({"action": "accept", "content": {}}));
    assert_eq!(replied(FORM, Reply::Decide(Decision::Decline))[0]["result"]["action"], "decline");
    assert_eq!(replied(FORM, Reply::Decide(Decision::Cancel))[1]["result"]["action"], "cancel");

    assert_eq!(asked(&mut at(Version(0, 169, 0)), PAGE).reason.as_deref(), Some("Log in; open https://example.com/x"));
    assert_eq!(
        replied(PAGE, Reply::Decide(Decision::Accept))[0]["result"],
        json!({"action": "accept", "content": null})
    );
    // It belongs to no turn, so there is nothing to stop.
    let cancelled = json!({"id": 4, "result": {"action": "cancel", "content": null}});
    assert_eq!(replied(PAGE, Reply::Decide(Decision::Cancel)), [cancelled]);
}

#[test]
fn what_somebody_else_answered_is_gone_and_what_we_answered_is_not_told() {
    let mut adapter = at(Version(0, 169, 0));
    let request = asked(&mut adapter, COMMAND).request;
    assert_eq!(hear(&mut adapter, RESOLVED), [What::ApprovalGone { request: request.clone() }]);

    let mut adapter = at(Version(0, 169, 0));
    asked(&mut adapter, COMMAND);
    let mut out = Out::default();
    adapter.reply(request.clone(), Reply::Decide(Decision::Accept), &mut out);
    adapter.reply(request.clone(), Reply::Decide(Decision::Decline), &mut out);
    assert_eq!(out.lines.len(), 1, "only the first answer counts");
    assert_eq!(hear(&mut adapter, RESOLVED), []);

    // Asked before this adapter was there.
    match hear(&mut at(Version(0, 169, 0)), RESOLVED).as_slice() {
        [What::ApprovalGone { request: bare }] => assert!(bare.same(&request)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_turn_that_ends_takes_its_questions_along() {
    for version in [Version(0, 169, 0), Version(0, 98, 0)] {
        let mut adapter = at(version);
        let request = asked(&mut adapter, COMMAND).request;
        let other = asked(&mut adapter, PAGE).request;
        let said = hear(&mut adapter, STOPPED);
        assert_eq!(said[0], What::ApprovalGone { request: request.clone() });
        assert!(matches!(said[1], What::TurnEnded { outcome: Outcome::Interrupted, .. }));
        assert_eq!(said.len(), 2, "the question of no turn stays");
        if version > Version(0, 98, 0) {
            assert_eq!(hear(&mut adapter, RESOLVED), [], "it comes after the end, and is known by then");
        }
        let mut out = Out::default();
        adapter.reply(other, Reply::Decide(Decision::Decline), &mut out);
        assert_eq!(sent(&out)[0]["id"], 4);
    }
}

#[test]
fn an_old_codex_completes_a_declined_change_once() {
    let change = |status: &str| {
        format!(
            r#"{{"method":"item/completed","params":{{"item":{{"type":"fileChange","id":"call_1","changes":[{{"path":"/p.txt","kind":{{"type":"add"}},"diff":"hi\n"}}],"status":"{status}"}},"threadId":"t1","turnId":"1"}}}}"#
        )
    };
    let statuses = |version: Version| {
        let mut adapter = at(version);
        let said = [hear(&mut adapter, &change("declined")), hear(&mut adapter, &change("failed"))].concat();
        let status = |what: &What| if let What::ItemCompleted { status, .. } = what { Some(*status) } else { None };
        said.iter().filter_map(status).collect::<Vec<_>>()
    };
    assert_eq!(statuses(Version(0, 98, 0)), [types::ItemStatus::Declined]);
    assert_eq!(statuses(Version(0, 169, 0)).len(), 2);
}
