//! What happens in a turn, briefly, for who watches. Pure: items in, text out.

use std::fmt::Write as _;

use anstyle::Style;
use types::{ChangeKind, FileChange, Item, ItemBody, ItemStatus, PlanStep};

use super::{BAD, BOLD, DIM, GOOD, REMARK, clean, clean_line, cut, diff, width::cut_front};

/// The last lines of a command's output that are shown when it failed.
const OUTPUT: usize = 10;

/// The lines of one change that are shown.
const DIFF: usize = 60;

/// The files of one change of which something is shown.
const FILES: usize = 20;

/// The columns of a line where nobody looks at a terminal.
const LINE: usize = 200;

/// How much may be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// The columns of the terminal; nothing when it is none: then it is told in few lines.
    pub(crate) columns: Option<usize>,
}

impl Room {
    /// One line that fits.
    fn line(self, before: usize, text: &str) -> String {
        let most = self.columns.map_or(LINE, |columns| columns.saturating_sub(before).max(10));
        cut(&clean_line(text.trim()), most)
    }

    /// A path that fits; its end tells more than its beginning.
    fn path(self, around: usize, path: &str) -> String {
        let path = clean_line(path);
        self.columns.map_or_else(|| path.clone(), |columns| cut_front(&path, columns.saturating_sub(around).max(10)))
    }
}

/// What stands there when an item begins.
pub(crate) fn begun(item: &Item, room: Room) -> Option<String> {
    match &item.body {
        ItemBody::CommandExecution { command, .. } => Some(format!("{DIM}${DIM:#} {}\n", room.line(2, bare(command)))),
        ItemBody::McpToolCall { server, tool, .. } => {
            Some(format!("{DIM}tool{DIM:#} {}\n", room.line(5, &format!("{server}.{tool}"))))
        }
        _ => None,
    }
}

/// A command without the shell that runs it, where nothing else is lost by that.
fn bare(command: &str) -> &str {
    let inner = || {
        let (shell, rest) = command.split_once(' ')?;
        let (flag, rest) = rest.split_once(' ')?;
        let is_shell = matches!(shell.rsplit('/').next()?, "bash" | "sh" | "zsh") && matches!(flag, "-lc" | "-c");
        let quote = rest.chars().next().filter(|c| is_shell && matches!(c, '\'' | '"'))?;
        let inner = rest.strip_prefix(quote)?.strip_suffix(quote)?;
        let hidden: &[char] = if quote == '"' { &['"', '\\', '$', '`'] } else { &['\''] };
        (!inner.trim().is_empty() && !inner.contains(hidden)).then_some(inner)
    };
    inner().unwrap_or(command)
}

/// What is added when it has ended. `asked`: the changes that stand there already, in a question.
pub(crate) fn ended(item: &Item, room: Room, asked: &[FileChange]) -> Option<String> {
    match &item.body {
        ItemBody::CommandExecution { output, exit_code, duration_ms, .. } => {
            Some(command(item.status, output.as_deref(), *exit_code, *duration_ms, room))
        }
        ItemBody::FileChange { changes } => Some(changed(item.status, changes, room, changes == asked)),
        ItemBody::Plan { steps } => Some(plan(steps, room)),
        ItemBody::McpToolCall { result, .. } => {
            let how = how(item.status)?;
            let result = result.as_ref().map(|result| format!(": {result}")).unwrap_or_default();
            Some(format!("  {BAD}{}{BAD:#}\n", room.line(2, &format!("{how}{result}"))))
        }
        ItemBody::WebSearch { query } => Some(format!("{DIM}search{DIM:#} {}\n", room.line(7, query))),
        ItemBody::Warning { message } => Some(format!("{REMARK}warning:{REMARK:#} {}\n", clean_line(message))),
        ItemBody::UserMessage { .. }
        | ItemBody::AgentMessage { .. }
        | ItemBody::Reasoning { .. }
        | ItemBody::Other { .. } => None,
    }
}

/// What became of an item that is not as it should be.
const fn how(status: ItemStatus) -> Option<&'static str> {
    match status {
        ItemStatus::Completed | ItemStatus::InProgress => None,
        ItemStatus::Failed => Some("failed"),
        ItemStatus::Declined => Some("declined"),
        ItemStatus::Incomplete => Some("never finished"),
    }
}

