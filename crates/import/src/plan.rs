//! What is written for a session: all of it, what is new in it, or nothing. Pure.

use store::{Batch, Message, NewEvent, NewSession, NewTurn, SessionChange, TurnChange, Write};
use types::{
    Delivery, EventName, Item, ItemBody, ItemId, ItemStatus, Origin, Principal, Session, SessionId, SessionStatus,
    ThreadId, Timestamp, Turn, TurnId, TurnKind, TurnOptions, TurnStatus, agent::Backend,
};

use crate::{
    Options,
    old::{Old, OldMessage, OldTurn, Said},
};

/// Stands where a prompt should, when the first message of a file is not the user's.
const NO_PROMPT: &str = "The first version's file does not have the prompt of this turn.";

/// What a file is to the session that is here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same.
    Unchanged,
    /// Something else; the text says it when the file has what ours has not.
    Kept(Option<&'static str>),
    /// The same messages with a newer title or a later time.
    Retitled,
    /// Ours, and more messages.
    Longer,
}

/// Compares a session of ours with a file of the same id.
pub(crate) fn compare(session: &Session, history: &[Message], old: &Old) -> Verdict {
    let theirs = old.history().count();
    let same = history.iter().zip(old.history());
    let same = same.take_while(|(ours, theirs)| (ours.role, ours.text.as_str(), ours.at) == *theirs).count();
    let busy = session.status != SessionStatus::Idle;
    if same == history.len() && same == theirs {
        let title = (session.title.as_str(), session.title_source, session.title_locked);
        let retitled = title != (old.title.0.as_str(), old.title.1, old.title.2);
        return match old.updated_at > session.updated_at {
            true if !busy => Verdict::Retitled,
            _ if retitled => Verdict::Kept(None),
            _ => Verdict::Unchanged,
        };
    }
    if same == theirs {
        return Verdict::Kept(None);
    }
    if same < history.len() {
        return Verdict::Kept(Some(
            "has messages that the session here has not, but the session went on here: it stays as it is",
        ));
    }
    if busy {
        return Verdict::Kept(Some(
            "has messages that the session here has not, but that one has a turn that has not ended; import again when it has",
        ));
    }
    Verdict::Longer
}

/// A new session.
pub(crate) fn create(old: Old, options: Options, now: Timestamp) -> Batch {
    let id = old.id;
    let mut session = Session::new(id.clone(), old.cwd, options.sandbox, options.approval_policy, old.created_at);
    (session.title, session.title_source, session.title_locked) = old.title;
    session.model = old.model;
    session.updated_at = old.updated_at;
    let mut batch = Batch::default();
    batch.push(Write::CreateSession(Box::new(NewSession {
        session,
        principal: Principal::Local,
        origin: Origin::Http,
        developer_instructions: None,
    })));
    threads(&id, old.former, old.thread, old.created_at, &mut batch);
    for turn in old.turns {
        new_turn(&id, turn, &mut batch);
    }
    event(EventName::SessionCreated, &id, now, &mut batch);
    batch
}

/// What is new in the file of a session. `last` is the session's last turn, `messages` the length of its history. `None` when
/// the turns of the session are not those of the file.
pub(crate) fn extend(
    session: &Session,
    messages: usize,
    last: Option<Turn>,
    mut old: Old,
    now: Timestamp,
) -> Option<Batch> {
    let id = old.id.clone();
    let mut batch = Batch::default();
    let new = old.turns.split_off((session.turn_count as usize).min(old.turns.len()));
    if let Some(last) = last {
        // An item of an imported turn is a message, but for the one that stands for a missing prompt.
        let items = last.items.iter().filter(|item| !matches!(item.body, ItemBody::Warning { .. })).count();
        let mut turn = old.turns.pop()?;
        if old.turns.len() + 1 != session.turn_count as usize || items > turn.messages.len() {
            return None;
        }
        let added = OldTurn { messages: turn.messages.split_off(items) };
        old.turns.push(turn);
        append(&id, last, added, &mut batch);
    }
    if old.history_len() != messages {
        return None;
    }
    for turn in new {
        new_turn(&id, turn, &mut batch);
    }
    if old.thread != session.thread_id {
        threads(&id, old.former, old.thread, old.updated_at, &mut batch);
    }
    // A title that a person locked here is overruled only by one that was locked there.
    let stays = session.title_locked && !old.title.2;
    let change = SessionChange {
        title: (!stays).then_some(old.title),
        updated_at: Some(old.updated_at.max(session.updated_at)),
        ..SessionChange::default()
    };
    batch.push(Write::UpdateSession { id: id.clone(), change: Box::new(change) });
    event(EventName::SessionUpdated, &id, now, &mut batch);
    Some(batch)
}

