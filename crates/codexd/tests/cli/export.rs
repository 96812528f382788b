//! All of a session, in a file or on standard output.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::ran::{booted, run, started};

#[tokio::test]
async fn a_transcript_is_written_whole() -> Result<()> {
    let (lab, daemon) = booted().await?;
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

    let nowhere = run(&lab, &["sessions", "export", &session, "-o", "no/such/folder/x.md"]).await?;
    assert!(nowhere.code == Some(1) && nowhere.err.contains("no/such/folder"), "{nowhere:?}");
    let unknown = run(&lab, &["sessions", "export", "nobody", "-o", path]).await?;
    assert_eq!(unknown.code, Some(1));
    assert_eq!(fs::read_to_string(&file)?, markdown, "what was there stays");
    assert_eq!(fs::read_dir(&lab.project)?.count(), 1, "nothing else is left in the folder");
    daemon.stop().await
}
