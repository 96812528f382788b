//! What the program says of itself: completions, manual pages, help.

use std::fs;

use anyhow::{Context as _, Result};
use testkit::Lab;

use crate::ran::{CODEXD, run};

#[tokio::test]
async fn shells_get_their_completions() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    for (shell, word) in [
        ("bash", "_codexd()"),
        ("zsh", "#compdef codexd"),
        ("fish", "complete -c codexd"),
        ("powershell", "codexd"),
        ("elvish", "codexd"),
    ] {
        let script = run(&lab, &["completions", shell]).await?.good()?;
        assert!(script.contains(word) && script.contains("autoname") && script.contains("prompt-b64"), "{shell}");
    }
    assert_eq!(run(&lab, &["completions", "ksh"]).await?.code, Some(2));
    Ok(())
}

#[tokio::test]
async fn manual_pages_are_printed_and_written() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    let main = run(&lab, &["man"]).await?.good()?;
    assert!(main.contains(".TH codexd 1") && main.contains("codexd\\-sessions"), "{main}");
    let one = run(&lab, &["man", "sessions", "list"]).await?.good()?;
    assert!(one.contains("archived") && one.contains("sessions"), "{one}");
    let unknown = run(&lab, &["man", "nonsense"]).await?;
    assert!(unknown.code == Some(2) && unknown.err.contains("nonsense"), "{unknown:?}");
    let dir = lab.dir.path().join("pages");
    run(&lab, &["man", "--out", dir.to_str().context("path")?]).await?.good()?;
    for page in ["codexd.1", "codexd-start.1", "codexd-sessions-list.1", "codexd-token-new.1"] {
        assert!(fs::read_to_string(dir.join(page))?.contains("Exit codes"), "{page}");
    }
    Ok(())
}

#[tokio::test]
async fn help_needs_nothing_and_tells_the_exit_codes() -> Result<()> {
    let lab = Lab::new(CODEXD).await?;
    for args in [&["--help"][..], &["help", "turn", "wait"], &["start", "--help"]] {
        let help = run(&lab, args).await?.good()?;
        assert!(help.contains("6  the turn goes on") && help.contains("64  bad configuration"), "{args:?}: {help}");
    }
    assert!(!lab.store.exists());
    Ok(())
}
