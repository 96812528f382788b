//! Turns, as the first version gave them: one request asks and waits for the answer.

use std::path::PathBuf;

use axum::{Extension, Json, extract::State};
use engine::{Accepted, Finished, Idempotency, NewSession, OnBusy, Overrides, Prompt, Strictness, Work};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use types::{ApprovalPolicy, Code, Delivery, Sandbox, SessionId, ThreadId, TurnErrorCode, TurnStatus};
use utoipa::ToSchema;

use super::turns::Replayed;
use crate::{
    Api,
    audited::{self, Asked as Noted},
    checks::Caller,
    error::Failure,
    metrics::Watch,
    request::{Asked, Input},
};

/// The answer to a prompt.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyAnswer)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    session_id: SessionId,
    /// Codex's own conversation, if it had begun.
    #[schema(required)]
    thread_id: Option<ThreadId>,
    /// One text.
    #[schema(value_type = Vec<Text>)]
    content: [Text; 1],
    structured_content: Structured,
    /// The turn failed or was interrupted; the text says why.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    is_error: bool,
    /// The overrides that are not allowed, and were left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    ignored_overrides: Vec<&'static str>,
}

/// A text, as MCP has it.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyText)]
struct Text {
    /// Always `text`.
    r#type: &'static str,
    text: String,
}

/// The same, as MCP has it.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyStructured)]
#[serde(rename_all = "camelCase")]
struct Structured {
    #[schema(required)]
    thread_id: Option<ThreadId>,
    content: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A session to make with its first prompt. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyStart)]
pub(super) struct Start {
    /// The prompt.
    prompt: String,
    /// The title; it is kept and not locked.
    title: Option<String>,
    /// The folder to work in.
    #[schema(value_type = Option<String>)]
    cwd: Option<PathBuf>,
    /// The model.
    model: Option<String>,
    /// What Codex's commands may touch.
    sandbox: Option<Sandbox>,
    /// When Codex asks before it acts.
    approval_policy: Option<ApprovalPolicy>,
}

impl Input for Start {
    const NULLS_ARE_ABSENT: bool = true;
}

/// A further prompt. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyContinue)]
#[serde(rename_all = "camelCase")]
pub(super) struct Continue {
    /// The session: its id, or that of any thread that it has had.
    session_id: String,
    /// The prompt.
    prompt: String,
}

impl Input for Continue {
    const NULLS_ARE_ABSENT: bool = true;
}

/// A further prompt. Unknown fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyReply)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    /// The thread, or the session that has it.
    thread_id: String,
    /// The prompt.
    prompt: String,
}

impl Input for Reply {
    const NULLS_ARE_ABSENT: bool = true;
}

type Answer = Result<(Replayed, Json<Answered>), Failure>;

/// Make a session and wait for the answer to its first prompt
#[utoipa::path(
    post,
    path = "/start",
    operation_id = "start",
    tag = "first version",
    request_body = Start,
    responses((status = 200, description = "The answer, or with `isError` why there is none", body = Answered)),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "BAD_CWD", "CWD_FORBIDDEN", "NO_SESSION", "NO_TURN", "NOT_SUPPORTED", "INPUT_TOO_LARGE", "AGENT_TIMEOUT"
    ]))),
)]
pub(super) async fn start(
    State(api): State<Api>,
    watch: Watch,
    who: Caller,
    Extension(noted): Extension<Noted>,
    asked: Asked<Start>,
) -> Answer {
    let Start { prompt, title, cwd, model, sandbox, approval_policy } = asked.body;
    let model = model.filter(|model| !model.trim().is_empty());
    let new = NewSession {
        prompt: Some(Prompt::from(prompt)),
        title,
        overrides: Overrides { cwd, model, sandbox, approval_policy },
        strictness: Strictness::Ignore,
        ..NewSession::default()
    };
    let work = Work::Create(Box::new(new));
    let accepted = api.engine().work(&who.principal, who.origin, work, asked.key).await?;
    audited::left_out(&api, &noted, &who, &accepted.session, &accepted.ignored);
    answer(&api, &watch, accepted).await
}

