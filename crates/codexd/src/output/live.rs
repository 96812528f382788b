//! What happens, shown as it happens.
//!
//! # Theory of operation
//!
//! [`Live`] is the one place that writes while a turn is watched, so that what comes by different ways does not mix: a text that
//! grows, remarks between its pieces, a question with what somebody types behind it, and the line that moves while nothing
//! comes. It knows whether the cursor stands behind something and ends that line before it writes another.
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
    BOLD, Cleaner, DIM, Output, Spinner,
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
    output: Output,
    show: Show,
    began: Instant,
    /// What the line that moves says; none without one.
    doing: Option<String>,
    spinner: Option<Spinner>,
    /// The text that was written last and is not at its end.
    open: Option<Open>,
    /// How much of each text was written, in bytes.
    written: HashMap<ItemId, usize>,
    /// The last text that was written whole.
    whole: Option<ItemId>,
    /// Those that stand there without an end, the last one of them last.
    begun: Vec<ItemId>,
    warned: HashSet<ItemId>,
    /// The changes of the last question.
    asked: Vec<FileChange>,
    /// A question that stands there without an answer.
    prompt: Option<String>,
    /// The session of which something was written last.
    session: Option<SessionId>,
    titles: HashMap<SessionId, String>,
}

struct Open {
    item: ItemId,
    cleaner: Cleaner,
    /// The cursor stands behind something.
    mid_line: bool,
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
        let mut live = Self {
            output,
            show,
            began,
            doing: moves.then(|| "waiting".to_owned()),
            spinner: None,
            open: None,
            written: HashMap::new(),
            whole: None,
            begun: Vec::new(),
            warned: HashSet::new(),
            asked: Vec::new(),
            prompt: None,
            session: None,
            titles: HashMap::new(),
        };
        live.go_on();
        live
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
                    Some(object) => self.object(&object.to_string()),
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

    /// Says what is being done, on the line that moves.
    pub(crate) fn say(&mut self, doing: &str) {
        if let Some(said) = &mut self.doing
            && said != doing
        {
            doing.clone_into(said);
            if let Some(spinner) = &self.spinner {
                spinner.say(doing);
            }
        }
    }

    /// Whether somebody sees that line.
    pub(crate) fn is_seen(&self) -> bool {
        self.doing.is_some() && self.output.is_seen_aside()
    }

    /// A remark on stderr.
    pub(crate) fn note(&mut self, text: &str) {
        let output = self.output;
        self.beside(|| output.note(text));
    }

    /// The same for a person who sits there, and nobody else.
    pub(crate) fn aside(&mut self, text: &str) {
        let output = self.output;
        self.beside(|| output.aside(text));
    }

    /// What Codex asks, on stderr.
    pub(crate) fn question(&mut self, styled: &str, changes: &[FileChange]) {
        let output = self.output;
        self.beside(|| output.styled_aside(styled));
        self.asked = changes.to_vec();
    }

