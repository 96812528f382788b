//! What a request of Codex says: who spoke, which tool calls are done, which shell tool there is.
//!
//! Only what the script needs is looked at, by hand, in the JSON value: Codex's request has dozens of fields that change weekly.

use serde_json::{Value, json};

use crate::answers::{Given, Said, shorten};
use crate::script::{Answer, Script, Step};

/// The beginnings of messages that Codex (0.98.0 to 0.169.0) writes in the user's name.
const WRITTEN_BY_CODEX: [&str; 17] = [
    "<environment_context>",
    "# AGENTS.md instructions",
    "<INSTRUCTIONS>",
    "<user_instructions>",
    "<permissions instructions>",
    "<turn_aborted>",
    "<skill>",
    "<skills_instructions>",
    "<subagent_notification>",
    "<user_shell_command>",
    // Around an image, and in the place of one that it can't read.
    "<image name=",
    "<image>",
    "</image>",
    "image content omitted",
    "Codex could not read the local image",
    "Codex cannot attach image",
    // 0.98.0, when a patch comes by the shell.
    "Warning: apply_patch was requested via",
];

/// How Codex begins its request for a summary of the conversation.
const COMPACTION: &str = "You are performing a CONTEXT CHECKPOINT COMPACTION";

/// How Codex begins the message that holds such a summary from then on; the summary itself is in the lines after the first.
const SUMMARY: &str = "Another language model started to solve this problem";

/// A request, read.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// What was said before the prompt.
    pub(crate) earlier: Vec<Said>,
    /// The last message of the user.
    pub(crate) prompt: String,
    /// The images in that message.
    images: Vec<String>,
    /// The outputs of the tools that were called since the prompt.
    pub(crate) outputs: Vec<String>,
}

impl Conversation {
    pub(crate) fn read(request: &Value) -> Self {
        let mut said: Vec<Said> = Vec::new();
        let mut outputs = Vec::new();
        let mut images = Vec::new();
        let items = request["input"].as_array().map_or(&[][..], Vec::as_slice);
        for item in items {
            match item["type"].as_str() {
                Some("function_call_output" | "custom_tool_call_output") => {
                    outputs.push(output_text(&item["output"]));
                }
                // Items without a type are messages.
                Some("message") | None => {
                    let role = match item["role"].as_str() {
                        Some("user") => "user",
                        Some("assistant") => "assistant",
                        _ => continue,
                    };
                    let Some(text) = message_text(&item["content"], role) else {
                        continue;
                    };
                    if role == "user" {
                        outputs.clear();
                        images = image_urls(&item["content"]);
                    }
                    said.push(match text.split_once('\n') {
                        Some((head, summary)) if role == "user" && head.starts_with(SUMMARY) => {
                            Said { role: "summary", text: summary.to_owned() }
                        }
                        _ => Said { role, text },
                    });
                }
                Some(_) => {}
            }
        }
        let last = said.iter().rposition(|said| said.role != "assistant");
        // What the assistant said after the prompt, beside its tool calls, is neither earlier nor the prompt.
        said.truncate(last.map_or(0, |at| at + 1));
        let prompt = said.pop().map(|said| said.text).unwrap_or_default();
        Self { earlier: said, prompt, images, outputs }
    }

    /// Whether Codex asks for a summary, to go on with that instead of the conversation.
    pub(crate) fn is_compaction(&self) -> bool {
        self.prompt.starts_with(COMPACTION)
    }

    /// What the request is to be answered with.
    pub(crate) fn script(&self) -> Script {
        if !self.is_compaction() {
            return Script::parse(&self.prompt);
        }
        let of_user = self.earlier.iter().rev().filter(|said| said.role == "user");
        let told = of_user.filter_map(|said| Script::parse(&said.text).compaction).next();
        let summary = || Answer::Say(format!("summary of {} messages", self.earlier.len()));
        Script { answer: Some(told.unwrap_or_else(summary)), ..Script::default() }
    }

