//! The client of a host, and a host that does what the test wants.

use tokio::net::{UnixListener, UnixStream};
use types::{AgentId, Timestamp};

use super::*;
use crate::host::wire::Frame;

/// A host that says and does what the test wants.
struct Double {
    _dir: tempfile::TempDir,
    folder: Folder,
    _lock: std::fs::File,
    card: Card,
    listener: UnixListener,
}

struct Accepted {
    stream: UnixStream,
    inbox: Inbox,
}

impl Double {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let agent = AgentId::fresh();
        let folder = Folder::make(&dir.path().join("agents"), &agent, "open sesame").unwrap();
        let lock = folder.lock().unwrap().unwrap();
        let socket = folder.socket_path(&agent).unwrap();
        let card = Card {
            protocol: PROTOCOL,
            version: "0".to_owned(),
            agent,
            host_pid: 0,
            host_start: None,
            codex_pid: 0,
            codex_start: None,
            socket: socket.clone().into(),
            started_at: Timestamp::now(),
        };
        let listener = UnixListener::bind(socket).unwrap();
        Self { _dir: dir, folder, _lock: lock, card, listener }
    }

    async fn accept(&self, passed: &[&str]) -> Accepted {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut accepted = Accepted { stream, inbox: Inbox::default() };
        assert_eq!(accepted.heard().await.kind, kind::HELLO);
        let welcome = Welcome {
            protocol: PROTOCOL,
            version: "0".to_owned(),
            codex_pid: 1,
            exited: None,
            lowest: 1,
            last: 0,
            passed: passed.iter().map(|tag| (*tag).to_owned()).collect(),
            busy: Vec::new(),
            note: Some(String::new()),
        };
        accepted.say(kind::WELCOME, 0, &serde_json::to_vec(&welcome).unwrap()).await;
        accepted
    }
}

impl Accepted {
    async fn heard(&mut self) -> Frame {
        let mut chunk = vec![0; CHUNK];
        loop {
            if let Some(frame) = self.inbox.take().unwrap() {
                return frame;
            }
            let count = timeout(ANSWER_LIMIT, self.stream.read(&mut chunk)).await.unwrap().unwrap();
            assert_ne!(count, 0);
            self.inbox.push(&chunk[..count]);
        }
    }

    async fn say(&mut self, kind: u8, number: u64, body: &[u8]) {
        let mut out = Vec::new();
        put(&mut out, kind, number, &[body]);
        self.stream.write_all(&out).await.unwrap();
    }
}

fn line(tag: &str, text: &str) -> Line {
    Line { tag: tag.to_owned(), bytes: text.as_bytes().to_vec() }
}

#[tokio::test]
async fn a_broken_connection_loses_and_repeats_nothing() {
    let double = Double::new();
    let attach = Hosted::attach(double.folder.clone(), double.card.clone());
    let (attached, mut host) = tokio::join!(attach, double.accept(&[]));
    let (mut hosted, _) = attached.unwrap();
    for (tag, text) in [("1", "confirmed"), ("2", "arrived"), ("3", "lost"), ("", "who knows")] {
        hosted.send(line(tag, text));
    }
    for _ in 0..4 {
        assert_eq!(host.heard().await.kind, kind::INPUT);
    }
    host.say(kind::PASSED, 1, b"").await;
    for seq in 1..=3 {
        host.say(kind::LINE, seq, b"x").await;
        assert_eq!(hosted.next().await.unwrap().unwrap().0, seq);
    }
    // The host dies to nobody: only the connection breaks, and with it this acknowledgement.
    drop(host);
    hosted.ack(2);
    let next = tokio::spawn(async move { (hosted.next().await, hosted) });
    let mut host = double.accept(&["1", "2"]).await;
    let again = host.heard().await;
    assert_eq!((again.kind, again.input()), (kind::INPUT, Some(("3", &b"lost"[..]))));
    for seq in 1..=4 {
        host.say(kind::LINE, seq, b"x").await;
    }
    let again = host.heard().await;
    assert_eq!((again.kind, again.number), (kind::ACK, 2));
    let (next, hosted) = timeout(ANSWER_LIMIT, next).await.unwrap().unwrap();
    assert_eq!(next.unwrap().unwrap().0, 4, "the others were handed on before");
    assert_eq!(hosted.owed.iter().copied().collect::<Vec<_>>(), [1, 3, 4]);
}

#[tokio::test]
async fn what_codex_does_not_take_stays_here() {
    let double = Double::new();
    let attach = Hosted::attach(double.folder.clone(), double.card.clone());
    let (attached, mut host) = tokio::join!(attach, double.accept(&[]));
    let (mut hosted, _) = attached.unwrap();
    let big = "x".repeat(WINDOW - 10);
    for tag in ["1", "2", "3"] {
        hosted.send(line(tag, &big));
    }
    let next = tokio::spawn(async move { hosted.next().await });
    for number in 1..=3 {
        let frame = host.heard().await;
        assert_eq!((frame.number, frame.body.len()), (number, 2 + big.len()));
        // Nothing more until this one is confirmed.
        let mut one = [0; 1];
        let more = host.stream.try_read(&mut one);
        assert_eq!(more.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        host.say(kind::PASSED, number, b"").await;
    }
    host.say(kind::EXITED, 0, b"over").await;
    assert!(next.await.unwrap().unwrap().is_none());
}
