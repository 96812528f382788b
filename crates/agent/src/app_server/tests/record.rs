//! What a thread's record tells of a prompt, in the words of the real Codex 0.169.0.

use types::{ItemBody, ItemStatus};

use super::*;
use crate::record::Record;

/// The prompt that is looked for, one that was asked before it, and one that was asked after it.
const OURS: &str = "01a21e1b-0000-7000-8000-000000000005";
const OLDER: &str = "01a21e1b-0000-7000-8000-000000000004";
const NEWER: &str = "01a21e1b-0000-7000-8000-000000000006";

fn on_record(id: &str, status: &str, items: &[Value]) -> Value {
    json!({"id": id, "rootTurnId": id, "items": items, "itemsView": "full", "status": status, "error": null,
        "startedAt": 1_795_801_894, "completedAt": null, "durationMs": null})
}

fn prompt(client: Option<&str>) -> Value {
    json!({"type": "userMessage", "id": "u", "clientId": client, "content": [{"type": "text", "text": "p", "text_elements": []}]})
}

fn message() -> Value {
    json!({"type": "agentMessage", "id": "m", "text": "done", "phase": null, "memoryCitation": null})
}

/// What is made of these pages of turns; and how many were asked for. All items of the turn that is found come one by one.
fn search(codex_turn: Option<&str>, pages: &[&[Value]]) -> (Record, usize) {
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 169, 0))), Out::default());
    let (thread, prompt) = (ThreadId::parse("t1").unwrap(), TurnId::parse(OURS).ok());
    let ask = Ask::Record { thread, prompt, codex_turn: codex_turn.map(str::to_owned) };
    adapter.ask(AskId(1), ask, Instant::now(), &mut out);
    let mut read = 0;
    loop {
        let tags: HashSet<&str> = out.lines.iter().map(|line| line.tag.as_str()).collect();
        assert_eq!(tags.len(), out.lines.len(), "a host gives each tag to Codex once");
        let asked = sent(&out).pop().unwrap();
        let at = asked["params"]["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let (data, last): (Vec<Value>, bool) = match asked["method"].as_str() {
            Some("thread/turns/list") => {
                assert_eq!((&asked["params"]["itemsView"], at), (&json!("summary"), read));
                read += 1;
                (pages[at].to_vec(), at + 1 == pages.len())
            }
            Some("thread/items/list") => {
                let turn =
                    pages.iter().copied().flatten().find(|turn| turn["id"] == asked["params"]["turnId"]).unwrap();
                let items = turn["items"].as_array().unwrap();
                let entry = json!({"turnId": turn["id"], "item": items[at]});
                (vec![entry], at + 1 == items.len())
            }
            other => panic!("{other:?}"),
        };
        let next = (!last).then(|| (at + 1).to_string());
        let line = json!({"id": 1, "result": {"data": data, "nextCursor": next, "backwardsCursor": null}}).to_string();
        adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
        if let Some((_, What::Answer(_, answer))) = out.reports.pop() {
            let Ok(Answer::Record(record)) = answer else { panic!("{answer:?}") };
            return (record, read);
        }
    }
}

fn absent(cut_off: Option<&str>) -> Record {
    Record::Absent { cut_off: cut_off.map(str::to_owned) }
}

#[test]
fn a_turn_is_found_by_the_id_that_its_prompt_was_given() {
    let running = json!({"type": "commandExecution", "id": "c", "status": "inProgress", "command": "x", "cwd": "/"});
    let page = [on_record("a", "interrupted", &[prompt(Some(OURS)), running, message()])];
    let (Record::Turn(turn), 1) = search(None, &[&page]) else { panic!() };
    assert_eq!((turn.codex_turn.as_str(), turn.outcome), ("a", Outcome::Interrupted));
    let [prompt, message] = &turn.items[..] else { panic!("{:?}", turn.items) };
    assert_eq!(prompt.given.as_deref(), Some(OURS));
    assert_eq!((message.given.as_deref(), message.status), (None, ItemStatus::Completed));
    assert_eq!(message.body, ItemBody::AgentMessage { text: "done".into() });
}

#[test]
fn how_a_turn_ended_is_read() {
    for (status, outcome) in
        [("completed", Outcome::Completed), ("interrupted", Outcome::Interrupted), ("inProgress", Outcome::Interrupted)]
    {
        let page = [on_record("a", status, &[prompt(Some(OURS))])];
        let (Record::Turn(turn), _) = search(Some("a"), &[&page]) else { panic!() };
        assert_eq!(turn.outcome, outcome);
    }
    let mut failed = on_record("a", "failed", &[prompt(Some(OURS))]);
    failed["error"] =
        json!({"message": "no room", "codexErrorInfo": "contextWindowExceeded", "additionalDetails": null});
    let (Record::Turn(turn), _) = search(Some("a"), &[&[failed]]) else { panic!() };
    assert!(matches!(turn.outcome, Outcome::Failed(error) if error.code == TurnErrorCode::ContextExceeded));
}

