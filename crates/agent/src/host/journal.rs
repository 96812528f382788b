//! What Codex wrote and nobody has acknowledged: first in memory, then in files, and then no more is taken.
//!
//! Lines lie one after another in chunks, a file or a piece of memory each. Acknowledgements come in any order; a chunk of which
//! all lines are acknowledged goes as a whole, so that nothing is ever moved. One line that nobody acknowledges keeps its chunk
//! and no other. What is known of a line while it is kept is one bit.
//!
//! The files need no fsync: a host dies with its Codex, and what the machine takes with it is in Codex's own record.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::private;

/// The size of a chunk; a line that is longer has one of its own.
const MEMORY_CHUNK: u64 = 256 * 1024;
const FILE_CHUNK: u64 = 16 * 1024 * 1024;

/// The length of a line stands before it.
const PREFIX: u64 = 4;

/// After the disk took no more it is left alone for so long.
const DISK_REST: Duration = Duration::from_secs(1);

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes in memory.
    pub(super) memory: u64,
    /// Bytes in files.
    pub(super) files: u64,
}

struct Chunk {
    first: u64,
    count: u64,
    /// A bit a line.
    acked: Vec<u64>,
    unacked: u64,
    bytes: u64,
    body: Body,
}

enum Body {
    Memory(Vec<u8>),
    File(File, PathBuf),
}

/// See the module.
pub(super) struct Journal {
    dir: PathBuf,
    bounds: Bounds,
    chunks: VecDeque<Chunk>,
    next: u64,
    memory: u64,
    files: u64,
    made: u64,
    /// When the disk took no more.
    full: Option<Instant>,
}

/// How far a reader is.
#[derive(Default, Clone, Copy)]
pub(super) struct Cursor {
    /// The lowest line that it has not had.
    next: u64,
    /// In which chunk it stood last, and how many bytes of it lie before line `at`.
    chunk: u64,
    at: u64,
    offset: u64,
}

impl Journal {
    /// An empty one, whose files are to be in `dir`.
    pub(super) fn new(dir: PathBuf, bounds: Bounds) -> Self {
        Self { dir, bounds, chunks: VecDeque::new(), next: 1, memory: 0, files: 0, made: 0, full: None }
    }

    /// Whether one more line is taken. When not, Codex is not read.
    pub(super) fn has_room(&self) -> bool {
        match self.full {
            Some(since) if since.elapsed() <= DISK_REST => self.memory < self.bounds.memory,
            _ => self.files < self.bounds.files,
        }
    }

    /// When to look again whether there is room, though nothing was acknowledged.
    pub(super) fn look_again(&self) -> Option<Instant> {
        self.full.filter(|_| !self.has_room()).map(|since| since + DISK_REST)
    }

    /// The number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// The lowest line that is kept, or the next one.
    pub(super) fn lowest(&self) -> u64 {
        self.chunks.front().map_or(self.next, |chunk| {
            let whole = chunk.acked.iter().take_while(|bits| **bits == u64::MAX).count();
            let bits = chunk.acked.get(whole).map_or(0, |bits| bits.trailing_ones());
            chunk.first + whole as u64 * 64 + u64::from(bits)
        })
    }

    /// Whether everything is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Keeps a line. One that neither memory nor disk has room for is kept in memory all the same: there is one.
    pub(super) fn push(&mut self, line: &[u8]) {
        let size = PREFIX + line.len() as u64;
        let in_memory = self.memory + size <= self.bounds.memory;
        if in_memory || self.write(line, size).is_err() {
            self.remember(line, size);
        }
        if let Some(chunk) = self.chunks.back_mut() {
            let bit = chunk.count % 64;
            if bit == 0 {
                chunk.acked.push(0);
            }
            chunk.count += 1;
            chunk.unacked += 1;
            chunk.bytes += size;
        }
        self.next += 1;
    }

