//! All of a session, in a file or on standard output.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::process::Command;

use crate::ran::{rig, run, started};

#[tokio::test]
async fn a_transcript_is_written_whole() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "SAY:the answer").await?;
    let markdown = run(&lab, &["sessions", "export", &session]).await?.good()?;
    assert!(markdown.contains("SAY:the answer") && markdown.contains("\n> the answer"), "{markdown}");
    let json = run(&lab, &["sessions", "export", &session, "--format", "json"]).await?.good()?;
    let whole: Value = serde_json::from_str(&json)?;
    assert!(whole.to_string().contains("the answer"), "{whole}");
    assert_eq!(run(&lab, &["sessions", "export", &session, "--json"]).await?.good()?, json);

    let file = lab.project.join("a transcript.md");
    fs::write(&file, "an older one")?;
    let path = file.to_str().context("path")?;
    let ran = run(&lab, &["sessions", "export", &session, "-o", path]).await?;
    assert!(ran.code == Some(0) && ran.out.is_empty() && ran.err.contains("bytes"), "{ran:?}");
    assert_eq!(fs::read_to_string(&file)?, markdown);
    let told =
        run(&lab, &["sessions", "export", &session, "-o", path, "--json", "--format", "markdown"]).await?.json()?;
    assert_eq!(told["bytes"], markdown.len());

    let dashed = run(&lab, &["sessions", "export", &session, "-o", "-"]).await?;
    assert_eq!((dashed.code, dashed.out.as_str(), dashed.err.as_str()), (Some(0), markdown.as_str(), ""));
    assert_eq!(run(&lab, &["sessions", "export", &session, "-o", "/dev/stdout"]).await?.good()?, markdown);
    let full = run(&lab, &["sessions", "export", &session, "-o", "/dev/full"]).await?;
    assert!(full.code == Some(1) && full.err.contains("/dev/full"), "{full:?}");
    let appended = lab.dir.path().join("appended");
    fs::write(&appended, "before\n")?;
    let mut by_shell = lab.command(&["sessions", "export", &session, "-o", "/dev/stdout"]);
    let status = by_shell.stdout(fs::File::options().append(true).open(&appended)?).status().await?;
    assert!(status.success() && fs::read_to_string(&appended)? == format!("before\n{markdown}"));

    let nowhere = run(&lab, &["sessions", "export", &session, "-o", "no/such/folder/x.md"]).await?;
    assert!(nowhere.code == Some(1) && nowhere.err.contains("no/such/folder"), "{nowhere:?}");
    assert!(!nowhere.err.contains("tmp"), "{nowhere:?}");
    let unknown = run(&lab, &["sessions", "export", "nobody", "-o", path]).await?;
    assert_eq!(unknown.code, Some(1));
    assert_eq!(fs::read_to_string(&file)?, markdown, "what was there stays");
    assert_eq!(fs::read_dir(&lab.project)?.count(), 1, "nothing else is left in the folder");
    daemon.stop().await
}

#[tokio::test]
async fn a_pipe_with_a_name_is_written_through() -> Result<()> {
    let (lab, daemon) = rig().await?;
    let (session, _) = started(&lab, "SAY:the answer").await?;
    let markdown = run(&lab, &["sessions", "export", &session]).await?.good()?;
    let pipe = lab.project.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().await?.success());
    let reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    run(&lab, &["sessions", "export", &session, "-o", "pipe"]).await?.good()?;
    let read = reader.wait_with_output().await?;
    assert_eq!(String::from_utf8(read.stdout)?, markdown);
    assert!(!fs::metadata(&pipe)?.is_file());
    daemon.stop().await
}
