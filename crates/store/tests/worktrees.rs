//! Worktrees: what is intended is there before the session, and what is left is there after it.

#![allow(clippy::unwrap_used, reason = "a failure of the store is a failure of the test")]

#[path = "support/mod.rs"]
mod support;

use store::{StoredWorktree, WorktreeState, Write, check};
use support::{at, batch, create, open, plain_session};
use types::{SessionId, Worktree};

fn planned(session: &SessionId, path: &str) -> StoredWorktree {
    StoredWorktree {
        session: session.clone(),
        worktree: Worktree { path: path.into(), repository: "/r".into(), branch: "codexd/x".into(), base: "c0".into() },
        common: "/r/.git".into(),
        state: WorktreeState::Planned,
        at: at(1),
    }
}

#[tokio::test]
async fn a_worktree_is_known_before_its_session_and_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let session = plain_session("one", 5);
    let id = session.id.clone();
    let path = dir.path().to_str().unwrap();
    store.commit(batch([Write::PlanWorktree(Box::new(planned(&id, path)))])).await.unwrap();
    assert_eq!(store.worktrees_without_session().await.unwrap(), [planned(&id, path)]);
    assert_eq!(store.worktree_paths().await.unwrap(), [dir.path()]);
    assert!(store.commit(batch([Write::PlanWorktree(Box::new(planned(&id, path)))])).await.is_err(), "one a session");

    // The commit that makes the session says that it has it.
    store.commit(batch([create(session)])).await.unwrap();
    assert_eq!(store.worktrees_without_session().await.unwrap(), []);
    assert_eq!(store.worktree(&id).await.unwrap().unwrap().state, WorktreeState::Used);
    let shown = store.session(&id).await.unwrap().unwrap().session;
    assert_eq!(shown.worktree, Some(planned(&id, path).worktree));
    let plain = plain_session("two", 6);
    let without = plain.id.clone();
    store.commit(batch([create(plain)])).await.unwrap();
    assert_eq!(store.session(&without).await.unwrap().unwrap().session.worktree, None);

    let leaving = Write::MarkWorktree { session: id.clone(), state: WorktreeState::Leaving, at: at(9) };
    store.commit(batch([leaving, Write::DeleteSession(id.clone())])).await.unwrap();
    let left = store.worktrees_without_session().await.unwrap();
    assert_eq!(left, [StoredWorktree { state: WorktreeState::Leaving, at: at(9), ..planned(&id, path) }]);
    store.clone().close().await;
    let checked = check(dir.path(), false, |_| {}).unwrap();
    assert!(checked.is_well() && checked.notes.iter().any(|note| note.contains(path)), "{checked:?}");
    let store = open(&dir);
    store.commit(batch([Write::ForgetWorktree(id.clone())])).await.unwrap();
    assert_eq!(store.worktree(&id).await.unwrap(), None);
    let mark = Write::MarkWorktree { session: id, state: WorktreeState::Kept, at: at(9) };
    assert!(store.commit(batch([mark])).await.is_err(), "there is none");
}

#[tokio::test]
async fn who_works_in_a_folder_is_found_and_nobody_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut ids = Vec::new();
    for cwd in ["/w/one/deep", "/w/one-more", "/w", "/w/%ne"] {
        let mut session = plain_session(cwd, 1);
        session.cwd = cwd.into();
        ids.push(session.id.clone());
        store.commit(batch([create(session)])).await.unwrap();
    }
    let within = async |folder: &str| store.session_within(folder.as_ref()).await.unwrap();
    assert_eq!(within("/w/one").await.as_ref(), Some(&ids[0]));
    assert_eq!(within("/w/one/deep").await.as_ref(), Some(&ids[0]));
    assert_eq!(within("/w/one/deep/er").await, None);
    assert_eq!(within("/w/on").await, None);
}
