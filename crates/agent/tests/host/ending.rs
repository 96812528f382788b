//! Ends: of Codex, of a host that is alone, of a host that is killed.

use std::{fs, process::Command};

use agent::host::wire::kind;
use serde_json::json;

use crate::lab::{Lab, eventually, lives, os};

#[test]
fn a_codex_that_ended_while_nobody_was_there_is_told_after_its_lines() {
    let mut lab = Lab::new();
    let (mut client, _) = lab.attach();
    client.input("1", "lines 3 1");
    client.input("2", "exit 3");
    drop(client);
    let exited = eventually("Codex to end", || lab.attach().1.exited);
    assert_eq!(exited, "it ended with exit code 3; the last lines on its stderr: told to end");
    let (mut client, _) = lab.attach();
    assert_eq!(client.lines(3), [1, 2, 3]);
    assert_eq!(client.next(kind::EXITED).text(), exited);
    // The client knows; what it has not committed is kept for the next one.
    drop(client);
    let (mut client, welcome) = lab.attach();
    assert_eq!(welcome.lowest, 1);
    assert_eq!(client.lines(3), [1, 2, 3]);
    for seq in [3, 1, 2] {
        client.ack(seq);
    }
    lab.ended();
}

#[test]
fn a_line_that_is_too_long_ends_codex_and_says_so() {
    let lab = Lab::new();
    let (mut client, _) = lab.attach();
    client.input("1", "say before");
    client.input("2", &format!("long {}", 65 * 1024 * 1024));
    assert_eq!(client.line().1, "before");
    let why = client.next(kind::EXITED).text();
    assert!(why.starts_with("Codex wrote a line of more than 64 MiB; it ended with"), "{why}");
}

#[test]
fn what_codex_left_behind_ends_with_it() {
    // One in its group, and one that left it, on Linux, where orphans come to the host.
    let script = "sleep 1000 & echo $!; (exec setsid sleep 1001) & echo $!; read line; exit 0";
    let script = if cfg!(target_os = "linux") { script } else { "sleep 1000 & echo $!; echo $!; read line; exit 0" };
    let mut lab = Lab::script(script);
    let (mut client, _) = lab.attach();
    let left: Vec<u32> = (0..2).map(|_| client.line().1.parse().unwrap()).collect();
    assert!(left.iter().all(|pid| lives(*pid)));
    client.input("1", "end");
    assert_eq!(client.next(kind::EXITED).text(), "it ended with exit code 0");
    assert!(left.iter().all(|pid| !lives(*pid)), "before it is told");
    client.ack(1);
    client.ack(2);
    lab.ended();
}

#[test]
fn told_to_stop_it_closes_stdin_and_then_it_kills() {
    let mut lab = Lab::new();
    let (mut client, _) = lab.attach();
    client.say(kind::STOP, 60_000, b"");
    assert_eq!(client.next(kind::EXITED).text(), "it ended with exit code 0");
    drop(client);
    lab.ended();

    let mut lab = Lab::script("trap '' TERM; while :; do sleep 0.01; done");
    let (mut client, _) = lab.attach();
    client.say(kind::STOP, 1, b"");
    assert_eq!(client.next(kind::EXITED).text(), "it ended with signal 9");
    drop(client);
    lab.ended();
}

fn alone(grace_ms: u32, max_ms: u32, script: &str) -> Lab {
    let time = |ms: u32| json!({"secs": ms / 1000, "nanos": ms % 1000 * 1_000_000});
    Lab::with(|birth| {
        birth["program"] = os("/bin/sh");
        birth["args"] = json!([os("-c"), os(script)]);
        birth["orphanGrace"] = time(grace_ms);
        birth["orphanMax"] = time(max_ms);
    })
}

#[test]
fn alone_and_idle_it_ends_codex_and_itself() {
    let mut lab = alone(100, 600_000, "echo hello; read line");
    let codex = lab.codex_pid();
    lab.ended();
    assert!(!lives(codex));
}

#[test]
fn alone_with_a_turn_it_waits_for_its_end() {
    let turn = |what: &str| format!(r#"echo '{{"method":"turn/{what}","params":{{"threadId":"t"}}}}'"#);
    // Whoever has its stdin closed while the turn runs was told to end too early.
    let watch = "exec 3<&0; (cat <&3 > cat; [ -e over ] || touch early) &";
    let script = format!("{watch} {}; sleep 0.5; touch over; {}; wait", turn("started"), turn("completed"));
    let mut lab = alone(50, 600_000, &script);
    eventually("the host to end", || lab.host.try_wait().unwrap());
    assert!(lab.dir.path().join("over").exists() && !lab.dir.path().join("early").exists());
    assert!(!lab.folder.exists());
}

#[test]
fn alone_for_very_long_it_ends_whatever_runs() {
    let mut lab = alone(
        600_000,
        200,
        r#"echo '{"method":"turn/started","params":{"threadId":"t"}}'; trap '' TERM; while :; do sleep 0.01; done"#,
    );
    let codex = lab.codex_pid();
    lab.ended();
    assert!(!lives(codex));
}

#[test]
fn a_socket_whose_path_would_be_too_long_is_elsewhere_and_goes_with_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120)).join("agents");
    let mut lab = Lab::in_folder(dir, &deep, |_| {});
    let socket = lab.socket();
    assert!(!socket.starts_with(&lab.folder) && socket.exists());
    let (mut client, _) = lab.attach();
    client.say(kind::STOP, 60_000, b"");
    client.next(kind::EXITED);
    drop(client);
    lab.ended();
    assert!(!socket.exists());
}

#[test]
fn the_folder_is_ours_alone_and_nothing_tells_the_secret() {
    use std::os::unix::fs::MetadataExt as _;
    let lab = Lab::new();
    assert_eq!(fs::metadata(&lab.folder).unwrap().mode() & 0o777, 0o700);
    let card = fs::metadata(lab.folder.join("host.json")).unwrap();
    assert_eq!(card.mode() & 0o777, 0o600);
    let said = Command::new("ps").args(["-A", "-o", "args"]).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("agent-host") && !said.contains("sesame"));
}

/// The host finds out that it can't write to a client that has gone before it has read what that said last.
#[test]
fn the_last_words_of_a_client_are_heard() {
    for _ in 0..20 {
        let mut lab = Lab::script("while :; do echo more; done");
        let (mut client, _) = lab.attach();
        client.line();
        client.say(kind::STOP, 0, b"");
        drop(client);
        lab.ended();
    }
}

#[test]
fn a_codex_that_ended_alone_is_not_kept_longer_than_its_host_would_be_alone() {
    let mut lab = alone(600_000, 200, "echo hello");
    lab.ended();
}
