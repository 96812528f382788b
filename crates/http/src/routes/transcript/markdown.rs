//! A transcript for people, in Markdown.
//!
//! What people and models wrote is data: it must not end up as structure of ours, nor hide what comes after it. So a text
//! that is meant to be seen as it is stands in a fence that is longer than any in it; a text that is Markdown itself stands in
//! a quote, which ends whatever it opened; a word within a line stands in enough backticks. Control characters are shown as
//! pictures, so that a terminal does not act on them.

use std::fmt::Write as _;

use types::{
    ChangeKind, FileChange, Item, ItemBody, ItemStatus, PlanStep, ResumedHow, Session, Timestamp, Turn, TurnKind,
    TurnStatus,
};

/// The most characters of a word within a line: the address of an image may hold the image.
const WORD: usize = 200;

/// What comes before the turns.
pub(super) fn head(session: &Session) -> String {
    let title = if session.title.is_empty() { "Session" } else { &session.title };
    let mut text = format!("# {}\n\n", escaped(title));
    let mut line = |name: &str, value: &str| line(&mut text, name, value);
    line("Session", session.id.as_str());
    line("Folder", &session.cwd.to_string_lossy());
    if let Some(model) = &session.model {
        line("Model", model);
    }
    line("Sandbox", session.sandbox.as_str());
    line("Approval policy", session.approval_policy.as_str());
    line("Created", &session.created_at.to_string());
    for (key, value) in &session.labels {
        line("Label", &format!("{key}: {value}"));
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    push(text, format_args!("- {name}: {}\n", word(value)));
}

/// A turn, which is the `number`th, and how its thread came back for it.
pub(super) fn turn(number: usize, turn: &Turn, returns: &[(ResumedHow, Timestamp)]) -> String {
    let mut text = format!("\n## Turn {number}: {}\n\n", turn.status.as_str());
    push(
        &mut text,
        format_args!("- Turn: {}\n- At: {}, by {}\n", word(turn.id.as_str()), turn.created_at, word(&turn.principal)),
    );
    if let Some(old) = &turn.retry_of {
        line(&mut text, "Sends again the prompt of", old.as_str());
    }
    for (how, at) in returns {
        let told = match how {
            ResumedHow::Loaded => continue,
            ResumedHow::Resumed => "**Resumed.** Codex read the conversation back from its own record",
            ResumedHow::Forked => "**Forked.** A copy of the conversation went on",
            ResumedHow::Replayed => {
                "**Replayed.** Codex had no record of the conversation, so a new one was given the saved messages"
            }
        };
        push(&mut text, format_args!("\n{told} ({at}).\n"));
    }
    if turn.kind == TurnKind::Compact {
        text.push_str("\nThe conversation was shortened.\n");
    }
    // The prompt is the first item; a turn of which nothing is known yet has none.
    if !turn.items.iter().any(|item| matches!(item.body, ItemBody::UserMessage { .. })) && !turn.prompt.is_empty() {
        labelled(&mut text, "Prompt", ItemStatus::Completed);
        fence(&mut text, "text", &turn.prompt);
    }
    for one in &turn.items {
        item(&mut text, one);
    }
    end(&mut text, turn);
    text
}

fn end(text: &mut String, turn: &Turn) {
    let how = match turn.status {
        TurnStatus::Failed => "The turn failed",
        TurnStatus::Interrupted => "The turn was interrupted",
        TurnStatus::Queued => "The turn waits",
        TurnStatus::Running => "The turn is running",
        TurnStatus::Completed => "",
    };
    match &turn.error {
        Some(error) => {
            let code = serde_json::to_value(error.code).ok().and_then(|code| code.as_str().map(str::to_owned));
            push(text, format_args!("\n**{how} ({})**\n", code.as_deref().unwrap_or("OTHER")));
            quote(text, &error.message);
        }
        None if how.is_empty() => {}
        None => push(text, format_args!("\n**{how}.**\n")),
    }
    if !turn.declined.is_empty() {
        push(text, format_args!("\n**Not allowed:** {} of what Codex asked for.\n", turn.declined.len()));
    }
}

fn item(text: &mut String, item: &Item) {
    match &item.body {
        ItemBody::UserMessage { text: said, images } => {
            labelled(text, "Prompt", item.status);
            fence(text, "text", said);
            if !images.is_empty() {
                text.push('\n');
            }
            for image in images {
                line(text, "Image", image);
            }
        }
        ItemBody::AgentMessage { text: said } => {
            labelled(text, "Answer", item.status);
            quote(text, said);
        }
        ItemBody::Reasoning { summary } => {
            labelled(text, "Thoughts", item.status);
            quote(text, summary);
        }
        ItemBody::CommandExecution { command, cwd, output, output_truncated, exit_code, .. } => {
            labelled(text, "Command", item.status);
            fence(text, "sh", command);
            push(text, format_args!("\n- In: {}\n", word(cwd)));
            if let Some(code) = exit_code {
                push(text, format_args!("- Exit code: {code}\n"));
            }
            if let Some(output) = output.as_deref().filter(|output| !output.is_empty()) {
                fence(text, "text", output);
            }
            if *output_truncated == Some(true) {
                text.push_str("\nCodex cut the output.\n");
            }
        }
        ItemBody::FileChange { changes } => {
            labelled(text, "Files", item.status);
            changes.iter().for_each(|change| file(text, change));
        }
        ItemBody::Plan { steps } => {
            labelled(text, "Plan", item.status);
            text.push('\n');
            for PlanStep { step, status } in steps {
                push(text, format_args!("- {}: {}\n", escaped(status), escaped(step)));
            }
        }
        ItemBody::McpToolCall { server, tool, arguments, result } => {
            labelled(text, "Tool", item.status);
            push(text, format_args!("\n{} of {}\n", word(tool), word(server)));
            fence(text, "json", &format!("{arguments:#}"));
            if let Some(result) = result {
                fence(text, "json", &format!("{result:#}"));
            }
        }
        ItemBody::WebSearch { query } => {
            labelled(text, "Search on the web", item.status);
            push(text, format_args!("\n{}\n", word(query)));
        }
        ItemBody::Warning { message } => {
            labelled(text, "Warning", item.status);
            quote(text, message);
        }
        ItemBody::Other { raw } => {
            labelled(text, "Something else", item.status);
            fence(text, "json", &format!("{raw:#}"));
        }
    }
}

fn file(text: &mut String, change: &FileChange) {
    let how = match change.kind {
        ChangeKind::Add => "New",
        ChangeKind::Update => "Changed",
        ChangeKind::Delete => "Gone",
        ChangeKind::Move => "Moved",
    };
    push(text, format_args!("\n{how}: {}\n", word(&change.path)));
    if !change.diff.is_empty() {
        fence(text, "diff", &change.diff);
    }
}

fn labelled(text: &mut String, label: &str, status: ItemStatus) {
    let status = match status {
        ItemStatus::Completed => "",
        ItemStatus::InProgress => " (under way)",
        ItemStatus::Failed => " (failed)",
        ItemStatus::Declined => " (declined)",
        ItemStatus::Incomplete => " (never finished)",
    };
    push(text, format_args!("\n### {label}{status}\n"));
}

/// The text as it is, in a fence that is longer than what is in it.
fn fence(text: &mut String, language: &str, content: &str) {
    let fence = "`".repeat((longest_run(content) + 1).max(3));
    let content = plain(content);
    push(text, format_args!("\n{fence}{language}\n{}\n{fence}\n", content.trim_end_matches('\n')));
}

/// The text as Markdown of its own, in a quote.
fn quote(text: &mut String, content: &str) {
    text.push('\n');
    for line in plain(content).trim_end_matches('\n').split('\n') {
        push(text, format_args!("> {line}\n"));
    }
}

/// A short text as it is, within a line.
fn word(content: &str) -> String {
    let mut folded: String = plain(content).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = folded.char_indices().nth(WORD) {
        folded.truncate(cut);
        folded.push('…');
    }
    if folded.is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&folded) + 1);
    // A space on both sides is taken away again; it keeps the ticks apart from those of the text.
    let space = if folded.starts_with('`') || folded.ends_with('`') { " " } else { "" };
    format!("{ticks}{space}{folded}{space}{ticks}")
}