    /// What the turn was given beside its prompt.
    pub(crate) fn given(&self, request: &Value) -> Given {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let schema = &request["text"]["format"]["schema"];
        Given {
            config: None,
            model: text(&request["model"]),
            effort: text(&request["reasoning"]["effort"]),
            schema: (!schema.is_null()).then(|| schema.clone()),
            images: self.images.clone(),
        }
    }
}

/// The texts of a message's parts, or nothing when none of them is the speaker's own.
fn message_text(content: &Value, role: &str) -> Option<String> {
    if let Some(text) = content.as_str() {
        return Some(text.to_owned());
    }
    let own: Vec<&str> = content
        .as_array()?
        .iter()
        .filter_map(|part| part["text"].as_str())
        .filter(|text| role != "user" || !is_written_by_codex(text))
        .collect();
    let has_image = role == "user" && !image_urls(content).is_empty();
    (has_image || !own.is_empty()).then(|| own.join("\n"))
}

fn image_urls(content: &Value) -> Vec<String> {
    let parts = content.as_array().map_or(&[][..], Vec::as_slice);
    parts.iter().filter_map(|part| part["image_url"].as_str()).map(str::to_owned).collect()
}

fn is_written_by_codex(text: &str) -> bool {
    let text = text.trim_start();
    WRITTEN_BY_CODEX.iter().any(|begin| text.starts_with(begin))
}

fn output_text(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        other => other["content"].as_str().map_or_else(|| other.to_string(), str::to_owned),
    }
}

/// What the answer says about a tool call that is done.
///
/// Codex puts a header before the output (`Chunk ID`, `Wall time`, `Process exited with code N`, `Output:`), of which only the exit code is
/// worth telling; the rest differs from run to run.
pub(crate) fn report(step: &Step, output: &str) -> String {
    let body = output.split_once("Output:\n").map_or(output, |(_, body)| body);
    let exit = ["exited with code ", "Exit code: "].iter().find_map(|mark| {
        let (_, rest) = output.split_once(mark)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<i32>().ok()
    });
    match step {
        Step::Run { .. } => {
            let shown = shorten(body.trim_end(), 4096);
            match exit {
                Some(code) if code != 0 => format!("ran (exit {code}): {shown}"),
                _ => format!("ran: {shown}"),
            }
        }
        Step::Patch { .. } if output.contains("Success. Updated") => "patched".to_owned(),
        Step::Patch { .. } => format!("patch failed: {}", shorten(body.trim_end(), 4096)),
    }
}

