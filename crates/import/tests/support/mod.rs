//! A store of the first version to import, and what must come of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs, reason = "shared by several test binaries")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use import::{Damage, Options, Report, import};
use serde_json::{Value, json};
use store::{Store, StoredSession};
use types::{ApprovalPolicy, EventId, Role, Sandbox, SessionId, TurnStatus};

pub const OPTIONS: Options = Options { sandbox: Sandbox::ReadOnly, approval_policy: ApprovalPolicy::Untrusted };

/// A folder that is gone; absolute, as the script had it.
pub const GONE: &str = if cfg!(windows) { r"C:\gone\since\long" } else { "/gone/since/long" };

/// The first version's folder, and a store of ours beside it.
pub struct Place {
    pub old: PathBuf,
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old");
        fs::create_dir(&old).unwrap();
        Self { store: Store::open(&dir.path().join("ours")).unwrap(), old, _dir: dir }
    }

    pub async fn import(&self) -> Report {
        import(&self.store, &self.old, OPTIONS, |_, _| {}).await.unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.old.join(name), bytes).unwrap();
    }

    /// As the script did: two spaces, characters as they are.
    pub fn write_json(&self, name: &str, value: &Value) {
        self.write(name, serde_json::to_vec_pretty(value).unwrap());
    }

    pub fn put(&self, session: &Old) {
        self.write_json(&format!("{}.json", session.id), &session.file());
    }

    /// The sessions and their index.
    pub fn put_all(&self, sessions: &[Old]) {
        for session in sessions {
            self.put(session);
        }
        self.write_json("sessions.json", &index(sessions));
    }

    pub async fn stored(&self, id: &str) -> StoredSession {
        self.store.session(&sid(id)).await.unwrap().unwrap()
    }

    pub async fn history(&self, id: &str) -> Vec<(Role, String, i64)> {
        history(&self.store, id).await
    }

    /// The names of the events since, with their sessions.
    pub async fn events(&self, after: EventId) -> Vec<(String, String)> {
        let events = self.store.events_after(None, after, 100_000).await.unwrap();
        events.into_iter().map(|event| (event.name.to_string(), event.session_id.unwrap().to_string())).collect()
    }
}

pub async fn history(store: &Store, id: &str) -> Vec<(Role, String, i64)> {
    let messages = store.history(&sid(id)).await.unwrap();
    messages.into_iter().map(|message| (message.role, message.text, message.at.as_millis())).collect()
}

