//! Pipes of this user, and processes, as Windows tells them.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a test says what failed by failing")]

use std::{
    ffi::OsString,
    process::{Command, Stdio},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use win32::{
    pipe::{self, Listener},
    process,
};

fn name(of: &str) -> OsString {
    format!(r"\\.\pipe\win32-test-{}-{of}", std::process::id()).into()
}

#[tokio::test]
async fn what_is_said_is_heard_and_it_is_known_who_speaks() {
    let name = name("said");
    let mut listener = Listener::bind(&name, 4096).unwrap();
    let server = tokio::spawn(async move {
        for _ in 0..3 {
            let mut stream = listener.accept().await.unwrap().unwrap();
            assert_eq!(pipe::client(&stream), Some(std::process::id()));
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(&heard).await.unwrap();
        }
    });
    for _ in 0..3 {
        let mut client = pipe::connect(&name).await.unwrap();
        assert!(pipe::is_ours(&client).unwrap());
        client.write_all(b"hello").await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"hello");
    }
    server.await.unwrap();
    let gone = pipe::connect(&name).await.unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
}

/// Nobody listens under a name that somebody has, not even the same user.
#[tokio::test]
#[ignore = "wine 8 does not look at FILE_FLAG_FIRST_PIPE_INSTANCE; for a real Windows"]
async fn a_name_is_taken_once() {
    let name = name("once");
    let first = Listener::bind(&name, 4096).unwrap();
    assert!(Listener::bind(&name, 4096).is_err());
    drop(first);
    Listener::bind(&name, 4096).unwrap();
}

/// Who came and went before it was looked at is no error, and takes nobody's place.
#[tokio::test]
async fn who_is_gone_already_is_nobody() {
    let name = name("gone");
    let mut listener = Listener::bind(&name, 4096).unwrap();
    drop(pipe::connect(&name).await.unwrap());
    // Whether it is seen depends on the moment.
    if let Some(mut stream) = listener.accept().await.unwrap() {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
    let (client, accepted) = tokio::join!(pipe::connect(&name), listener.accept());
    assert!(client.is_ok() && accepted.unwrap().is_some());
}

#[test]
fn a_process_is_known_by_when_it_started_and_ended_by_that() {
    let own = std::process::id();
    assert!(process::start(own).is_some());
    assert_eq!(process::start(own), process::start(own));
    assert!(process::Process::open(own).unwrap().unwrap().is_ours().unwrap());
    // One that waits for a line that does not come.
    let mut command = Command::new("cmd");
    command.args(["/c", "set /p line="]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let started = process::start(child.id()).unwrap();
    assert_eq!(process::parents().unwrap().get(&child.id()), Some(&own));
    assert!(!process::end(child.id(), started + 1).unwrap(), "another one had that number");
    assert!(child.try_wait().unwrap().is_none());
    assert!(process::end(child.id(), started).unwrap());
    assert!(!child.wait().unwrap().success());
    // It is held by us still, and runs no more.
    assert_eq!(process::start(child.id()), None);
}
