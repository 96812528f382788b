//! What a caller sends with a turn, and what of it is refused before anything is done.

use std::path::Path;

use types::{Code, InputPart, Principal, TurnOptions, Worktree};

use crate::{Policy, Refusal};

/// The most characters that Codex takes as one prompt (measured, 0.153 and later: `max_chars`).
const PROMPT_CHARS: usize = 1_048_576;

/// The most images of one turn.
const IMAGES: usize = 32;

/// The most labels of a session, and the most characters of a key or a value.
pub(crate) const LABELS: usize = 32;
const LABEL_CHARS: usize = 256;

/// A prompt with what is said besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// Its words.
    pub text: String,
    /// What is said besides.
    pub options: TurnOptions,
}

impl Prompt {
    /// Words and pictures, in their order.
    #[must_use]
    pub fn of_parts(input: Vec<InputPart>) -> Self {
        let words = |part: &InputPart| match part {
            InputPart::Text { text } => Some(text.clone()),
            InputPart::Image { .. } | InputPart::LocalImage { .. } => None,
        };
        let texts: Vec<String> = input.iter().filter_map(words).collect();
        let text = texts.join("\n\n");
        // One text is a plain prompt.
        let input = if matches!(input[..], [InputPart::Text { .. }]) { Vec::new() } else { input };
        Self { text, options: TurnOptions { input, ..TurnOptions::default() } }
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self { text, options: TurnOptions::default() }
    }
}

pub(crate) fn check_prompt(prompt: &Prompt) -> Result<(), Refusal> {
    let images = prompt.options.images().count();
    if prompt.text.trim().is_empty() && images == 0 {
        return Err(Refusal::new(Code::BadRequest, "the prompt is empty"));
    }
    if images > IMAGES {
        return Err(Refusal::new(Code::InputTooLarge, format!("{images} images are more than {IMAGES}")));
    }
    let text = &prompt.text;
    // Counting is only worth it when it can matter: a character has at least one byte.
    if text.len() > PROMPT_CHARS {
        let chars = text.chars().count();
        if chars > PROMPT_CHARS {
            let detail = format!("the prompt has {chars} characters and Codex takes {PROMPT_CHARS}");
            return Err(Refusal::new(Code::InputTooLarge, detail));
        }
    }
    for part in &prompt.options.input {
        if let InputPart::Image { url } = part
            && !["https://", "http://", "data:image/"].iter().any(|scheme| url.starts_with(scheme))
        {
            let shown: String = url.chars().take(80).collect();
            let detail =
                format!("the image {shown:?} is no https:, http: or data:image/ address; a file is a localImage");
            return Err(Refusal::new(Code::BadRequest, detail));
        }
    }
    Ok(())
}

/// The prompt with the canonical paths of its pictures.
pub(crate) fn checked_images(
    policy: &Policy,
    who: &Principal,
    cwd: &Path,
    worktree: Option<&Worktree>,
    mut prompt: Prompt,
) -> Result<Prompt, Refusal> {
    for part in &mut prompt.options.input {
        if let InputPart::LocalImage { path } = part {
            *path = policy.check_image(who, cwd, worktree, path)?.to_string_lossy().into_owned();
        }
    }
    Ok(prompt)
}

pub(crate) fn check_labels<'a>(labels: impl Iterator<Item = (&'a String, Option<&'a String>)>) -> Result<(), Refusal> {
    let mut count = 0;
    for (key, value) in labels {
        count += 1;
        let long = |text: &String| text.chars().count() > LABEL_CHARS;
        if key.is_empty() || long(key) || value.is_some_and(long) {
            let detail = format!("a label's key has 1 to {LABEL_CHARS} characters and its value at most {LABEL_CHARS}");
            return Err(Refusal::new(Code::BadRequest, detail));
        }
    }
    if count > LABELS {
        return Err(Refusal::new(Code::BadRequest, format!("a session has at most {LABELS} labels")));
    }
    Ok(())
}
