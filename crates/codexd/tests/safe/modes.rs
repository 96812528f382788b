//! Owners and modes of what is in the store's folder.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use testkit::{Lab, fake_codex};
use tokio::process::Command;

use crate::fake_codex_rig::{lab, run, serving};

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::symlink_metadata(path)?.mode() & 0o7777)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Everything below a folder that others than its owner can do something with.
fn open_below(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            found.extend(open_below(&path)?);
        }
        if !kind.is_symlink() && mode(&path)? & 0o077 != 0 {
            found.push(format!("{} ({:o})", path.display(), mode(&path)?));
        }
    }
    Ok(found)
}

/// `codexd serve` of a lab under this umask.
fn under_umask(lab: &Lab, umask: &str) -> Result<Command> {
    let codex = fake_codex()?;
    let args = serving(&codex, &[])?;
    let plain = lab.command(&args);
    let plain = plain.as_std();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\"")).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(&lab.project).kill_on_drop(true);
    Ok(command)
}

#[tokio::test]
async fn all_that_is_made_is_closed_to_others_whatever_the_umask_is() -> Result<()> {
    for umask in ["000", "022", "077"] {
        let lab = lab().await?;
        let daemon = lab.boot(under_umask(&lab, umask)?).await?;
        daemon.ready().await?;
        daemon.start("SAY:hello").await?;
        assert_eq!(mode(&lab.store)?, 0o700, "umask {umask}");
        assert_eq!(open_below(&lab.store)?, [""; 0], "umask {umask}");
        for name in
            ["store.db", "store.db-wal", "store.db-shm", "store.lock", "daemon.json", "owner.json", "codexd.sock"]
        {
            assert_eq!(mode(&lab.store.join(name))?, 0o600, "{name}, umask {umask}");
        }
        daemon.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_open_to_others_is_closed_at_the_next_start_with_a_word() -> Result<()> {
    let lab = lab().await?;
    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    daemon.start("SAY:hello").await?;
    daemon.stop().await?;
    // As a copy, or somebody who only wanted it to work, leaves it.
    set_mode(&lab.store, 0o755)?;
    for name in ["store.db", "store.lock"] {
        set_mode(&lab.store.join(name), 0o666)?;
    }
    for name in ["agents", "work"] {
        set_mode(&lab.store.join(name), 0o777)?;
    }
    fs::write(lab.store.join("daemon.json"), "{}")?;
    set_mode(&lab.store.join("daemon.json"), 0o644)?;
    let mine = lab.store.join("notes of mine.txt");
    fs::write(&mine, "x")?;
    set_mode(&mine, 0o644)?;

    let daemon = lab.serve(&fake_codex()?, &[]).await?;
    assert_eq!(mode(&lab.store)?, 0o700);
    assert_eq!(mode(&mine)?, 0o644, "what is not ours is left as it is, behind the closed folder");
    fs::remove_file(mine)?;
    assert_eq!(open_below(&lab.store)?, [""; 0]);
    let log = daemon.log();
    for name in ["store (mode 755)", "store.db", "store.lock", "agents", "work", "daemon.json"] {
        let told = log
            .lines()
            .any(|line| line.contains("was open to others") && line.contains(name.split(' ').next().unwrap_or("")));
        assert!(told, "nothing is said of {name}: {log}");
    }
    daemon.stop().await
}

/// `codexd serve` with this store refuses to start; what it says.
async fn refused(lab: &Lab, store: &Path) -> Result<String> {
    let codex = fake_codex()?;
    let mut command = lab.command(&serving(&codex, &[])?);
    command.env("CODEXD_STORE_DIR", store);
    let (output, text) = run(command).await?;
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(text.contains("choose another folder"), "it says what to do: {text}");
    Ok(text)
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_refused() -> Result<()> {
    let lab = lab().await?;
    // Who is not root has no other user's folder but those of the system.
    let us = fs::metadata(lab.dir.path())?.uid();
    let theirs = if us == 0 {
        let folder = lab.dir.path().join("theirs");
        fs::create_dir(&folder)?;
        std::os::unix::fs::chown(&folder, Some(12_345), None)?;
        folder
    } else {
        "/usr".into()
    };
    let text = refused(&lab, &theirs).await?;
    assert!(text.contains("belongs to another user"), "{text}");
    if us == 0 {
        assert_eq!(theirs.read_dir()?.count(), 0, "nothing is made in it");
        // And so is a file of somebody else's in a folder of ours.
        let store = lab.dir.path().join("mixed");
        fs::create_dir(&store)?;
        fs::write(store.join("store.db"), "")?;
        std::os::unix::fs::chown(store.join("store.db"), Some(12_345), None)?;
        let text = refused(&lab, &store).await?;
        assert!(text.contains("store.db belongs to another user"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_that_others_could_replace_is_mended_or_refused() -> Result<()> {
    let lab = lab().await?;
    let shared = lab.dir.path().join("shared");
    fs::create_dir(&shared)?;
    let serve = async |mode: u32| {
        set_mode(&shared, mode)?;
        let codex = fake_codex()?;
        let mut command = lab.command(&serving(&codex, &[])?);
        command.env("CODEXD_STORE_DIR", shared.join("store"));
        // The lab waits for its own store, so this one is asked what it does.
        let mut child = command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn()?;
        let listens = testkit::eventually("it to listen or to end", async || {
            let listens = shared.join("store/daemon.json").exists();
            (listens || child.try_wait().ok().flatten().is_some()).then_some(listens)
        })
        .await?;
        if listens {
            let pid = child.id().context("it ended")?.to_string();
            Command::new("kill").arg("-TERM").arg(pid).status().await?;
        }
        let output = child.wait_with_output().await?;
        anyhow::Ok((listens, String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    // Everybody, as nobody means it: mended. Everybody with the sticky bit, as in a temporary folder: fine. Our own group: fine.
    for (before, after, word) in
        [(0o777, 0o775, true), (0o1777, 0o1777, false), (0o775, 0o775, false), (0o755, 0o755, false)]
    {
        let (listens, log) = serve(before).await?;
        assert!(listens, "{before:o}: {log}");
        assert_eq!(mode(&shared)?, after, "{before:o}");
        assert_eq!(log.contains("everybody could write in"), word, "{before:o}: {log}");
        assert_eq!(mode(&shared.join("store"))?, 0o700);
    }
    if fs::metadata(&shared)?.uid() == 0 {
        // A group that is not ours (only root can give a folder to one of those).
        std::os::unix::fs::chown(&shared, None, Some(12_345))?;
        set_mode(&shared, 0o770)?;
        let text = refused(&lab, &shared.join("store")).await?;
        assert!(text.contains("others can write in") && text.contains("chmod go-w"), "{text}");
        assert_eq!(mode(&shared)?, 0o770, "it is theirs to change");
    }
    Ok(())
}
