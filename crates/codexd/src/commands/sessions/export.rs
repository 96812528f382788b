//! All of a session, to a file or to standard output. A file gets its content when that is whole: one that broke off never looks
//! like one that did not. What is no file, such as a pipe or a device, is written as the session comes.

use std::{io, path::Path};

use anyhow::Context as _;
use clap::ValueEnum;
use client::TranscriptFormat;
use serde_json::json;

use super::sink::Sink;
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
    let failed = |file: &Path| format!("can't write `{}`", file.display());
    // Before the session is asked for: a pipe is waited for until somebody reads it.
    let sink = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => Sink::open(file).with_context(|| failed(file))?.map(|sink| (sink, file)),
        None => None,
    };
    let begin = async |client: &client::Client| client.transcript(session.id.as_str(), format).await;
    let mut download = line.ask(&spinner, begin).await?;
    let Some((mut sink, file)) = sink else {
        drop(spinner);
        let mut held_back = Vec::new();
        while let Some(piece) = download.piece().await? {
            output.raw(&piece, &mut held_back)?;
        }
        output.raw_end(&held_back)?;
        return Ok(Exit::Completed);
    };
    let mut bytes = 0;
    while let Some(piece) = download.piece().await? {
        io::Write::write_all(&mut sink, &piece).with_context(|| failed(file))?;
        bytes += piece.len() as u64;
    }
    sink.finish().with_context(|| failed(file))?;
    drop(spinner);
    if output.json() {
        output.object(json!({ "file": file, "bytes": bytes }).to_string().as_bytes())?;
    } else {
        output.note(&format!("{bytes} bytes are in `{}`", file.display()));
    }
    Ok(Exit::Completed)
}
