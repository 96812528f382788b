//! Texts in progress: kept once, whoever reads them, until their items end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use agent::DeltaKind;
use types::{ItemId, Redactor, SessionId, TurnId};

use super::Piece;

/// The longest piece of a text that a reader is given at once, in bytes: what one holds whose client does not read is small.
pub(super) const PIECE: usize = 4 * 1024;

/// The longest text in progress that is kept, in bytes.
pub(super) const TEXT: usize = 1 << 20;

/// How much of each text a reader was told.
pub(super) type Offsets = HashMap<(ItemId, DeltaKind), usize>;

/// All texts in progress.
#[derive(Default)]
pub(super) struct Texts {
    of: Mutex<HashMap<SessionId, Vec<Text>>>,
}

/// The text of an item that is in progress.
#[derive(Debug, Clone)]
struct Text {
    turn: TurnId,
    item: ItemId,
    kind: DeltaKind,
    /// It only grows.
    text: String,
    /// It is as long as it may be: the rest comes with the end of the item.
    full: bool,
    /// Holds back what may be a token of ours of which not all is there yet.
    redactor: Redactor,
    /// The piece that a reader was given last: the next one most often wants the same.
    given: Option<Arc<Piece>>,
}

impl Texts {
    pub(super) fn grew(&self, session: &SessionId, turn: &TurnId, item: &ItemId, kind: DeltaKind, more: &str) {
        let mut texts = self.lock();
        let texts = texts.entry(session.clone()).or_default();
        match texts.iter_mut().find(|text| text.item == *item && text.kind == kind) {
            // Once one piece is left out so are those behind it, or a join would be wrong.
            Some(text) => {
                text.full |= text.text.len() + more.len() > TEXT;
                if !text.full {
                    text.text.push_str(&text.redactor.push(more));
                }
            }
            None => {
                let full = more.len() > TEXT;
                let mut redactor = Redactor::default();
                let text = if full { String::new() } else { redactor.push(more) };
                texts.push(Text { turn: turn.clone(), item: item.clone(), kind, text, full, redactor, given: None });
            }
        }
    }

    /// That item is not in progress any more.
    pub(super) fn ended(&self, session: &SessionId, item: &ItemId) {
        self.keep(session, |text| text.item != *item);
    }

    /// Nothing of that turn is in progress any more.
    pub(super) fn quiet(&self, session: &SessionId, turn: &TurnId) {
        self.keep(session, |text| text.turn != *turn);
    }

    fn keep(&self, session: &SessionId, which: impl FnMut(&Text) -> bool) {
        let mut texts = self.lock();
        if let Some(of_session) = texts.get_mut(session) {
            of_session.retain(which);
            if of_session.is_empty() {
                texts.remove(session);
            }
        }
    }

    /// What is new of what is in progress, in one session or in all; and whether that is all of it.
    pub(super) fn look(&self, session: Option<&SessionId>, told: &Offsets) -> (Vec<Arc<Piece>>, bool) {
        let mut texts = self.lock();
        let (mut pieces, mut all) = (Vec::new(), true);
        let mut take = |session: &SessionId, texts: &mut [Text]| {
            for text in texts {
                let told = told.get(&(text.item.clone(), text.kind)).copied();
                if let Some((piece, last)) = text.piece(session, told) {
                    all &= last;
                    pieces.push(piece);
                }
            }
        };
        match session {
            Some(id) => texts.get_mut(id).into_iter().for_each(|of_it| take(id, of_it)),
            None => texts.iter_mut().for_each(|(id, of_it)| take(id, of_it)),
        }
        (pieces, all)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<Text>>> {
        // A poisoned lock guards texts of which each step leaves them whole.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Text {
    /// What follows what was told of it, and whether that is all; `None` when nothing does.
    fn piece(&mut self, session: &SessionId, told: Option<usize>) -> Option<(Arc<Piece>, bool)> {
        let (offset, snapshot) = (told.unwrap_or(0), told.is_none());
        let new = self.text.get(offset..).filter(|new| !new.is_empty())?;
        let new_piece = &new[..new.floor_char_boundary(PIECE)];
        let last = new_piece.len() == new.len();
        if let Some(given) = &self.given
            && (given.offset, given.text.len(), given.snapshot) == (offset, new_piece.len(), snapshot)
        {
            return Some((Arc::clone(given), last));
        }
        let piece = Arc::new(Piece {
            session: session.clone(),
            turn: self.turn.clone(),
            item: self.item.clone(),
            kind: self.kind,
            offset,
            text: new_piece.to_owned(),
            snapshot,
            frame: OnceLock::new(),
        });
        self.given = Some(Arc::clone(&piece));
        Some((piece, last))
    }
}
