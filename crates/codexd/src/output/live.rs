//! What happens, shown as it happens.
//!
//! # Theory of operation
//!
//! [`Live`] makes of a stream of events what a reader is shown, and knows what of it stands there already. Where it stands, beside
//! what, is the [`Console`]'s, the one place that writes while a turn is watched.
//!
//! - **Texts** go to stdout as they come where that is a terminal (or, by `watch`, always), cleaned piece by piece. Elsewhere
//!   nothing of them is shown: the answer of a turn is known only at its end.
//! - **Remarks** (commands, changes, plans, warnings) go to stderr beside an answer; `watch`, where they are what was
//!   asked for, has them on stdout. Where nobody sees them come they are in brief.
//! - **For programs** ([`Show::Objects`]) there is one object a line, and no remarks.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Instant,
};

use client::{Event, Text, TextKind, Told};
use types::{FileChange, Item, ItemBody, ItemId, SessionId, Turn, TurnId};

use super::{
    BOLD, Console, DIM, Output,
    brief::{self, Room},
    watched,
};

/// What Codex does most of the time.
const WORKS: &str = "Codex is working";

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Show {
    /// Nothing but questions and how it stands.
    Nothing,
    /// What happens in this turn; its texts as they come, or not at all.
    Turn { turn: TurnId, texts: bool },
    /// All that happens; in several sessions, so that each has to be named.
    Everything { several: bool },
    /// The same, or what concerns one turn, as objects for programs.
    Objects { turn: Option<TurnId> },
}

/// Shows it.
pub(crate) struct Live {
    /// Where it is shown; for what is to be said beside it.
    pub(crate) console: Console,
    show: Show,
    /// How much of each text was written, in bytes.
    written: HashMap<ItemId, usize>,
    /// The last text that was written whole.
    whole: Option<ItemId>,
    /// Those that stand there without an end, the last one of them last.
    begun: Vec<ItemId>,
    warned: HashSet<ItemId>,
    /// The changes of the last question.
    asked: Vec<FileChange>,
    /// The session of which something was written last.
    session: Option<SessionId>,
    titles: HashMap<SessionId, String>,
}

/// The most titles, and texts without an end, that are remembered.
const MOST: usize = 10_000;

impl Live {
    /// For one turn, or for whatever happens. A line moves while nothing comes, with the time since `began`.
    pub(crate) fn new(output: Output, show: Show, began: Instant) -> Self {
        let moves = match show {
            Show::Nothing | Show::Turn { .. } => true,
            Show::Objects { turn: Some(_) } => !output.is_seen(),
            Show::Everything { .. } | Show::Objects { turn: None } => false,
        };
        let remarks_aside = !matches!(show, Show::Everything { .. });
        Self {
            console: Console::new(output, remarks_aside, moves.then(|| "waiting".to_owned()), began),
            show,
            written: HashMap::new(),
            whole: None,
            begun: Vec::new(),
            warned: HashSet::new(),
            asked: Vec::new(),
            session: None,
            titles: HashMap::new(),
        }
    }

    /// Shows what a stream told.
    ///
    /// # Errors
    /// When stdout can't be written; [`super::is_gone`] when nobody reads it any more.
    pub(crate) fn hear(&mut self, told: &Told) -> io::Result<()> {
        match &self.show {
            Show::Nothing => return Ok(()),
            Show::Objects { turn } => {
                let concerns = |of: Option<&TurnId>| turn.is_none() || of.is_none() || of == turn.as_ref();
                let wanted = match told {
                    Told::Event(event) => concerns(event.turn.as_ref()),
                    Told::Text(text) => concerns(Some(&text.turn)),
                    _ => true,
                };
                return match told.object().filter(|_| wanted) {
                    Some(object) => self.console.object(&object.to_string()),
                    None => Ok(()),
                };
            }
            Show::Turn { turn, .. } => {
                let ours = match told {
                    Told::Event(event) => event.turn.as_ref() == Some(turn) || event.name == "session.resumed",
                    Told::Text(text) => text.turn == *turn,
                    _ => false,
                };
                if !ours {
                    return Ok(());
                }
            }
            Show::Everything { .. } => {}
        }
        match told {
            Told::Text(text) if text.kind == TextKind::Text => self.text(&text.session, &text.item, &text.text),
            Told::Event(event) => self.event(event),
            Told::Text(Text { .. })
            | Told::Connected { .. }
            | Told::Reset { .. }
            | Told::Closing { .. }
            | Told::Lost { .. } => Ok(()),
        }
    }

