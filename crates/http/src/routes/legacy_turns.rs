//! Turns, as the first version gave them: one request asks and waits for the answer.

use axum::{Json, extract::State};
use engine::{Finished, NewSession, Overrides, Strictness, Submitted};
use serde::Serialize;
use tokio::time::Instant;
use types::{Code, Delivery, SessionId, ThreadId, TurnErrorCode, TurnStatus, UnknownPolicy};

use crate::{Api, body::Fields, checks::Caller, error::Failure};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    session_id: SessionId,
    thread_id: Option<ThreadId>,
    content: [Text; 1],
    structured_content: Structured,
    #[serde(skip_serializing_if = "is_false")]
    is_error: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_overrides: Vec<&'static str>,
}

#[derive(Serialize)]
struct Text {
    r#type: &'static str,
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structured {
    thread_id: Option<ThreadId>,
    content: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// `POST /start`.
pub(super) async fn start(State(api): State<Api>, who: Caller, mut body: Fields) -> Result<Json<Answered>, Failure> {
    let new = NewSession {
        prompt: body.text("prompt")?,
        title: body.optional_text("title")?,
        overrides: Overrides {
            cwd: body.optional_text("cwd")?.map(Into::into),
            model: body.optional_text("model")?.filter(|model| !model.trim().is_empty()),
            sandbox: policy(&mut body, "sandbox")?,
            approval_policy: policy(&mut body, "approval_policy")?,
        },
        developer_instructions: None,
    };
    let started = api.engine().create(&who.principal, who.origin, new, Strictness::Ignore).await?;
    answer(&api, started.first, started.ignored).await
}

/// `POST /continue`.
pub(super) async fn go_on(State(api): State<Api>, who: Caller, body: Fields) -> Result<Json<Answered>, Failure> {
    submit(&api, who, body, "sessionId").await
}

/// `POST /reply`.
pub(super) async fn reply(State(api): State<Api>, who: Caller, body: Fields) -> Result<Json<Answered>, Failure> {
    submit(&api, who, body, "threadId").await
}

async fn submit(api: &Api, who: Caller, mut body: Fields, named: &'static str) -> Result<Json<Answered>, Failure> {
    let (session, prompt) = (body.text(named)?, body.text("prompt")?);
    let submitted = api.engine().submit(&who.principal, who.origin, &session, prompt).await?;
    answer(api, submitted, Vec::new()).await
}

fn policy<T: std::str::FromStr<Err = UnknownPolicy>>(
    body: &mut Fields,
    name: &'static str,
) -> Result<Option<T>, Failure> {
    let Some(text) = body.optional_text(name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|unknown: UnknownPolicy| {
        let shown: String = unknown.value.chars().take(64).collect();
        Failure::new(Code::BadRequest, format!("`{name}` must be one of {}, not {shown:?}", unknown.known))
    })
}

/// Waits for the turn and tells what came of it.
async fn answer(api: &Api, submitted: Submitted, ignored: Vec<&'static str>) -> Result<Json<Answered>, Failure> {
    let (limit, began) = (api.options().legacy_wait, Instant::now());
    let about = |failure: Failure| failure.of_turn(&submitted.session, &submitted.turn);
    let ended = api.engine().wait(&submitted, limit).await.map_err(|refusal| about(refusal.into()))?;
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
    Ok(Json(Answered {
        thread_id: ended.thread.clone(),
        content: [Text { r#type: "text", text: text.clone() }],
        structured_content: Structured { thread_id: ended.thread.clone(), content: text },
        is_error: ended.status != TurnStatus::Completed,
        ignored_overrides: ignored,
        session_id: submitted.session,
    }))
}

/// Why a turn of which Codex never heard came to nothing because there was no Codex: that is no answer, and may be sent again.
fn never_began(turn: &Finished) -> Option<String> {
    let error = turn.error.as_ref()?;
    (turn.delivery == Delivery::No && error.code == TurnErrorCode::AgentExited).then(|| error.message.clone())
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
