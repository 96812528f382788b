//! The whole history of a session in one answer.
//!
//! It may be larger than anybody wants to hold, so it is read and sent page by page, as fast as the client takes it. The
//! first page is read before the answer begins: what goes wrong until then is an error like any other. What goes wrong later
//! breaks the body off in the middle of its encoding, so that nobody takes a part for the whole.

mod markdown;

use std::io;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderName, header},
};
use bytes::Bytes;
use engine::{Engine, TurnCursor};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use types::{Resumed, ResumedHow, Session, Timestamp, Turn, TurnId};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api,
    checks::Caller,
    error::Failure,
    request::{Id, Query},
};

/// How many turns are held at once.
const PAGE: u32 = 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// For programs (`json`, which it is without) or for people (`markdown`).
    #[param(inline)]
    format: Option<Format>,
}

/// How a transcript is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// For programs.
    #[default]
    Json,
    /// For people.
    Markdown,
}

/// The whole history of a session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is never held as a whole; this tells of it")]
pub(super) struct Transcript {
    session: Session,
    /// How its threads came back, oldest first.
    resumed: Vec<Return>,
    /// Oldest first, with their items.
    turns: Vec<Turn>,
}

/// How a thread came back.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TranscriptResumed)]
#[serde(rename_all = "camelCase")]
struct Return {
    /// By which of the ways.
    how: ResumedHow,
    /// When.
    at: Timestamp,
    /// The turn that needed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<TurnId>,
}

/// Show the whole history of a session
///
/// It is streamed. A body that breaks off is not the whole.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/transcript",
    operation_id = "getTranscript",
    tag = "sessions",
    params(("id" = String, Path, description = "The session's id, or that of any thread that it has had"), Form),
    responses((
        status = 200,
        description = "All that was said and done",
        content((Transcript = "application/json"), (String = "text/markdown")),
        headers(("content-disposition" = String, description = "A name for the file")),
    )),
    extensions(("x-codes" = json!(["NO_SESSION", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn transcript(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    Query(Form { format }): Query<Form>,
) -> Result<([(HeaderName, String); 2], Body), Failure> {
    let engine = api.engine().clone();
    let session = engine.session(&id).await?;
    let back = |(turn_id, Resumed { how, at })| Return { how, at, turn_id };
    let resumed = engine.resumes(&session.id).await?.into_iter().map(back).collect();
    let (turns, next) = engine.turns_page(&session.id, false, None, PAGE).await?;
    let format = format.unwrap_or_default();
    let (media, end) = match format {
        Format::Json => ("application/json", "json"),
        Format::Markdown => ("text/markdown; charset=utf-8", "md"),
    };
    // An id has no character that would have to be escaped.
    let name = format!("attachment; filename=\"{}.{end}\"", session.id);
    let writer = Writer { engine, session, resumed, format, step: Step::Begin(turns, next), count: 0 };
    let body = Body::from_stream(stream::try_unfold(writer, async |mut writer: Writer| {
        Ok::<_, io::Error>(writer.next().await?.map(|piece| (piece, writer)))
    }));
    Ok(([(header::CONTENT_TYPE, media.to_owned()), (header::CONTENT_DISPOSITION, name)], body))
}

struct Writer {
    engine: Engine,
    session: Session,
    resumed: Vec<Return>,
    format: Format,
    step: Step,
    /// How many turns were written.
    count: usize,
}

/// What comes next.
enum Step {
    /// The head, and the first page, which has been read.
    Begin(Vec<Turn>, Option<TurnCursor>),
    /// The page behind this.
    Page(TurnCursor),
    /// The tail.
    End,
    /// Nothing.
    Over,
}

impl Writer {
    /// The next piece of the body.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        let next = match std::mem::replace(&mut self.step, Step::Over) {
            Step::Begin(turns, next) => {
                self.head(&mut out)?;
                self.turns(&turns, &mut out)?;
                next
            }
            Step::Page(after) => {
                let (turns, next) = self.page(after).await?;
                self.turns(&turns, &mut out)?;
                next
            }
            Step::End => {
                self.tail(&mut out);
                return Ok(Some(out.into()));
            }
            Step::Over => return Ok(None),
        };
        self.step = next.map_or(Step::End, Step::Page);
        Ok(Some(out.into()))
    }

    async fn page(&self, after: TurnCursor) -> io::Result<(Vec<Turn>, Option<TurnCursor>)> {
        let read = self.engine.turns_page(&self.session.id, false, Some(after), PAGE).await;
        let (turns, next) = read.map_err(|refusal| {
            tracing::warn!(%refusal, session = %self.session.id, "a transcript broke off");
            io::Error::other(refusal)
        })?;
        if turns.is_empty() {
            // There was a turn there a moment ago.
            return Err(io::Error::other("the session was deleted"));
        }
        Ok((turns, next))
    }

    fn head(&self, out: &mut Vec<u8>) -> io::Result<()> {
        match self.format {
            Format::Json => {
                out.extend(b"{\"session\":");
                serde_json::to_writer(&mut *out, &self.session)?;
                out.extend(b",\"resumed\":");
                serde_json::to_writer(&mut *out, &self.resumed)?;
                out.extend(b",\"turns\":[");
            }
            Format::Markdown => out.extend(markdown::head(&self.session).into_bytes()),
        }
        Ok(())
    }

    fn turns(&mut self, turns: &[Turn], out: &mut Vec<u8>) -> io::Result<()> {
        for turn in turns {
            match self.format {
                Format::Json => {
                    if self.count > 0 {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, turn)?;
                }
                Format::Markdown => {
                    let of_turn = self.resumed.iter().filter(|back| back.turn_id.as_ref() == Some(&turn.id));
                    let returns: Vec<_> = of_turn.map(|back| (back.how, back.at)).collect();
                    out.extend(markdown::turn(self.count + 1, turn, &returns).into_bytes());
                }
            }
            self.count += 1;
        }
        Ok(())
    }

    fn tail(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => out.extend(b"]}"),
            Format::Markdown => out.push(b'\n'),
        }
    }
}