/// A text on one line in which no character means anything.
fn escaped(content: &str) -> String {
    let mut text = String::new();
    for c in plain(content).split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if c.is_ascii_punctuation() {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn longest_run(content: &str) -> usize {
    content.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// One kind of line ends, and pictures of other control characters.
fn plain(content: &str) -> String {
    let lines = content.replace("\r\n", "\n");
    lines
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\r' => '\n',
            '\u{7f}' => '\u{2421}',
            c if c < ' ' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn push(text: &mut String, parts: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = text.write_fmt(parts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_longer_than_what_is_in_it() {
        for (content, ticks) in [("", 3), ("a `b`", 3), ("```sh\nls\n```", 4), ("``````` x ``", 8)] {
            let mut text = String::new();
            fence(&mut text, "text", content);
            let fence = "`".repeat(ticks);
            assert_eq!(text, format!("\n{fence}text\n{content}\n{fence}\n"), "{content:?}");
        }
    }

    #[test]
    fn each_line_of_a_quote_is_in_it() {
        let mut text = String::new();
        quote(&mut text, "```\nopen\r\n# not ours\r\rend\n\n");
        assert_eq!(text, "\n> ```\n> open\n> # not ours\n> \n> end\n");
    }

    #[test]
    fn words_and_titles_mean_nothing() {
        assert_eq!(word("a b"), "`a b`");
        assert_eq!(word("a\n# b"), "`a # b`");
        assert_eq!(word("``x`"), "``` ``x` ```");
        assert_eq!(word(" \n"), "(empty)");
        assert_eq!(word(&"x".repeat(500)).chars().count(), WORD + 3);
        assert_eq!(escaped("# [a](b) <c>\n`d`"), "\\# \\[a\\]\\(b\\) \\<c\\> \\`d\\`");
    }

    #[test]
    fn a_terminal_does_not_act_on_it() {
        assert_eq!(plain("a\u{1b}[31m\u{7}b\u{9b}\u{0}\t\n"), "a␛[31m␇b\u{fffd}␀\t\n");
    }
}
