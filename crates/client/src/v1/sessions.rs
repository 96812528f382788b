//! Sessions: making, finding, changing, deleting.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::{ApprovalPolicy, InputPart, Sandbox, Session, SessionStatus, Turn, TurnId, WorktreeFate, WorktreeLeft};

use crate::{
    Client, Download, Error, Reply,
    calls::{Call, escaped, query},
};

/// How long a fork may take: Codex may have to open a long thread for it.
const FORK_LIMIT: Duration = Duration::from_secs(150);

/// How long git may take to make a worktree, or to look at it and remove it.
const WORKTREE_LIMIT: Duration = Duration::from_secs(150);

/// A session to make, and its first turn. What is left out is the daemon's own choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewSession {
    /// The first prompt; this or `input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The first prompt with pictures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<InputPart>,
    /// The title; made from the prompt without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The folder to work in, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// A git worktree to itself, of the repository that the folder is in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub worktree: bool,
    /// The model of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How much the model is to think in the first turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// The JSON Schema of the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// What Codex's commands may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// When Codex asks before it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// The caller's own words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What `POST /v1/sessions` answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Created {
    /// The session.
    pub session: Session,
    /// Its first turn, when there was a prompt.
    #[serde(default)]
    pub turn: Option<Turn>,
}

/// What `POST /v1/sessions/{id}/fork` answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Forked {
    /// The new session.
    pub session: Session,
}

/// Whether archived sessions are part of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Archived {
    /// Left out.
    #[default]
    No,
    /// Nothing else.
    Only,
    /// As the others.
    Too,
}

/// Which sessions a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// The most of one page.
    pub limit: Option<u32>,
    /// Where the page begins: the last one's `next_cursor`.
    pub cursor: Option<String>,
    /// What they are doing.
    pub status: Option<SessionStatus>,
    /// Whether archived ones are among them.
    pub archived: Archived,
    /// Labels that they have, all of them.
    pub labels: Vec<(String, String)>,
    /// What their ids begin with.
    pub id_prefix: Option<String>,
}

/// A page of sessions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPage {
    /// Newest activity first.
    pub sessions: Vec<Session>,
    /// Where the next page begins; nothing when this was the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A page of any list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// The most of one page.
    pub limit: Option<u32>,
    /// Where the page begins: the last one's `next_cursor`.
    pub cursor: Option<String>,
    /// Newest first, instead of oldest first.
    pub newest_first: bool,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Found {
    /// Best match first.
    pub results: Vec<Hit>,
}

/// One session that a search found.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// The session.
    pub session: Session,
    /// The turn in which the words were said; nothing when they are in the title.
    #[serde(default)]
    pub turn_id: Option<TurnId>,
    /// The text around the words.
    #[serde(default)]
    pub snippet: String,
}

/// What is to change in a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// A title of a person's choice; automatic titles never replace it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Puts the session away, or takes it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// The folder to work in from the next turn on, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// How a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptFormat {
    /// For programs.
    Json,
    /// For people.
    Markdown,
}

impl TranscriptFormat {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Markdown => "markdown",
        }
    }
}

/// All of these fail as [`Client::request`] does, with [`Error::Refused`] for any status that is not a success,
/// [`Error::TooOld`] when the daemon does not know the call, and [`Error::BadAnswer`] for an answer of another shape.
#[expect(clippy::missing_errors_doc, reason = "the impl's own documentation says it for all")]
impl Client {
    /// `POST /v1/sessions`: makes a session. With `wait` the answer comes when its first turn has ended, or after that time.
    pub async fn create_session(
        &self,
        new: &NewSession,
        key: Option<&str>,
        wait: Option<Duration>,
    ) -> Result<Reply<Created>, Error> {
        let mut call = Call::post("/v1/sessions", new)?.keyed(key);
        if new.worktree {
            call = call.within(WORKTREE_LIMIT);
        }
        self.call(call.waiting(wait)).await
    }

