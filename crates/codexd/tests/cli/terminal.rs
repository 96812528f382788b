//! The same commands where a person sits: tables that fit, times that can be read, colours, questions.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    process::Stdio,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use testkit::{Lab, eventually};
use tokio::{process::Child, task::JoinHandle};

use crate::ran::{rig, run, signal, started};

/// A terminal: the end that a person has, and the one that a program has.
fn terminal(columns: u16) -> Result<(OwnedFd, OwnedFd)> {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&person)?;
    unlockpt(&person)?;
    let name = ptsname(&person, Vec::new())?.into_string()?;
    let program = File::options().read(true).write(true).open(name)?;
    tcsetwinsize(program.as_fd(), Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok((person, program.into()))
}

/// A command at a terminal.
pub(crate) struct Sitting {
    pub(crate) child: Child,
    person: File,
    seen: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Sitting {
    pub(crate) fn down(lab: &Lab, args: &[&str], columns: u16) -> Result<Self> {
        Self::down_with(lab, args, columns, &[])
    }

    /// The same with environment variables.
    pub(crate) fn down_with(lab: &Lab, args: &[&str], columns: u16, env: &[(&str, &str)]) -> Result<Self> {
        let (person, program) = terminal(columns)?;
        let mut command = lab.command(args);
        command.env("TERM", "xterm").env_remove("NO_COLOR").envs(env.iter().copied());
        command.stdin(Stdio::from(program.try_clone()?)).stdout(Stdio::from(program.try_clone()?)).stderr(program);
        // The command has the only other ends of the terminal, and they go with it.
        let child = command.spawn()?;
        let person = File::from(person);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, seeing) = (person.try_clone()?, seen.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = [0; 4096];
            // Linux ends a terminal that nobody has open any more with an error.
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                if let Ok(mut seen) = seeing.lock() {
                    seen.extend_from_slice(&piece[..count]);
                }
            }
        });
        Ok(Self { child, person, seen, reading })
    }

    pub(crate) fn types(&mut self, text: &str) -> Result<()> {
        Ok(self.person.write_all(text.as_bytes())?)
    }

    pub(crate) fn seen(&self) -> String {
        self.seen.lock().map(|seen| String::from_utf8_lossy(&seen).replace("\r\n", "\n")).unwrap_or_default()
    }

    /// Waits until that stands there.
    pub(crate) async fn sees(&self, text: &str) -> Result<()> {
        eventually(text, async || self.seen().contains(text).then_some(())).await
    }

    /// Its exit code and all that was seen.
    pub(crate) async fn end(mut self) -> Result<(Option<i32>, String)> {
        let status = self.child.wait().await?;
        (&mut self.reading).await?;
        Ok((status.code(), self.seen()))
    }
}

/// Runs a command at a terminal of that width where a person types that; its exit code and all that was seen.
async fn at_terminal(lab: &Lab, args: &[&str], columns: u16, typed: &str) -> Result<(Option<i32>, String)> {
    let mut sitting = Sitting::down(lab, args, columns)?;
    sitting.types(typed)?;
    sitting.end().await
}

#[tokio::test]
async fn a_list_fits_the_terminal_and_tells_ages() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "a title that is too long for a narrow terminal").await?;
    for columns in [40, 80, 200] {
        let (code, seen) = at_terminal(&lab, &["sessions"], columns, "").await?;
        ensure!(code == Some(0), "{seen}");
        let plain = anstream::adapter::strip_str(&seen).to_string();
        // What a spinner wrote is written over.
        let last = |line: &str| line.rsplit('\r').next().unwrap_or_default().chars().count();
        let width = plain.lines().map(last).max().unwrap_or(0);
        assert!(width > 0 && width <= usize::from(columns), "{columns}: {plain:?}");
        assert!(plain.contains(&session) && (plain.contains("now") || plain.contains(" s")), "{seen:?}");
        assert!(seen.contains("\x1b["), "a person sees what matters less: {seen:?}");
    }
    let piped = run(&lab, &["sessions"]).await?.good()?;
    assert!(!piped.contains('\x1b'), "{piped:?}");
    let (_, shown) = at_terminal(&lab, &["sessions", "show", &session], 80, "").await?;
    assert!(shown.contains("ago") || shown.contains("just now"), "{shown}");
    daemon.stop().await
}

#[tokio::test]
async fn what_an_answer_would_do_to_a_terminal_is_taken_out_of_it() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let prompt = "SAY:\x1b]0;owned\x07safe\x1b[2J\u{202e}";
    let piped = run(&lab, &["start", prompt]).await?;
    assert_eq!(piped.out, "\x1b]0;owned\x07safe\x1b[2J\u{202e}\n", "a file gets it as it is");
    let (session, turn) = piped.ids()?;
    for args in [
        &["turn", "show", &turn][..],
        &["turn", "show", &turn, "--items"],
        &["sessions", "show", &session],
        &["sessions", "export", &session],
        &["sessions", "search", "safe"],
        &["sessions"],
    ] {
        let (code, seen) = at_terminal(&lab, args, 80, "").await?;
        assert_eq!(code, Some(0), "{args:?}: {seen}");
        for evil in ["\x1b]0;", "\x07", "\x1b[2J", "\u{202e}"] {
            assert!(!seen.contains(evil), "{args:?}: {seen:?}");
        }
    }
    daemon.stop().await
}

#[tokio::test]
async fn a_person_is_asked_before_something_is_deleted() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "keep me").await?;
    let (code, seen) = at_terminal(&lab, &["sessions", "delete", &session], 80, "n\n").await?;
    assert_eq!(code, Some(5), "{seen}");
    assert!(seen.contains("keep me") && seen.contains("[y/N]") && seen.contains("nothing was deleted"), "{seen}");
    assert!(run(&lab, &["sessions"]).await?.out.contains(&session));
    let (code, seen) = at_terminal(&lab, &["sessions", "delete", &session], 80, "y\n").await?;
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(run(&lab, &["sessions"]).await?.out, "");
    daemon.stop().await
}

#[tokio::test]
async fn who_waits_at_a_terminal_sees_that_it_goes_on() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let sitting = Sitting::down(&lab, &["start", "HANG"], 80)?;
    eventually("the state of the turn", async || sitting.seen().contains("Codex is working").then_some(())).await?;
    signal("INT", sitting.child.id().context("gone")?).await?;
    let (code, seen) = sitting.end().await?;
    assert!(code == Some(5) && seen.contains("interrupting the turn") && seen.contains("was interrupted"), "{seen:?}");
    let (code, seen) = at_terminal(&lab, &["start", "SAY:done"], 80, "").await?;
    assert!(code == Some(0) && seen.contains("done\n"), "{seen:?}");
    assert!(seen.contains("continue with: codexd continue"), "{seen:?}");
    daemon.stop().await
}
