//! What is to be installed: an exact version, for this platform.

use agent::locate::{self, ExactVersion, Platform};
use anyhow::bail;

use super::DEFAULT_VERSION;

/// The first version whose platforms are published one by one; before, one package brought all of them.
const FIRST_SPLIT: [u64; 3] = [0, 99, 0];

/// A version of Codex that npm may have.
pub(super) struct Wanted<'a> {
    pub(super) version: &'a str,
    exact: ExactVersion,
    pub(super) platform: Platform,
}

impl<'a> Wanted<'a> {
    /// Takes exact versions only.
    pub(super) fn parse(version: &'a str) -> anyhow::Result<Self> {
        let Some(exact) = ExactVersion::parse(version) else {
            bail!(
                "`{version}` is not an exact version of Codex; give one such as {DEFAULT_VERSION} (ranges and tags such as `latest` \
                 are not taken, so that what runs is what was asked for)"
            );
        };
        let Some(platform) = locate::platform() else {
            bail!(
                "Codex is not published for {} on {}; build it and name it with --codex-cmd",
                std::env::consts::OS,
                std::env::consts::ARCH
            );
        };
        Ok(Self { version, exact, platform })
    }

    /// What npm is to install. Under its own name the package of a platform would be another version of `@openai/codex`;
    /// the name is the one that the wrapper gives it.
    pub(super) fn package(&self) -> String {
        let (version, suffix) = (self.version, self.platform.npm_suffix);
        if self.exact.core >= FIRST_SPLIT {
            format!("@openai/codex-{suffix}@npm:@openai/codex@{version}-{suffix}")
        } else {
            format!("@openai/codex@{version}")
        }
    }
}
