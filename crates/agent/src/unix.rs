//! Processes on Unix: a process group each.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use process_wrap::tokio::{CommandWrap, ProcessGroup};

/// Makes the child the leader of a group of its own, so that it ends with everything that it started.
pub(super) fn own_group(command: &mut CommandWrap) {
    command.wrap(ProcessGroup::leader());
}

/// How many bytes of memory a process has.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let kilobytes: u64 = if cfg!(target_os = "linux") {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()?
    } else {
        let said = std::process::Command::new("/bin/ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
        String::from_utf8(said.stdout).ok()?.trim().parse().ok()?
    };
    Some(kilobytes * 1024)
}

/// What ended a process, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