fn command(status: ItemStatus, output: Option<&str>, code: Option<i64>, ms: Option<i64>, room: Room) -> String {
    let failed = how(status).is_some() || code.is_some_and(|code| code != 0);
    let mut words: Vec<String> = Vec::new();
    // A code says that it failed.
    words.extend(how(status).filter(|_| code.is_none()).map(str::to_owned));
    words.extend(code.map(|code| format!("exit code {code}")));
    words.extend(ms.filter(|ms| code.is_some() && *ms >= 100).map(took));
    if words.is_empty() {
        words.push("done".to_owned());
    }
    let style = if failed { BAD } else { DIM };
    let mut text = format!("  {style}{}{style:#}\n", words.join(", "));
    if let Some(output) = output.filter(|_| failed) {
        let output = clean(output);
        let lines: Vec<&str> = output.trim_end().lines().collect();
        let left = lines.len().saturating_sub(OUTPUT);
        if left > 0 {
            let _ = writeln!(text, "  {DIM}… {}{DIM:#}", super::count(left as u64, "line"));
        }
        for line in &lines[left..] {
            let _ = writeln!(text, "  {}", room.line(2, &line.replace('\t', "  ")));
        }
    }
    text
}

fn took(ms: i64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

fn changed(status: ItemStatus, changes: &[FileChange], room: Room, asked: bool) -> String {
    let mut text = String::new();
    for change in changes.iter().take(FILES) {
        let unified = diff::unified(change.kind, &clean(&change.diff));
        let (new, gone) = diff::counted(&unified);
        let what = match (how(status), change.kind) {
            (Some(how), _) => how,
            (None, ChangeKind::Add) => "new",
            (None, ChangeKind::Update) => "changed",
            (None, ChangeKind::Delete) => "deleted",
            (None, ChangeKind::Move) => "moved",
        };
        let path = room.path(what.len() + new.to_string().len() + gone.to_string().len() + 5, &change.path);
        let _ =
            writeln!(text, "{BOLD}{what} {path}{BOLD:#} {GOOD}+{new}{GOOD:#} {}-{gone}{:#}", diff::GONE, diff::GONE);
        if asked || room.columns.is_none() || matches!(status, ItemStatus::Declined | ItemStatus::Failed) {
            continue;
        }
        let left = unified.lines().count().saturating_sub(DIFF);
        let lines = unified.lines().take(DIFF).map(|line| line.replace('\t', "    "));
        text.push_str(&diff::coloured(lines));
        if left > 0 {
            let _ = writeln!(text, "  {DIM}… and {}{DIM:#}", super::count(left as u64, "more line"));
        }
    }
    let left = changes.len().saturating_sub(FILES);
    if left > 0 {
        let _ = writeln!(text, "{DIM}… and {}{DIM:#}", super::count(left as u64, "more file"));
    }
    text
}

fn plan(steps: &[PlanStep], room: Room) -> String {
    let mut text = format!("{BOLD}plan{BOLD:#}\n");
    for PlanStep { step, status } in steps {
        // The words are Codex's: `pending`, `inProgress`, `in_progress`, `completed`.
        let (mark, style) = match status.as_str() {
            "completed" => ("✓", DIM),
            "inProgress" | "in_progress" => ("▸", BOLD),
            _ => ("·", Style::new()),
        };
        let _ = writeln!(text, "  {style}{mark} {}{style:#}", room.line(4, step));
    }
    text
}

#[cfg(test)]
mod tests {
    use types::{ItemId, Timestamp};

    use super::*;

    const WIDE: Room = Room { columns: Some(80) };
    const NARROW: Room = Room { columns: Some(40) };
    const NONE: Room = Room { columns: None };

    fn item(status: ItemStatus, body: ItemBody) -> Item {
        Item { id: ItemId::parse("i1").unwrap(), status, at: Timestamp::from_millis(0), body }
    }

    fn ran(status: ItemStatus, output: &str, exit_code: Option<i64>) -> Item {
        let command = "printf '\x1b[2J' && 日本語の長いコマンド --with many arguments that go on and on".to_owned();
        let (output, cwd) = (Some(output.to_owned()), "/w".to_owned());
        let body = ItemBody::CommandExecution {
            command,
            cwd,
            output,
            output_truncated: None,
            exit_code,
            duration_ms: Some(1250),
        };
        item(status, body)
    }

    fn plain(text: Option<String>) -> String {
        anstream::adapter::strip_str(&text.unwrap()).to_string()
    }

    #[test]
    fn a_command_that_failed_shows_its_last_lines() {
        let output: String = (0..40).map(|n| format!("line {n}\x1b[2J {}\n", "long ".repeat(30))).collect();
        let failed = ran(ItemStatus::Failed, &output, Some(2));
        let told = plain(ended(&failed, NARROW, &[]));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[1]), (12, "  exit code 2, 1.2 s", "  … 30 lines"));
        assert!(lines[2].starts_with("  line 30 long") && lines[11].starts_with("  line 39"), "{told}");
        for line in told.lines().chain(plain(begun(&failed, NARROW)).lines()) {
            assert!(super::super::width::width(line) <= 40 && !line.contains('\x1b'), "{line:?}");
        }
        assert_eq!(plain(ended(&ran(ItemStatus::Completed, "fine", Some(0)), WIDE, &[])), "  exit code 0, 1.2 s\n");
        assert_eq!(plain(ended(&ran(ItemStatus::Declined, "", None), WIDE, &[])), "  declined\n");
        let cut = plain(ended(&ran(ItemStatus::Incomplete, "", None), NONE, &[]));
        assert_eq!(cut, "  never finished\n");
    }

    #[test]
    fn the_shell_around_a_command_is_left_out_where_nothing_else_is() {
        for (command, shown) in [
            ("/bin/bash -lc 'echo \"hi\" && ls'", "echo \"hi\" && ls"),
            ("bash -c \"ls -l\"", "ls -l"),
            ("zsh -lc \"echo \\\"x\\\"\"", "zsh -lc \"echo \\\"x\\\"\""),
            ("/bin/bash -lc 'a'\"'\"'b'", "/bin/bash -lc 'a'\"'\"'b'"),
            ("bash -lc ls", "bash -lc ls"),
            ("/bin/rm -c 'x'", "/bin/rm -c 'x'"),
            ("bash -lc ''", "bash -lc ''"),
        ] {
            assert_eq!(bare(command), shown);
        }
    }

    #[test]
    fn changes_are_a_diff_of_bounded_length_where_somebody_looks() {
        let change = |kind, path: &str, diff: String| FileChange { path: path.to_owned(), kind, diff };
        let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let changes = vec![
            change(ChangeKind::Update, "a\x1b[2J.rs", "@@ -1 +1 @@\n-x\n+\ty\x1b[31m\n".to_owned()),
            change(ChangeKind::Add, "b", long),
        ];
        let item = |status| item(status, ItemBody::FileChange { changes: changes.clone() });
        let styled = ended(&item(ItemStatus::Completed), WIDE, &[]).unwrap();
        assert!(styled.contains(&format!("{}+    y", diff::NEW)) && !styled.contains("[2J"), "{styled:?}");
        let told = plain(Some(styled));
        assert!(
            told.starts_with("changed a.rs +1 -1\n  @@ -1 +1 @@\n  -x\n  +    y\nnew b +100 -0\n  +line 0\n"),
            "{told}"
        );
        assert!(told.ends_with("  +line 59\n  … and 40 more lines\n"), "{told}");
        let heads = "changed a.rs +1 -1\nnew b +100 -0\n";
        assert_eq!(plain(ended(&item(ItemStatus::Completed), WIDE, &changes)), heads, "it stands there already");
        assert_eq!(plain(ended(&item(ItemStatus::Completed), NONE, &[])), heads, "a log has it in brief");
        let declined = plain(ended(&item(ItemStatus::Declined), WIDE, &[]));
        assert_eq!(declined, "declined a.rs +1 -1\ndeclined b +100 -0\n");
    }

    #[test]
    fn plans_searches_and_warnings_are_told() {
        let steps = [("look", "completed"), ("mend", "inProgress"), ("test", "pending")];
        let steps = steps.map(|(step, status)| PlanStep { step: step.into(), status: status.into() }).to_vec();
        let told = plain(ended(&item(ItemStatus::Completed, ItemBody::Plan { steps }), WIDE, &[]));
        assert_eq!(told, "plan\n  ✓ look\n  ▸ mend\n  · test\n");
        let warning = item(ItemStatus::Completed, ItemBody::Warning { message: "mind\nthat".into() });
        assert_eq!(plain(ended(&warning, WIDE, &[])), "warning: mind that\n");
        let search = item(ItemStatus::Completed, ItemBody::WebSearch { query: "what".into() });
        assert_eq!(plain(ended(&search, WIDE, &[])), "search what\n");
        let call = |status| {
            let (server, tool, result) = ("git".into(), "log".into(), Some(serde_json::json!({"error": "no"})));
            item(status, ItemBody::McpToolCall { server, tool, arguments: serde_json::Value::Null, result })
        };
        assert_eq!(plain(begun(&call(ItemStatus::InProgress), WIDE)), "tool git.log\n");
        assert_eq!(ended(&call(ItemStatus::Completed), WIDE, &[]), None);
        assert_eq!(plain(ended(&call(ItemStatus::Failed), WIDE, &[])), "  failed: {\"error\":\"no\"}\n");
    }
}