    fn remember(&mut self, line: &[u8], size: u64) {
        let fits = |chunk: &Chunk| chunk.bytes + size <= MEMORY_CHUNK && chunk.end() == self.next;
        if !self.chunks.back().is_some_and(|chunk| matches!(chunk.body, Body::Memory(_)) && fits(chunk)) {
            self.open(Body::Memory(Vec::new()));
        }
        if let Some(Chunk { body: Body::Memory(bytes), .. }) = self.chunks.back_mut() {
            bytes.extend_from_slice(&length(line));
            bytes.extend_from_slice(line);
        }
        self.memory += size;
    }

    fn write(&mut self, line: &[u8], size: u64) -> io::Result<()> {
        let fits = |chunk: &Chunk| chunk.bytes + size <= FILE_CHUNK && chunk.end() == self.next;
        if !self.chunks.back().is_some_and(|chunk| matches!(chunk.body, Body::File(..)) && fits(chunk)) {
            self.made += 1;
            let path = self.dir.join(format!("lines-{}", self.made));
            let file = private::create(&path);
            let file = file.inspect_err(|_| self.full = Some(Instant::now()))?;
            self.open(Body::File(file, path));
        }
        let Some(chunk) = self.chunks.back() else { return Ok(()) };
        let Body::File(file, path) = &chunk.body else { return Ok(()) };
        let at = chunk.bytes;
        let done = private::write_at(file, &length(line), at).and_then(|()| private::write_at(file, line, at + PREFIX));
        if done.is_err() {
            // What was written of it lies behind the end and is written over by the next one.
            self.full = Some(Instant::now());
            if chunk.count == 0 {
                let _ = fs::remove_file(path);
                self.chunks.pop_back();
            }
            return done;
        }
        self.full = None;
        self.files += size;
        Ok(())
    }

    fn open(&mut self, body: Body) {
        self.chunks.push_back(Chunk { first: self.next, count: 0, acked: Vec::new(), unacked: 0, bytes: 0, body });
    }

    /// Line `seq` needs not be kept any more. Once is enough, and twice does no harm.
    pub(super) fn ack(&mut self, seq: u64) {
        let found = self.chunks.partition_point(|chunk| chunk.end() <= seq);
        let Some(chunk) = self.chunks.get_mut(found).filter(|chunk| chunk.first <= seq) else { return };
        let index = seq - chunk.first;
        let (word, bit) = (usize::try_from(index / 64).unwrap_or(usize::MAX), 1_u64 << (index % 64));
        let Some(bits) = chunk.acked.get_mut(word).filter(|bits| **bits & bit == 0) else { return };
        *bits |= bit;
        chunk.unacked -= 1;
        if chunk.unacked > 0 {
            return;
        }
        let Some(chunk) = self.chunks.remove(found) else { return };
        match chunk.body {
            Body::Memory(_) => self.memory -= chunk.bytes,
            Body::File(_, path) => {
                self.files -= chunk.bytes;
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The next line that is kept and that the cursor has not had.
    pub(super) fn read(&self, cursor: &mut Cursor) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let found = self.chunks.partition_point(|chunk| chunk.end() <= cursor.next);
            let Some(chunk) = self.chunks.get(found) else { return Ok(None) };
            if cursor.chunk != chunk.first || cursor.at < chunk.first {
                (cursor.chunk, cursor.at, cursor.offset) = (chunk.first, chunk.first, 0);
            }
            while cursor.at < chunk.end() {
                let (seq, index) = (cursor.at, cursor.at - chunk.first);
                let length = u64::from(chunk.length(cursor.offset)?);
                let start = cursor.offset + PREFIX;
                (cursor.at, cursor.offset) = (seq + 1, start + length);
                let acked = chunk.acked.get(usize::try_from(index / 64).unwrap_or(usize::MAX));
                if seq < cursor.next || acked.is_some_and(|bits| bits & (1 << (index % 64)) != 0) {
                    continue;
                }
                cursor.next = seq + 1;
                return Ok(Some((seq, chunk.bytes(start, length)?)));
            }
            cursor.next = cursor.next.max(chunk.end());
        }
    }
}

impl Chunk {
    /// The number of the line after its last one.
    fn end(&self) -> u64 {
        self.first + self.count
    }

