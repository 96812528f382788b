//! What is refused, where that is told, and which commands don't mind.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::Lab;

use super::{command, lab, run, write, write_default};

fn default_store(lab: &Lab) -> PathBuf {
    lab.dir.path().join("home/.local/state/codex-mcp-bridge")
}

#[tokio::test]
async fn what_is_wrong_in_the_file_keeps_the_daemon_from_starting() -> Result<()> {
    let lab = lab().await?;
    let path = write_default(&lab, "").await?;
    let cases = [
        ("\n\nprot = 8787\n", ":3: there is no setting \"prot\"; did you mean \"port\"?"),
        ("allow_roots = []\n", ":1: there is no setting \"allow_roots\"; did you mean \"allow-root\"?"),
        ("port = '8787'\n", ":1:8: \"port\" is the string \"8787\" and must be a number"),
        ("port = 70000\n", ":1:8: \"port\" can't be the number 70000"),
        ("no-auth = 1\n", ":1:11: \"no-auth\" is the number 1 and must be true or false"),
        ("turn-timeout = 'soon'\n", ":1:16: \"turn-timeout\" can't be the string \"soon\""),
        ("sandbox = 'none'\n", ":1:11: \"sandbox\" can't be the string \"none\""),
        ("port = \n", ":1:"),
        // What the settings say together is checked later, and told with the same place.
        ("host = 'example.org'\n", ":1)"),
        ("\napproval-policy = 'never'\n", ":2)"),
        ("allow-root = ['nowhere']\n", ":1)"),
        ("token-file = 'nowhere'\n", ":1)"),
        ("codex-cmd = './nowhere'\n", ":1)"),
    ];
    for (text, expected) in cases {
        write(&path, text)?;
        for args in [&["serve"][..], &["--port=0"], &["--json", "serve"]] {
            // A flag does not heal what is wrong with the file.
            let ran = run(command(&lab, args)).await?;
            assert_eq!(ran.code, Some(64), "{text} {args:?}: {}", ran.err);
            assert!(ran.err.contains(&format!("{}{expected}", path.display())), "{text}: {}", ran.err);
            assert!(!ran.err.contains("panicked"), "{text}: {}", ran.err);
        }
    }
    assert!(!default_store(&lab).exists(), "it did not begin to serve");
    write(&path, "prot = 1\nhosts = 'x'\n")?;
    let ran = run(command(&lab, &["config", "show"])).await?;
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""));
    assert!(ran.err.contains("config.toml:1: ") && ran.err.contains("config.toml:2: "), "both are told: {}", ran.err);
    Ok(())
}

#[tokio::test]
async fn other_commands_want_nothing_but_the_store() -> Result<()> {
    let lab = lab().await?;
    let path = write_default(&lab, "prot = 1\nport = 'x'\nstore_dir = '../elsewhere'\n").await?;
    let ran = run(command(&lab, &["status"])).await?;
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("elsewhere"), "{}", ran.err);
    let ran = run(command(&lab, &["status", "--store-dir", "/named"])).await?;
    assert!(ran.code == Some(3) && ran.err.contains("`/named`"), "{}", ran.err);

    write(&path, "store-dir = 7\n")?;
    assert_eq!(run(command(&lab, &["status"])).await?.code, Some(64));
    write(&path, "what is this")?;
    let ran = run(command(&lab, &["status"])).await?;
    assert!(
        ran.code == Some(64) && ran.err.contains("config.toml:1:"),
        "where the store is can't be told: {}",
        ran.err
    );
    let ran = run(command(&lab, &["status", "--store-dir", "/named"])).await?;
    assert_eq!(ran.code, Some(3), "the file is not needed: {}", ran.err);
    Ok(())
}

#[tokio::test]
async fn a_variable_that_cannot_be_used_is_named() -> Result<()> {
    let lab = lab().await?;
    let serving: [&[&str]; 3] = [&["serve"], &[], &["config", "show"]];
    let all: [&[&str]; 4] = [&["serve"], &[], &["status"], &["config", "path"]];
    for (name, value, commands) in [
        ("CODEXD_PORT", "x", &serving[..]),
        ("CODEXD_SANDBOX", "foo", &serving),
        ("CODEXD_STORE_DIR", "", &all),
        ("CODEXD_CONFIG", "", &all),
    ] {
        for args in commands {
            let mut asked = command(&lab, args);
            asked.env(name, value);
            let ran = run(asked).await?;
            assert_eq!(ran.code, Some(64), "{name} {args:?}: {}", ran.err);
            assert!(
                ran.err.contains(&format!("variable {name} ")) && !ran.err.contains("Usage"),
                "{args:?}: {}",
                ran.err
            );
        }
    }
    let mut json = command(&lab, &["--json", "status"]);
    json.env("CODEXD_STORE_DIR", "");
    let error: Value = serde_json::from_str(&run(json).await?.out)?;
    assert!(error["error"].as_str().is_some_and(|text| text.contains("CODEXD_STORE_DIR")), "{error}");
    // A flag is a flag, and wins.
    let mut flag = command(&lab, &["serve", "--port", "x"]);
    flag.env("CODEXD_PORT", "1");
    assert_eq!(run(flag).await?.code, Some(2));
    let mut wins = command(&lab, &["config", "show", "--port", "1"]);
    wins.env("CODEXD_PORT", "x");
    assert_eq!(run(wins).await?.code, Some(0));
    let mut both = command(&lab, &["serve", "--nope"]);
    both.env("CODEXD_PORT", "x");
    assert_eq!(run(both).await?.code, Some(2), "the flag is wrong, too");
    Ok(())
}

#[tokio::test]
async fn wrong_usage_is_told_to_programs_too() -> Result<()> {
    let lab = lab().await?;
    for (args, word) in [
        (&["--json", "start", "--nope"][..], "--nope"),
        (&["sessions", "list", "--json", "--limit", "0"], "0"),
        (&["--json"], "--json"),
        (&["turn", "--json"], "turn"),
    ] {
        let ran = run(command(&lab, args)).await?;
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        let error: Value = serde_json::from_str(&ran.out).with_context(|| format!("{args:?}: {}", ran.out))?;
        let text = error["error"].as_str().context("no error")?;
        assert!(text.contains(word) && !text.contains("Usage:"), "{args:?}: {text}");
        assert!(!ran.err.is_empty(), "people are told, too");
    }
    let mut variable = command(&lab, &["nonsense"]);
    variable.env("CODEXD_JSON", "1");
    assert!(run(variable).await?.out.starts_with("{\"error\""));
    assert_eq!(run(command(&lab, &["start", "--nope", "--", "--json"])).await?.out, "", "that is a prompt");
    Ok(())
}
