//! What commands print: the only place that writes to stdout and stderr (the daemon's log apart).
//!
//! # Theory of operation
//!
//! stdout has what was asked for and nothing else: the answer, the list, with `--json` one object. stderr has everything
//! said around it. So `codexd start … > file` keeps the answer alone.
//!
//! - **Data** ([`Output::text`], [`Output::object`]) goes out as it is, except that a terminal never gets a control sequence
//!   that Codex, a model or a file put into it ([`mod@clean`]): what an agent prints could otherwise rewrite the screen of the
//!   person who reads it.
//! - **Our words** may have colours, which `anstream` takes out where nobody sees them (a pipe, `NO_COLOR`). Whatever
//!   foreign text is in them is cleaned first, always.
//! - A reader who has gone (`| head`) ends the output and is no error: the command's result stays what it was. What flows
//!   ([`Output::flow`] and its like) tells it, because nobody is left for whom it would go on ([`is_gone`]).

pub(crate) mod asked;
pub(crate) mod brief;
mod clean;
mod console;
mod diff;
mod gone;
pub(crate) mod items;
pub(crate) mod live;
mod progress;
pub(crate) mod table;
pub(crate) mod watched;
mod width;

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};

pub(crate) use clean::{Cleaner, clean, clean_line};
use console::Console;
pub(crate) use gone::gone;
pub(crate) use progress::{Bar, InstallProgress, Spinner};
pub(crate) use width::cut;

/// For what stands beside the thing that matters.
pub(crate) const DIM: Style = Style::new().dimmed();
/// For the thing that matters.
pub(crate) const BOLD: Style = Style::new().bold();
/// For what went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
const REMARK: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// How this command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Output {
    /// For people, or for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, stdout_is_terminal: io::stdout().is_terminal(), stderr_is_terminal: io::stderr().is_terminal() }
    }

    /// Whether a program reads.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// The columns of the terminal; `None` when nobody looks at one.
    pub(crate) fn width(&self) -> Option<usize> {
        self.stdout_is_terminal.then(columns)
    }

    /// The same of the terminal to which stderr goes.
    pub(crate) fn width_aside(&self) -> Option<usize> {
        self.stderr_is_terminal.then(columns_aside)
    }

    /// Whether a person sees stdout as it comes.
    pub(crate) const fn is_seen(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether a person sees stderr as it comes.
    pub(crate) const fn is_seen_aside(&self) -> bool {
        self.stderr_is_terminal
    }

    /// A piece of a foreign text on stdout, at once and as it is.
    pub(crate) fn flow(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Our own words on stdout, at once and with their colours. What is foreign in them has been cleaned.
    pub(crate) fn flow_styled(&self, text: &str) -> io::Result<()> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// A text of Codex or of a model, on stdout, with one newline at its end.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let shown = if self.stdout_is_terminal { clean(text) } else { text.into() };
        let newline = if shown.ends_with('\n') { "" } else { "\n" };
        quiet(write!(io::stdout().lock(), "{shown}{newline}"))
    }

    /// One JSON object, on one line of stdout.
    pub(crate) fn object(&self, json: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if json.contains(&b'\n') {
            // Written by hand, or pretty: JSON allows newlines only between its words.
            let folded: serde_json::Value = serde_json::from_slice(json)?;
            return quiet(writeln!(stdout, "{folded}"));
        }
        quiet(stdout.write_all(json).and_then(|()| stdout.write_all(b"\n")))
    }

    /// Our own words on stdout, with their colours. What is foreign in them has been cleaned.
    pub(crate) fn styled(&self, text: &str) -> io::Result<()> {
        quiet(write!(anstream::stdout().lock(), "{text}"))
    }

    /// A moment: how long ago it was for a person at a terminal, the moment itself for everybody else.
    pub(crate) fn time(&self, moment: types::Timestamp) -> String {
        if self.stdout_is_terminal { ago(moment.as_millis()) } else { moment.to_string() }
    }

    /// The same for a column of a table.
    pub(crate) fn age(&self, moment: types::Timestamp) -> String {
        if self.stdout_is_terminal { age(moment.as_millis()) } else { moment.to_string() }
    }

    /// What stands above a column of [`Output::age`].
    pub(crate) const fn age_head(&self) -> &'static str {
        if self.stdout_is_terminal { "AGE" } else { "UPDATED" }
    }

    /// Bytes on stdout as they come. A terminal gets them line by line, cleaned; [`Output::raw_end`] gives the last one.
    pub(crate) fn raw(&self, bytes: &[u8], held_back: &mut Vec<u8>) -> io::Result<()> {
        if !self.stdout_is_terminal {
            return quiet(io::stdout().lock().write_all(bytes));
        }
        held_back.extend_from_slice(bytes);
        let Some(end) = held_back.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let lines: Vec<u8> = held_back.drain(..=end).collect();
        quiet(write!(io::stdout().lock(), "{}", clean(&String::from_utf8_lossy(&lines))))
    }

    /// What [`Output::raw`] has held back.
    pub(crate) fn raw_end(&self, held_back: &[u8]) -> io::Result<()> {
        quiet(write!(io::stdout().lock(), "{}", clean(&String::from_utf8_lossy(held_back))))
    }

    /// Something on stdout that is lost when nobody gets it: a reader who has gone is an error, too.
    pub(crate) fn must_say(&self, line: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }

    /// Whether somebody could be asked something.
    pub(crate) fn can_ask(&self) -> bool {
        self.stderr_is_terminal && io::stdin().is_terminal()
    }

    /// What stands above a text.
    pub(crate) fn heading(&self, text: &str) -> io::Result<()> {
        self.styled(&format!("\n{BOLD}{}{BOLD:#}\n", clean_line(text)))
    }

    /// A remark on stderr.
    pub(crate) fn note(&self, text: &str) {
        note(text);
    }

    /// A remark among the data, on stdout: something that the reader should know about it.
    pub(crate) fn remark(&self, text: &str) -> io::Result<()> {
        self.styled(&format!("{REMARK}! {}{REMARK:#}\n", clean_line(text)))
    }

    /// A question, on stderr; the answer comes on the same line.
    pub(crate) fn ask(&self, question: &str) -> io::Result<()> {
        let mut stderr = anstream::stderr().lock();
        write!(stderr, "{BOLD}{}{BOLD:#}", clean_line(question))?;
        stderr.flush()
    }

    /// Our own words on stderr, with their colours, in as many lines as they have. What is foreign in them has been cleaned.
    pub(crate) fn styled_aside(&self, text: &str) {
        let _ = write!(anstream::stderr().lock(), "{text}");
    }

    /// A remark on stderr for a person who sits there; not for a file, and not for who asked for JSON.
    pub(crate) fn aside(&self, text: &str) {
        if self.stderr_is_terminal && !self.json {
            let _ = writeln!(anstream::stderr().lock(), "{DIM}{}{DIM:#}", clean_line(text));
        }
    }
}

