//! Commands of hooks as real processes: what they are given, how they end, and what is left of them.

use std::{fs, time::Instant};

use super::*;
use crate::{How, Selection};

async fn sh(script: &str, timeout: Duration) -> (Result<String, Failed>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let argv: Vec<OsString> = ["sh", "-c", script].map(Into::into).to_vec();
    let hook = Hook { name: "h".into(), on: Selection::none(), how: How::Command(argv), timeout };
    let place = Place { store_dir: "/the/store".into(), cwd: dir.path().to_owned() };
    (hook.test(&place).await, dir)
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn it_gets_the_event_and_a_few_words_about_it() {
    let (told, dir) = sh("cat > body; env > env", LONG).await;
    assert_eq!(told.unwrap(), "the command ended with exit code 0");
    let body: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("body")).unwrap()).unwrap();
    assert_eq!(body["event"], crate::letter::TEST_EVENT);
    let env = fs::read_to_string(dir.path().join("env")).unwrap();
    let mut ours: Vec<&str> = env.lines().filter(|line| line.starts_with("CODEXD_")).collect();
    ours.sort_unstable();
    let expected = [
        "CODEXD_ATTEMPT=1",
        "CODEXD_EVENT=hook.test",
        "CODEXD_EVENT_ID=0",
        "CODEXD_HOOK=h",
        "CODEXD_STORE_DIR=/the/store",
    ];
    assert_eq!(ours, expected);
}

#[tokio::test]
async fn its_end_and_its_last_words_say_why_it_failed() {
    let (told, _dir) =
        sh("for i in 1 2 3 4 5 6 7; do echo line $i; done; printf 'a\\033[31mb' >&2; exit 3", LONG).await;
    let text = told.unwrap_err().to_string();
    let expected = "the command sh ended with exit code 3; it said: line 3; line 4; line 5; line 6; line 7; a[31mb";
    assert_eq!(text, expected);
    let dir = tempfile::tempdir().unwrap();
    let argv = vec!["/no/such/program".into()];
    let hook = Hook { name: "h".into(), on: Selection::none(), how: How::Command(argv), timeout: LONG };
    let place = Place { store_dir: "/x".into(), cwd: dir.path().to_owned() };
    assert!(matches!(hook.test(&place).await, Err(Failed::NotStarted { .. })));
}

#[tokio::test]
async fn one_that_does_not_read_is_no_failure() {
    let argv: Vec<OsString> = ["sh", "-c", "exec <&-; exit 0"].map(Into::into).to_vec();
    let hook = Hook { name: "h".into(), on: Selection::none(), how: How::Command(argv.clone()), timeout: LONG };
    let dir = tempfile::tempdir().unwrap();
    let place = Place { store_dir: "/x".into(), cwd: dir.path().to_owned() };
    // More than a pipe holds.
    let letter = Letter { body: vec![b'x'; 4 << 20].into(), ..Letter::test("h") };
    run(&argv, &letter, 1, &hook, &place).await.unwrap();
}

#[tokio::test]
async fn at_its_deadline_all_that_it_started_goes() {
    let started = Instant::now();
    let (told, dir) = sh("sleep 1000 & echo $! > child; echo waiting; wait", Duration::from_secs(1)).await;
    let text = told.unwrap_err().to_string();
    assert_eq!(text, "the command sh was killed because it took longer than 1 s; it said: waiting");
    assert!(started.elapsed() < Duration::from_secs(30));
    gone(&dir).await;
}

#[tokio::test]
async fn what_it_leaves_behind_holds_nobody_up_and_goes() {
    let started = Instant::now();
    let (told, dir) = sh("sleep 1000 & echo $! > child", LONG).await;
    assert!(told.is_ok());
    assert!(started.elapsed() < Duration::from_secs(30));
    gone(&dir).await;
}

/// The child that a script noted is no more, or is only waited for.
async fn gone(dir: &tempfile::TempDir) {
    let pid = fs::read_to_string(dir.path().join("child")).unwrap().trim().to_owned();
    for _ in 0..2000 {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &pid]).output().await.unwrap().stdout;
        if state.is_empty() || state.starts_with(b"Z") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unreachable!("process {pid} is still there");
}
