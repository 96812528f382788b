//! Batches to store, short to write.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs, reason = "shared by several test binaries")]

use store::{Batch, NewEvent, NewSession, NewTurn, Store, TurnChange, Write};
use types::{
    ApprovalPolicy, EventName, Item, ItemBody, ItemId, ItemStatus, Origin, Principal, Sandbox, Session, SessionId,
    Timestamp, TurnId, TurnKind, TurnOptions, TurnStatus,
};

pub fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path()).unwrap()
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub fn batch(writes: impl IntoIterator<Item = Write>) -> Batch {
    Batch { writes: writes.into_iter().collect() }
}

pub fn plain_session(title: &str, millis: i64) -> Session {
    let at = at(millis);
    let policy = ApprovalPolicy::OnRequest;
    let session = Session::new(SessionId::fresh(), "/work".into(), Sandbox::WorkspaceWrite, policy, at);
    Session { title: title.to_owned(), ..session }
}

pub fn create(session: Session) -> Write {
    Write::CreateSession(Box::new(NewSession {
        session,
        principal: Principal::Grant("ci".to_owned()),
        origin: Origin::Http,
        developer_instructions: Some("be brief".to_owned()),
    }))
}

/// A session that is stored.
pub async fn stored(store: &Store, title: &str, millis: i64) -> SessionId {
    let session = plain_session(title, millis);
    let id = session.id.clone();
    store.commit(batch([create(session)])).await.unwrap();
    id
}

pub fn new_turn(session: &SessionId, prompt: &str) -> (TurnId, ItemId, Write) {
    let (id, prompt_item) = (TurnId::fresh(), ItemId::fresh());
    let new = NewTurn {
        id: id.clone(),
        session: session.clone(),
        prompt_item: prompt_item.clone(),
        kind: TurnKind::Prompt,
        prompt: prompt.to_owned(),
        options: TurnOptions::default(),
        retry_of: None,
        principal: Principal::Local,
        origin: Origin::Mcp,
        created_at: at(10),
    };
    (id, prompt_item, Write::CreateTurn(Box::new(new)))
}

pub fn put(session: &SessionId, turn: &TurnId, id: &ItemId, status: ItemStatus, body: ItemBody) -> Write {
    Write::PutItem {
        session: session.clone(),
        turn: turn.clone(),
        item: Box::new(Item { id: id.clone(), status, at: at(20), body }),
        codex_id: None,
    }
}

pub fn agent(text: &str) -> ItemBody {
    ItemBody::AgentMessage { text: text.to_owned() }
}

pub fn user(text: &str) -> ItemBody {
    ItemBody::UserMessage { text: text.to_owned(), images: Vec::new() }
}

pub fn status(turn: &TurnId, status: TurnStatus) -> Write {
    Write::UpdateTurn {
        id: turn.clone(),
        change: Box::new(TurnChange { status: Some(status), ..TurnChange::default() }),
    }
}

pub fn event(session: Option<&SessionId>, name: EventName) -> Write {
    Write::AddEvent(Box::new(NewEvent {
        name,
        at: at(30),
        session: session.cloned(),
        turn: None,
        item: None,
        detail: None,
    }))
}

/// A session with one completed turn.
pub async fn conversation(store: &Store, title: &str, millis: i64, prompt: &str, answer: &str) -> SessionId {
    let id = stored(store, title, millis).await;
    let (turn, _, write) = new_turn(&id, prompt);
    let answer = put(&id, &turn, &ItemId::fresh(), ItemStatus::Completed, agent(answer));
    store.commit(batch([write, answer, status(&turn, TurnStatus::Completed)])).await.unwrap();
    id
}
