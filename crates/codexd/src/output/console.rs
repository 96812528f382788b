//! Where things are shown while they happen.
//!
//! # Theory of operation
//!
//! [`Console`] is the one place that writes while a turn is watched, so that what comes by different ways does not mix: a text that
//! grows, remarks between its pieces, a question with what somebody types behind it, and the line that moves while nothing
//! comes. It knows whether the cursor stands behind something and ends that line before it writes another.
//!
//! The text is on stdout. Remarks are on stderr beside it, or on stdout as well.

use std::{io, time::Instant};

use types::ItemId;

use super::{Cleaner, Output, Spinner};

/// See the module.
pub(crate) struct Console {
    output: Output,
    /// Remarks go to stderr.
    remarks_aside: bool,
    began: Instant,
    /// What the line that moves says; none without one.
    doing: Option<String>,
    spinner: Option<Spinner>,
    /// The text that was written last and is not at its end.
    open: Option<Open>,
    /// A question that stands there without an answer.
    prompt: Option<String>,
}

struct Open {
    item: ItemId,
    cleaner: Cleaner,
    /// The cursor stands behind something.
    mid_line: bool,
}

impl Console {
    /// With `doing` a line moves while nothing comes, that says it and the time since `began`.
    pub(crate) fn new(output: Output, remarks_aside: bool, doing: Option<String>, began: Instant) -> Self {
        let mut console = Self { output, remarks_aside, began, doing, spinner: None, open: None, prompt: None };
        console.go_on();
        console
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

    /// The columns that remarks have.
    pub(crate) fn columns(&self) -> Option<usize> {
        if self.remarks_aside { self.output.width_aside() } else { self.output.width() }
    }

    /// More of a text.
    pub(crate) fn text(&mut self, item: &ItemId, text: &str) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|open| open.item != *item) {
            self.close()?;
            self.open = Some(Open { item: item.clone(), cleaner: Cleaner::default(), mid_line: false });
        }
        let shown = match &mut self.open {
            Some(open) if self.output.is_seen() => open.cleaner.push(text),
            _ => text.to_owned(),
        };
        self.write(&shown)
    }

    /// The text has all that it will have.
    pub(crate) fn end_text(&mut self, item: &ItemId) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|open| open.item == *item) {
            self.close()?;
        }
        self.go_on();
        Ok(())
    }

    /// Our own styled words, whole lines of them, where remarks go.
    pub(crate) fn remark(&mut self, styled: &str) -> io::Result<()> {
        if self.remarks_aside {
            self.aside_styled(styled);
            return Ok(());
        }
        self.end_line();
        self.output.flow_styled(styled)
    }

    /// The same on stderr in any case.
    pub(crate) fn aside_styled(&mut self, styled: &str) {
        let output = self.output;
        self.beside(|| output.styled_aside(styled));
    }

    /// A note on stderr.
    pub(crate) fn note(&mut self, text: &str) {
        let output = self.output;
        self.beside(|| output.note(text));
    }

    /// The same for a person who sits there, and nobody else.
    pub(crate) fn aside(&mut self, text: &str) {
        let output = self.output;
        self.beside(|| output.aside(text));
    }

    /// An object for a program, on a line of stdout.
    pub(crate) fn object(&mut self, json: &str) -> io::Result<()> {
        let output = self.output;
        let mut written = Ok(());
        self.beside(|| written = output.flow(&format!("{json}\n")));
        written
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
        let beside = !self.remarks_aside || self.output.is_seen_aside();
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
}
