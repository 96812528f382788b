//! Somebody who has taken a port: says which, takes one connection, and says how many bytes it was told.
//!
//! A program of its own, so that a test can run it as another user.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpListener,
};

fn main() -> io::Result<()> {
    let (listener, mut out) = (TcpListener::bind("127.0.0.1:0")?, io::stdout());
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let (mut stream, _) = listener.accept()?;
    let mut told = Vec::new();
    stream.read_to_end(&mut told)?;
    writeln!(out, "{}", told.len())
}
