//! A prompt in all the ways in which it can be given, and what can go with it.

use std::fs;

use anyhow::{Context as _, Result};

use crate::ran::{rig, run, run_with};

#[tokio::test]
async fn a_prompt_comes_from_words_a_pipe_a_file_or_base64() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let text = "It's \"quoted\", $HOME `id` \\ ü\nSAY:as it was";
    let file = lab.dir.path().join("prompt.txt");
    fs::write(&file, format!("{text}\n"))?;
    let path = file.to_str().context("path")?;
    let encoded = "SXQncyAicXVvdGVkIiwgJEhPTUUgYGlkYCBcIMO8ClNBWTphcyBpdCB3YXM";
    let ways: [(&[&str], &str); 5] = [
        (&["start", text], ""),
        (&["start", "-"], text),
        (&["start", "--prompt-file", path], ""),
        (&["start", "--prompt-file", "-"], text),
        (&["start", "--prompt-b64", encoded], ""),
    ];
    for (args, input) in ways {
        let ran = run_with(&lab, &[args, &["--json"]].concat(), input).await?;
        let turn = ran.json()?;
        assert_eq!((turn["prompt"].as_str(), turn["answer"].as_str()), (Some(text), Some("as it was")), "{args:?}");
    }
    for (args, word) in [
        (&["start", "x", "--prompt-b64", "eA=="][..], "twice"),
        (&["start", "--prompt-file", "/no/such/file"], "/no/such/file"),
        (&["start", "--prompt-b64", "!"], "base64"),
        (&["start", "-"], "empty"),
    ] {
        let ran = run(&lab, args).await?;
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(word), "{args:?}: {}", ran.err);
    }
    let binary = {
        use std::process::Stdio;
        use tokio::io::AsyncWriteExt as _;
        let mut child = lab.command(&["start", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("stdin")?.write_all(b"\xff\xfe").await?;
        child.wait_with_output().await?
    };
    assert_eq!(binary.status.code(), Some(2));
    daemon.stop().await
}

#[tokio::test]
async fn pictures_an_effort_and_a_schema_go_with_it() -> Result<()> {
    let (lab, daemon) = rig().await?;
    fs::write(lab.project.join("a.png"), "not really")?;
    fs::write(lab.project.join("schema.json"), r#"{"type":"object"}"#)?;
    let args = ["start", "OPTIONS", "--image", "a.png", "--image", "data:image/png;base64,AAAA"];
    let more = ["--effort", "low", "--output-schema", "schema.json", "--json"];
    let turn = run(&lab, &[&args[..], &more].concat()).await?.json()?;
    let given = turn["answer"].as_str().with_context(|| turn.to_string())?;
    let real = lab.project.join("a.png").canonicalize()?;
    for part in [real.to_str().context("path")?, "data:image/png;base64,AAAA", "low", "object"] {
        assert!(given.contains(part), "{part} is missing: {given}");
    }
    let ran = run(&lab, &["start", "x", "--image", "no-such.png"]).await?;
    assert!(ran.code == Some(2) && ran.err.contains("no-such.png"), "{ran:?}");
    fs::write(lab.project.join("schema.json"), "[]")?;
    let ran = run(&lab, &["start", "x", "--output-schema", "schema.json"]).await?;
    assert!(ran.code == Some(2) && ran.err.contains("schema.json"), "{ran:?}");
    daemon.stop().await
}
