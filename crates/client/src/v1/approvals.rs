//! Approvals: what Codex asks before it acts, and the answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{Approval, ApprovalStatus, Decision};

use crate::{
    Client, Error, Reply,
    calls::{Call, escaped, query},
};

/// Which approvals a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalQuery {
    /// What became of them.
    pub status: Option<ApprovalStatus>,
    /// Their session.
    pub session: Option<String>,
}

/// A list of approvals.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Approvals {
    /// Oldest first.
    pub approvals: Vec<Approval>,
}

/// An answer to what Codex asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// A decision.
    Decision(Decision),
    /// What is said to its questions, by their ids.
    Answers(BTreeMap<String, Vec<String>>),
}

/// All of these fail as [`Client::request`] does, with [`Error::Refused`] for any status that is not a success,
/// [`Error::TooOld`] when the daemon does not know the call, and [`Error::BadAnswer`] for an answer of another shape.
#[expect(clippy::missing_errors_doc, reason = "the impl's own documentation says it for all")]
impl Client {
    /// `GET /v1/approvals`: those of one session or of all, with one status or with any.
    pub async fn approvals(&self, which: &ApprovalQuery) -> Result<Reply<Approvals>, Error> {
        let mut values: Vec<(&str, String)> = Vec::new();
        values.extend(which.status.map(|status| ("status", status.as_str().to_owned())));
        values.extend(which.session.clone().map(|session| ("sessionId", session)));
        self.call(Call::get(query("/v1/approvals", values))).await
    }

    /// `GET /v1/approvals/{id}`: one.
    pub async fn approval(&self, id: &str) -> Result<Reply<Approval>, Error> {
        self.call(Call::get(of(id))).await
    }

    /// `POST /v1/approvals/{id}`: answers one. Only the first answer counts; a second one is refused.
    pub async fn decide(&self, id: &str, verdict: &Verdict) -> Result<Reply<Approval>, Error> {
        self.call(Call::post(of(id), verdict)?).await
    }
}

fn of(id: &str) -> String {
    format!("/v1/approvals/{}", escaped(id))
}
