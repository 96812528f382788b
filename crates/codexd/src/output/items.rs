//! What happened in a turn, item by item, for people. Pure: items in, text out.

use types::{ChangeKind, Item, ItemBody, ItemStatus, Usage};

/// What stands above an item.
pub(crate) fn head(item: &Item, time: &str) -> String {
    let what = match &item.body {
        ItemBody::UserMessage { .. } => "prompt",
        ItemBody::AgentMessage { .. } => "answer",
        ItemBody::Reasoning { .. } => "thoughts",
        ItemBody::CommandExecution { .. } => "command",
        ItemBody::FileChange { .. } => "change of files",
        ItemBody::Plan { .. } => "plan",
        ItemBody::McpToolCall { .. } => "tool",
        ItemBody::WebSearch { .. } => "search on the web",
        ItemBody::Warning { .. } => "warning",
        ItemBody::Other { .. } => "something else",
    };
    let status = match item.status {
        ItemStatus::Completed => "",
        ItemStatus::InProgress => " · in progress",
        ItemStatus::Failed => " · failed",
        ItemStatus::Declined => " · declined",
        ItemStatus::Incomplete => " · never finished",
    };
    format!("{what}{status} · {time}")
}

/// The item itself.
pub(crate) fn body(item: &Item) -> String {
    match &item.body {
        ItemBody::UserMessage { text, images } => {
            images.iter().fold(text.clone(), |text, image| format!("{text}\n[picture] {}", short(image)))
        }
        ItemBody::AgentMessage { text } => text.clone(),
        ItemBody::Reasoning { summary } => summary.clone(),
        ItemBody::CommandExecution { command, cwd, output, output_truncated, exit_code, duration_ms } => {
            let mut text = format!("$ {command}\n(in {cwd}");
            text.push_str(&exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default());
            text.push_str(&duration_ms.map(|ms| format!(", {ms} ms")).unwrap_or_default());
            text.push(')');
            if let Some(output) = output {
                text.push('\n');
                text.push_str(output.trim_end_matches('\n'));
            }
            if *output_truncated == Some(true) {
                text.push_str("\n[Codex cut the output]");
            }
            text
        }
        ItemBody::FileChange { changes } => {
            let change = |change: &types::FileChange| {
                let kind = match change.kind {
                    ChangeKind::Add => "new",
                    ChangeKind::Update => "changed",
                    ChangeKind::Delete => "deleted",
                    ChangeKind::Move => "moved",
                };
                format!("{kind} {}\n{}", change.path, change.diff.trim_end_matches('\n'))
            };
            changes.iter().map(change).collect::<Vec<_>>().join("\n")
        }
        ItemBody::Plan { steps } => {
            steps.iter().map(|step| format!("[{}] {}", step.status, step.step)).collect::<Vec<_>>().join("\n")
        }
        ItemBody::McpToolCall { server, tool, arguments, result } => {
            let result = result.as_ref().map(|result| format!("\n{result}")).unwrap_or_default();
            format!("{server}.{tool} {arguments}{result}")
        }
        ItemBody::WebSearch { query } => query.clone(),
        ItemBody::Warning { message } => message.clone(),
        ItemBody::Other { raw } => raw.to_string(),
    }
}

/// Tokens in one line.
pub(crate) fn tokens(usage: &Usage) -> String {
    let Usage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens } = usage;
    let thoughts = if *reasoning_tokens == 0 { String::new() } else { format!(" ({reasoning_tokens} thoughts)") };
    format!("{input_tokens} in ({cached_input_tokens} cached), {output_tokens} out{thoughts}")
}

/// A data address can be longer than everything else together.
fn short(image: &str) -> String {
    super::cut(image, 120)
}

#[cfg(test)]
mod tests {
    use types::{FileChange, ItemId, PlanStep, Timestamp};

    use super::*;

    fn item(status: ItemStatus, body: ItemBody) -> Item {
        Item { id: ItemId::parse("i1").unwrap(), status, at: Timestamp::from_millis(0), body }
    }

    #[test]
    fn a_command_tells_what_came_of_it() {
        let command = item(
            ItemStatus::Failed,
            ItemBody::CommandExecution {
                command: "make".into(),
                cwd: "/w".into(),
                output: Some("no rule\n".into()),
                output_truncated: Some(true),
                exit_code: Some(2),
                duration_ms: Some(12),
            },
        );
        assert_eq!(head(&command, "now"), "command · failed · now");
        assert_eq!(body(&command), "$ make\n(in /w, exit code 2, 12 ms)\nno rule\n[Codex cut the output]");
    }

    #[test]
    fn thoughts_are_told_when_there_are_some() {
        let usage =
            |reasoning_tokens| Usage { input_tokens: 5, cached_input_tokens: 1, output_tokens: 2, reasoning_tokens };
        assert_eq!(tokens(&usage(0)), "5 in (1 cached), 2 out");
        assert_eq!(tokens(&usage(3)), "5 in (1 cached), 2 out (3 thoughts)");
    }

    #[test]
    fn changes_plans_and_pictures_are_told() {
        let change = FileChange { path: "a.rs".into(), kind: ChangeKind::Add, diff: "+x\n".into() };
        assert_eq!(body(&item(ItemStatus::Completed, ItemBody::FileChange { changes: vec![change] })), "new a.rs\n+x");
        let steps = vec![PlanStep { step: "look".into(), status: "completed".into() }];
        assert_eq!(body(&item(ItemStatus::Completed, ItemBody::Plan { steps })), "[completed] look");
        let images = vec![format!("data:{}", "x".repeat(500))];
        let prompt = body(&item(ItemStatus::Completed, ItemBody::UserMessage { text: "see".into(), images }));
        assert!(prompt.starts_with("see\n[picture] data:xxx") && prompt.chars().count() < 150, "{prompt}");
    }
}
