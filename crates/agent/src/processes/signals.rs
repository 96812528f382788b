//! Ending processes on Unix.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Born, Leftover, born, os};

/// How long a process may take to end by itself once it was asked.
const POLITELY: Duration = Duration::from_secs(1);

/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Ends what `pid` started, its group, by SIGKILL. Only for a child of this process that has not been waited for, or was a moment ago.
pub(crate) fn kill_group(leader: u32) {
    if let Some(pid) = pid(leader) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Ends the children of this process, other than `but`. True when there are none left.
pub(crate) fn kill_children(but: Option<u32>) -> bool {
    let children = os::children();
    let mut none = true;
    for child in children.into_iter().filter(|child| Some(*child) != but) {
        none = false;
        if let Some(child) = pid(child) {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
    }
    none
}

/// Ends what a host left behind: politely, then not. Says how many processes there were. Blocks.
pub(crate) fn reap(leftover: Leftover<'_>) -> usize {
    let found = os::end(leftover, Signal::TERM);
    if found == 0 {
        return 0;
    }
    for (signal, limit) in [(None, POLITELY), (Some(Signal::KILL), GONE)] {
        let until = Instant::now() + limit;
        loop {
            let left = match signal {
                Some(signal) => os::end(leftover, signal),
                None => os::count(leftover),
            };
            if left == 0 {
                return found;
            }
            if Instant::now() >= until {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
    tracing::warn!(marker = leftover.marker, "some of what Codex left behind can't be ended");
    found
}

/// Ends the one process that has this pid and started then.
pub(crate) fn end_one(pid: u32, started: &Born) {
    if born(pid).as_ref() == Some(started)
        && let Some(pid) = self::pid(pid)
    {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

pub(super) fn pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn sleeper(marker: Option<&str>) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(marker) = marker {
            command.env(crate::process::MARKER, marker);
        }
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().unwrap()
    }

    #[test]
    fn a_process_is_known_by_when_it_started() {
        let mut child = sleeper(None);
        let first = born(child.id()).unwrap();
        assert_eq!(born(child.id()), Some(first));
        kill_group(child.id());
        child.wait().unwrap();
        assert_eq!(born(child.id()), None);
    }

    /// The bystander has the pid that the dead host's Codex had, and started at another time.
    #[test]
    fn a_pid_that_was_used_again_is_left_alone() {
        let mut bystander = sleeper(None);
        let other = Born("another time".to_owned());
        let leftover = Leftover { marker: "nobody has it", host: None, codex: Some((bystander.id(), &other)) };
        assert_eq!(reap(leftover), 0);
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn what_matches_is_ended() {
        let mut child = sleeper(None);
        let (pid, when) = (child.id(), born(child.id()).unwrap());
        let waits = thread::spawn(move || child.wait().unwrap());
        assert_eq!(reap(Leftover { marker: "nobody has it", host: None, codex: Some((pid, &when)) }), 1);
        assert!(!waits.join().unwrap().success());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn on_linux_what_carries_the_marker_is_ended_wherever_it_went() {
        let (mut child, mut other) = (sleeper(Some("marker-of-this-test")), sleeper(Some("marker-of-this-test-2")));
        let waits = thread::spawn(move || child.wait().unwrap());
        // The marker is there only once the new program is.
        let leftover = Leftover { marker: "marker-of-this-test", host: None, codex: None };
        while os::count(leftover) == 0 {
            thread::yield_now();
        }
        assert_eq!(reap(leftover), 1);
        assert!(!waits.join().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
