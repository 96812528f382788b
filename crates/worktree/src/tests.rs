//! Worktrees of real repositories, by the real git.

mod hostile;
mod losses;
mod refusals;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Found, Git, Tree};

/// How long git may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A folder with a repository of one commit, and a place for worktrees.
struct Place {
    dir: TempDir,
    repository: PathBuf,
    git: Git,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let repository = base.join("repo");
        fs::create_dir(&repository).unwrap();
        let git = Git::new(Some(program()), base.join("worktrees"), LIMIT);
        let place = Self { dir, repository, git };
        place.plain(&["init", "--quiet", "--initial-branch=main"]);
        place.write("a.txt", "one\n");
        place.write("sub/b.txt", "two\n");
        place.write(".gitignore", "ignored/\n");
        place.commit("first");
        place
    }

    fn base(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.repository, name, text);
    }

    fn commit(&self, message: &str) {
        commit(&self.repository, message);
    }

    /// git as a person runs it in the repository.
    fn plain(&self, args: &[&str]) -> String {
        plain(&self.repository, args)
    }

    async fn find(&self) -> Found {
        self.git.find(&self.repository).await.unwrap()
    }

    async fn made(&self, name: &str) -> Tree {
        let tree = self.git.plan(name, &self.find().await);
        self.git.make(&tree, Path::new(""), None).await.unwrap();
        tree
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|entry| entry.join("git")).find(|file| file.is_file()).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn commit(folder: &Path, message: &str) {
    plain(folder, &["add", "--all"]);
    plain(folder, &["commit", "--quiet", "--allow-empty", "--message", message]);
}

fn plain(folder: &Path, args: &[&str]) -> String {
    let output = command(folder, args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]).args(args);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_ALLOW_PROTOCOL", "file");
    command
}

#[tokio::test]
async fn a_worktree_is_made_and_goes_without_a_trace() {
    let place = Place::new();
    let before = place.plain(&["for-each-ref"]);
    let found = place.git.find(&place.repository.join("sub")).await.unwrap();
    assert_eq!((found.top.as_path(), found.below.as_path()), (place.repository.as_path(), Path::new("sub")));
    let tree = place.git.plan("0190-some-session-abcdefabcdef", &found);
    let cwd = place.git.make(&tree, &found.below, None).await.unwrap();
    assert_eq!(cwd, place.base().join("worktrees/0190-some-session-abcdefabcdef/sub"));
    assert_eq!(tree.branch, "codexd/abcdefabcdef");
    assert_eq!(fs::read_to_string(cwd.join("b.txt")).unwrap(), "two\n");
    // It is one like any other, for whoever uses git.
    assert_eq!(plain(&tree.path, &["branch", "--show-current"]).trim(), tree.branch);
    assert_eq!(plain(&tree.path, &["rev-parse", "HEAD"]).trim(), tree.base);
    assert_eq!(plain(&tree.path, &["status", "--porcelain"]), "");
    assert!(place.plain(&["worktree", "list"]).contains(&tree.branch));
    for folder in [place.git.home(), &tree.path] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
    }
    assert_eq!(place.git.loss(&tree).await.unwrap(), None);
    place.git.remove(&tree).await.unwrap();
    assert_eq!(fs::read_dir(place.git.home()).unwrap().count(), 0);
    assert_eq!(place.plain(&["for-each-ref"]), before);
    assert_eq!(place.plain(&["worktree", "list"]).lines().count(), 1);
    assert!(!place.repository.join(".git/worktrees").exists());
    // What is gone may be removed again.
    place.git.remove(&tree).await.unwrap();
}

#[tokio::test]
async fn two_worktrees_of_one_repository_have_their_own_files() {
    let place = Place::new();
    let (one, two) = tokio::join!(place.made("session-111111111111"), place.made("session-222222222222"));
    write(&one.path, "new.txt", "of the first");
    assert!(!two.path.join("new.txt").exists() && !place.repository.join("new.txt").exists());
    place.git.remove(&two).await.unwrap();
    assert!(place.git.loss(&one).await.unwrap().unwrap().contains("new.txt"));
    assert_eq!(place.plain(&["worktree", "list"]).lines().count(), 2);
}

