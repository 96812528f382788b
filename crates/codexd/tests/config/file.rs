//! The file itself: where it is, how it is made, and who may write it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::fake_codex;

use super::{command, default_file, lab, run, show, write, write_default};

#[tokio::test]
async fn a_file_that_was_named_must_be_there() -> Result<()> {
    let lab = lab().await?;
    for args in [&["serve"][..], &["--port", "0"], &["status"], &["status", "--store-dir", "/x"], &["config", "show"]] {
        let mut by_environment = command(&lab, args);
        by_environment.env("CODEXD_CONFIG", "nowhere.toml");
        let by_flag = command(&lab, &[&["--config", "nowhere.toml"], args].concat());
        for asked in [by_environment, by_flag] {
            let ran = run(asked).await?;
            assert_eq!(ran.code, Some(64), "{args:?}: {}", ran.err);
            let path = lab.project.join("nowhere.toml");
            assert!(ran.err.contains(&*path.to_string_lossy()), "{args:?}: {}", ran.err);
        }
    }
    assert_eq!(run(command(&lab, &["status"])).await?.code, Some(3), "nobody named one, and there is none");
    Ok(())
}

#[tokio::test]
async fn init_writes_a_file_that_says_nothing_until_it_is_uncommented() -> Result<()> {
    let lab = lab().await?;
    let path = default_file(&lab).await?;
    assert!(path.starts_with(lab.dir.path().canonicalize()?) || path.starts_with(lab.dir.path()), "{}", path.display());
    let found = show(command(&lab, &["config", "path", "--json"])).await?;
    assert_eq!(found, json!({"path": path, "exists": false}));

    let ran = run(command(&lab, &["config", "init"])).await?;
    assert_eq!((ran.code, ran.out.trim_end()), (Some(0), path.to_str().context("not UTF-8")?), "{}", ran.err);
    let mode = |path: &Path| Ok::<_, std::io::Error>(fs::metadata(path)?.permissions().mode() & 0o777);
    let folder = path.parent().context("no folder")?;
    assert_eq!((mode(&path)?, mode(folder)?), (0o600, 0o700));
    assert_eq!(fs::read_dir(folder)?.count(), 1, "nothing else is left there");

    let without = show(command(&lab, &["config", "show", "--json"])).await?;
    let settings = without["settings"].as_array().context("no settings")?;
    assert!(settings.len() > 20 && settings.iter().all(|setting| setting["origin"]["kind"] == "default"), "{without}");

    let text = fs::read_to_string(&path)?;
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => setting,
            _ => line,
        })
        .collect();
    write(&path, &uncommented.join("\n"))?;
    let with = show(command(&lab, &["config", "show", "--json"])).await?;
    for (before, after) in settings.iter().zip(with["settings"].as_array().context("no settings")?) {
        assert_eq!(before["name"], after["name"]);
        let kind = if before["name"] == "token" { "default" } else { "file" };
        assert_eq!(after["origin"]["kind"], kind, "{after}");
        let was = &before["value"];
        assert!(
            was.is_null() || was.as_array().is_some_and(Vec::is_empty) || *was == after["value"],
            "{before} {after}"
        );
    }

    assert_eq!((&without["hooks"], with["hooks"].as_array().map(Vec::len)), (&json!([]), Some(2)));

    let again = run(command(&lab, &["config", "init"])).await?;
    assert!(again.code == Some(1) && again.err.contains("--force"), "{}", again.err);
    assert_eq!(fs::read_to_string(&path)?, uncommented.join("\n"), "what somebody wrote is untouched");
    let forced = show(command(&lab, &["config", "init", "--force", "--json"])).await?;
    assert_eq!((&forced["path"], fs::read_to_string(&path)?), (&json!(path), text));
    assert_eq!(mode(&path)?, 0o600);
    Ok(())
}

#[tokio::test]
async fn init_and_path_want_no_file_and_mind_none_that_is_broken() -> Result<()> {
    let lab = lab().await?;
    let named = lab.project.join("sub/other.toml");
    let init = run(command(&lab, &["--config", "sub/other.toml", "config", "init"])).await?;
    assert!(init.code == Some(0) && named.is_file(), "{}", init.err);
    write(&named, "broken")?;
    let path = run(command(&lab, &["config", "path", "--config", "sub/other.toml"])).await?;
    assert_eq!((path.code, path.out.trim_end()), (Some(0), named.to_str().context("not UTF-8")?));
    let link = lab.project.join("link.toml");
    std::os::unix::fs::symlink(&named, &link)?;
    let init = run(command(&lab, &["--config", "link.toml", "config", "init", "--force"])).await?;
    assert_eq!(init.code, Some(0), "{}", init.err);
    assert!(link.is_symlink() && fs::read_to_string(&named)?.contains("#port = 8787"), "the link stays a link");
    Ok(())
}

#[tokio::test]
async fn a_file_that_others_may_write_is_told_of() -> Result<()> {
    let lab = lab().await?;
    let path = write_default(&lab, "port = 0\nno-auth = true\n").await?;
    let codex = fake_codex()?;
    let codex = codex.to_str().context("not UTF-8")?;
    for (mode, told) in [(0o644, false), (0o664, true), (0o602, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let ran = run(command(&lab, &["config", "show"])).await?;
        assert_eq!((ran.code, ran.err.contains("chmod go-w")), (Some(0), told), "{mode:o}: {}", ran.err);
    }
    let daemon = lab.boot(lab.command(&["serve", "--codex-cmd", codex])).await?;
    assert!(daemon.log().contains("chmod go-w"), "{}", daemon.log());
    daemon.stop().await
}