/// The threads of a session, its current one last. Without one it has none, also when it had: what was said since is not in
/// that one.
fn threads(session: &SessionId, former: Option<ThreadId>, current: Option<ThreadId>, at: Timestamp, batch: &mut Batch) {
    let none = current.is_none();
    for thread in former.into_iter().chain(current) {
        // The first version spoke no other interface.
        batch.push(Write::AddThread { thread, session: session.clone(), backend: Backend::McpServer, at });
    }
    if none {
        let change = SessionChange { thread: Some(None), ..SessionChange::default() };
        batch.push(Write::UpdateSession { id: session.clone(), change: Box::new(change) });
    }
}

fn new_turn(session: &SessionId, old: OldTurn, batch: &mut Batch) {
    let answered = old.answered();
    let mut messages = old.messages.into_iter().peekable();
    let Some(began) = messages.peek().map(|message| message.at) else { return };
    let prompt = messages.next_if(|message| matches!(message.said, Said::User(_)));
    let prompt = prompt.and_then(|message| if let Said::User(text) = message.said { Some(text) } else { None });
    let (id, prompt_item) = (TurnId::fresh(), ItemId::fresh());
    batch.push(Write::CreateTurn(Box::new(NewTurn {
        id: id.clone(),
        session: session.clone(),
        prompt_item: prompt_item.clone(),
        kind: TurnKind::Prompt,
        prompt: prompt.clone().unwrap_or_default(),
        options: TurnOptions::default(),
        retry_of: None,
        principal: Principal::Local,
        origin: Origin::Http,
        created_at: began,
    })));
    let status = if answered || prompt.is_none() { ItemStatus::Completed } else { ItemStatus::Incomplete };
    let body = match prompt {
        Some(text) => ItemBody::UserMessage { text, images: Vec::new() },
        None => ItemBody::Warning { message: NO_PROMPT.to_owned() },
    };
    put(session, &id, Item { id: prompt_item, status, at: began, body }, batch);
    let ended = items(session, &id, messages, batch).unwrap_or(began);
    let change = TurnChange { started_at: Some(began), ended_at: Some(ended), ..outcome(answered) };
    batch.push(Write::UpdateTurn { id, change: Box::new(change) });
}

/// Further messages of a turn that is here. The answer to a prompt may come after an import.
fn append(session: &SessionId, turn: Turn, added: OldTurn, batch: &mut Batch) {
    if added.messages.is_empty() {
        return;
    }
    let answered = added.answered();
    if answered && let Some(prompt) = turn.items.into_iter().find(|item| item.status == ItemStatus::Incomplete) {
        put(session, &turn.id, Item { status: ItemStatus::Completed, ..prompt }, batch);
    }
    let ended_at = items(session, &turn.id, added.messages.into_iter(), batch);
    let change = if answered { outcome(true) } else { TurnChange::default() };
    batch.push(Write::UpdateTurn { id: turn.id, change: Box::new(TurnChange { ended_at, ..change }) });
}

/// Whether Codex has heard a prompt without an answer is not known: it is not sent again by itself, and counts as said.
fn outcome(answered: bool) -> TurnChange {
    let (status, delivery) =
        if answered { (TurnStatus::Completed, Delivery::Yes) } else { (TurnStatus::Interrupted, Delivery::Unknown) };
    TurnChange { status: Some(status), delivery: Some(delivery), ..TurnChange::default() }
}

/// Messages as items. Returns when the last was said.
fn items(
    session: &SessionId,
    turn: &TurnId,
    messages: impl Iterator<Item = OldMessage>,
    batch: &mut Batch,
) -> Option<Timestamp> {
    let mut last = None;
    for message in messages {
        let body = match message.said {
            Said::User(text) => ItemBody::UserMessage { text, images: Vec::new() },
            // An empty answer is kept, too: the history is the same.
            Said::Assistant(text) => ItemBody::AgentMessage { text },
            Said::Other(raw) => ItemBody::Other { raw },
        };
        put(session, turn, Item { id: ItemId::fresh(), status: ItemStatus::Completed, at: message.at, body }, batch);
        last = Some(message.at);
    }
    last
}

fn put(session: &SessionId, turn: &TurnId, item: Item, batch: &mut Batch) {
    let (session, turn) = (session.clone(), turn.clone());
    batch.push(Write::PutItem { session, turn, item: Box::new(item), codex_id: None });
}

/// The import is the fact, so its time is now; what was done long ago has no events.
fn event(name: EventName, session: &SessionId, at: Timestamp, batch: &mut Batch) {
    batch.push(Write::AddEvent(Box::new(NewEvent {
        name,
        at,
        session: Some(session.clone()),
        turn: None,
        item: None,
        detail: None,
    })));
}
