//! Damaged files are named with the reason and left out; everything else comes in.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test says what failed by failing")]

mod support;

use std::fs::{self, File};

use import::{ImportError, import};
use proptest::prelude::*;
use serde_json::json;
use support::*;

/// The file of session `n`.
fn file(n: u64) -> String {
    format!("{}.json", id(n))
}

#[tokio::test]
async fn every_kind_of_damage_is_named_and_the_rest_comes_in() {
    let place = Place::new();
    let whole = Old::new(1, 2);
    let text = serde_json::to_string_pretty(&whole.file()).unwrap();
    let but = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = whole.file();
        value["sessionId"] = serde_json::Value::Null;
        change(&mut value);
        value.to_string().into_bytes()
    };
    let damaged: Vec<(Vec<u8>, &str)> = vec![
        (text.as_bytes()[..text.len() / 2].to_vec(), "ends in the middle, at line "),
        (text.as_bytes()[..text.len() - 1].to_vec(), "ends in the middle, at line "),
        (b"".to_vec(), "is empty: "),
        (vec![0; 4096], "has nothing but NUL bytes: "),
        (b"not JSON at all".to_vec(), "is not JSON: expected ident at line 1 column 2"),
        (format!("{text}{{").into_bytes(), "is not JSON: trailing characters at line "),
        (b"[]".to_vec(), "is JSON, but not an object, and so not a session"),
        (b"\"text\"".to_vec(), "is JSON, but not an object, and so not a session"),
        (b"{}".to_vec(), "is JSON, but not a session: missing field `history` at line 1 column 2"),
        (text.replace("prompt", "pr\u{0}mpt").into_bytes(), "is not JSON: control character"),
        ([text.as_bytes(), b"\xFF"].concat(), "is not UTF-8: "),
        (text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "is not JSON: "),
        ([b"\xFF\xFE", text.as_bytes()].concat(), "is not UTF-8: what stands at line 1 column 1 is no character"),
        (
            text.replace("\"meta\": {", &format!("\"meta\": {{\"x\": {}{},", "[".repeat(500), "]".repeat(500)))
                .into_bytes(),
            "is not JSON: recursion limit",
        ),
        (text.clone().into_bytes(), "says that it is session \"9e3779b97f4a\", and is named as another; "),
        (but(&|value| value["sessionId"] = json!(7)), "says that it is session 7, and is named as another; "),
        (
            but(&|value| value["history"] = json!({})),
            "is JSON, but not a session: invalid type: map, expected a sequence",
        ),
        (
            but(&|value| value["history"] = json!(null)),
            "is JSON, but not a session: invalid type: null, expected a sequence",
        ),
        (
            but(&|value| value["history"][1] = json!(5)),
            "is JSON, but not a session: invalid type: integer `5`, expected a message",
        ),
        (
            but(&|value| value["history"][1] = json!(["user", "x", 1])),
            "is JSON, but not a session: invalid type: sequence, expected a message",
        ),
        (
            but(&|value| value["history"][1]["text"] = json!(null)),
            "is JSON, but not a session: invalid type: null, expected a string",
        ),
        (
            but(&|value| value["history"][1]["role"] = json!(1)),
            "is JSON, but not a session: invalid type: integer `1`, expected a string",
        ),
        (
            but(&|value| value["history"][1] = json!({"role": "user"})),
            "is JSON, but not a session: missing field `text`",
        ),
    ];
    place.put_all(std::slice::from_ref(&whole));
    for (n, (bytes, _)) in (100..).zip(&damaged) {
        place.write(&file(n), bytes);
    }
    let report = place.import().await;
    assert_eq!(counts(&report), (1, 0, 0, 0, damaged.len()));
    for (n, (_, expected)) in (100..).zip(&damaged) {
        let found = report.damaged.iter().find(|damage| damage.file == file(n)).unwrap();
        assert!(found.reason.starts_with(expected), "{}", found.reason);
        assert!(place.store.session(&sid(&id(n))).await.unwrap().is_none());
    }
    whole.is_in(&place.store).await;

    // A file that was mended comes in.
    place.put(&Old::new(100, 1));
    assert_eq!(counts(&place.import().await), (1, 0, 1, 0, damaged.len() - 1));
}

