//! What keeps a worktree, and what does not.

use std::fs;

use super::{Place, command, commit, plain, write};

#[tokio::test]
async fn nothing_that_somebody_did_is_lost() {
    let place = Place::new();
    type Deed = fn(&Place, &std::path::Path);
    let deeds: &[(&str, Deed, &str)] = &[
        ("changed", |_, at| write(at, "a.txt", "other\n"), "a.txt"),
        (
            "changed without a trace in its times or its size",
            |_, at| {
                let file = at.join("a.txt");
                let times = fs::metadata(&file).unwrap().modified().unwrap();
                write(at, "a.txt", "eno\n");
                fs::File::options().write(true).open(file).unwrap().set_modified(times).unwrap();
            },
            "a.txt",
        ),
        ("new", |_, at| write(at, "sub/new.txt", ""), "sub/new.txt"),
        ("removed", |_, at| fs::remove_file(at.join("a.txt")).unwrap(), "a.txt"),
        (
            "marked as unchanged",
            |_, at| {
                plain(at, &["update-index", "--assume-unchanged", "a.txt"]);
                write(at, "a.txt", "mine\n");
            },
            "a.txt",
        ),
        (
            "marked as not to be looked at",
            |_, at| {
                plain(at, &["update-index", "--skip-worktree", "a.txt"]);
                write(at, "a.txt", "mine\n");
            },
            "a.txt",
        ),
        (
            "staged, and taken back in the folder",
            |_, at| {
                write(at, "a.txt", "staged\n");
                plain(at, &["add", "a.txt"]);
                write(at, "a.txt", "one\n");
            },
            "staged",
        ),
        ("committed", |_, at| commit(at, at.to_str().unwrap()), "no other branch"),
        (
            "committed on no branch",
            |_, at| {
                plain(at, &["checkout", "--quiet", "--detach"]);
                commit(at, at.to_str().unwrap());
            },
            "no other branch",
        ),
        (
            "committed, and only the stash has it",
            |_, at| {
                commit(at, at.to_str().unwrap());
                write(at, "a.txt", "other\n");
                plain(at, &["stash", "--quiet"]);
            },
            "no other branch",
        ),
        (
            "left on its branch for another one",
            |_, at| {
                commit(at, at.to_str().unwrap());
                plain(at, &["checkout", "--quiet", "-b", "elsewhere", "main"]);
            },
            "no other branch",
        ),
        (
            "a merge",
            |place, at| {
                plain(&place.repository, &["branch", "--force", "other"]);
                commit(at, at.to_str().unwrap());
                plain(at, &["push", "--quiet", ".", "HEAD:refs/heads/kept"]);
                plain(
                    at,
                    &["merge", "--quiet", "--no-commit", "--no-ff", "--allow-unrelated-histories", &orphan(place)],
                );
            },
            "under way",
        ),
        ("a bisection", |_, at| drop(plain(at, &["bisect", "start"])), "under way"),
        ("a ref of its own", |_, at| drop(plain(at, &["update-ref", "refs/worktree/mine", "HEAD"])), "under way"),
        ("locked", |place, at| drop(plain(&place.repository, &["worktree", "lock", at.to_str().unwrap()])), "locked"),
        ("a repository inside", |_, at| drop(plain(at, &["init", "--quiet", "inner"])), "inner"),
        (
            ".git replaced by a link",
            |_, at| {
                fs::remove_file(at.join(".git")).unwrap();
                std::os::unix::fs::symlink("/nowhere", at.join(".git")).unwrap();
            },
            ".git",
        ),
        (".git gone", |_, at| fs::remove_file(at.join(".git")).unwrap(), ".git"),
    ];
    for (n, (what, deed, word)) in deeds.iter().enumerate() {
        let tree = place.made(&format!("session-{n:012}")).await;
        assert_eq!(place.git.loss(&tree).await.unwrap(), None, "before: {what}");
        deed(&place, &tree.path);
        let why = place.git.loss(&tree).await.unwrap();
        assert!(why.as_ref().is_some_and(|why| why.contains(word)), "{what}: {why:?}");
    }
}

/// A commit that has nothing to do with the others.
fn orphan(place: &Place) -> String {
    let tree = place.plain(&["rev-parse", "HEAD^{tree}"]);
    place.plain(&["commit-tree", "-m", "apart", tree.trim()]).trim().to_owned()
}

#[tokio::test]
async fn what_is_elsewhere_or_can_be_made_again_keeps_nothing() {
    let place = Place::new();
    let ignored = place.made("session-111111111111").await;
    write(&ignored.path, "ignored/built.o", "again");
    assert_eq!(place.git.loss(&ignored).await.unwrap(), None);

    let merged = place.made("session-222222222222").await;
    write(&merged.path, "work.txt", "done");
    commit(&merged.path, "work");
    assert!(place.git.loss(&merged).await.unwrap().is_some());
    place.plain(&["merge", "--quiet", &merged.branch]);
    assert_eq!(place.git.loss(&merged).await.unwrap(), None);
    place.git.remove(&merged).await.unwrap();
    assert!(place.repository.join("work.txt").exists());

    let pushed = place.made("session-333333333333").await;
    commit(&pushed.path, "work");
    let remote = place.base().join("remote.git");
    plain(&place.base(), &["init", "--quiet", "--bare", "remote.git"]);
    place.plain(&["remote", "add", "origin", remote.to_str().unwrap()]);
    place.plain(&["push", "--quiet", "origin", &pushed.branch]);
    assert_eq!(place.git.loss(&pushed).await.unwrap(), None);

    // The commit that it began with is nobody's work here.
    let rewritten = place.made("session-444444444444").await;
    place.plain(&["commit", "--quiet", "--amend", "--message", "another first"]);
    assert_eq!(place.git.loss(&rewritten).await.unwrap(), None);
}

#[tokio::test]
async fn a_submodule_that_is_checked_out_keeps_it_and_an_empty_one_does_not() {
    let place = Place::new();
    let inner = place.base().join("inner");
    fs::create_dir(&inner).unwrap();
    plain(&inner, &["init", "--quiet"]);
    write(&inner, "x", "x");
    commit(&inner, "inner");
    place.plain(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../inner", "mod"]);
    place.commit("with a submodule");
    let tree = place.made("session-111111111111").await;
    assert_eq!(place.git.loss(&tree).await.unwrap(), None);
    plain(&tree.path, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init"]);
    let why = place.git.loss(&tree).await.unwrap().unwrap();
    assert!(why.contains("a submodule is checked out"), "{why}");
    // Files in its place are somebody's as well.
    let tree = place.made("session-222222222222").await;
    write(&tree.path, "mod/mine.txt", "mine");
    let why = place.git.loss(&tree).await.unwrap().unwrap();
    assert!(why.contains("the submodule mod"), "{why}");
}

#[tokio::test]
async fn a_branch_that_is_checked_out_elsewhere_stays() {
    let place = Place::new();
    let tree = place.made("session-111111111111").await;
    plain(&tree.path, &["checkout", "--quiet", "--detach"]);
    place.plain(&["checkout", "--quiet", &tree.branch]);
    place.git.remove(&tree).await.unwrap();
    assert!(!tree.path.exists());
    assert_eq!(place.plain(&["branch", "--show-current"]).trim(), tree.branch);
    assert!(command(&place.repository, &["rev-parse", "--verify", "--quiet", "HEAD"]).status().unwrap().success());
}