/// One line on stdout, from those who can't do anything about a failure.
pub(crate) fn line(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Text of our own making on stdout, as it is.
pub(crate) fn plain(text: &[u8]) -> io::Result<()> {
    quiet(io::stdout().lock().write_all(text))
}

/// A remark, on stderr.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", clean_line(text));
}

/// An error, on stderr. May have several lines.
pub(crate) fn error(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{BAD}error:{BAD:#} {}", clean(text));
}

/// Writes out what is left, so that a full disk is noticed.
pub(crate) fn flush() -> io::Result<()> {
    quiet(io::stdout().lock().flush())
}

/// So many of something, in words.
pub(crate) fn count(number: impl Into<u64>, of: &str) -> String {
    let number: u64 = number.into();
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// So many bytes, as people say it.
pub(crate) fn size(bytes: u64) -> String {
    let (mut tenths, mut unit) = (u128::from(bytes) * 10, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if tenths < 10_000 {
            break;
        }
        (tenths, unit) = (tenths / 1_000, larger);
    }
    match (unit, tenths) {
        ("bytes", _) | (_, 1_000..) => format!("{} {unit}", tenths / 10),
        _ => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// How long ago that was, as people say it; long ago is a date.
pub(crate) fn age(millis: i64) -> String {
    age_at(millis, types::Timestamp::now().as_millis())
}

fn age_at(millis: i64, now: i64) -> String {
    let seconds = now.saturating_sub(millis) / 1000;
    match seconds {
        ..5 => "now".to_owned(),
        5..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        86_400..2_592_000 => format!("{} d", seconds / 86_400),
        _ => {
            let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
            moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d").to_string()
        }
    }
}

/// The same within a sentence.
pub(crate) fn ago(millis: i64) -> String {
    let age = age(millis);
    if age == "now" {
        "just now".to_owned()
    } else if age.ends_with(|c: char| c.is_alphabetic()) {
        format!("{age} ago")
    } else {
        format!("on {age}")
    }
}

/// Nobody reads any more: then there is nothing more to say.
fn quiet(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("can't write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Whether an error says that nobody reads any more.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The columns of the terminal, or what most have.
fn columns() -> usize {
    #[cfg(unix)]
    let size = columns_of(io::stdout());
    #[cfg(not(unix))]
    let size = columns_told();
    size.filter(|columns| *columns > 0).unwrap_or(80)
}

fn columns_aside() -> usize {
    #[cfg(unix)]
    let size = columns_of(io::stderr());
    #[cfg(not(unix))]
    let size = columns_told();
    size.filter(|columns| *columns > 0).unwrap_or(80)
}

#[cfg(unix)]
fn columns_of(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    rustix::termios::tcgetwinsize(terminal).ok().map(|size| usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn columns_told() -> Option<usize> {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_at_a_glance() {
        let now = 1_800_000_000_000;
        let ago = |seconds: i64| age_at(now - seconds * 1000, now);
        assert_eq!(ago(0), "now");
        assert_eq!(ago(-100), "now", "clocks differ");
        assert_eq!(ago(42), "42 s");
        assert_eq!(ago(59 * 60), "59 min");
        assert_eq!(ago(7_200), "2 h");
        assert_eq!(ago(86_400 * 29), "29 d");
        assert_eq!(ago(86_400 * 365).len(), "2026-01-15".len());
        assert_eq!(age_at(i64::MIN, i64::MAX).len(), 10);
    }

    #[test]
    fn sizes_are_read_at_a_glance() {
        let told = [0, 999, 1_000, 12_345, 123_456, 5_000_000, 1 << 40].map(size);
        assert_eq!(told, ["0 bytes", "999 bytes", "1.0 kB", "12.3 kB", "123 kB", "5.0 MB", "1.0 TB"]);
    }

    #[test]
    fn a_reader_who_has_gone_is_no_error() {
        assert!(quiet(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(quiet(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
