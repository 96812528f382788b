//! A repository that names every program that git could be made to run. A plain git runs them; ours runs none.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{Place, command, commit, plain, write};
use crate::Error;

/// Each program notes its name here when it is run.
struct Traps {
    ran: PathBuf,
    scripts: PathBuf,
}

impl Traps {
    fn new(place: &Place) -> Self {
        let (ran, scripts) = (place.base().join("ran"), place.base().join("traps"));
        for folder in [&ran, &scripts] {
            fs::create_dir(folder).unwrap();
        }
        Self { ran, scripts }
    }

    /// A program that notes that it ran and passes on what it is given.
    fn program(&self, name: &str) -> String {
        let file = self.scripts.join(name);
        self.script(&file, name);
        file.to_str().unwrap().to_owned()
    }

    fn script(&self, file: &Path, name: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("#!/bin/sh\n: > '{}/{name}'\ncat\n", self.ran.display())).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What ran, and forgets it.
    fn sprung(&self) -> Vec<String> {
        let entries: Vec<_> = fs::read_dir(&self.ran).unwrap().flatten().map(|entry| entry.path()).collect();
        let mut names: Vec<String> =
            entries.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        entries.iter().for_each(|path| fs::remove_file(path).unwrap());
        names.sort();
        names
    }
}

const ALL_HOOKS: [&str; 14] = [
    "post-checkout",
    "reference-transaction",
    "post-index-change",
    "pre-auto-gc",
    "fsmonitor-watchman",
    "pre-commit",
    "post-commit",
    "pre-push",
    "post-merge",
    "post-rewrite",
    "update",
    "pre-receive",
    "post-receive",
    "push-to-checkout",
];

fn lay(place: &Place) -> Traps {
    let traps = Traps::new(place);
    let config = |key: &str, value: &str| drop(place.plain(&["config", key, value]));
    place.write(".gitattributes", "*.txt filter=evil diff=evil merge=evil\n*.bin filter=evil.2=x\n");
    place.write("c.bin", "binary\n");
    place.commit("attributes");
    for hook in ALL_HOOKS {
        traps.script(&place.repository.join(".git/hooks").join(hook), &format!("hook-{hook}"));
        traps.script(&place.base().join("more-hooks").join(hook), &format!("hooksPath-{hook}"));
        config(&format!("hook.evil-{hook}.event"), hook);
        config(&format!("hook.evil-{hook}.command"), &traps.program(&format!("configured-{hook}")));
    }
    for (key, name) in [
        ("filter.evil.smudge", "smudge"),
        ("filter.evil.clean", "clean"),
        ("filter.evil.2=x.smudge", "smudge-2"),
        ("filter.evil.2=x.clean", "clean-2"),
        ("diff.evil.textconv", "textconv"),
        ("diff.evil.command", "diff-command"),
        ("merge.evil.driver", "merge-driver"),
        ("diff.external", "diff-external"),
        ("core.fsmonitor", "fsmonitor"),
        ("core.pager", "pager"),
        ("core.editor", "editor"),
        ("core.sshCommand", "ssh"),
        ("core.gitProxy", "proxy"),
        ("core.askPass", "askpass"),
        ("core.alternateRefsCommand", "alternate-refs"),
        ("credential.helper", "credential"),
        ("gpg.program", "gpg"),
        ("gc.recentObjectsHook", "recent-objects"),
        ("uploadpack.packObjectsHook", "pack-objects"),
        ("sequence.editor", "sequence"),
        ("remote.origin.uploadpack", "uploadpack"),
    ] {
        config(key, &traps.program(name));
    }
    for key in
        ["filter.evil.required", "filter.evil.2=x.required", "submodule.recurse", "log.showSignature", "gc.autoDetach"]
    {
        config(key, "true");
    }
    config("alias.status", &format!("!{}", traps.program("alias")));
    config("submodule.evil.update", &format!("!{}", traps.program("submodule-update")));
    config("gc.auto", "1");
    // Attributes that no commit has, and configuration that is elsewhere.
    place.write(".git/info/attributes", "sub/* filter=included\n");
    let included = format!("[filter \"included\"]\n\tsmudge = {0}\n\tclean = {0}\n", traps.program("included"));
    fs::write(place.base().join("included"), included).unwrap();
    config("include.path", "../../included");
    // Only now: with the hooks themselves these would not be run.
    config("remote.origin.url", "ext::sh -c true");
    traps.sprung();
    traps
}

/// Everything that is ever done with a worktree.
async fn live(place: &Place, name: &str, traps: &Traps) {
    let tree = place.made(name).await;
    assert_eq!(traps.sprung(), Vec::<String>::new(), "made");
    assert_eq!(place.git.loss(&tree).await.unwrap(), None);
    write(&tree.path, "a.txt", "eno\n");
    write(&tree.path, "new.bin", "new\n");
    assert!(place.git.loss(&tree).await.unwrap().is_some());
    assert_eq!(traps.sprung(), Vec::<String>::new(), "looked at");
    let picture = place.git.snapshot(&tree).await.unwrap();
    let copy = place.git.plan(&format!("{name}-copy"), &place.find().await);
    place.git.make(&copy, Path::new("sub"), Some(&picture)).await.unwrap();
    assert_eq!(fs::read_to_string(copy.path.join("new.bin")).unwrap(), "new\n");
    assert_eq!(traps.sprung(), Vec::<String>::new(), "copied");
    for tree in [tree, copy] {
        place.git.remove(&tree).await.unwrap();
    }
    assert_eq!(traps.sprung(), Vec::<String>::new(), "removed");
}

