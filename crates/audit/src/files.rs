//! The files: appended to, and moved along when one is full.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The file's name in the store's folder.
pub const FILE: &str = "audit.jsonl";

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest file, in bytes.
    pub file: u64,
    /// How many older ones there are besides.
    pub old: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 4 << 20, old: 4 }
    }
}

/// Where lines go.
pub(crate) struct Files {
    path: PathBuf,
    limits: Limits,
    /// Open while all goes well.
    file: Option<(File, u64)>,
}

impl Files {
    pub(crate) fn new(dir: &Path, limits: Limits) -> Self {
        Self { path: dir.join(FILE), limits, file: None }
    }

    /// Writes a line, with its line break, at once. After an error the file is opened anew with the next one.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.try_append(line);
        if written.is_err() {
            self.file = None;
        }
        written
    }

    fn try_append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.as_ref().is_some_and(|(_, size)| *size > 0 && size + line.len() as u64 > self.limits.file) {
            self.file = None;
            self.move_along()?;
        }
        let (file, size) = match &mut self.file {
            Some(open) => open,
            None => self.file.insert(open(&self.path)?),
        };
        file.write_all(line)?;
        *size += line.len() as u64;
        Ok(())
    }

    fn move_along(&self) -> io::Result<()> {
        for number in (1..self.limits.old).rev() {
            rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        if self.limits.old == 0 {
            return fs::remove_file(&self.path);
        }
        rename(&self.path, &self.numbered(1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.path.with_file_name(format!("{FILE}.{number}"))
    }
}

/// One that is not there need not be moved.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Only this user can read it. (On Windows it has the rights of the store's folder.)
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let size = file.metadata()?.len();
    if size > 0 && !ends_with_a_line(path, size)? {
        // A disk that was full took half of a line.
        file.write_all(b"\n")?;
    }
    Ok((file, size))
}

fn ends_with_a_line(path: &Path, size: u64) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(size - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_together_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path(), Limits { file: 100, old: 2 });
        for number in 0..50 {
            files.append(format!("line number {number:02}\n").as_bytes()).unwrap();
        }
        let mut names: Vec<String> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]);
        let all: String = names
            .iter()
            .rev()
            .map(|name| fs::read_to_string(dir.path().join(name)).unwrap())
            .collect::<Vec<_>>()
            .concat();
        let lines: Vec<&str> = all.lines().collect();
        assert!(all.len() <= 300 && lines.last() == Some(&"line number 49"), "{all}");
        assert!(lines.is_sorted(), "{all}");
    }

    #[test]
    fn half_a_line_of_before_stays_a_line_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{\"half").unwrap();
        Files::new(dir.path(), Limits::default()).append(b"{}\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "{\"half\n{}\n");
    }
}
