//! What there can be no worktree of, and how that is said.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{LIMIT, Place, plain};
use crate::{Error, Git};

#[tokio::test]
async fn each_folder_that_will_not_do_has_its_sentence() {
    let place = Place::new();
    let base = place.base();
    for name in ["plain", "empty"] {
        fs::create_dir(base.join(name)).unwrap();
    }
    plain(&base.join("empty"), &["init", "--quiet"]);
    plain(&base, &["init", "--quiet", "--bare", "bare.git"]);
    let refused = async |name: &str| place.git.find(&base.join(name)).await.unwrap_err();
    assert!(matches!(refused("plain").await, Error::NotARepository(_)));
    assert!(matches!(refused("empty").await, Error::Unborn(_)));
    assert!(matches!(refused("bare.git").await, Error::NoWorkTree(_)));
    assert!(matches!(refused("repo/.git").await, Error::NoWorkTree(_)));
    assert!(matches!(refused("repo/.git/refs").await, Error::NoWorkTree(_)));
    for error in [refused("plain").await, refused("empty").await, refused("bare.git").await] {
        assert!(error.to_string().contains(base.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_in_the_commit_is_refused_and_so_is_a_link_out_of_it() {
    let place = Place::new();
    fs::create_dir(place.repository.join("uncommitted")).unwrap();
    fs::create_dir(place.base().join("outside")).unwrap();
    symlink("../outside", place.repository.join("out")).unwrap();
    place.commit("with a link that leads out");
    for (n, below) in ["uncommitted", "out"].into_iter().enumerate() {
        let tree = place.git.plan(&format!("session-{n:012}"), &place.find().await);
        let error = place.git.make(&tree, Path::new(below), None).await.unwrap_err();
        assert!(matches!(&error, Error::NotCommitted(path) if path.ends_with(below)), "{error}");
        place.git.remove(&tree).await.unwrap();
    }
    assert_eq!(fs::read_dir(place.git.home()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_repository_that_is_gone_is_told_and_its_worktree_can_go() {
    let place = Place::new();
    let tree = place.made("session-111111111111").await;
    fs::remove_dir_all(&place.repository).unwrap();
    assert!(matches!(place.git.loss(&tree).await, Err(Error::Gone(_))));
    assert!(matches!(place.git.snapshot(&tree).await, Err(Error::Gone(_))));
    place.git.remove(&tree).await.unwrap();
    assert!(!tree.path.exists());
}

/// Another user's repository may say what it likes; git itself refuses it, unless the user said that it is trusted.
#[tokio::test]
async fn a_repository_of_somebody_else_is_refused() {
    let place = Place::new();
    // Only root can give things away.
    if std::os::unix::fs::chown(&place.repository, Some(65_534), None).is_err() {
        return;
    }
    let error = place.git.find(&place.repository).await.unwrap_err();
    assert!(matches!(error, Error::SomebodyElses(_)), "{error}");
}

fn script(place: &Place, text: &str) -> PathBuf {
    let file = place.base().join("git-of-the-test");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[tokio::test]
async fn without_a_git_or_with_an_old_one_it_says_so() {
    let place = Place::new();
    let none = Git::new(None, place.base().join("w"), LIMIT);
    assert!(matches!(none.find(&place.repository).await, Err(Error::NoGit)));
    let old = Git::new(Some(script(&place, "#!/bin/sh\necho git version 2.20.1\n")), place.base().join("w"), LIMIT);
    let error = old.find(&place.repository).await.unwrap_err();
    assert!(matches!(&error, Error::OldGit(found) if found.contains("2.20.1")), "{error}");
}

#[tokio::test]
async fn one_that_never_ends_is_ended_with_what_it_started() {
    let place = Place::new();
    let pids = place.base().join("pids");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo git version 2.47.3 && exit\nsleep 600 &\necho $! > {}\nwait\n",
        pids.display()
    );
    let slow = Git::new(Some(script(&place, &text)), place.base().join("w"), Duration::from_secs(2));
    let error = slow.find(&place.repository).await.unwrap_err();
    assert!(matches!(error, Error::TookTooLong(_)), "{error}");
    let pid = fs::read_to_string(pids).unwrap();
    let until = Instant::now() + LIMIT;
    while is_alive(pid.trim()) {
        assert!(Instant::now() < until, "it is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn one_that_says_without_end_is_not_read_without_end() {
    let place = Place::new();
    let text = "#!/bin/sh\n[ \"$1\" = --version ] && echo git version 2.47.3 && exit\nexec cat /dev/zero\n";
    let git = Git::new(Some(script(&place, text)), place.base().join("w"), LIMIT);
    let error = git.find(&place.repository).await.unwrap_err();
    assert!(matches!(&error, Error::Failed { words, .. } if words.contains("more than is read")), "{error}");
}