#[tokio::test]
async fn no_program_that_a_repository_names_is_run() {
    let place = Place::new();
    let traps = lay(&place);
    // The traps are real: a plain git springs them.
    place.plain(&["worktree", "add", "--quiet", "-b", "plain", "../plain"]);
    // Of the same size, so that it has to be read.
    write(&place.base().join("plain"), "a.txt", "eno\n");
    let _ = command(&place.base().join("plain"), &["status"]).output();
    let sprung = traps.sprung();
    for trap in
        ["hook-post-checkout", "hook-reference-transaction", "smudge", "smudge-2", "clean", "fsmonitor", "included"]
    {
        assert!(sprung.iter().any(|name| name == trap), "{trap} is no trap: {sprung:?}");
    }
    live(&place, "session-111111111111", &traps).await;

    // The same with the hooks elsewhere, and with a filter that stays for many files.
    place.plain(&["config", "core.hooksPath", place.base().join("more-hooks").to_str().unwrap()]);
    place.plain(&["config", "filter.evil.process", &traps.program("process")]);
    traps.sprung();
    let _ = command(&place.repository, &["worktree", "add", "--quiet", "-b", "again", "../again"]).output();
    let sprung = traps.sprung();
    for trap in ["hooksPath-reference-transaction", "process"] {
        assert!(sprung.iter().any(|name| name == trap), "{trap} is no trap: {sprung:?}");
    }
    live(&place, "session-222222222222", &traps).await;
}

/// What an agent can write is its worktree, `.git` in it included. Nobody looks at that.
#[tokio::test]
async fn a_git_folder_that_an_agent_put_into_its_worktree_is_not_looked_at() {
    let place = Place::new();
    let traps = Traps::new(&place);
    let evil = place.base().join("evil");
    fs::create_dir(&evil).unwrap();
    plain(&evil, &["init", "--quiet"]);
    write(&evil, "a.txt", "one\n");
    commit(&evil, "one");
    plain(&evil, &["config", "core.fsmonitor", &traps.program("fsmonitor")]);
    plain(&evil, &["config", "filter.evil.clean", &traps.program("clean")]);
    for (n, as_file) in [true, false].into_iter().enumerate() {
        let tree = place.made(&format!("session-{n:012}")).await;
        let dot_git = tree.path.join(".git");
        fs::remove_file(&dot_git).unwrap();
        if as_file {
            fs::write(&dot_git, format!("gitdir: {}\n", evil.join(".git").display())).unwrap();
        } else {
            fs::rename(evil.join(".git"), &dot_git).unwrap();
        }
        write(&tree.path, ".gitattributes", "* filter=evil\n");
        let _ = command(&tree.path, &["status"]).output();
        assert!(!traps.sprung().is_empty(), "it is no trap");
        assert!(place.git.loss(&tree).await.unwrap().unwrap().contains(".git"));
        place.git.snapshot(&tree).await.unwrap();
        place.git.remove(&tree).await.unwrap();
        assert_eq!(traps.sprung(), Vec::<String>::new());
    }
}

/// A repository inside of the worktree has a configuration of its own.
#[tokio::test]
async fn a_repository_inside_of_a_worktree_runs_nothing() {
    let place = Place::new();
    let traps = Traps::new(&place);
    let inner = place.base().join("inner");
    fs::create_dir(&inner).unwrap();
    plain(&inner, &["init", "--quiet"]);
    write(&inner, "x", "x");
    commit(&inner, "inner");
    place.plain(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../inner", "mod"]);
    place.commit("with a submodule");
    let tree = place.made("session-111111111111").await;
    plain(&tree.path, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init"]);
    plain(&tree.path, &["clone", "--quiet", inner.to_str().unwrap(), "new"]);
    for at in ["mod", "new"] {
        plain(&tree.path.join(at), &["config", "core.fsmonitor", &traps.program("fsmonitor")]);
        write(&tree.path.join(at), "x", "y");
    }
    let _ = command(&tree.path, &["status"]).output();
    assert_eq!(traps.sprung(), ["fsmonitor"], "it is a trap");
    assert!(place.git.loss(&tree).await.unwrap().is_some());
    let _ = place.git.snapshot(&tree).await;
    place.git.remove(&tree).await.unwrap();
    assert_eq!(traps.sprung(), Vec::<String>::new());
}

/// A repository that fetches what it lacks when it is asked for it, by a program of its choice.
#[tokio::test]
async fn nothing_is_fetched() {
    let place = Place::new();
    let traps = Traps::new(&place);
    let lose = |object: &str| {
        let (folder, file) = object.trim().split_at(2);
        fs::remove_file(place.repository.join(".git/objects").join(folder).join(file)).unwrap();
    };
    let (commit, blob) = (place.plain(&["rev-parse", "HEAD"]), place.plain(&["rev-parse", "HEAD:a.txt"]));
    lose(&blob);
    place.plain(&["config", "core.repositoryFormatVersion", "1"]);
    place.plain(&["config", "extensions.partialClone", "origin"]);
    place.plain(&["config", "remote.origin.promisor", "true"]);
    let fetch = format!("ext::sh -c :>{}/fetched", traps.ran.display());
    place.plain(&["config", "remote.origin.url", &fetch]);
    let mut control = command(&place.repository, &["cat-file", "-p", blob.trim()]);
    let _ = control.env("GIT_ALLOW_PROTOCOL", "ext").output();
    assert_eq!(traps.sprung(), ["fetched"], "it is a trap");
    let tree = place.git.plan("session-111111111111", &place.find().await);
    let error = place.git.make(&tree, Path::new(""), None).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert_eq!(traps.sprung(), Vec::<String>::new());
    place.git.remove(&tree).await.unwrap();
    // Without its commit it is no better.
    lose(&commit);
    assert!(place.git.find(&place.repository).await.is_err());
    assert_eq!(traps.sprung(), Vec::<String>::new());
}