/// Name and arguments of the tool call for a step, fitted to the tools that the request offers; nothing when it offers no shell.
pub(crate) fn tool_call(request: &Value, step: &Step) -> Option<(String, Value)> {
    let tools = request["tools"].as_array()?;
    let (name, tool) = ["exec_command", "shell_command", "shell"].iter().find_map(|name| {
        let tool = tools.iter().find(|tool| tool["name"] == *name)?;
        Some((*name, tool))
    })?;
    let (command, escalate) = match step {
        Step::Run { command, escalate } => (command.clone(), *escalate),
        // Codex takes this heredoc out of the command and applies it as a file change of its own.
        Step::Patch { file, text } => {
            (format!("apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {file}\n+{text}\n*** End Patch\nEOF"), false)
        }
    };
    let mut arguments = match name {
        "exec_command" => json!({ "cmd": command }),
        "shell_command" => json!({ "command": command }),
        _ => json!({ "command": ["bash", "-lc", command] }),
    };
    if escalate {
        let properties = &tool["parameters"]["properties"];
        if properties["with_escalated_permissions"].is_object() {
            arguments["with_escalated_permissions"] = json!(true);
        } else {
            arguments["sandbox_permissions"] = json!("require_escalated");
        }
        arguments["justification"] = json!("the fake model wants it");
    }
    Some((name.to_owned(), arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(parts: &[&str]) -> Value {
        let parts: Vec<Value> = parts.iter().map(|text| json!({"type": "input_text", "text": text})).collect();
        json!({"type": "message", "role": "user", "content": parts})
    }

    #[test]
    fn codex_own_messages_are_nobodys() {
        let request = json!({"input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be good"}]},
            user(&["# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>", "<environment_context>\n</environment_context>"]),
            user(&["one"]),
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "echo: one"}]},
            user(&["<turn_aborted>\nbecause"]),
            user(&["two", "lines"]),
        ]});
        let conversation = Conversation::read(&request);
        assert_eq!(conversation.prompt, "two\nlines");
        assert_eq!(crate::answers::recall(&conversation.earlier), "user: one\nassistant: echo: one\ncount: 2");
    }

    #[test]
    fn images_are_told_and_what_stands_around_them_is_nobodys() {
        let image = |url: &str| json!({"type": "input_image", "image_url": url});
        let text = |text: &str| json!({"type": "input_text", "text": text});
        let request = json!({"model": "m", "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "codex_output_schema", "schema": {"type": "object"}}},
        "input": [
            {"role": "user", "content": [image("data:old")]},
            {"role": "user", "content": [text("look"), text("<image name=[Image #1] path=\"/x\">"), image("data:new"),
                text("</image>"), text("closely")]},
        ]});
        let conversation = Conversation::read(&request);
        assert_eq!(conversation.prompt, "look\nclosely");
        assert_eq!(conversation.earlier, [Said { role: "user", text: String::new() }]);
        assert_eq!(
            crate::answers::options(&conversation.given(&request)),
            r#"{"effort":"high","images":["data:new"],"model":"m","schema":{"type":"object"}}"#
        );
    }

    #[test]
    fn a_summary_is_nobodys_and_a_compaction_can_be_scripted() {
        let summary = "Another language model started to solve this problem and so on:\nsummary of 3 messages";
        let mut input = vec![user(&["one"]), user(&[summary]), user(&["RECALL"])];
        let conversation = Conversation::read(&json!({"input": input}));
        assert_eq!(
            crate::answers::recall(&conversation.earlier),
            "user: one\nsummary: summary of 3 messages\ncount: 2"
        );
        let asked = "You are performing a CONTEXT CHECKPOINT COMPACTION. Create a handoff summary";
        input.push(user(&[asked]));
        let script = Conversation::read(&json!({"input": input})).script();
        assert_eq!(script.answer, Some(Answer::Say("summary of 3 messages".into())));
        for (line, answer) in
            [("COMPACT:FAIL:500", Answer::Fail(500)), ("COMPACT:SAY:short", Answer::Say("short".into()))]
        {
            input.insert(input.len() - 1, user(&[line]));
            let script = Conversation::read(&json!({"input": input})).script();
            assert_eq!(script.answer, Some(answer));
        }
    }

    #[test]
    fn outputs_are_those_since_the_prompt() {
        let request = json!({"input": [
            user(&["RUN:a"]),
            {"type": "function_call_output", "call_id": "1", "output": "old"},
            user(&["RUN:b"]),
            {"type": "function_call", "call_id": "2"},
            {"type": "function_call_output", "call_id": "2", "output": "new"},
            user(&["Warning: apply_patch was requested via exec_command. Use the apply_patch tool instead of exec_command."]),
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "beside"}]},
        ]});
        let conversation = Conversation::read(&request);
        assert_eq!(conversation.outputs, ["new"]);
        assert_eq!(conversation.prompt, "RUN:b");
        assert_eq!(conversation.earlier.len(), 1);
    }

    #[test]
    fn reports_leave_out_what_differs_from_run_to_run() {
        let run = Step::Run { command: String::new(), escalate: false };
        assert_eq!(
            report(&run, "Chunk ID: e4\nWall time: 0.1 seconds\nProcess exited with code 3\nOutput:\nno\n"),
            "ran (exit 3): no"
        );
        assert_eq!(report(&run, "exec_command failed: Rejected"), "ran: exec_command failed: Rejected");
    }
}
