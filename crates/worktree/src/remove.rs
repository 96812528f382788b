//! How a worktree goes: its folder, then what its repository knows of it, then its branch. Each step may have been done before.

use std::fs;

use crate::{
    Error, Git, Tree,
    git::{GONE, remove_all},
    repository::failed,
    run::Deadline,
};

impl Git {
    /// Takes a worktree away with what is in it, and its branch. Whether something is lost by that is [`Git::loss`]'s to say. A branch that
    /// another worktree has checked out stays. When the repository is gone the folder goes alone.
    ///
    /// # Errors
    /// What is left is still there; it may be tried again.
    pub async fn remove(&self, tree: &Tree) -> Result<(), Error> {
        let deadline = self.deadline();
        let _slot = self.slot(deadline).await?;
        let (git, of) = (self.clone(), tree.clone());
        let removing = tokio::task::spawn_blocking(move || git.remove_files(&of));
        match tokio::time::timeout_at(deadline.at(), removing).await {
            Ok(Ok(removed)) => removed?,
            Ok(Err(_)) => return Err(Error::Failed { doing: "remove the files", words: "it broke off".to_owned() }),
            Err(_) => return Err(deadline.passed()),
        }
        if tree.common.is_dir() {
            self.remove_branch(tree, deadline).await?;
        }
        Ok(())
    }

    fn remove_files(&self, tree: &Tree) -> Result<(), Error> {
        let name = tree.path.file_name().unwrap_or_default().to_string_lossy();
        // Out of the way in one step, so that nobody meets half of it.
        let aside = self.home().join(format!("{GONE}{name}"));
        let found = fs::symlink_metadata(&tree.path);
        if found.as_ref().is_ok_and(|found| found.is_dir()) {
            fs::rename(&tree.path, &aside).map_err(|error| Error::io(&tree.path, error))?;
        } else if found.is_ok() {
            // A link that somebody put there: it goes, and not what it leads to.
            fs::remove_file(&tree.path).map_err(|error| Error::io(&tree.path, error))?;
        }
        remove_all(&aside).map_err(|error| Error::io(&aside, error))?;
        let admin = tree.admin();
        if fs::symlink_metadata(&admin).is_ok_and(|found| found.is_dir()) {
            remove_all(&admin).map_err(|error| Error::io(&admin, error))?;
            // git removes it as well with the last one. With others it is not empty.
            let _ = fs::remove_dir(tree.common.join("worktrees"));
        }
        Ok(())
    }

    async fn remove_branch(&self, tree: &Tree, deadline: Deadline) -> Result<(), Error> {
        let Some(tip) = self.commit(tree, &tree.branch_ref(), deadline).await? else { return Ok(()) };
        if self.is_checked_out(tree, deadline).await? {
            return Ok(());
        }
        // Only as it was looked at.
        let said = self.shared(tree, deadline, &["update-ref", "-d", &tree.branch_ref(), &tip]).await?;
        if said.success { Ok(()) } else { Err(failed("remove the branch", &said)) }
    }
}