    /// What Codex asks, on stderr.
    pub(crate) fn question(&mut self, styled: &str, changes: &[FileChange]) {
        self.console.aside_styled(styled);
        self.asked = changes.to_vec();
    }

    /// Whether the turn's answer stands there whole.
    pub(crate) fn has_shown_answer(&self, turn: &Turn) -> bool {
        let last = turn.items.iter().rfind(|item| matches!(item.body, ItemBody::AgentMessage { .. }));
        last.is_some_and(|item| self.whole.as_ref() == Some(&item.id))
    }

    /// Whether this warning stands there.
    pub(crate) fn has_warned(&self, item: &ItemId) -> bool {
        self.warned.contains(item)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Some(session) = event.shown_session() {
            if self.titles.len() >= MOST {
                self.titles.clear();
            }
            self.titles.insert(session.id, session.title);
        }
        match event.name.as_str() {
            "item.started" => event.item().map_or(Ok(()), |item| self.began(event, &item)),
            "item.completed" => event.item().map_or(Ok(()), |item| self.ended(event, &item)),
            _ => {
                let told = match self.show {
                    Show::Everything { .. } => watched::event(event, self.room()),
                    _ => watched::in_turn(event),
                };
                told.map_or(Ok(()), |told| self.remark(event.session.as_ref(), &told))
            }
        }
    }

    fn began(&mut self, event: &Event, item: &Item) -> io::Result<()> {
        let Some(told) = brief::begun(item, self.room()) else { return Ok(()) };
        if self.begun.len() >= MOST {
            self.begun.clear();
        }
        self.begun.push(item.id.clone());
        if matches!(item.body, ItemBody::CommandExecution { .. }) {
            self.console.say("Codex is running a command");
        }
        self.remark(event.session.as_ref(), &told)
    }

    fn ended(&mut self, event: &Event, item: &Item) -> io::Result<()> {
        if let ItemBody::AgentMessage { text } = &item.body {
            return self.text_ended(event, item, text);
        }
        let mut told = String::new();
        if let Some(begun) = brief::begun(item, self.room()) {
            // Unless it stands there just above.
            if self.begun.last() != Some(&item.id) {
                told.push_str(&begun);
            }
            self.begun.retain(|begun| *begun != item.id);
            self.console.say(WORKS);
        }
        if matches!((&item.body, &self.show), (ItemBody::Warning { .. }, Show::Turn { .. })) {
            self.warned.insert(item.id.clone());
        }
        told.push_str(&brief::ended(item, self.room(), &self.asked).unwrap_or_default());
        if told.is_empty() { Ok(()) } else { self.remark(event.session.as_ref(), &told) }
    }

    fn text_ended(&mut self, event: &Event, item: &Item, text: &str) -> io::Result<()> {
        let written = self.written.remove(&item.id).unwrap_or(0);
        if !self.has_texts() {
            return Ok(());
        }
        let rest = text.get(written..).unwrap_or_default().to_owned();
        if let Some(session) = &event.session {
            self.text(session, &item.id, &rest)?;
        }
        self.written.remove(&item.id);
        self.console.end_text(&item.id)?;
        self.whole = (!text.is_empty()).then(|| item.id.clone());
        Ok(())
    }

    /// More of an answer.
    fn text(&mut self, session: &SessionId, item: &ItemId, text: &str) -> io::Result<()> {
        if text.is_empty() || !self.has_texts() {
            return Ok(());
        }
        self.head(Some(session))?;
        if self.written.len() >= MOST {
            self.written.clear();
        }
        *self.written.entry(item.clone()).or_insert(0) += text.len();
        self.console.text(item, text)
    }

    /// A styled text of whole lines.
    fn remark(&mut self, session: Option<&SessionId>, told: &str) -> io::Result<()> {
        self.head(session)?;
        self.console.remark(told)
    }

    /// Says whose it is, when it is another session's than what stands above.
    fn head(&mut self, session: Option<&SessionId>) -> io::Result<()> {
        if self.show != (Show::Everything { several: true }) || session.is_none() || self.session.as_ref() == session {
            return Ok(());
        }
        self.session = session.cloned();
        let Some(session) = session else { return Ok(()) };
        let title = self.titles.get(session).map(|title| super::clean_line(title)).unwrap_or_default();
        self.console.remark(&format!("\n{DIM}session{DIM:#} {session} {BOLD}{title}{BOLD:#}\n"))
    }

    fn has_texts(&self) -> bool {
        matches!(self.show, Show::Turn { texts: true, .. } | Show::Everything { .. })
    }

    fn room(&self) -> Room {
        Room { columns: self.console.columns() }
    }
}
