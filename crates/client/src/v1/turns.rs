//! Turns: asking for one, looking, waiting.

use std::time::Duration;

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{InputPart, Turn};

use super::sessions::{PageQuery, of};
use crate::{
    Client, Error, Reply,
    calls::{Call, escaped, query},
};

/// A further turn of a session. What is left out is as in the session.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewTurn {
    /// The prompt; this or `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The prompt with pictures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<InputPart>,
    /// The model of this turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How much the model is to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// The JSON Schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// What happens when the session has work already; it queues without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_busy: Option<OnBusy>,
    /// What happens when another process has the session's thread; it is refused without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_held: Option<OnHeld>,
}

/// What happens with a turn whose session has work already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// It waits.
    Queue,
    /// It is refused.
    Reject,
    /// Its prompt is added to the turn that runs.
    Steer,
}

/// What happens with a turn whose thread another process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnHeld {
    /// It is refused.
    Fail,
    /// It waits until the other process lets go.
    Wait,
    /// The session goes on with a copy of the thread.
    Fork,
}

/// What `POST /v1/sessions/{id}/turns` answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Submitted {
    /// The turn.
    pub turn: Turn,
}

/// A page of turns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnPage {
    /// In the order that was asked for.
    pub turns: Vec<Turn>,
    /// Where the next page begins; nothing when this was the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// All of these fail as [`Client::request`] does, with [`Error::Refused`] for any status that is not a success,
/// [`Error::TooOld`] when the daemon does not know the call, and [`Error::BadAnswer`] for an answer of another shape.
#[expect(clippy::missing_errors_doc, reason = "the impl's own documentation says it for all")]
impl Client {
    /// `POST /v1/sessions/{id}/turns`: a further turn. With `wait` the answer comes when it has ended, or after that time.
    pub async fn submit(
        &self,
        session: &str,
        new: &NewTurn,
        key: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<Reply<Submitted>, Error> {
        self.call(Call::post(of(session, "/turns"), new)?.keyed(key).waiting(wait)).await
    }

    /// `GET /v1/sessions/{id}/turns`: a page of them, with their items.
    pub async fn turns(&self, session: &str, which: &PageQuery) -> Result<Reply<TurnPage>, Error> {
        let mut values: Vec<(&str, String)> = Vec::new();
        values.extend(which.limit.map(|limit| ("limit", limit.to_string())));
        values.extend(which.cursor.clone().map(|cursor| ("cursor", cursor)));
        values.extend(which.newest_first.then(|| ("order", "desc".to_owned())));
        self.call(Call::get(query(&of(session, "/turns"), values))).await
    }

    /// `GET /v1/turns/{id}`: one. With `wait` the answer comes when it has ended, or after that time, at most 600 s.
    pub async fn turn(&self, id: &str, wait: Option<Duration>) -> Result<Reply<Turn>, Error> {
        self.call(Call::get(format!("/v1/turns/{}", escaped(id))).waiting(wait)).await
    }

    /// `POST /v1/turns/{id}/interrupt`: asks for the end of one that runs or waits. With `wait` the answer comes when it has
    /// ended, or after that time.
    pub async fn interrupt(&self, id: &str, wait: Option<Duration>) -> Result<Reply<Turn>, Error> {
        let path = format!("/v1/turns/{}/interrupt", escaped(id));
        self.call(Call::new(Method::POST, path).waiting(wait)).await
    }

    /// `POST /v1/turns/{id}/steer`: adds a prompt to one that runs. Sent twice it is added twice.
    pub async fn steer(&self, id: &str, prompt: &str) -> Result<Reply<Turn>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            prompt: &'a str,
        }
        self.call(Call::post(format!("/v1/turns/{}/steer", escaped(id)), &Body { prompt })?).await
    }

    /// `POST /v1/turns/{id}/retry`: a new turn with the prompt of one that ended. When Codex has that prompt already it is
    /// done only with `force`.
    pub async fn retry(&self, id: &str, force: bool, key: Option<&str>) -> Result<Reply<Turn>, Error> {
        #[derive(Serialize)]
        struct Body {
            force: bool,
        }
        self.call(Call::post(format!("/v1/turns/{}/retry", escaped(id)), &Body { force })?.keyed(key)).await
    }
}