#[tokio::test]
async fn what_is_odd_but_can_be_read_comes_in() {
    let place = Place::new();
    let mut marked = b"\xEF\xBB\xBF".to_vec();
    marked.extend(serde_json::to_vec(&Old::new(1, 1).file()).unwrap());
    place.write(&file(1), marked);
    let mut unnamed = Old::new(2, 1).file();
    unnamed.as_object_mut().unwrap().remove("sessionId");
    unnamed["unknown"] = json!([{"deep": [1]}]);
    place.write_json(&file(2), &unnamed);
    let mut no_meta = Old::new(3, 1).file();
    no_meta["meta"] = json!("gone");
    no_meta["threadId"] = json!("../../etc");
    place.write_json(&file(3), &no_meta);
    let mut wrong = Old::new(4, 1).file();
    wrong["meta"]["model"] = json!(["x"]);
    wrong["threadId"] = json!(12);
    place.write_json(&file(4), &wrong);
    place.put(&Old::new(5, 0));

    let report = place.import().await;
    assert_eq!(counts(&report), (5, 0, 0, 0, 0), "{report:?}");
    for n in [1, 2, 5] {
        Old::new(n, u64::from(n != 5)).is_in(&place.store).await;
    }
    let notes = told(&report.notes);
    for (n, expected) in [
        (3, "meta is a text, not an object: its folder and model are not known"),
        (3, "threadId \"../../etc\" is left out: an id has 1 to 128 letters, digits, dots, dashes and underscores"),
        (4, "meta.model is an array, not a text: it is left out"),
        (4, "threadId is a number, not a text: it is left out"),
    ] {
        assert!(notes.contains(&(&file(n), expected)), "{expected}: {notes:?}");
    }
    assert!(notes.contains(&("sessions.json", "is missing: the sessions come in by their own files alone")));
    // Without its own thread it goes on with the one that meta names.
    let thread = place.stored(&id(4)).await.session.thread_id.unwrap();
    assert_eq!(thread.as_str(), "thread-4");
    assert_eq!(place.history(&id(3)).await, Old::new(3, 1).history);
    assert_eq!(counts(&place.import().await), (0, 0, 5, 0, 0));
}

