//! Runs in the repository itself. Its own configuration is read, so these are the few that can run nothing but hooks, which are switched off.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use crate::{
    Error, Git, Snapshot, Tree,
    run::{Deadline, Overrides, Said},
};

/// The refs that keep a commit alive and that people know of. Not the stash: who has a commit only there does not find it again.
const KEEPERS: [&str; 3] = ["refs/heads", "refs/remotes", "refs/tags"];

/// A folder of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The top folder of its checkout, canonical.
    pub top: PathBuf,
    /// Where the repository keeps what all its worktrees share, canonical.
    pub common: PathBuf,
    /// The commit that is checked out.
    pub head: String,
    /// Where the folder is below the top one.
    pub below: PathBuf,
    /// There is a branch of the name that ours are below of.
    pub(crate) name_is_taken: bool,
}

impl Git {
    /// What repository a folder is of; the folder is canonical. git makes sure that it is the user's own.
    ///
    /// # Errors
    /// When it is of none, or of one without a commit, or git can't be run.
    pub async fn find(&self, folder: &Path) -> Result<Found, Error> {
        let deadline = self.deadline();
        // Hooks are the only thing that could run, and reading runs none; so their names need not be known yet.
        let overrides = self.overrides();
        let ask = async |args: &[&str]| {
            let mut all = vec![OsStr::new("-C"), folder.as_os_str(), OsStr::new("rev-parse")];
            all.extend(args.iter().map(OsStr::new));
            self.run(Vec::new(), &overrides, deadline, &all).await
        };
        let kind = ask(&["--is-inside-work-tree", "--is-bare-repository", "--is-inside-git-dir"]).await?;
        if !kind.success {
            return Err(not_found(folder, &kind.words));
        }
        if kind.out != b"true\nfalse\nfalse\n" {
            return Err(Error::NoWorkTree(folder.to_owned()));
        }
        let where_to = ask(&["--path-format=absolute", "--show-toplevel", "--git-common-dir"]).await?;
        if !where_to.success {
            return Err(not_found(folder, &where_to.words));
        }
        let text = String::from_utf8(where_to.out).map_err(|_| Error::Name(folder.to_owned()))?;
        let [top, common] = *text.lines().collect::<Vec<_>>() else { return Err(Error::Name(folder.to_owned())) };
        let (top, common) = (real(top)?, real(common)?);
        let below = folder.strip_prefix(&top).map_err(|_| Error::NoWorkTree(folder.to_owned()))?.to_owned();
        let head = ask(&["--verify", "--quiet", "HEAD^{commit}"]).await?;
        let head = one_line(&head).filter(|_| head.success).ok_or_else(|| Error::Unborn(top.clone()))?;
        let taken = ask(&["--verify", "--quiet", "refs/heads/codexd"]).await?;
        Ok(Found { top, common, head, below, name_is_taken: taken.success })
    }

    /// What a second worktree of the same repository begins with: what is in the first one, in a folder below its top.
    ///
    /// # Errors
    /// When the repository is gone, or git can't look.
    pub async fn beside(&self, first: &Tree, picture: &Snapshot, below: &Path) -> Result<Found, Error> {
        let taken = self.commit(first, "refs/heads/codexd", self.deadline()).await?;
        Ok(Found {
            top: first.repository.clone(),
            common: first.common.clone(),
            head: picture.head.clone(),
            below: below.to_owned(),
            name_is_taken: taken.is_some(),
        })
    }

    /// What a worktree of this repository will be. `name` is that of its folder: one word, not taken.
    #[must_use]
    pub fn plan(&self, name: &str, found: &Found) -> Tree {
        // The end of an id is random, its beginning the time.
        let short: String = name.chars().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect();
        let between = if found.name_is_taken { '-' } else { '/' };
        Tree {
            path: self.home().join(name),
            repository: found.top.clone(),
            common: found.common.clone(),
            branch: format!("codexd{between}{short}"),
            base: found.head.clone(),
        }
    }

    /// Runs git on what all worktrees share, without any hook.
    pub(crate) async fn shared(&self, tree: &Tree, deadline: Deadline, args: &[&str]) -> Result<Said, Error> {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        self.shared_os(tree, deadline, &args).await
    }

    pub(crate) async fn shared_os(&self, tree: &Tree, deadline: Deadline, args: &[&OsStr]) -> Result<Said, Error> {
        if !tree.common.is_dir() {
            return Err(Error::Gone(tree.repository.clone()));
        }
        let overrides = self.without_hooks(vec![git_dir(&tree.common)], deadline).await?;
        self.run(vec![git_dir(&tree.common)], &overrides, deadline, args).await
    }

