//! A job around a process of its own: this test's.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::process::{Command, Stdio};

use win32::{job::Job, process};

/// Also what a child started, whoever its parent was; and nothing that is not in the job.
#[test]
fn what_was_started_ends_and_who_started_it_does_not() {
    let job = Job::around_this_process().unwrap();
    let mut command = Command::new("cmd");
    command.args(["/c", "cmd /c set /p line="]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let grandchild = loop {
        let parents = process::parents().unwrap();
        if let Some((pid, _)) = parents.iter().find(|(_, parent)| **parent == child.id()) {
            break *pid;
        }
        std::thread::yield_now();
    };
    // Either of them ends when it loses the other.
    assert!(job.end_others().unwrap() > 0);
    assert!(!child.wait().unwrap().success());
    while job.end_others().unwrap() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(process::start(grandchild), None);
}
