//! All of a session, to a file or to standard output. A file gets its name when it is whole: one that broke off never looks
//! like one that did not.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use clap::ValueEnum;
use client::{Download, TranscriptFormat};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{
    commands::{line::Line, resolve},
    exit::Exit,
    globals::Globals,
    output::{Output, Spinner},
};

/// How it is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    Markdown,
    Json,
}

/// Writes it.
pub(super) async fn run(
    given: &str,
    format: Option<Format>,
    file: Option<&Path>,
    globals: &Globals,
) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("reading the session");
    let session = resolve::session(&mut line, &spinner, given).await?;
    let format = match format {
        Some(Format::Json) => TranscriptFormat::Json,
        None if output.json() => TranscriptFormat::Json,
        Some(Format::Markdown) | None => TranscriptFormat::Markdown,
    };
    let begin = async |client: &client::Client| client.transcript(session.id.as_str(), format).await;
    let mut download = line.ask(&spinner, begin).await?;
    let Some(file) = file else {
        drop(spinner);
        let mut held_back = Vec::new();
        while let Some(piece) = download.piece().await? {
            output.raw(&piece, &mut held_back)?;
        }
        output.raw_end(&held_back)?;
        return Ok(Exit::Completed);
    };
    let bytes = save(&mut download, file).await?;
    drop(spinner);
    if output.json() {
        output.object(json!({ "file": file, "bytes": bytes }).to_string().as_bytes())?;
    } else {
        output.note(&format!("{bytes} bytes are in `{}`", file.display()));
    }
    Ok(Exit::Completed)
}

/// Beside the file, then in its place.
async fn save(download: &mut Download, file: &Path) -> anyhow::Result<u64> {
    let failed = || format!("can't write `{}`", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = NamedTempFile::new_in(folder).with_context(failed)?;
    let mut bytes = 0;
    while let Some(piece) = download.piece().await? {
        whole.write_all(&piece).with_context(failed)?;
        bytes += piece.len() as u64;
    }
    whole.as_file().sync_all().with_context(failed)?;
    whole.persist(file).map_err(|error| error.error).with_context(failed)?;
    Ok(bytes)
}