    /// The overrides for a repository that may name hooks in its configuration.
    async fn without_hooks(&self, env: Vec<(&'static str, OsString)>, deadline: Deadline) -> Result<Overrides, Error> {
        let mut overrides = self.overrides();
        let found = self.names(env, &overrides, deadline).await?;
        overrides.extend(switched_off(&found, "hook", &[("enabled", "false"), ("command", "")]));
        Ok(overrides)
    }

    /// The names of all values of the configuration.
    pub(crate) async fn names(
        &self,
        env: Vec<(&'static str, OsString)>,
        overrides: &Overrides,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        let args = ["config", "--includes", "--list", "--name-only", "-z"].map(OsStr::new);
        let said = self.run(env, overrides, deadline, &args).await?;
        if !said.success {
            return Err(failed("read the configuration", &said));
        }
        let texts = said.out.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(texts.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// The commit that a ref, or `HEAD` of a worktree, names.
    pub(crate) async fn commit(&self, tree: &Tree, name: &str, deadline: Deadline) -> Result<Option<String>, Error> {
        let said =
            self.shared(tree, deadline, &["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]).await?;
        Ok(one_line(&said).filter(|_| said.success))
    }

    /// Whether a commit is on a branch, tag or branch of a remote other than the worktree's own.
    pub(crate) async fn is_kept(&self, tree: &Tree, commit: &str, deadline: Deadline) -> Result<bool, Error> {
        let mut args = vec!["for-each-ref", "--format=%(refname)", "--contains", commit];
        args.extend(KEEPERS);
        let said = self.shared(tree, deadline, &args).await?;
        if !said.success {
            return Err(failed("look for other branches with its commits", &said));
        }
        let own = tree.branch_ref();
        Ok(String::from_utf8_lossy(&said.out).lines().any(|name| name != own))
    }

    /// Whether some worktree has the branch checked out.
    pub(crate) async fn is_checked_out(&self, tree: &Tree, deadline: Deadline) -> Result<bool, Error> {
        let said =
            self.shared(tree, deadline, &["for-each-ref", "--format=%(worktreepath)", &tree.branch_ref()]).await?;
        Ok(!said.success || said.out.iter().any(|byte| !byte.is_ascii_whitespace()))
    }
}

pub(crate) fn git_dir(path: &Path) -> (&'static str, OsString) {
    ("GIT_DIR", path.as_os_str().to_owned())
}

/// Overrides for each `section.NAME.` of which there is something.
pub(crate) fn switched_off(found: &[String], section: &str, to: &[(&str, &str)]) -> Overrides {
    let mut names: Vec<&str> = found
        .iter()
        .filter_map(|key| {
            let (of, rest) = key.split_once('.')?;
            let (name, _) = rest.rsplit_once('.')?;
            of.eq_ignore_ascii_case(section).then_some(name)
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    let one = |name: &&str| {
        let name = (*name).to_owned();
        to.iter().map(move |(key, value)| (format!("{section}.{name}.{key}"), (*value).to_owned())).collect::<Vec<_>>()
    };
    names.iter().flat_map(one).collect()
}

pub(crate) fn failed(doing: &'static str, said: &Said) -> Error {
    if said.words.contains("No space left on device") || said.words.contains("Disk quota exceeded") {
        return Error::Full;
    }
    Error::Failed { doing, words: said.words.clone() }
}

fn not_found(folder: &Path, words: &str) -> Error {
    if words.contains("dubious ownership") {
        Error::SomebodyElses(folder.to_owned())
    } else if words.contains("not a git repository") {
        Error::NotARepository(folder.to_owned())
    } else {
        Error::Failed { doing: "look at the repository", words: words.to_owned() }
    }
}

fn real(text: &str) -> Result<PathBuf, Error> {
    dunce::canonicalize(text).map_err(|error| Error::io(text, error))
}

/// What it said, when that is one word on one line.
fn one_line(said: &Said) -> Option<String> {
    let text = std::str::from_utf8(&said.out).ok()?.trim();
    (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

#[cfg(test)]
mod switch_tests {
    use super::*;

    #[test]
    fn every_name_is_switched_off_once_whatever_is_in_it() {
        let found =
            ["filter.a.smudge", "filter.a.clean", "filter.b.c=d.process", "FILTER.x.clean", "filter.only", "core.bare"];
        let found = found.map(str::to_owned);
        let off: Vec<String> =
            switched_off(&found, "filter", &[("smudge", "")]).into_iter().map(|(key, _)| key).collect();
        assert_eq!(off, ["filter.a.smudge", "filter.b.c=d.smudge", "filter.x.smudge"]);
    }
}
