//! Where `-o FILE` leads, and how it is written.
//!
//! A file is written beside itself and renamed when it is whole, so that what was there stays until then. Links are followed: the
//! content of what they lead to is replaced, and they stay links. Pipes, devices and open files that a path below `/proc` names
//! are written through; there is no way to take back what they got. What is standard output by another name is left to whoever
//! writes that.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// The most links that are followed, as of most systems.
const LINKS: usize = 40;

/// An open place to write to.
#[derive(Debug)]
pub(super) enum Sink {
    /// Gets its name at the end.
    Whole { partial: NamedTempFile, target: PathBuf },
    /// Written as it comes.
    Through(File),
}

impl Sink {
    /// Opens it; nothing is replaced yet. `None`: it is standard output.
    pub(super) fn open(file: &Path) -> io::Result<Option<Self>> {
        let Led { target, to_open_file } = follow(file)?;
        let there = match fs::metadata(file) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !to_open_file => None,
            Err(error) => return Err(error),
        };
        let Some(there) = there else {
            return Ok(Some(Self::Whole { partial: beside(&target, None)?, target }));
        };
        if there.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        if to_open_file && is_stdout(&there) {
            return Ok(None);
        }
        if !there.is_file() || to_open_file {
            // What a shell's `>>` has put there stays.
            return Ok(Some(Self::Through(OpenOptions::new().append(true).open(file)?)));
        }
        // A name can be replaced whatever the mode says; who took away the right to write meant it.
        drop(OpenOptions::new().write(true).open(&target)?);
        Ok(Some(Self::Whole { partial: beside(&target, Some(there.permissions()))?, target }))
    }

    /// Everything is written.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Whole { partial, target } => {
                partial.as_file().sync_all()?;
                partial.persist(target).map(drop).map_err(|error| error.error)
            }
            Self::Through(mut file) => file.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Whole { partial, .. } => partial.write(bytes),
            Self::Through(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Whole { partial, .. } => partial.flush(),
            Self::Through(file) => file.flush(),
        }
    }
}

/// What a path leads to.
struct Led {
    target: PathBuf,
    /// The way goes through `/proc` (as `/dev/stdout` does): it is a file that somebody has open, and its name matters to nobody.
    to_open_file: bool,
}

fn follow(file: &Path) -> io::Result<Led> {
    let mut target = file.to_owned();
    for _ in 0..LINKS {
        let folder = folder_of(&target);
        let to_open_file = ["/proc", "/dev/fd"].iter().any(|open| {
            folder.starts_with(open) || fs::canonicalize(folder).is_ok_and(|folder| folder.starts_with(open))
        });
        if to_open_file {
            return Ok(Led { target, to_open_file });
        }
        match fs::read_link(&target) {
            Ok(next) => target = folder.join(next),
            Err(_) => return Ok(Led { target, to_open_file }),
        }
    }
    Err(io::Error::other("the links lead round in a circle"))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside another one, with its mode, or with that of any new file.
fn beside(target: &Path, mode: Option<Permissions>) -> io::Result<NamedTempFile> {
    let folder = folder_of(target);
    if !fs::metadata(folder).is_ok_and(|folder| folder.is_dir()) {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no folder `{}`", folder.display())));
    }
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there is no mode to give"))]
    let mut builder = tempfile::Builder::new();
    // The umask takes away from it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // What failed is told without the name, which is nobody's.
    let made = builder.tempfile_in(folder).map_err(|error| io::Error::from(error.kind()))?;
    if let Some(mode) = mode {
        made.as_file().set_permissions(mode)?;
    }
    Ok(made)
}

#[cfg(unix)]
fn is_stdout(there: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    rustix::fs::fstat(io::stdout()).is_ok_and(|stdout| {
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the types differ between systems")]
        let same = (stdout.st_dev as u64, stdout.st_ino as u64) == (there.dev(), there.ino());
        same
    })
}

#[cfg(not(unix))]
fn is_stdout(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn put(file: &Path, text: &str) -> io::Result<()> {
        let mut sink = Sink::open(file)?.ok_or(io::ErrorKind::Other)?;
        sink.write_all(text.as_bytes())?;
        sink.finish()
    }

    fn mode(file: &Path) -> Option<u32> {
        Some(fs::metadata(file).ok()?.permissions().mode() & 0o777)
    }

    #[test]
    fn links_stay_links_and_modes_stay_modes() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, to_nothing, nothing] =
            ["file", "link", "to-nothing", "sub/nothing"].map(|it| dir.path().join(it));
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        symlink("sub/nothing", &to_nothing).unwrap();
        put(&link, "new").unwrap();
        assert!(link.is_symlink() && fs::read_to_string(&file).unwrap() == "new" && mode(&file) == Some(0o640));
        put(&to_nothing, "here").unwrap();
        assert!(to_nothing.is_symlink() && fs::read_to_string(&nothing).unwrap() == "here");
        // As any program would have made it.
        fs::write(dir.path().join("plain"), "").unwrap();
        assert!(mode(&nothing).is_some());
        assert_eq!(mode(&nothing), mode(&dir.path().join("plain")));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "nothing else is left");

        let circle = dir.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(Sink::open(&circle).is_err());
    }

    #[test]
    fn what_is_no_file_is_written_through() {
        for device in ["/dev/null", "/dev/full"] {
            let before = fs::symlink_metadata(device).unwrap().file_type();
            let written = put(Path::new(device), "x");
            assert_eq!(written.is_ok(), device == "/dev/null", "{device}: {written:?}");
            assert_eq!(fs::symlink_metadata(device).unwrap().file_type(), before, "{device}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(put(dir.path(), "x").unwrap_err().to_string().contains("folder"));
        let open = fs::File::create_new(dir.path().join("open")).unwrap();
        put(Path::new(&format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open))), "by its number").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("open")).unwrap(), "by its number");
        assert_eq!(
            fs::metadata(dir.path().join("open")).unwrap().len(),
            open.metadata().unwrap().len(),
            "the same file"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_and_nothing_else() {
        let error = Sink::open(Path::new("/no/such/x.md")).unwrap_err().to_string();
        assert_eq!(error, "there is no folder `/no/such`");
    }
}