#[tokio::test]
async fn a_picture_has_what_is_changed_and_new_and_not_what_is_ignored() {
    let place = Place::new();
    let first = place.made("session-111111111111").await;
    write(&first.path, "a.txt", "changed\n");
    write(&first.path, "new/c.txt", "new\n");
    write(&first.path, "ignored/d.txt", "can be made again\n");
    fs::remove_file(first.path.join("sub/b.txt")).unwrap();
    let picture = place.git.snapshot(&first).await.unwrap();
    assert_eq!(picture.head, first.base);
    let found = place.git.beside(&first, &picture, Path::new("new")).await.unwrap();
    let second = place.git.plan("session-222222222222", &found);
    place.git.make(&second, &found.below, Some(&picture)).await.unwrap();
    assert_eq!(fs::read_to_string(second.path.join("a.txt")).unwrap(), "changed\n");
    assert_eq!(fs::read_to_string(second.path.join("new/c.txt")).unwrap(), "new\n");
    assert!(!second.path.join("ignored").exists() && !second.path.join("sub/b.txt").exists());
    let status = |tree: &Tree| plain(&tree.path, &["status", "--porcelain"]);
    assert_eq!(status(&second), status(&first), "changed, and nothing staged");
}

#[tokio::test]
async fn a_branch_that_is_named_as_ours_are_below_of_is_no_obstacle() {
    let place = Place::new();
    place.plain(&["branch", "codexd"]);
    let tree = place.made("session-111111111111").await;
    assert_eq!(tree.branch, "codexd-111111111111");
    assert_eq!(place.git.loss(&tree).await.unwrap(), None);
}

#[tokio::test]
async fn a_worktree_of_a_worktree_is_one_of_the_same_repository() {
    let place = Place::new();
    place.plain(&["worktree", "add", "--quiet", "-b", "side", "../side"]);
    let side = place.base().join("side");
    commit(&side, "on the side");
    let found = place.git.find(&side).await.unwrap();
    let tree = place.git.plan("session-111111111111", &found);
    place.git.make(&tree, Path::new(""), None).await.unwrap();
    assert_eq!(
        (tree.repository.as_path(), tree.base.as_str()),
        (side.as_path(), plain(&side, &["rev-parse", "HEAD"]).trim())
    );
    assert_eq!(place.git.loss(&tree).await.unwrap(), None);
    place.git.remove(&tree).await.unwrap();
    assert_eq!(place.plain(&["worktree", "list"]).lines().count(), 2);
}

#[tokio::test]
async fn what_a_crash_left_is_removed_from_wherever_it_was() {
    let place = Place::new();
    let found = place.find().await;
    // Only planned.
    let tree = place.git.plan("session-111111111111", &found);
    place.git.remove(&tree).await.unwrap();
    // Its folder was made.
    fs::create_dir_all(&tree.path).unwrap();
    place.git.remove(&tree).await.unwrap();
    // Registered, without files.
    let path = tree.path.to_str().unwrap();
    place.plain(&["worktree", "add", "--quiet", "--no-checkout", "-b", &tree.branch, path]);
    place.git.remove(&tree).await.unwrap();
    assert_eq!(place.plain(&["worktree", "list"]).lines().count(), 1);
    // Being removed, and with things of the bench.
    let kept = place.made("session-222222222222").await;
    for name in [".bench-x/.git/refs", ".gone-session-1/sub", ".gone-session-1/closed"] {
        fs::create_dir_all(place.git.home().join(name)).unwrap();
    }
    let (scraps, worktrees) = place.git.leftovers();
    assert_eq!((scraps.len(), worktrees), (2, vec![kept.path]));
    place.git.clear(&scraps);
    assert_eq!(fs::read_dir(place.git.home()).unwrap().count(), 1);
}
