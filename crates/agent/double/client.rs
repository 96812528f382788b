//! A client of a host, without a runtime: it does one thing after the other and can be killed between any two.

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use agent::host::wire::{Hello, Inbox, OLDEST, PROTOCOL, kind, put};
use serde_json::Value;

pub(crate) fn run(folder: &str, file: &str, skip: &str) -> io::Result<()> {
    let folder = Path::new(folder);
    let card: Value = serde_json::from_slice(&std::fs::read(folder.join("host.json"))?)?;
    let socket: std::ffi::OsString = serde_json::from_value(card["socket"].clone())?;
    let secret = std::fs::read_to_string(folder.join("secret"))?;
    let skip: u64 = skip.parse().map_err(io::Error::other)?;
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    let mut stream = UnixStream::connect(socket)?;
    let hello = Hello { protocol: (OLDEST, PROTOCOL), secret, version: "0".to_owned() };
    let mut out = Vec::new();
    put(&mut out, kind::HELLO, 0, &[&serde_json::to_vec(&hello)?]);
    stream.write_all(&out)?;
    let (mut inbox, mut chunk) = (Inbox::default(), vec![0; 16 * 1024]);
    loop {
        while let Some(frame) = inbox.take()? {
            match frame.kind {
                kind::LINE => {
                    // What is written is with the system, whatever becomes of this process; as with a commit.
                    file.write_all(format!("{} {}\n", frame.number, frame.text()).as_bytes())?;
                    if !frame.number.is_multiple_of(skip) {
                        let mut ack = Vec::new();
                        put(&mut ack, kind::ACK, frame.number, &[]);
                        stream.write_all(&ack)?;
                    }
                }
                kind::EXITED => return Ok(()),
                _ => {}
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            count => inbox.push(&chunk[..count]),
        }
    }
}
