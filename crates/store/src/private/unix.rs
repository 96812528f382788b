//! Rights on Unix: owners and modes.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::process::{getegid, geteuid};

use crate::OpenError;

/// What we and others of the project put into a store's folder. What else somebody keeps there is out of reach with the folder.
const FILES: [&str; 5] = ["store.", "daemon.json", ".daemon.json", "owner.json", "audit."];
const FOLDERS: [&str; 4] = ["agents", "hooks", "work", "worktrees"];

/// Whatever others than the owner may do.
const OTHERS: u32 = 0o077;

const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Makes the folder when it is missing, and sees to it that it is ours alone.
pub(crate) fn own(dir: &Path) -> Result<(), OpenError> {
    let refused = |source| OpenError::NotWritable { path: dir.to_owned(), source };
    private_dir(dir).map_err(refused)?;
    // By its real name: a link may lead to where others are.
    let real = fs::canonicalize(dir).map_err(refused)?;
    if let Some(parent) = real.parent() {
        check_parent(&real, parent)?;
    }
    close(&real, "folder")?;
    for entry in fs::read_dir(&real).map_err(refused)?.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_file() && FILES.iter().any(|ours| name.starts_with(ours)) {
            close(&path, "file")?;
        } else if kind.is_dir() && FOLDERS.contains(&name.as_ref()) {
            close(&path, "folder")?;
        }
    }
    Ok(())
}

/// Makes a folder that is this user's alone, whatever the umask is. One that exists stays as it is.
///
/// # Errors
/// When it can't be made.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens a file, and closes it to others: one that was made with wider rights, by a copy or a restored backup, gets ours.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(0o600).open(path)?;
    if file.metadata()?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Takes the rights of others away, if it is ours.
fn close(path: &Path, what: &str) -> Result<(), OpenError> {
    let Some(found) = look(path)? else { return Ok(()) };
    if found.uid() != geteuid().as_raw() {
        return Err(OpenError::SomebodyElses { path: path.to_owned(), uid: found.uid() });
    }
    let mode = found.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let closed = mode & !OTHERS;
    let exposed = || OpenError::Exposed { path: path.to_owned(), mode };
    fs::set_permissions(path, Permissions::from_mode(closed)).map_err(|_| exposed())?;
    // Some file systems say yes and do nothing.
    if look(path)?.is_some_and(|found| found.mode() & OTHERS != 0) {
        return Err(exposed());
    }
    tracing::warn!("the {what} {} was open to others (mode {mode:o}); it is closed now ({closed:o})", path.display());
    Ok(())
}

/// Whoever can write in the folder around ours can put another one in its place, unless the sticky bit keeps them from that. Our own primary
/// group counts as us: on most systems it is this user's alone, and a usual umask lets it write.
fn check_parent(dir: &Path, parent: &Path) -> Result<(), OpenError> {
    let Some(found) = look(parent)? else { return Ok(()) };
    let mode = found.mode() & 0o7777;
    let by_group = mode & GROUP_WRITES != 0 && ![getegid().as_raw(), 0].contains(&found.gid());
    if mode & STICKY != 0 || (mode & ALL_WRITE == 0 && !by_group) {
        return Ok(());
    }
    let replaceable = || OpenError::Replaceable { dir: dir.to_owned(), parent: parent.to_owned(), mode };
    // A folder that everybody can write in was never meant so; one of a group may well be, and is not ours to change.
    if by_group || found.uid() != geteuid().as_raw() {
        return Err(replaceable());
    }
    let closed = mode & !ALL_WRITE;
    fs::set_permissions(parent, Permissions::from_mode(closed)).map_err(|_| replaceable())?;
    if look(parent)?.is_some_and(|found| found.mode() & ALL_WRITE != 0) {
        return Err(replaceable());
    }
    tracing::warn!(
        "everybody could write in {} (mode {mode:o}), where the store's folder is; that is over ({closed:o})",
        parent.display()
    );
    Ok(())
}

/// What is there; nothing when it went meanwhile.
fn look(path: &Path) -> Result<Option<Metadata>, OpenError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::NotWritable { path: path.to_owned(), source }),
    }
}
