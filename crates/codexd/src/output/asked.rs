//! What Codex asks, for people. Pure: approvals in, text out.
//!
//! Elsewhere whatever a terminal would obey is taken out of a foreign text. Here somebody is to allow exactly what stands
//! there, so that nothing may be missing from it: such characters are written out instead (`\u{1b}`), also those that have
//! no width.

use std::fmt::Write as _;

use types::{Approval, ApprovalKind, ApprovalStatus, ChangeKind, FileChange};

use super::{BOLD, DIM, diff};

/// What it asks, in one line.
pub(crate) fn one_line(approval: &Approval) -> String {
    let changes = &approval.changes;
    let subject = match approval.kind {
        ApprovalKind::Command => approval.command.clone().map(|command| format!("run: {command}")),
        ApprovalKind::FileChange => {
            let files: Vec<String> = changes.iter().map(|change| format!("{} {}", verb(change), change.path)).collect();
            (!files.is_empty()).then(|| files.join(", "))
        }
        ApprovalKind::Permissions => approval.reason.clone().map(|reason| format!("more permissions: {reason}")),
        ApprovalKind::UserInput | ApprovalKind::Elicitation => {
            let questions: Vec<&str> = approval.questions.iter().map(|asked| asked.question.as_str()).collect();
            (!questions.is_empty()).then(|| questions.join(" "))
        }
    };
    let text = subject.or_else(|| approval.reason.clone()).unwrap_or_else(|| what(approval.kind).to_owned());
    visible(&text).replace(['\n', '\t'], " ")
}

/// All that it asks, in at most that many lines of each command and change.
pub(crate) fn whole(approval: &Approval, most: usize) -> String {
    let mut text = format!("{BOLD}Codex asks: {}{BOLD:#}\n", what(approval.kind));
    if let Some(command) = &approval.command {
        for (n, line) in cut(&visible(command), most).enumerate() {
            let mark = if n == 0 { "$" } else { " " };
            let _ = writeln!(text, "  {mark} {line}");
        }
    }
    for change in &approval.changes {
        let _ = writeln!(text, "  {BOLD}{} {}{BOLD:#}", verb(change), flat(&change.path));
        text.push_str(&diff::coloured(cut(&diff::unified(change.kind, &visible(&change.diff)), most)));
    }
    for question in &approval.questions {
        let _ = writeln!(text, "  {}: {}", flat(&question.id), flat(&question.question));
        for option in &question.options {
            let _ = writeln!(text, "    - {}", flat(option));
        }
    }
    if let Some(cwd) = &approval.cwd {
        let _ = writeln!(text, "  {DIM}in {}{DIM:#}", flat(cwd));
    }
    if let Some(reason) = &approval.reason {
        let _ = writeln!(text, "  {DIM}because: {}{DIM:#}", flat(reason));
    }
    text
}

/// What became of it, and by whom.
pub(crate) fn outcome(approval: &Approval) -> String {
    let what = match approval.status {
        ApprovalStatus::Pending => return "it waits for an answer".to_owned(),
        ApprovalStatus::Accepted => "accepted",
        ApprovalStatus::Declined => "declined; the turn goes on",
        ApprovalStatus::Cancelled => "cancelled, with the turn",
        ApprovalStatus::Expired => "nobody answered in time",
    };
    approval.resolved_by.as_ref().map_or_else(|| what.to_owned(), |by| format!("{what} (by {})", flat(by)))
}

/// How what Codex asks is answered from here.
pub(crate) fn how(approval: &Approval) -> String {
    let id = &approval.id;
    if approval.questions.is_empty() {
        return format!("answer with: codexd approvals accept {id} | codexd approvals decline {id}");
    }
    let answers: Vec<String> = approval.questions.iter().map(|question| format!("{}=…", question.id)).collect();
    format!("answer with: codexd approvals answer {id} {} | codexd approvals decline {id}", answers.join(" "))
}