    /// `GET /v1/sessions`: a page of them.
    pub async fn sessions(&self, which: &SessionQuery) -> Result<Reply<SessionPage>, Error> {
        let mut values: Vec<(&str, String)> = Vec::new();
        values.extend(which.limit.map(|limit| ("limit", limit.to_string())));
        values.extend(which.cursor.clone().map(|cursor| ("cursor", cursor)));
        values.extend(which.status.map(|status| ("status", status.as_str().to_owned())));
        match which.archived {
            Archived::No => {}
            Archived::Only => values.push(("archived", "true".to_owned())),
            Archived::Too => values.push(("archived", "all".to_owned())),
        }
        values.extend(which.labels.iter().map(|(name, value)| ("label", format!("{name}:{value}"))));
        values.extend(which.id_prefix.clone().map(|prefix| ("idPrefix", prefix)));
        self.call(Call::get(query("/v1/sessions", values))).await
    }

    /// `GET /v1/sessions/{id}`: one.
    pub async fn session(&self, id: &str) -> Result<Reply<Session>, Error> {
        self.call(Call::get(of(id, ""))).await
    }

    /// `PATCH /v1/sessions/{id}`: changes one.
    pub async fn change_session(&self, id: &str, changes: &Changes) -> Result<Reply<Session>, Error> {
        self.call(Call::new(Method::PATCH, of(id, "")).with(changes)?).await
    }

    /// `DELETE /v1/sessions/{id}`: ends what runs in it and removes its history; with `thread` also what Codex itself keeps. With
    /// `worktree`, which is for a session that has one, it tells what became of that.
    pub async fn delete_session(
        &self,
        id: &str,
        thread: bool,
        worktree: Option<WorktreeFate>,
    ) -> Result<Option<WorktreeLeft>, Error> {
        #[derive(Deserialize)]
        struct Deleted {
            worktree: Option<WorktreeLeft>,
        }
        let mut path = query(&of(id, ""), thread.then_some(("thread", "delete")));
        // A daemon that does not know worktrees would refuse the word.
        if let Some(fate) = worktree {
            path = query(&path, [("worktree", fate.as_str())]);
        }
        let call = Call::new(Method::DELETE, path).within(WORKTREE_LIMIT);
        Ok(self.call_or_nothing::<Deleted>(call).await?.and_then(|deleted| deleted.worktree))
    }

    /// `POST /v1/sessions/{id}/autoname`: takes the title from the latest prompt; with `force` also over a person's own.
    pub async fn autoname(&self, id: &str, force: bool) -> Result<Reply<Session>, Error> {
        #[derive(Serialize)]
        struct Body {
            force: bool,
        }
        self.call(Call::post(of(id, "/autoname"), &Body { force })?).await
    }

    /// `POST /v1/sessions/{id}/fork`: a new session with the same history and a future of its own. Sent twice it makes two.
    pub async fn fork_session(&self, id: &str, title: Option<&str>) -> Result<Reply<Forked>, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            title: Option<&'a str>,
        }
        self.call(Call::post(of(id, "/fork"), &Body { title })?.within(FORK_LIMIT)).await
    }

    /// `POST /v1/sessions/{id}/resume`: lets the turns go on that are held.
    pub async fn resume_session(&self, id: &str) -> Result<Reply<Session>, Error> {
        self.call(Call::new(Method::POST, of(id, "/resume"))).await
    }

    /// `GET /v1/search`: the sessions in whose title or messages all words are.
    pub async fn search(&self, words: &str, limit: Option<u32>) -> Result<Reply<Found>, Error> {
        let path = query("/v1/search", [("q", words)]);
        self.call(Call::get(query(&path, limit.map(|limit| ("limit", limit))))).await
    }

    /// `GET /v1/sessions/{id}/transcript`: all that was said and done, piece by piece.
    pub async fn transcript(&self, id: &str, format: TranscriptFormat) -> Result<Download, Error> {
        self.download(&query(&of(id, "/transcript"), [("format", format.as_str())])).await
    }
}

/// The path of a session, or of a thing of it.
pub(super) fn of(id: &str, rest: &str) -> String {
    format!("/v1/sessions/{}{rest}", escaped(id))
}