pub fn sid(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

/// The `n`th id, of the form that the script made.
pub fn id(n: u64) -> String {
    format!("{:012x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16)
}

pub fn index(sessions: &[Old]) -> Value {
    let entries = sessions.iter().map(|session| {
        let entry = json!({
            "createdAtMs": session.created, "updatedAtMs": session.updated, "title": session.title,
            "titleLocked": session.locked, "titleSource": session.source,
        });
        (session.id.clone(), entry)
    });
    json!({"sessions": entries.collect::<serde_json::Map<_, _>>()})
}

/// A session of the first version.
#[derive(Debug, Clone)]
pub struct Old {
    pub id: String,
    pub title: String,
    pub locked: bool,
    pub source: &'static str,
    pub cwd: String,
    pub model: Option<String>,
    pub thread: Option<String>,
    pub former: Option<String>,
    pub created: i64,
    pub updated: i64,
    pub history: Vec<(Role, String, i64)>,
}

impl Old {
    /// A session with so many prompts, each with its answer.
    pub fn new(n: u64, turns: u64) -> Self {
        let created = 1_700_000_000_000 + n as i64 * 60_000;
        let mut session = Self {
            id: id(n),
            title: format!("session {n}"),
            locked: false,
            source: "",
            cwd: GONE.to_owned(),
            model: None,
            thread: Some(format!("thread-{n}")),
            former: Some(format!("thread-{n}")),
            created,
            updated: created,
            history: Vec::new(),
        };
        for turn in 0..turns {
            session.say(&format!("prompt {turn} of {n}"), &format!("answer {turn} of {n}"));
        }
        session
    }

    pub fn say(&mut self, prompt: &str, answer: &str) {
        self.history.push((Role::User, prompt.to_owned(), self.updated + 7));
        self.updated += 1_007;
        self.history.push((Role::Assistant, answer.to_owned(), self.updated));
    }

    pub fn file(&self) -> Value {
        let mut meta = json!({"title": self.title, "cwd": self.cwd, "model": self.model, "threadId": self.former});
        if self.locked {
            meta["titleLocked"] = true.into();
        }
        if !self.source.is_empty() {
            meta["titleSource"] = self.source.into();
        }
        let message = |(role, text, at): &(Role, String, i64)| json!({"role": role, "text": text, "tsMs": at});
        json!({
            "sessionId": self.id, "createdAtMs": self.created, "updatedAtMs": self.updated, "meta": meta,
            "threadId": self.thread, "history": self.history.iter().map(message).collect::<Vec<_>>(),
        })
    }

    /// Prompt, answer and status of each turn.
    fn turns(&self) -> Vec<(String, Option<String>, TurnStatus)> {
        let mut turns: Vec<(String, Option<String>, TurnStatus)> = Vec::new();
        for (role, text, _) in &self.history {
            match (role, turns.last_mut()) {
                (Role::Assistant, Some(turn)) => (turn.1, turn.2) = (Some(text.clone()), TurnStatus::Completed),
                (Role::Assistant, None) => turns.push((String::new(), Some(text.clone()), TurnStatus::Completed)),
                (Role::User, _) => turns.push((text.clone(), None, TurnStatus::Interrupted)),
            }
        }
        turns
    }

    /// Compares what is stored with this, field by field.
    pub async fn is_in(&self, store: &Store) {
        let stored = store.session(&sid(&self.id)).await.unwrap().unwrap();
        let session = &stored.session;
        assert_eq!(session.id.as_str(), self.id);
        assert_eq!(session.title, self.title);
        assert_eq!(session.title_source.as_str(), if self.source == "auto" { "auto" } else { "manual" });
        assert_eq!(session.title_locked, self.locked);
        assert_eq!(session.cwd, PathBuf::from(&self.cwd));
        assert_eq!(session.model, self.model);
        assert_eq!((session.sandbox, session.approval_policy), (OPTIONS.sandbox, OPTIONS.approval_policy));
        assert_eq!(session.thread_id.as_ref().map(|thread| thread.as_str()), self.thread.as_deref());
        assert_eq!(session.backend.as_deref(), self.thread.as_ref().map(|_| "mcp-server"));
        assert_eq!((session.created_at.as_millis(), session.updated_at.as_millis()), (self.created, self.updated));
        assert_eq!((session.archived_at, session.resumed, session.forked_from.as_ref()), (None, None, None));
        assert_eq!((stored.principal.to_string().as_str(), stored.origin.as_str()), ("local", "http"));
        assert_eq!(history(store, &self.id).await, self.history);

        let turns = store.turns(&session.id).await.unwrap();
        assert_eq!(session.turn_count, turns.len() as u64);
        let told = turns.iter().map(|turn| (turn.prompt.clone(), turn.answer.clone(), turn.status));
        assert_eq!(told.collect::<Vec<_>>(), self.turns());
        let mut threads: Vec<&str> = self.thread.iter().map(String::as_str).collect();
        threads.extend(self.former.as_deref().filter(|former| self.thread.as_deref() != Some(former)));
        let known = store.threads(&session.id).await.unwrap();
        assert_eq!(known.iter().map(|thread| thread.as_str()).collect::<Vec<_>>(), threads);
    }
}

pub fn counts(report: &Report) -> (u64, u64, u64, u64, usize) {
    (report.imported, report.extended, report.unchanged, report.kept, report.damaged.len())
}

pub fn told(list: &[Damage]) -> Vec<(&str, &str)> {
    let mut told: Vec<_> = list.iter().map(|damage| (damage.file.as_str(), damage.reason.as_str())).collect();
    told.sort_unstable();
    told
}

/// The checked-in folder that the script's own `json.dump` wrote.
pub fn written_by_the_script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/first_version")
}