/// What it is about.
pub(crate) const fn what(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::Command => "to run a command",
        ApprovalKind::FileChange => "to change files",
        ApprovalKind::Permissions => "for more permissions",
        ApprovalKind::UserInput => "a question",
        ApprovalKind::Elicitation => "a question of an MCP server",
    }
}

const fn verb(change: &FileChange) -> &'static str {
    match change.kind {
        ChangeKind::Add => "new",
        ChangeKind::Update => "change",
        ChangeKind::Delete => "delete",
        ChangeKind::Move => "move",
    }
}

fn cut(text: &str, most: usize) -> impl Iterator<Item = String> {
    let left = text.lines().count().saturating_sub(most);
    let note = (left > 0).then(|| format!("… and {left} more lines; `codexd approvals show` has them"));
    text.lines().take(most).map(str::to_owned).chain(note)
}

fn flat(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// With everything written out that could not be seen.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            _ if c.is_control() || is_unseen(c) => shown.extend(c.escape_default()),
            _ => shown.push(c),
        }
    }
    shown
}

/// Marks that have no width or turn a line around.
const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn approval(more: Value) -> Approval {
        let mut object = json!({
            "id": "a1", "sessionId": "s1", "turnId": "u1", "kind": "command", "status": "pending",
            "decisions": ["accept", "cancel"], "requestedAt": "2026-01-01T00:00:00.000Z",
            "expiresAt": "2026-01-02T00:00:00.000Z",
        });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn nothing_of_a_command_is_hidden() {
        let command = approval(json!({
            "command": "echo hi\n\u{1b}]0;rm -rf ~\u{7}\rls\u{202e}\u{200b}", "cwd": "/w", "reason": "to see",
        }));
        let shown = r"\u{1b}]0;rm -rf ~\u{7}\rls\u{202e}\u{200b}";
        assert_eq!(one_line(&command), format!("run: echo hi {shown}"));
        let told = plain(&whole(&command, 10));
        assert_eq!(
            told,
            format!("Codex asks: to run a command\n  $ echo hi\n    {shown}\n  in /w\n  because: to see\n")
        );
        let cut = plain(&whole(&approval(json!({ "command": "1\n2\n3" })), 1));
        assert!(cut.contains("$ 1\n") && !cut.contains('3') && cut.contains("2 more lines"), "{cut}");
    }

    #[test]
    fn changes_are_diffs() {
        let changes = json!([
            {"path": "a", "kind": "add", "diff": "one\ntwo\n"},
            {"path": "b", "kind": "update", "diff": "@@ -1 +1 @@\n-x\n+y\n"},
            {"path": "c", "kind": "delete", "diff": "gone\n"},
        ]);
        let change = approval(json!({ "kind": "fileChange", "changes": changes }));
        assert_eq!(one_line(&change), "new a, change b, delete c");
        let text = whole(&change, 10);
        let told = plain(&text);
        assert!(
            told.contains("new a\n  +one\n  +two\n  change b\n  @@ -1 +1 @@\n  -x\n  +y\n  delete c\n  -gone\n"),
            "{told}"
        );
        assert!(
            text.contains(&format!("{}+one", diff::NEW)) && text.contains(&format!("{}-x", diff::GONE)),
            "{text:?}"
        );
    }

    #[test]
    fn questions_have_their_ids_and_options() {
        let questions = json!([{"id": "colour", "question": "Which?", "options": ["red", "blue"]}]);
        let question = approval(json!({ "kind": "userInput", "questions": questions }));
        assert_eq!(one_line(&question), "Which?");
        assert!(plain(&whole(&question, 10)).contains("colour: Which?\n    - red\n    - blue\n"));
        assert_eq!(one_line(&approval(json!({ "kind": "permissions" }))), "for more permissions");
    }

    #[test]
    fn the_outcome_names_who_decided() {
        assert!(outcome(&approval(json!({}))).contains("waits"));
        let accepted = approval(json!({ "status": "accepted", "resolvedBy": "local" }));
        assert_eq!(outcome(&accepted), "accepted (by local)");
    }
}
