//! Which programs are run: Codex, and the git that makes worktrees. What agents may write is never run.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use agent::locate::{Located, Search, find_on_path, locate};

use crate::{
    config::{BadConfig, ServeArgs, Settings, confining},
    install::installed_dir,
};

/// How long git may take to make a worktree, or to look at one and remove it.
const GIT_LIMIT: Duration = Duration::from_secs(120);

/// Where worktrees are: folders that agents write in, whatever the roots are.
fn worktrees(store: &Path) -> PathBuf {
    store.join("worktrees")
}

/// The git that makes worktrees, if there is one.
pub(super) fn find_git(roots: &[PathBuf], store: &Path) -> engine::Git {
    let home = worktrees(store);
    let mut confined = confining(roots);
    confined.push(home.clone());
    let program = find_on_path("git", std::env::var_os("PATH").as_deref(), &confined);
    if program.is_none() {
        tracing::info!("no git on PATH that may be run; sessions can't have worktrees");
    }
    engine::Git::new(program, home, GIT_LIMIT)
}

/// Finds Codex, or says why not.
pub(super) fn find_codex(args: &ServeArgs, settings: &Settings, dir: &Path) -> anyhow::Result<Located> {
    let search = Search {
        explicit: args.codex_cmd.as_deref().map(Into::into),
        path: std::env::var_os("PATH"),
        roots: confining(&settings.policy.roots).into_iter().chain([worktrees(dir)]).collect(),
        installed: installed_dir(dir),
    };
    let codex = locate(&search).map_err(|error| BadConfig(error.to_string()))?;
    for passed in &codex.passed_over {
        tracing::info!("{passed}");
    }
    Ok(codex)
}