#[test]
fn a_prompt_that_is_nowhere_is_looked_for_until_one_that_is_older() {
    let older = on_record("a", "completed", &[prompt(Some(OLDER)), message()]);
    let newer = on_record("b", "completed", &[prompt(Some(NEWER))]);
    assert_eq!(search(None, &[&[]]), (absent(None), 1), "an empty record");
    assert_eq!(search(None, &[&[older.clone()], &[]]), (absent(None), 1), "what lies behind an older one is not read");
    assert_eq!(search(None, &[&[newer.clone()], &[newer], &[older]]), (absent(None), 3));
}

#[test]
fn a_turn_that_was_cut_off_before_its_prompt_is_told() {
    let cut = on_record("z", "interrupted", &[]);
    let older = on_record("a", "completed", &[prompt(Some(OLDER))]);
    for codex_turn in [None, Some("z")] {
        assert_eq!(search(codex_turn, &[&[cut.clone(), older.clone()]]).0, absent(Some("z")));
        assert_eq!(search(codex_turn, &[&[cut.clone()]]).0, absent(Some("z")), "the first one of its thread");
    }
    assert_eq!(search(Some("y"), &[&[cut.clone(), older.clone()]]).0, absent(None), "another one than ours");
    let ours = on_record("b", "completed", &[prompt(Some(OURS))]);
    assert!(matches!(search(None, &[&[cut.clone(), ours]]).0, Record::Turn(turn) if turn.codex_turn == "b"));
    // What came after it would be taken out with it.
    let newer = on_record("b", "completed", &[prompt(Some(NEWER))]);
    assert!(matches!(search(Some("z"), &[&[newer, cut, older]]).0, Record::Unclear(_)));
}

#[test]
fn prompts_that_do_not_tell_whose_they_are_make_it_unclear() {
    let unnamed = on_record("a", "completed", &[prompt(None)]);
    let older = on_record("b", "completed", &[prompt(Some(OLDER))]);
    assert!(matches!(search(None, &[&[unnamed.clone(), older.clone()]]).0, Record::Unclear(_)));
    assert_eq!(search(None, &[&[older, unnamed]]).0, absent(None), "those of long ago are nobody's concern");
}

#[test]
fn a_compaction_is_found_by_its_own_id() {
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 153, 4))), Out::default());
    let thread = ThreadId::parse("t1").unwrap();
    let ask = Ask::Record { thread: thread.clone(), prompt: None, codex_turn: Some("c".into()) };
    adapter.ask(AskId(1), ask, Instant::now(), &mut out);
    let item = json!({"type": "contextCompaction", "id": "i", "startedAtMs": 1, "completedAtMs": 2});
    let data = [on_record("z", "completed", &[prompt(Some(OLDER))]), on_record("c", "completed", &[item.clone()])];
    let line = json!({"id": 1, "result": {"data": data, "nextCursor": null}}).to_string();
    adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    let line = json!({"id": 1, "result": {"data": [{"turnId": "c", "item": item}], "nextCursor": null}}).to_string();
    adapter.line(1, line.as_bytes(), Instant::now(), &mut out);
    assert!(matches!(out.reports.pop(), Some((_, What::Answer(_, Ok(Answer::Record(Record::Turn(turn))))))
        if turn.codex_turn == "c" && turn.items.len() == 1));
    adapter.ask(AskId(2), Ask::Revert { thread, codex_turn: "c".into() }, Instant::now(), &mut out);
    let revert = sent(&out).pop().unwrap();
    assert_eq!((&revert["method"], &revert["params"]["beforeTurnId"]), (&json!("thread/revert"), &json!("c")));
}

#[test]
fn a_codex_that_gives_prompts_no_ids_is_not_asked() {
    let (mut adapter, mut out) = (AppServer::new(Some(Version(0, 98, 0))), Out::default());
    assert!(!adapter.capabilities().record);
    let thread = ThreadId::parse("t1").unwrap();
    adapter.ask(AskId(1), Ask::Record { thread, prompt: None, codex_turn: None }, Instant::now(), &mut out);
    assert!(out.lines.is_empty());
    assert!(matches!(out.reports[..], [(_, What::Answer(_, Err(AskError::NotSupported)))]));
}
