//! Hooks with which nothing starts.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::Result;
use testkit::fake_codex;

use crate::{
    configure,
    fake_codex_rig::{lab, run, serving},
    posting, secret,
};

#[tokio::test]
async fn a_secret_that_others_can_read_and_a_program_that_agents_can_write() -> Result<()> {
    let lab = lab().await?;
    let codex = fake_codex()?;
    let loose = secret(&lab, "sesame")?;
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o644))?;
    let within = lab.project.join("tell");
    fs::write(&within, "#!/bin/sh\n")?;
    fs::set_permissions(&within, fs::Permissions::from_mode(0o755))?;
    let missing = lab.dir.path().join("missing");
    let cases = [
        (posting("p", "'*'", "http://127.0.0.1:1/", &loose), "chmod 600"),
        (posting("p", "'*'", "http://127.0.0.1:1/", &missing), "can't be read"),
        (format!("[[hooks]]\nname = 'c'\non = '*'\ncommand = ['{}']\n", within.display()), "where agents may write"),
    ];
    for (config, why) in cases {
        let flag = configure(&lab, &config)?;
        let (output, text) = run(lab.command(&serving(&codex, &[&flag])?)).await?;
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(why) && text.contains("codexd.toml:1: the hook") && !text.contains("sesame"), "{text}");
        // `config show` tells of it, shows the hook, and no secret.
        let (output, text) = run(lab.command(&["config", "show", &flag])).await?;
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains(why) && text.contains("would not start") && !text.contains("sesame"), "{text}");
        assert!(text.contains("hook p") || text.contains("hook c"), "{text}");
    }
    assert!(!lab.store.join("store.db").exists(), "nothing was started");
    Ok(())
}
