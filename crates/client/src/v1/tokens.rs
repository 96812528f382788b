//! Tokens: what lets a program in by TCP.

use std::{path::PathBuf, time::Duration};

use hyper::Method;
use serde::{Deserialize, Serialize};
use types::{Grant, Sandbox, Scope, Timestamp};

use crate::{
    Client, Error, Reply,
    calls::{Call, escaped},
};

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// Its name, unique among those that are there.
    pub name: String,
    /// What its holder may do.
    pub scopes: Vec<Scope>,
    /// The folders that its holder may work in; without, those that the daemon allows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<PathBuf>,
    /// The widest sandbox that its holder may have; without, what the daemon allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sandbox: Option<Sandbox>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A token that was made. It is told this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// What it opens.
    pub grant: Grant,
    /// The token.
    pub token: String,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token.
        f.debug_struct("TokenMade").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// All tokens, without what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// By name.
    pub tokens: Vec<Grant>,
}

/// All of these fail as [`Client::request`] does, with [`Error::Refused`] for any status that is not a success,
/// [`Error::TooOld`] when the daemon does not know the call, and [`Error::BadAnswer`] for an answer of another shape.
#[expect(clippy::missing_errors_doc, reason = "the impl's own documentation says it for all")]
impl Client {
    /// `POST /v1/tokens`: makes one.
    pub async fn new_token(&self, new: &NewToken) -> Result<Reply<TokenMade>, Error> {
        self.call(Call::post("/v1/tokens", new)?).await
    }

    /// `GET /v1/tokens`: those that were made.
    pub async fn tokens(&self) -> Result<Reply<Tokens>, Error> {
        self.call(Call::get("/v1/tokens")).await
    }

    /// `POST /v1/tokens/{name}/rotate`: replaces one. The old one opens for as long as `grace`.
    pub async fn rotate_token(&self, name: &str, grace: Duration) -> Result<Reply<TokenMade>, Error> {
        let body = serde_json::json!({"graceSeconds": grace.as_secs()});
        self.call(Call::post(format!("/v1/tokens/{}/rotate", escaped(name)), &body)?).await
    }

    /// `DELETE /v1/tokens/{name}`: ends one.
    pub async fn revoke_token(&self, name: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, format!("/v1/tokens/{}", escaped(name)))).await
    }
}
