//! The texts that the model answers with. Public, so that other doubles of the project answer the same words in the same way.

use std::time::SystemTime;

use serde_json::{Value, json};

/// The size of the deltas of long answers.
const DELTA_BYTES: usize = 4096;

/// A text of a conversation, with the role of its speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// `user`, `assistant`, or `summary` for what a compaction left of what was said before.
    pub role: &'static str,
    /// What was said.
    pub text: String,
}

/// What a turn was given beside its prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Codex's configuration of the thread, where it is known: no request to a model tells it.
    pub config: Option<Value>,
    /// The model.
    pub model: Option<String>,
    /// How much it is to think.
    pub effort: Option<String>,
    /// The JSON Schema of the answer.
    pub schema: Option<Value>,
    /// The images, in order.
    pub images: Vec<String>,
}

/// This moment, as a delta of `TIMES` says it: the nanoseconds since 1970 in 19 digits, and a space.
///
/// It is the system's clock, because another process has to compare it with its own; who sets the clock meanwhile spoils that.
#[must_use]
pub fn moment() -> String {
    format!("{:019} ", SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos()))
}

/// The answer to `OPTIONS`: one line of JSON, with null for what was not given.
#[must_use]
pub fn options(given: &Given) -> String {
    let mut options =
        json!({"effort": given.effort, "images": given.images, "model": given.model, "schema": given.schema});
    if let Some(config) = &given.config {
        options["config"] = config.clone();
    }
    options.to_string()
}

/// The answer to a prompt without a script: `echo: ` and its first line, cut at 200 characters.
#[must_use]
pub fn echo(prompt: &str) -> String {
    let line = prompt.lines().next().unwrap_or_default();
    let end = line.char_indices().nth(200).map_or(line.len(), |(at, _)| at);
    format!("echo: {}", &line[..end])
}

/// The answer to `RECALL`. Further lines of a text are indented by two.
#[must_use]
pub fn recall(earlier: &[Said]) -> String {
    let mut answer = String::new();
    for said in earlier {
        answer.push_str(said.role);
        answer.push_str(": ");
        answer.push_str(&said.text.replace('\n', "\n  "));
        answer.push('\n');
    }
    answer.push_str(&format!("count: {}", earlier.len()));
    answer
}

/// The text, cut to at most that many bytes at a character's edge.
pub(crate) fn shorten(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The text in deltas of a few kilobytes.
#[must_use]
pub fn deltas(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let piece = shorten(rest, DELTA_BYTES);
        rest = &rest[piece.len()..];
        pieces.push(piece);
    }
    pieces
}

/// The answer to `BIG`. Exactly that many bytes: numbered lines, the last ones replaced by `END`.
#[must_use]
pub fn big(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    let mut line = 0_usize;
    while text.len() < bytes {
        line += 1;
        text.push_str(&format!("{line:08} a line of a big answer\n"));
    }
    text.truncate(bytes.saturating_sub(3));
    text.push_str(&"END"[3 - bytes.min(3)..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_big_answer_has_its_size_and_its_end() {
        for bytes in [0, 1, 3, 4, 1000, 100_000] {
            let text = big(bytes);
            assert_eq!(text.len(), bytes);
            assert!(bytes < 3 || text.ends_with("END"));
            assert_eq!(deltas(&text).concat(), text);
        }
    }
}