/// Send a further prompt to a session and wait for the answer
#[utoipa::path(
    post,
    path = "/continue",
    operation_id = "continue",
    tag = "first version",
    request_body = Continue,
    responses((status = 200, description = "The answer, or with `isError` why there is none", body = Answered)),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "NO_SESSION", "NO_TURN", "BAD_CWD", "CWD_FORBIDDEN", "THREAD_HELD", "NOT_SUPPORTED", "INPUT_TOO_LARGE", "QUEUE_FULL",
        "AGENT_TIMEOUT"
    ]))),
)]
pub(super) async fn go_on(State(api): State<Api>, watch: Watch, who: Caller, asked: Asked<Continue>) -> Answer {
    let Continue { session_id, prompt } = asked.body;
    submit(&api, &watch, who, session_id, prompt, asked.key).await
}

/// Send a further prompt to a thread and wait for the answer
#[utoipa::path(
    post,
    path = "/reply",
    operation_id = "reply",
    tag = "first version",
    request_body = Reply,
    responses((status = 200, description = "The answer, or with `isError` why there is none", body = Answered)),
    extensions(("x-work" = json!(true)), ("x-codes" = json!([
        "NO_SESSION", "NO_TURN", "BAD_CWD", "CWD_FORBIDDEN", "THREAD_HELD", "NOT_SUPPORTED", "INPUT_TOO_LARGE", "QUEUE_FULL",
        "AGENT_TIMEOUT"
    ]))),
)]
pub(super) async fn reply(State(api): State<Api>, watch: Watch, who: Caller, asked: Asked<Reply>) -> Answer {
    let Reply { thread_id, prompt } = asked.body;
    submit(&api, &watch, who, thread_id, prompt, asked.key).await
}

async fn submit(
    api: &Api,
    watch: &Watch,
    who: Caller,
    session: String,
    prompt: String,
    key: Option<Idempotency>,
) -> Answer {
    let work = Work::Submit { session, prompt: Box::new(Prompt::from(prompt)), on_busy: OnBusy::Queue };
    answer(api, watch, api.engine().work(&who.principal, who.origin, work, key).await?).await
}

/// Waits for the turn and tells what came of it.
async fn answer(api: &Api, watch: &Watch, accepted: Accepted) -> Answer {
    let Some(submitted) = accepted.turn else {
        return Err(Failure::new(Code::Internal, "the request began no turn"));
    };
    let (limit, began) = (api.options().legacy_wait, Instant::now());
    let about = |failure: Failure| failure.of_turn(&submitted.session, &submitted.turn).replayed(accepted.replayed);
    let ended = watch.pause(api.engine().wait(&submitted, limit)).await.map_err(|refusal| about(refusal.into()))?;
    let Some(ended) = ended else {
        // The engine stops waiting before its time only when it has nothing more to tell.
        let failure = if began.elapsed() < limit {
            Failure::new(Code::ShuttingDown, "codexd is stopping; ask for the turn when it is back")
        } else {
            let detail = format!("the turn has not ended within {} s; it goes on", limit.as_secs_f64());
            Failure::new(Code::AgentTimeout, detail)
        };
        return Err(about(failure));
    };
    if let Some(why) = never_began(&ended) {
        return Err(about(Failure::new(Code::AgentUnavailable, why)));
    }
    let text = text(&ended);
    let answered = Answered {
        thread_id: ended.thread.clone(),
        content: [Text { r#type: "text", text: text.clone() }],
        structured_content: Structured { thread_id: ended.thread.clone(), content: text },
        is_error: ended.status != TurnStatus::Completed,
        ignored_overrides: accepted.ignored,
        session_id: submitted.session,
    };
    Ok((Replayed(accepted.replayed), Json(answered)))
}

/// Why a turn of which Codex never heard came to nothing because there was no Codex: that is no answer, and may be sent again.
fn never_began(turn: &Finished) -> Option<String> {
    let error = turn.error.as_ref()?;
    let never = turn.status == TurnStatus::Failed && turn.delivery == Delivery::No;
    (never && error.code == TurnErrorCode::AgentExited).then(|| error.message.clone())
}

/// The answer; and, when it did not end well, why.
fn text(turn: &Finished) -> String {
    let reason = match (turn.status, &turn.error) {
        (TurnStatus::Completed, _) => None,
        (_, Some(error)) => Some(error.message.as_str()),
        (TurnStatus::Interrupted, None) => Some("the turn was interrupted"),
        (_, None) => Some("the turn failed, and Codex did not say why"),
    };
    let parts: Vec<&str> = turn.answer.as_deref().into_iter().chain(reason).collect();
    parts.join("\n\n")
}
