//! The yardstick of a fan-out: a loop that reads Codex's lines from its pipe and writes those of deltas to N sockets, one after the other.
//!
//! It does what any fan-out has to do and nothing else: no runtime, no history, no HTTP, nobody to ask whether a reader may listen, and a
//! reader that does not read would stop it for good. Everything else that Codex says it passes on to whoever started it, whose pipe is
//! Codex's stdin.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};

use crate::readers::{FIRST, LAST};

/// Runs until Codex ends.
pub(crate) fn run(socket: &Path, codex: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    let readers = Arc::new(Mutex::new(Vec::<UnixStream>::new()));
    let coming = Arc::clone(&readers);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut readers = coming.lock().unwrap_or_else(PoisonError::into_inner);
            if stream.write_all(format!("event: {FIRST}\ndata: {{}}\n\n").as_bytes()).is_ok() {
                readers.push(stream);
            }
        }
    });
    let mut child = Command::new(codex).arg("app-server").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::with_capacity(64 * 1024, child.stdout.take().context("no stdout")?);
    let (mut line, mut stdout) = (String::new(), std::io::stdout().lock());
    while lines.read_line(&mut line)? > 0 {
        let delta = line.contains(r#""item/agentMessage/delta""#);
        let over = line.contains(r#""turn/completed""#);
        if delta || over {
            let name = if delta { "item.delta" } else { LAST };
            let frame = format!("event: {name}\ndata: {line}\n");
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.retain_mut(|reader| reader.write_all(frame.as_bytes()).is_ok());
        }
        if !delta {
            stdout.write_all(line.as_bytes())?;
            stdout.flush()?;
        }
        line.clear();
    }
    Ok(())
}
