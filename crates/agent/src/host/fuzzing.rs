//! Promises of the agent host about bytes (`crate::fuzzing`).
#![expect(clippy::unwrap_used, reason = "a panic is what a finding is")]

use std::collections::BTreeMap;

use super::{
    journal::{Bounds, Cursor, Journal},
    wire::{self, Frame, Inbox},
};

/// Frames between codexd and an agent host are the same however they are cut, and what was read is what is written again.
pub fn host_frames(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let read = |size: usize| -> (Vec<Frame>, bool) {
        let (mut inbox, mut frames) = (Inbox::default(), Vec::new());
        for piece in bytes.chunks(size.max(1)) {
            inbox.push(piece);
            loop {
                match inbox.take() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(_) => return (frames, true),
                }
            }
        }
        (frames, false)
    };
    let (whole, cut) = (read(bytes.len()), read(usize::from(*cut)));
    assert_eq!(whole, cut);
    let mut again = Vec::new();
    for frame in &whole.0 {
        wire::put(&mut again, frame.kind, frame.number, &[&frame.body]);
        let _ = (frame.input(), frame.text());
    }
    assert!(bytes.starts_with(&again));
}

/// A host's journal of lines: a new reader has what is not acknowledged and nothing else, in order, in memory or on disk.
pub fn journal(data: &[u8]) {
    let Some((memory, steps)) = data.split_first() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::new(dir.path().to_owned(), Bounds { memory: u64::from(*memory) * 8, files: 1 << 20 });
    let mut kept = BTreeMap::<u64, Vec<u8>>::new();
    for step in steps.chunks(2) {
        let (what, size) = (step[0], step.get(1).copied().unwrap_or(0));
        if what < 170 {
            let line = vec![what; usize::from(size)];
            journal.push(&line);
            kept.insert(journal.last(), line);
        } else {
            let seq = u64::from(size);
            journal.ack(seq);
            kept.remove(&seq);
        }
        assert_eq!(journal.lowest(), kept.keys().next().copied().unwrap_or(journal.last() + 1));
        assert_eq!(journal.is_empty(), kept.is_empty());
    }
    let mut cursor = Cursor::default();
    let all: BTreeMap<u64, Vec<u8>> = std::iter::from_fn(|| journal.read(&mut cursor).unwrap()).collect();
    assert_eq!(all, kept);
}
