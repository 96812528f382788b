//! Frames become what is new: texts are joined by their offsets, events by their numbers.
//!
//! Of a text only its length is kept. A piece that begins within what was handed on is cut to what is new of it; one that
//! begins behind the end is dropped, because what lies between is not known: the end of the item, which has all of its text, then
//! brings what is missing.

use std::collections::{HashMap, VecDeque};

use serde::Deserialize;
use serde_json::Value;
use types::{EventId, ItemBody, ItemId, SessionId, TurnId};

use super::{
    frames::Frame,
    told::{Event, Text, TextKind, Told},
};

/// The most texts in progress of which the length is kept. A session has a few.
const MOST: usize = 65_536;

/// What was handed on so far.
#[derive(Debug)]
pub(crate) struct Joined {
    last: Option<EventId>,
    epoch: Option<String>,
    texts: HashMap<(ItemId, TextKind), Known>,
}

#[derive(Debug)]
struct Known {
    turn: TurnId,
    bytes: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(default)]
    version: String,
    last_id: EventId,
    #[serde(default)]
    store_epoch: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    session_id: SessionId,
    turn_id: TurnId,
    item_id: ItemId,
    kind: String,
    offset: usize,
    #[serde(alias = "text")]
    delta: String,
}

impl Joined {
    pub(crate) fn new(after: Option<EventId>) -> Self {
        Self { last: after, epoch: None, texts: HashMap::new() }
    }

    /// The number behind which a new connection begins.
    pub(crate) fn last(&self) -> Option<EventId> {
        self.last
    }

    /// What is new by a frame.
    ///
    /// # Errors
    /// When it is not JSON.
    pub(crate) fn hear(&mut self, frame: Frame) -> Result<VecDeque<Told>, serde_json::Error> {
        let data: Value = serde_json::from_str(&frame.data)?;
        let mut told = VecDeque::new();
        match frame.name.as_str() {
            "server.connected" => {
                let Place { version, last_id, store_epoch } = Place::deserialize(&data)?;
                let another = self.epoch.as_ref().is_some_and(|epoch| *epoch != store_epoch);
                self.epoch = Some(store_epoch.clone());
                // Whoever asked for what happens from now on comes back to this moment, also when nothing happened since.
                self.last = self.last.or(Some(last_id));
                told.push_back(Told::Connected { version, last: last_id, epoch: store_epoch.clone() });
                // An id beyond its end is told by the daemon itself.
                if another && self.last <= Some(last_id) {
                    told.push_back(Told::Reset { last: last_id, epoch: store_epoch });
                }
            }
            "stream.reset" => {
                let Place { last_id, store_epoch, .. } = Place::deserialize(&data)?;
                self.last = Some(last_id);
                self.epoch = Some(store_epoch.clone());
                told.push_back(Told::Reset { last: last_id, epoch: store_epoch });
            }
            "server.closing" => {
                let reason = data.get("reason").and_then(Value::as_str).unwrap_or("the daemon ends the stream");
                told.push_back(Told::Closing { reason: reason.to_owned() });
            }
            name @ ("item.delta" | "item.snapshot") => {
                let snapshot = name == "item.snapshot";
                match Piece::deserialize(&data).ok().and_then(|piece| Some((TextKind::parse(&piece.kind)?, piece))) {
                    Some((kind, piece)) => told.extend(self.grown(kind, piece, snapshot).map(Told::Text)),
                    None => told.push_back(Told::Event(Box::new(Event::new(None, frame.name, data)))),
                }
            }
            _ => {
                if let Some(id) = frame.id.map(EventId) {
                    if self.last.is_some_and(|last| id <= last) {
                        return Ok(told);
                    }
                    self.last = Some(id);
                }
                let event = Event::new(frame.id, frame.name, data);
                told.extend(self.before(&event).map(Told::Text));
                told.push_back(Told::Event(Box::new(event)));
            }
        }
        Ok(told)
    }

    fn grown(&mut self, kind: TextKind, piece: Piece, snapshot: bool) -> Option<Text> {
        let Piece { session_id: session, turn_id: turn, item_id: item, offset, delta, .. } = piece;
        let key = (item.clone(), kind);
        let known = self.texts.get(&key).map_or(0, |known| known.bytes);
        // Nothing when it begins behind a hole, or not where a character does.
        let new = known.checked_sub(offset).and_then(|seen| delta.get(seen..)).filter(|new| !new.is_empty())?;
        if known == 0 && self.texts.len() >= MOST {
            return None;
        }
        let text = Text {
            session,
            turn: turn.clone(),
            item,
            kind,
            offset: known,
            text: new.to_owned(),
            snapshot: snapshot && known == 0,
        };
        self.texts.insert(key, Known { turn, bytes: known + new.len() });
        Some(text)
    }

    /// What an event implies: of an item whose text was told in part, the rest.
    fn before(&mut self, event: &Event) -> Option<Text> {
        match event.name.as_str() {
            "item.completed" => {
                let id = event.data.get("item")?.get("id")?.as_str().and_then(|id| ItemId::parse(id).ok())?;
                // An output is cut in its middle, so that its end has no offset.
                self.texts.remove(&(id.clone(), TextKind::Output));
                let known = |kind| (kind, id.clone());
                let (text, answer) = (known(TextKind::Reasoning), known(TextKind::Text));
                let (kind, known) = [answer, text]
                    .into_iter()
                    .find_map(|(kind, id)| Some((kind, self.texts.remove(&(id, kind))?.bytes)))?;
                let item = event.item()?;
                let whole = match (kind, &item.body) {
                    (TextKind::Text, ItemBody::AgentMessage { text }) => text,
                    (TextKind::Reasoning, ItemBody::Reasoning { summary }) => summary,
                    _ => return None,
                };
                let rest = whole.get(known..).filter(|rest| !rest.is_empty())?.to_owned();
                let (session, turn) = (event.session.clone()?, event.turn.clone()?);
                Some(Text { session, turn, item: item.id, kind, offset: known, text: rest, snapshot: false })
            }
            "turn.completed" | "turn.failed" | "turn.interrupted" => {
                let turn = event.turn.as_ref()?;
                self.texts.retain(|_, known| known.turn != *turn);
                None
            }
            _ => None,
        }
    }
}