#[tokio::test]
async fn other_files_are_passed_over_or_named() {
    let place = Place::new();
    place.put_all(&[Old::new(1, 1)]);
    for name in ["store.db", "store.db-wal", "store.lock", "daemon.json", "owner.json", "codexd.log", "README"] {
        place.write(name, "{");
    }
    for name in
        ["notes.json", "ABCDEF012345.json", "0123456789abc.json", "0123456789a.json", "é23456789abc.json", ".json"]
    {
        place.write(name, "{}");
    }
    place.write("sessions.json.tmp", "{");
    fs::create_dir(place.old.join("folder.json")).unwrap();
    fs::create_dir(place.old.join(file(2))).unwrap();
    let report = place.import().await;
    assert_eq!(counts(&report), (1, 0, 0, 0, 1));
    assert_eq!(told(&report.damaged), [(file(2).as_str(), "is a folder, not a file")]);
    let skipped = "is skipped: a session's file is named by 12 hex digits (0-9, a-f) and .json";
    let mut expected: Vec<(&str, &str)> = [
        ".json",
        "0123456789a.json",
        "0123456789abc.json",
        "ABCDEF012345.json",
        "folder.json",
        "notes.json",
        "é23456789abc.json",
    ]
    .map(|name| (name, skipped))
    .to_vec();
    expected.push(("sessions.json.tmp", "is what is left of an index that was not finished; it is not read"));
    expected.sort_unstable();
    assert_eq!(told(&report.notes), expected);
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed_and_nothing_waits_for_ever() {
    use std::os::unix::{fs::symlink, net::UnixListener};

    let place = Place::new();
    place.put(&Old::new(1, 1));
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join(file(2));
    fs::write(&target, Old::new(2, 1).file().to_string()).unwrap();
    symlink(&target, place.old.join(file(2))).unwrap();
    symlink(place.old.join(file(3)), place.old.join(file(3))).unwrap();
    symlink(elsewhere.path().join("nothing"), place.old.join("sessions.json")).unwrap();
    let _socket = UnixListener::bind(place.old.join(file(4))).unwrap();
    let status = std::process::Command::new("mkfifo").arg(place.old.join(file(5))).status().unwrap();
    assert!(status.success());
    let report = place.import().await;
    let link = "is a symbolic link, which is not followed; put the file itself there and import again";
    let index = format!("{link}; the sessions come in by their own files alone");
    let mut expected = [
        (file(2), link.to_owned()),
        (file(3), link.to_owned()),
        (file(4), "is not a regular file".to_owned()),
        (file(5), "is not a regular file".to_owned()),
        ("sessions.json".to_owned(), index),
    ];
    expected.sort_unstable();
    assert!(
        told(&report.damaged).into_iter().eq(expected.iter().map(|(file, reason)| (file.as_str(), reason.as_str())))
    );
    assert_eq!(report.imported, 1);

    // The folder itself may be a link: it was named by the caller.
    let link = elsewhere.path().join("link");
    symlink(&place.old, &link).unwrap();
    let report = import(&place.store, &link, OPTIONS, |_, _| {}).await.unwrap();
    assert_eq!((report.imported, report.unchanged), (0, 1));
}

#[tokio::test]
async fn a_file_may_be_large_but_not_endless() {
    let place = Place::new();
    let mut large = Old::new(1, 0);
    large.say(&"lorem ipsum dolor 検索 ".repeat(200_000), "short");
    place.put(&large);
    let endless = File::create(place.old.join(file(2))).unwrap();
    endless.set_len((256 << 20) + 1).unwrap();
    let report = place.import().await;
    assert_eq!(told(&report.damaged), [(file(2).as_str(), "is larger than 256 MiB, which is the most that is read")]);
    large.is_in(&place.store).await;
}

#[tokio::test]
async fn sessions_that_are_only_in_the_index_are_named() {
    let place = Place::new();
    let sessions: Vec<Old> = (1..4).map(|n| Old::new(n, 1)).collect();
    place.put_all(&sessions);
    fs::remove_file(place.old.join(file(2))).unwrap();
    let mut list = index(&sessions);
    list["sessions"]["../../x\u{1b}"] = json!({});
    list["sessions"][id(3)] = json!([1]);
    list["sessions"][id(1)]["updatedAtMs"] = json!("x");
    place.write_json("sessions.json", &list);
    // One that the index does not list comes in as well.
    place.put(&Old::new(5, 1));
    let report = place.import().await;
    assert_eq!(counts(&report), (3, 0, 0, 0, 2));
    let mut expected = [
        (file(2), "listed in sessions.json, but there is no file".to_owned()),
        ("sessions.json".to_owned(), "lists \"../../x\\u{1b}\", which is no session's id (12 hex digits)".to_owned()),
    ];
    expected.sort_unstable();
    assert!(
        told(&report.damaged).into_iter().eq(expected.iter().map(|(file, reason)| (file.as_str(), reason.as_str())))
    );
    let notes = told(&report.notes);
    assert!(
        notes.contains(&("sessions.json", &format!("what it says of {} is not an object, and is left out", id(3))))
    );
    for n in [1, 3, 5] {
        Old::new(n, 1).is_in(&place.store).await;
    }
}

#[tokio::test]
async fn a_damaged_index_keeps_no_session_out() {
    for (bytes, expected) in [
        (&b"{\"sessions\": {\"0123"[..], "ends in the middle, at line 1 column 19: "),
        (b"[]", "is JSON, but not an object, and so not an index of sessions; "),
        (b"{\"sessions\": [1]}", "is JSON, but not an index of sessions: invalid type: sequence, expected a map"),
        (b"{}", "is JSON, but not an index of sessions: missing field `sessions`"),
        (b"\0\0", "has nothing but NUL bytes"),
    ] {
        let place = Place::new();
        place.put_all(&[Old::new(1, 1), Old::new(2, 1)]);
        place.write("sessions.json", bytes);
        let report = place.import().await;
        assert_eq!(counts(&report), (2, 0, 0, 0, 1));
        let damage = &report.damaged[0];
        assert_eq!(damage.file, "sessions.json");
        assert!(damage.reason.starts_with(expected), "{}", damage.reason);
        assert!(damage.reason.ends_with("; the sessions come in by their own files alone"), "{}", damage.reason);
        Old::new(2, 1).is_in(&place.store).await;
    }
}

#[tokio::test]
async fn a_folder_that_is_none_is_an_error() {
    let place = Place::new();
    let fails = async |dir: &std::path::Path| import(&place.store, dir, OPTIONS, |_, _| {}).await.unwrap_err();
    place.write("other.json", "{}");
    place.write("daemon.json", "{}");
    assert!(matches!(fails(&place.old).await, ImportError::NotAStore { .. }));
    assert!(matches!(fails(&place.old.join("nowhere")).await, ImportError::NotAFolder { .. }));
    let error = fails(&place.old.join("other.json")).await;
    assert!(matches!(error, ImportError::NotAFolder { .. }));
    assert!(
        error
            .to_string()
            .ends_with("other.json is not a folder; name the one that has the first version's sessions.json")
    );

    // An empty index is a store without sessions.
    place.write("sessions.json", "{\"sessions\": {}}");
    assert_eq!(counts(&place.import().await), (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn the_list_of_the_damaged_ends() {
    let place = Place::new();
    for n in 0..1_500 {
        place.write(&file(n), "{");
    }
    place.put(&Old::new(1_500, 1));
    let report = place.import().await;
    assert_eq!(counts(&report), (1, 0, 0, 0, 1_000));
    assert_eq!((report.damaged[999].file.as_str(), report.damaged[999].reason.as_str()), ("…", "and 501 more"));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["imported"], &json["damaged"][0]["file"]), (&json!(1), &json!(file_of(&report))));
}

fn file_of(report: &import::Report) -> &str {
    &report.damaged[0].file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A file that was cut, or in which bytes were turned over, is named or comes in; never both, and never neither.
    #[test]
    fn a_file_is_named_or_comes_in(cut in 0_usize..900, flips in prop::collection::vec((0_usize..900, any::<u8>()), 0..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            place.put(&Old::new(2, 1));
            let mut bytes = serde_json::to_vec_pretty(&Old::new(1, 2).file()).unwrap();
            let length = bytes.len();
            bytes.truncate(length.min(cut.max(1)));
            for (at, byte) in flips {
                let length = bytes.len();
                bytes[at % length] = byte;
            }
            place.write(&file(1), &bytes);
            let report = place.import().await;
            let here = place.store.session(&sid(&id(1))).await.unwrap().is_some();
            assert_eq!(counts(&report), (1 + u64::from(here), 0, 0, 0, usize::from(!here)));
            assert_eq!(place.import().await.unchanged, report.imported);
        });
    }
}