    /// Asks a person. The question stands there until it is answered or withdrawn, whatever else is written. An error when it
    /// can't be written.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<()> {
        self.end_line();
        self.spinner = None;
        self.prompt = Some(question.to_owned());
        self.output.ask(question)
    }

    /// Somebody has typed an answer, and a newline with it.
    pub(crate) fn answered(&mut self) {
        self.prompt = None;
        self.go_on();
    }

    /// The question is not asked any more.
    pub(crate) fn withdraw(&mut self) {
        if self.prompt.take().is_some() {
            self.output.styled_aside("\n");
        }
        self.go_on();
    }

    /// Ends the line on which something stands, for who writes elsewhere.
    pub(crate) fn end_of_line(&mut self) {
        self.spinner = None;
        self.end_line();
    }

    /// Ends every line, and nothing moves any more.
    pub(crate) fn end(&mut self) {
        self.doing = None;
        self.withdraw();
        self.spinner = None;
        let rest = self.open.as_mut().map(|open| open.cleaner.end()).unwrap_or_default();
        if self.open.is_some() {
            let _ = self.write(&rest);
            self.end_line();
        }
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
            self.say("Codex is running a command");
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
            self.say(WORKS);
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
        if let Some(mut open) = self.open.take_if(|open| open.item == item.id) {
            let rest = open.cleaner.end();
            self.open = Some(open);
            self.write(&rest)?;
            self.end_line();
            self.open = None;
        }
        self.whole = (!text.is_empty()).then(|| item.id.clone());
        self.go_on();
        Ok(())
    }

    /// More of an answer.
    fn text(&mut self, session: &SessionId, item: &ItemId, text: &str) -> io::Result<()> {
        if text.is_empty() || !self.has_texts() {
            return Ok(());
        }
        self.head(Some(session))?;
        if self.open.as_ref().is_none_or(|open| open.item != *item) {
            self.close()?;
            self.open = Some(Open { item: item.clone(), cleaner: Cleaner::default(), mid_line: false });
        }
        if self.written.len() >= MOST {
            self.written.clear();
        }
        *self.written.entry(item.clone()).or_insert(0) += text.len();
        let shown = match &mut self.open {
            Some(open) if self.output.is_seen() => open.cleaner.push(text),
            _ => text.to_owned(),
        };
        self.write(&shown)
    }

    /// Another text comes; this one may go on later, on a line of its own.
    fn close(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            let rest = open.cleaner.end();
            self.write(&rest)?;
            self.end_line();
        }
        self.open = None;
        Ok(())
    }

    fn write(&mut self, shown: &str) -> io::Result<()> {
        if shown.is_empty() {
            return Ok(());
        }
        self.spinner = None;
        if self.prompt.is_some() {
            self.output.styled_aside("\n");
        }
        self.output.flow(shown)?;
        if let Some(open) = &mut self.open {
            open.mid_line = !shown.ends_with('\n');
        }
        if let Some(prompt) = self.prompt.clone() {
            self.end_line();
            let _ = self.output.ask(&prompt);
        }
        self.go_on();
        Ok(())
    }

    /// A styled text of whole lines.
    fn remark(&mut self, session: Option<&SessionId>, told: &str) -> io::Result<()> {
        self.head(session)?;
        if matches!(self.show, Show::Everything { .. }) {
            self.end_line();
            return self.output.flow_styled(told);
        }
        let output = self.output;
        self.beside(|| output.styled_aside(told));
        Ok(())
    }

    /// Says whose it is, when it is another session's than what stands above.
    fn head(&mut self, session: Option<&SessionId>) -> io::Result<()> {
        if self.show != (Show::Everything { several: true }) || session.is_none() || self.session.as_ref() == session {
            return Ok(());
        }
        self.end_line();
        self.session = session.cloned();
        let Some(session) = session else { return Ok(()) };
        let title = self.titles.get(session).map(|title| super::clean_line(title)).unwrap_or_default();
        self.output.flow_styled(&format!("\n{DIM}session{DIM:#} {session} {BOLD}{title}{BOLD:#}\n"))
    }

    fn object(&mut self, json: &str) -> io::Result<()> {
        let output = self.output;
        let mut written = Ok(());
        self.beside(|| written = output.flow(&format!("{json}\n")));
        written
    }

    /// Writes whole lines to stderr, or beside it, and leaves all else as it stood there.
    fn beside(&mut self, write: impl FnOnce()) {
        self.end_line();
        if self.prompt.is_some() {
            self.output.styled_aside("\n");
        }
        match &self.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        }
        match self.prompt.clone() {
            Some(prompt) => drop(self.output.ask(&prompt)),
            None => self.go_on(),
        }
    }

    /// Ends the line on which a text stands, where what comes next would stand behind it.
    fn end_line(&mut self) {
        let beside = matches!(self.show, Show::Everything { .. }) || self.output.is_seen_aside();
        if let Some(open) = self.open.as_mut().filter(|open| open.mid_line && beside) {
            open.mid_line = false;
            // Whoever writes next notices that nobody reads.
            let _ = self.output.flow("\n");
        }
    }

    /// The line moves again, where it is in nobody's way.
    fn go_on(&mut self) {
        // Between the pieces of a text it would only flicker.
        let in_the_way = self.prompt.is_some() || self.open.is_some();
        match &self.doing {
            Some(doing) if !in_the_way => {
                self.spinner.get_or_insert_with(|| Spinner::since(doing, self.began));
            }
            _ => self.spinner = None,
        }
    }

    fn has_texts(&self) -> bool {
        matches!(self.show, Show::Turn { texts: true, .. } | Show::Everything { .. })
    }

    fn room(&self) -> Room {
        let on_stdout = matches!(self.show, Show::Everything { .. });
        Room { columns: if on_stdout { self.output.width() } else { self.output.width_aside() } }
    }
}
