//! With real processes: a shell stands for Codex, and what it starts for what an agent does.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use types::Timestamp;

use super::*;
use crate::host::birth::Card;

const AGENT: &str = "agent-of-this-test";

/// A shell that runs `script`, which tells a pid in a line, and everything in its group.
struct Codex {
    shell: Child,
    told: u32,
}

impl Codex {
    fn run(script: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env_remove(MARKER).env_remove(THREAD).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { shell, told: line.trim().parse().unwrap() }
    }

    /// A folder of agents that has this shell for a Codex that started then.
    fn known(&self, started: Option<Born>) -> tempfile::TempDir {
        let agents = tempfile::tempdir().unwrap();
        let folder = agents.path().join(AGENT);
        fs::create_dir(&folder).unwrap();
        let card = Card {
            protocol: 1,
            version: String::new(),
            agent: AgentId::parse(AGENT).unwrap(),
            // No process has that.
            host_pid: u32::MAX,
            host_start: None,
            codex_pid: self.shell.id(),
            codex_start: started,
            socket: PathBuf::new().into(),
            started_at: Timestamp::now(),
        };
        Folder(folder).write_card(&card).unwrap();
        agents
    }

    fn born(&self) -> Option<Born> {
        born(self.shell.id())
    }
}

impl Drop for Codex {
    fn drop(&mut self) {
        crate::processes::kill_group(self.shell.id());
        let _ = self.shell.wait();
    }
}

/// A command of a command, with nothing in its environment.
const CLEAN: &str = "sh -c 'env -i sh -c \"echo \\$\\$; exec sleep 1000\" & wait'";

fn inside(agent: &str, thread: Option<&str>) -> Descent {
    Descent::Inside { agent: agent.to_owned(), thread: thread.map(|thread| ThreadId::parse(thread).unwrap()) }
}

#[test]
fn what_cleans_its_environment_has_its_ancestors_still() {
    let codex = Codex::run(CLEAN, &[]);
    assert_eq!(descent(codex.known(codex.born()).path(), codex.told), inside(AGENT, None));
    assert_eq!(descent(codex.known(None).path(), codex.told), inside(AGENT, None));
    // Codex itself.
    assert_eq!(descent(codex.known(codex.born()).path(), codex.shell.id()), inside(AGENT, None));
}

#[test]
fn a_pid_that_was_used_again_is_no_agent() {
    let codex = Codex::run(CLEAN, &[]);
    let agents = codex.known(Some(Born("another time".to_owned())));
    assert_eq!(descent(agents.path(), codex.told), Descent::Outside);
}

#[test]
fn who_is_no_agents_is_outside_and_who_is_gone_is_gone() {
    let mut codex = Codex::run(CLEAN, &[]);
    let nowhere = Path::new("/nowhere");
    assert_eq!(descent(nowhere, codex.told), Descent::Outside);
    assert_eq!(descent(nowhere, std::process::id()), Descent::Outside);
    crate::processes::kill_group(codex.shell.id());
    codex.shell.wait().unwrap();
    assert_eq!(descent(nowhere, codex.shell.id()), Descent::Gone);
}

#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;

    const MARKED: &[(&str, &str)] = &[(MARKER, "some-agent"), (THREAD, "thread-1")];

    #[test]
    fn the_marker_is_enough_wherever_the_process_went() {
        // Its parent has ended, and so it is nobody's child of ours.
        let codex = Codex::run("sh -c 'echo $$; exec sleep 1000' & exit", MARKED);
        assert_eq!(descent(Path::new("/nowhere"), codex.told), inside("some-agent", Some("thread-1")));
        // Also that of a parent.
        let codex = Codex::run(CLEAN, MARKED);
        assert_eq!(descent(Path::new("/nowhere"), codex.told), inside("some-agent", Some("thread-1")));
    }

    #[test]
    fn a_marker_that_can_be_no_id_is_one_still() {
        let codex = Codex::run(CLEAN, &[(MARKER, "../x"), (THREAD, "a b")]);
        assert_eq!(descent(Path::new("/nowhere"), codex.told), inside("unknown", None));
    }

    #[test]
    fn what_stands_nearest_to_codex_counts() {
        let lie = format!("{MARKER}=other {THREAD}=of-another");
        let codex = Codex::run(&format!("env {lie} sh -c 'echo $$; exec sleep 1000' & wait"), MARKED);
        assert_eq!(descent(Path::new("/nowhere"), codex.told), inside("some-agent", Some("thread-1")));
    }

    /// A codexd that was started inside an agent serves whoever else is in there.
    #[test]
    fn our_own_marker_says_nothing() {
        let codex = Codex::run(CLEAN, MARKED);
        let family = lineage(codex.told).unwrap();
        assert_eq!(among(&[], Some("some-agent"), 0, &family), Descent::Outside);
        assert_eq!(among(&[], Some("another"), 0, &family), inside("some-agent", Some("thread-1")));
        // What is further out than we are is not looked at: we may be an agent's ourselves.
        assert_eq!(among(&[], None, codex.told, &family), Descent::Outside);
    }
}
