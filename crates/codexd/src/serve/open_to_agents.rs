//! What the operator is warned of at a start: things of ours, or of Codex's, in folders that agents may write in.

use std::path::{Path, PathBuf};

use engine::Policy;
use types::Sandbox;

/// What the operator should hear of folders that agents may change from inside their sandbox, and should not: a store's file that they
/// write says what they like, and Codex's configuration gives them what they like.
pub(super) fn open_to_agents(store: &Path, policy: &Policy) -> Vec<String> {
    let writes = policy.allow_sandbox_override || policy.sandbox >= Sandbox::WorkspaceWrite;
    if !writes {
        return Vec::new();
    }
    let real = |path: &Path| dunce::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut writable: Vec<PathBuf> = policy.roots.iter().map(|root| real(root)).collect();
    // Codex's workspace-write sandbox has these in it as well.
    writable.push(real(&std::env::temp_dir()));
    writable.extend(cfg!(unix).then(|| real(Path::new("/tmp"))));
    let codex_home = std::env::var_os("CODEX_HOME").map(PathBuf::from);
    let codex_home = codex_home.or_else(|| Some(etcetera::home_dir().ok()?.join(".codex")));
    let kept =
        [("the store", "--store-dir", Some(store.to_owned())), ("Codex's configuration", "CODEX_HOME", codex_home)];
    let found = kept.into_iter().filter_map(|(what, how, folder)| {
        let folder = real(&folder?);
        let root = writable.iter().find(|root| folder.starts_with(root))?;
        Some(format!(
            "agents may be able to write in {} ({what}), because it lies in {}, and so could give themselves more rights; let {how} name a folder elsewhere, or let them \
             work in a narrower one (--cwd, --allow-root)",
            folder.display(),
            root.display()
        ))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_agents_may_write_in_is_told() {
        let here = dunce::canonicalize(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut policy = Policy::narrowest(here.clone());
        let of_store = |policy: &Policy, store: &Path| {
            let warnings = open_to_agents(store, policy);
            warnings.iter().filter(|warning| warning.contains("--store-dir")).count()
        };
        // The tests may stand in the temporary folder themselves.
        let (inside, beside) = (here.join("src"), here.ancestors().last().unwrap());
        let temporary = dunce::canonicalize(std::env::temp_dir()).unwrap().join("store");
        for (sandbox, told) in [(Sandbox::ReadOnly, 0), (Sandbox::WorkspaceWrite, 1)] {
            policy.sandbox = sandbox;
            assert_eq!(of_store(&policy, &inside), told);
            assert_eq!(of_store(&policy, &temporary), told);
            assert_eq!(of_store(&policy, beside), 0);
        }
        policy.sandbox = Sandbox::ReadOnly;
        policy.allow_sandbox_override = true;
        assert_eq!(of_store(&policy, &inside), 1);
    }
}
