//! What happens, as it happens: server-sent events.
//!
//! A stream is a reader of the engine's feed with a socket behind it. It takes what is behind its cursor only when the socket
//! has taken what came before, so a client that does not read holds one piece and nothing else.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use bytes::{Bytes, BytesMut};
use engine::{DeltaKind, Engine, Piece, Published, Reader, Told};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use types::{ApprovalStatus, EventId, SessionId};
use utoipa::IntoParams;

use crate::{
    Api,
    checks::Caller,
    error::Failure,
    outlet::Outlet,
    request::{Id, Query, bad},
};

/// So often a silent stream says that it is alive; what lies between may cut connections that are silent for long.
const ALIVE: Duration = Duration::from_secs(10);

/// Small pieces are sent together up to this size, in bytes.
const TOGETHER: usize = 8 * 1024;

/// Says to the routes that the daemon is about to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

/// What a connection knows of itself; nothing when there is none, as in tests of a route.
type Way = (Option<Extension<Stopping>>, Option<Extension<Outlet>>);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// Behind which event it begins; 0 for all of them. The header `Last-Event-ID` says the same and comes first. Without
    /// either it begins now.
    #[param(minimum = 0)]
    after: Option<i64>,
}

/// Watch everything
///
/// `event:` is a name, `data:` one JSON object, `id:` the number of the event where it has one: pass the last one on to go on
/// without a gap. The first is `server.connected {version, lastId, storeEpoch}`.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "watchEvents",
    tag = "events",
    params(From),
    responses((status = 200, description = "Server-sent events, without an end", body = String, content_type = "text/event-stream")),
    extensions(("x-codes" = json!(["INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn everything(
    State(api): State<Api>,
    who: Caller,
    headers: HeaderMap,
    Query(from): Query<From>,
    (stopping, outlet): Way,
) -> Result<([(HeaderName, &'static str); 2], Body), Failure> {
    watch(&api, who, None, &headers, &from, (stopping, outlet)).await
}

/// Watch a session
///
/// As `/v1/events`, with the events of one session. The numbers are the same.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/events",
    operation_id = "watchSession",
    tag = "events",
    params(
        ("id" = String, Path, description = "The session's id, or that of any thread that it has had"),
        From,
    ),
    responses((status = 200, description = "Server-sent events, without an end", body = String, content_type = "text/event-stream")),
    extensions(("x-codes" = json!(["NO_SESSION", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn of_session(
    State(api): State<Api>,
    who: Caller,
    Id(id): Id,
    headers: HeaderMap,
    Query(from): Query<From>,
    (stopping, outlet): Way,
) -> Result<([(HeaderName, &'static str); 2], Body), Failure> {
    let session = api.engine().session(&id).await?.id;
    watch(&api, who, Some(session), &headers, &from, (stopping, outlet)).await
}

async fn watch(
    api: &Api,
    who: Caller,
    session: Option<SessionId>,
    headers: &HeaderMap,
    from: &From,
    (stopping, outlet): Way,
) -> Result<([(HeaderName, &'static str); 2], Body), Failure> {
    let after = behind(headers.get("last-event-id"), from.after)?;
    let engine = api.engine().clone();
    let (reader, last) = (engine.follow(session.clone(), after), engine.last_event());
    let mut first = VecDeque::new();
    let about = json!({"version": env!("CARGO_PKG_VERSION"), "lastId": last, "storeEpoch": engine.epoch()});
    first.push_back(frame("server.connected", &about));
    if after.is_some_and(|after| after > last) {
        first.push_back(frame("stream.reset", &json!({"lastId": last, "storeEpoch": engine.epoch()})));
    }
    for approval in engine.approvals(session.as_ref(), Some(ApprovalStatus::Pending)).await? {
        let data = json!({"sessionId": approval.session_id, "turnId": approval.turn_id, "approval": approval});
        first.push_back(frame("approval.pending", &data));
    }
    let stopping = stopping.map(|Extension(stopping)| stopping.0).unwrap_or_default();
    let tail = Tail {
        engine,
        reader,
        who,
        stopping: Box::pin(stopping.cancelled_owned()),
        alive: Box::pin(sleep(ALIVE)),
        told_at: Instant::now(),
        ready: first,
        told: VecDeque::new(),
        over: false,
    };
    let pieces = stream::unfold(tail, |mut tail| async { tail.next().await.map(|piece| (piece, tail)) });
    let body = match outlet {
        Some(Extension(outlet)) => outlet.stream(pieces),
        None => Body::from_stream(pieces.map(Ok::<_, Infallible>)),
    };
    Ok(([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], body))
}

/// Behind which event a stream begins, by its header or its parameter.
pub(super) fn behind(header: Option<&HeaderValue>, parameter: Option<i64>) -> Result<Option<EventId>, Failure> {
    let after = match header {
        Some(id) => Some(id.to_str().ok().and_then(|id| id.trim().parse().ok()).ok_or_else(|| {
            bad("the header Last-Event-ID is no number; it is the `id` of the last event that was seen")
        })?),
        None => parameter,
    };
    if after.is_some_and(|after: i64| after < 0) {
        return Err(bad("`after` must not be negative"));
    }
    Ok(after.map(EventId))
}

struct Tail {
    engine: Engine,
    reader: Reader,
    who: Caller,
    /// These two wait as long as the stream does, and are not made anew for each piece.
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    alive: Pin<Box<Sleep>>,
    /// When something was last told.
    told_at: Instant,
    /// What is written already.
    ready: VecDeque<Bytes>,
    /// What is to be written; shared with other readers as far as it can be.
    told: VecDeque<Told>,
    over: bool,
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if self.over {
                return None;
            }
            // A token that ended is told nothing more.
            if !self.who.holds(&self.engine.policy().grants) {
                return self.end("the token has ended");
            }
            if let Some(piece) = self.take() {
                return Some(piece);
            }
            tokio::select! {
                biased;
                () = &mut self.stopping => return self.end("codexd is stopping"),
                told = self.reader.next() => match told {
                    Ok(told) => {
                        self.told.extend(told);
                        self.told_at = Instant::now();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a stream of events ends");
                        return self.end("the store can't be read");
                    }
                },
                () = &mut self.alive => {
                    let silent = self.told_at.elapsed() >= ALIVE;
                    if silent {
                        self.told_at = Instant::now();
                    }
                    self.alive.as_mut().reset(self.told_at + ALIVE);
                    if silent {
                        return Some(Bytes::from_static(b": alive\n\n"));
                    }
                }
            }
        }
    }

    /// What is told next: one thing as it is sent to all, or several small ones together.
    fn take(&mut self) -> Option<Bytes> {
        let first = written(&self.told.pop_front()?);
        let mut together = None;
        while let Some(told) = self.told.front() {
            let next = written(told);
            let size = together.as_ref().map_or(first.len(), BytesMut::len);
            if size + next.len() > TOGETHER {
                break;
            }
            together.get_or_insert_with(|| BytesMut::from(&*first)).extend_from_slice(&next);
            self.told.pop_front();
        }
        Some(together.map_or(first, BytesMut::freeze))
    }

    fn end(&mut self, why: &str) -> Option<Bytes> {
        self.over = true;
        Some(frame("server.closing", &json!({ "reason": why })))
    }
}

fn written(told: &Told) -> Bytes {
    match told {
        Told::Event(event) => event.frame.get_or_init(|| of_event(event)).clone(),
        Told::Text(piece) => piece.frame.get_or_init(|| of_text(piece)).clone(),
    }
}

fn of_event(event: &Published) -> Bytes {
    Bytes::from(format!("id: {}\nevent: {}\ndata: {}\n\n", event.id.0, event.name, event.data))
}

fn of_text(piece: &Piece) -> Bytes {
    let Piece { session, turn, item, kind, offset, text, snapshot, .. } = piece;
    let kind = match kind {
        DeltaKind::Text => "text",
        DeltaKind::Reasoning => "reasoning",
        DeltaKind::Output => "output",
    };
    let mut data = json!({"sessionId": session, "turnId": turn, "itemId": item, "kind": kind, "offset": offset});
    let (name, field) = if *snapshot { ("item.snapshot", "text") } else { ("item.delta", "delta") };
    data[field] = Value::String(text.clone());
    frame(name, &data)
}

/// JSON has no line break outside of its strings, and none inside that is not escaped.
fn frame(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
