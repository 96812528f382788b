//! Versions of Codex, and which of them this codexd was tested with.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The oldest and the newest version that codexd is tested with.
pub const TESTED: (Version, Version) = (Version(0, 98, 0), Version(0, 169, 0));

/// A version of the Codex CLI: three numbers, ordered. What follows them (`-alpha.1`) is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The version in a text such as `codex-cli 0.169.0` or `codexd/0.169.0 (Debian 12.0.0; x86_64)`: the first thing in
    /// it that is one.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || matches!(c, '/' | '(' | ')' | ';')).find_map(|word| word.parse().ok())
    }

    /// Whether this version lies in the tested range.
    #[must_use]
    pub fn tested(self) -> bool {
        TESTED.0 <= self && self <= TESTED.1
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = plain.split('.').map(|part| part.parse::<u32>().map_err(drop));
        let mut next = || numbers.next().unwrap_or(Err(()));
        let version = Self(next()?, next()?, next()?);
        if numbers.next().is_some() { Err(()) } else { Ok(version) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_version_where_codex_prints_it() {
        assert_eq!(Version::find("codex-cli 0.169.0\n"), Some(Version(0, 169, 0)));
        assert_eq!(Version::find("codexd/0.153.4 (Debian 12.0.0; x86_64) xterm"), Some(Version(0, 153, 4)));
        assert_eq!(Version::find("codex-cli 0.170.0-alpha.3"), Some(Version(0, 170, 0)));
        for nothing in ["", "codex", "1.2", "1.2.3.4", "v1.2.x"] {
            assert_eq!(Version::find(nothing), None, "{nothing}");
        }
    }
}
