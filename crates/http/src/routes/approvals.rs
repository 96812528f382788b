//! What Codex asks before it acts: listed, shown, answered.

use std::collections::BTreeMap;

use axum::{Extension, Json, extract::State};
use engine::Verdict;
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{Approval, ApprovalId, ApprovalStatus, Code, Decision};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Api,
    audited::About,
    checks::Caller,
    error::Failure,
    request::{Given, Id, Input, Nothing, Query, bad},
};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListApprovals {
    /// Only those of which this became; `pending` are those that Codex waits with.
    #[param(inline)]
    status: Option<ApprovalStatus>,
    /// Only those of this session: its id, or that of any thread that it has had.
    session_id: Option<String>,
}

/// Approvals.
#[derive(Serialize, ToSchema)]
pub(super) struct Approvals {
    /// Oldest first; at most 1,000.
    approvals: Vec<Approval>,
}

/// An answer: a decision or answers, not both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decide {
    /// One of those that the approval lists as `decisions`.
    decision: Option<Word>,
    /// With `acceptForSession`: for all commands that begin so. It is the `rule` that the approval lists.
    rule: Option<Vec<String>>,
    /// What a person says to each of the approval's questions, by their ids.
    answers: Option<BTreeMap<String, Vec<String>>>,
}

impl Input for Decide {}

/// A decision, or another word for it: `once` is `accept`, `always` is `acceptForSession`, `reject` is `decline`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionWord)]
enum Word {
    /// Yes, once.
    Accept,
    /// Yes, and the same again in this session without asking.
    AcceptForSession,
    /// No; the turn goes on.
    Decline,
    /// No, and the turn ends.
    Cancel,
    /// As `accept`.
    Once,
    /// As `acceptForSession`.
    Always,
    /// As `decline`.
    Reject,
}

impl From<Word> for Decision {
    fn from(word: Word) -> Self {
        match word {
            Word::Accept | Word::Once => Self::Accept,
            Word::AcceptForSession | Word::Always => Self::AcceptForSession,
            Word::Decline | Word::Reject => Self::Decline,
            Word::Cancel => Self::Cancel,
        }
    }
}

/// List approvals
#[utoipa::path(
    get,
    path = "/v1/approvals",
    operation_id = "listApprovals",
    tag = "approvals",
    params(ListApprovals),
    responses((status = 200, description = "Them, oldest first", body = Approvals)),
    extensions(("x-codes" = json!(["NO_SESSION", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn list(
    State(api): State<Api>,
    _: Caller,
    Query(asked): Query<ListApprovals>,
) -> Result<Json<Approvals>, Failure> {
    let session = match &asked.session_id {
        Some(id) => Some(api.engine().session(id).await?.id),
        None => None,
    };
    Ok(Json(Approvals { approvals: api.engine().approvals(session.as_ref(), asked.status).await? }))
}

/// Show an approval
#[utoipa::path(
    get,
    path = "/v1/approvals/{id}",
    operation_id = "getApproval",
    tag = "approvals",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "It", body = Approval)),
    extensions(("x-codes" = json!(["NO_APPROVAL", "INTERNAL", "SHUTTING_DOWN"]))),
)]
pub(super) async fn show(
    State(api): State<Api>,
    _: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Json<Approval>, Failure> {
    Ok(Json(api.engine().approval(&approval_id(&id)?).await?))
}

/// Answer what Codex asks
///
/// The answer is on disk before Codex hears it. The first answer counts.
#[utoipa::path(
    post,
    path = "/v1/approvals/{id}",
    operation_id = "decideApproval",
    tag = "approvals",
    params(("id" = String, Path, description = "Its id")),
    request_body = Decide,
    responses((status = 200, description = "It, as it is now", body = Approval)),
    extensions(("x-codes" = json!([
        "NO_APPROVAL", "NO_SESSION", "NO_TURN", "APPROVAL_RESOLVED", "STORE_FULL", "INTERNAL", "SHUTTING_DOWN"
    ]))),
)]
pub(super) async fn decide(
    State(api): State<Api>,
    who: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    Given(body): Given<Decide>,
) -> Result<(Extension<About>, Json<Approval>), Failure> {
    let id = approval_id(&id)?;
    let verdict = verdict(body)?;
    let approval = api.engine().decide(&who.principal, &id, verdict).await?;
    Ok((Extension(about(&approval)), Json(approval)))
}

/// What was answered, for the audit log. A long command is cut.
fn about(approval: &Approval) -> About {
    const SHOWN: usize = 200;
    let command = approval.command.as_ref().map(|command| command.chars().take(SHOWN).collect::<String>());
    let Approval { id, session_id, turn_id, kind, status, .. } = approval;
    About::of([(
        "approval",
        json!({"id": id, "sessionId": session_id, "turnId": turn_id, "kind": kind, "status": status, "command": command}),
    )])
}

fn verdict(body: Decide) -> Result<Verdict, Failure> {
    if let Some(rule) = body.rule {
        return match body.decision.map(Decision::from) {
            Some(Decision::AcceptForSession) if body.answers.is_none() => Ok(Verdict::AllowRule(rule)),
            _ => Err(bad("`rule` goes with the decision `acceptForSession` and nothing else")),
        };
    }
    match (body.decision, body.answers) {
        (Some(_), Some(_)) => Err(bad("`decision` and `answers` can't both be given")),
        (None, None) => Err(bad("`decision` is missing; give one, or `answers` to the questions")),
        (None, Some(answers)) if answers.is_empty() => {
            Err(bad("`answers` is empty; give one to each question, or a `decision` instead"))
        }
        (Some(word), None) => Ok(Verdict::Decide(word.into())),
        (None, Some(answers)) => Ok(Verdict::Answers(answers)),
    }
}

fn approval_id(text: &str) -> Result<ApprovalId, Failure> {
    let shown = || text.chars().take(64).collect::<String>();
    ApprovalId::parse(text).map_err(|_| Failure::new(Code::NoApproval, format!("there is no approval {:?}", shown())))
}
