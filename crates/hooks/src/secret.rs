//! What POSTs are signed with. It is never shown: not in a log, not in an error, not by `Debug`.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::os;

/// The longest secret that is read, in bytes.
const LONGEST: u64 = 4096;

/// What both sides know.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

/// Why a secret can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is not there, or not ours.
    #[error("the secret file {} can't be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could sign in our name.
    #[error("others can read or write the secret file {0} (mode {mode:04o}): chmod 600 {0}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("the secret file {} is empty; `openssl rand -hex 32` makes a good secret", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It can't be meant.
    #[error("the secret file {} is longer than {LONGEST} bytes", .path.display())]
    Long {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// Reads a file that only its owner may read. White space around it is not part of it: editors end files with a newline.
    ///
    /// # Errors
    /// [`SecretError`] names the file and says what to do.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(unreadable)?;
        if let Some(mode) = os::open_to_others(&file.metadata().map_err(unreadable)?) {
            return Err(SecretError::Open { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LONGEST {
            return Err(SecretError::Long { path: path.to_owned() });
        }
        let secret = bytes.trim_ascii();
        if secret.is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        Ok(Self(secret.to_owned()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn only_its_owner_may_read_it_and_nobody_sees_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(Secret::read(&path), Err(SecretError::Unreadable { .. })));
        fs::write(&path, "  sesame\n").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match Secret::read(&path) {
                Ok(secret) => {
                    assert!(good, "{mode:o}");
                    assert_eq!(secret.bytes(), b"sesame");
                    assert!(!format!("{secret:?}").contains("sesame"));
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(!good && text.contains("chmod 600") && !text.contains("sesame"), "{text}");
                }
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, " \n").unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::Empty { .. })));
        fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::Long { .. })));
    }
}