    fn length(&self, offset: u64) -> io::Result<u32> {
        let bytes = self.bytes(offset, PREFIX)?;
        let bytes: [u8; 4] = bytes.try_into().map_err(|_| damaged())?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn bytes(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let size = usize::try_from(length).map_err(|_| damaged())?;
        match &self.body {
            Body::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| damaged())?;
                bytes.get(start..start + size).map(<[u8]>::to_vec).ok_or_else(damaged)
            }
            Body::File(file, _) => {
                let mut bytes = vec![0; size];
                private::read_at(file, &mut bytes, offset)?;
                Ok(bytes)
            }
        }
    }
}

fn length(line: &[u8]) -> [u8; 4] {
    u32::try_from(line.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the journal of lines is damaged")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn journal(dir: &tempfile::TempDir, memory: u64, files: u64) -> Journal {
        Journal::new(dir.path().to_owned(), Bounds { memory, files })
    }

    fn all(journal: &Journal) -> BTreeMap<u64, Vec<u8>> {
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| journal.read(&mut cursor).unwrap()).collect()
    }

    #[test]
    fn over_its_memory_it_writes_files_and_over_those_it_has_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(&dir, 1000, 2000);
        let mut count = 0;
        while journal.has_room() && count < 100 {
            journal.push(&[b'x'; 96]);
            count += 1;
        }
        assert_eq!(count, 30);
        assert_eq!((journal.memory, journal.files, fs::read_dir(dir.path()).unwrap().count()), (1000, 2000, 1));
        assert_eq!(all(&journal).len(), 30);
        for seq in (1..=30).rev() {
            journal.ack(seq);
            journal.ack(seq);
            assert_eq!(all(&journal).len() as u64, seq - 1);
        }
        assert!(journal.is_empty() && journal.has_room());
        assert_eq!((journal.memory, journal.files, fs::read_dir(dir.path()).unwrap().count()), (0, 0, 0));
        assert_eq!((journal.lowest(), journal.last()), (31, 30));
    }

    #[test]
    fn a_disk_that_takes_nothing_loses_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(&dir, 100, 2000);
        journal.push(&[b'x'; 96]);
        journal.dir = dir.path().join("not there");
        assert!(journal.has_room());
        journal.push(b"kept all the same");
        assert!(!journal.has_room() && journal.look_again().is_some());
        assert_eq!(all(&journal)[&2], b"kept all the same");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is acknowledged in whatever order: a new reader has all that is kept and nothing else, in order.
        #[test]
        fn a_reader_has_what_is_kept(
            steps in prop::collection::vec((0_u8..3, 0_usize..400, 0_u64..300), 1..200),
            memory in 0_u64..4000,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut journal = journal(&dir, memory, 1 << 20);
            let mut kept: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            let (mut follower, mut followed) = (Cursor::default(), 0);
            for (what, size, seq) in steps {
                if what < 2 {
                    let line = vec![b'a' + u8::try_from(size % 26).unwrap(); size];
                    journal.push(&line);
                    kept.insert(journal.last(), line);
                } else {
                    journal.ack(seq);
                    kept.remove(&seq);
                }
                // One that follows along sees what is kept behind where it was.
                if size % 3 == 0 {
                    while let Some((seq, line)) = journal.read(&mut follower).unwrap() {
                        prop_assert!(seq > followed);
                        prop_assert!(kept.range(followed + 1..seq).next().is_none());
                        prop_assert_eq!(&kept[&seq], &line);
                        followed = seq;
                    }
                    prop_assert!(kept.range(followed + 1..).next().is_none());
                }
                prop_assert_eq!(journal.lowest(), kept.keys().next().copied().unwrap_or(journal.last() + 1));
                prop_assert_eq!(journal.is_empty(), kept.is_empty());
            }
            prop_assert_eq!(all(&journal), kept);
        }
    }
}
