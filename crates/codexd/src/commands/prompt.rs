//! A prompt, in all the ways in which it can be given.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use clap::Args;

use crate::exit::Usage;

/// More than any daemon takes.
const BIGGEST: u64 = 64 << 20;

/// Where the prompt is.
#[derive(Debug, Args)]
pub(crate) struct PromptArgs {
    /// What Codex is to do. Several words are one prompt; a single `-` reads it from standard input, as scripts should do
    /// with text that they did not write
    #[arg(value_name = "PROMPT")]
    pub(super) prompt: Vec<String>,
    /// Reads the prompt from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "prompt_b64")]
    prompt_file: Option<PathBuf>,
    /// The prompt as base64 of its UTF-8 (standard or URL-safe, padded or not), for callers whose quotes get lost on the way
    #[arg(long, value_name = "BASE64")]
    prompt_b64: Option<String>,
}

impl PromptArgs {
    /// The prompt.
    pub(super) fn read(&self) -> anyhow::Result<String> {
        let elsewhere = self.prompt_file.is_some() || self.prompt_b64.is_some();
        let prompt = match (&self.prompt[..], &self.prompt_file, &self.prompt_b64) {
            ([], Some(file), _) if file == Path::new("-") => from_stdin()?,
            ([], Some(file), _) => from_file(file)?,
            ([], None, Some(base64)) => decode(base64)?,
            ([], None, None) => {
                return usage(
                    "there is no prompt; write it behind the command, or `-` to give it on standard input (there are also \
                     --prompt-file and --prompt-b64)",
                );
            }
            (..) if elsewhere => return usage("the prompt is given twice; leave the words away, or the flag"),
            ([dash], ..) if dash == "-" => from_stdin()?,
            (words, ..) => words.join(" "),
        };
        if prompt.trim().is_empty() {
            return usage("the prompt is empty");
        }
        Ok(prompt)
    }
}

fn usage<T>(text: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(text.into()).into())
}

fn from_stdin() -> anyhow::Result<String> {
    text(io::stdin().lock(), "on standard input")
}

fn from_file(path: &Path) -> anyhow::Result<String> {
    match fs::File::open(path) {
        Ok(file) => text(file, &format!("in `{}`", path.display())),
        Err(error) => usage(format!("the prompt file `{}` can't be read: {error}", path.display())),
    }
}

fn text(from: impl Read, place: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if let Err(error) = from.take(BIGGEST + 1).read_to_end(&mut bytes) {
        return usage(format!("the prompt {place} can't be read: {error}"));
    }
    if bytes.len() as u64 > BIGGEST {
        return usage(format!("the prompt {place} is larger than {} MiB", BIGGEST >> 20));
    }
    let mut prompt = match String::from_utf8(bytes) {
        Ok(prompt) => prompt,
        Err(error) => return usage(format!("the prompt {place} is not UTF-8: {}", error.utf8_error())),
    };
    // Some editors put a byte order mark before UTF-8; it is no part of the text.
    if prompt.starts_with('\u{feff}') {
        prompt.remove(0);
    }
    // The newline that `echo` and editors add is nobody's.
    if prompt.ends_with('\n') {
        prompt.pop();
    }
    Ok(prompt)
}

/// Both alphabets, and whatever white space the encoder or the caller put in.
fn decode(base64: &str) -> anyhow::Result<String> {
    let plain: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let alphabet = if plain.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let bytes = match GeneralPurpose::new(&alphabet, config).decode(&plain) {
        Ok(bytes) => bytes,
        Err(error) => return usage(format!("--prompt-b64 is not base64: {error}")),
    };
    String::from_utf8(bytes)
        .or_else(|error| usage(format!("--prompt-b64 is not base64 of UTF-8: {}", error.utf8_error())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str], file: Option<&str>, base64: Option<&str>) -> PromptArgs {
        PromptArgs {
            prompt: words.iter().map(|word| (*word).to_owned()).collect(),
            prompt_file: file.map(Into::into),
            prompt_b64: base64.map(Into::into),
        }
    }

    fn refused(args: &PromptArgs) -> String {
        let error = args.read().unwrap_err();
        assert!(error.is::<Usage>(), "{error:?}");
        error.to_string()
    }

    #[test]
    fn words_are_one_prompt() {
        assert_eq!(args(&["fix", "the build"], None, None).read().unwrap(), "fix the build");
        assert!(refused(&args(&[], None, None)).contains("`-`"));
        assert!(refused(&args(&[" \n"], None, None)).contains("empty"));
        assert!(refused(&args(&["x"], Some("f"), None)).contains("twice"));
        assert!(refused(&args(&["x"], None, Some("eA=="))).contains("twice"));
    }

    #[test]
    fn a_file_is_read_whole_but_for_its_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prompt");
        fs::write(&file, "ü \"quotes\"\n$HOME\n\n").unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(args(&[], Some(path), None).read().unwrap(), "ü \"quotes\"\n$HOME\n");
        fs::write(&file, "\u{feff}with a mark\u{feff}\n").unwrap();
        assert_eq!(args(&[], Some(path), None).read().unwrap(), "with a mark\u{feff}");
        fs::write(&file, b"\xff").unwrap();
        assert!(refused(&args(&[], Some(path), None)).contains("not UTF-8"));
        fs::write(&file, "\n").unwrap();
        assert!(refused(&args(&[], Some(path), None)).contains("empty"));
        assert!(refused(&args(&[], Some("/no/such/file"), None)).contains("/no/such/file"));
    }

    #[test]
    fn base64_of_all_kinds_is_taken() {
        for encoded in [
            "w7/DvsO9PDw/Pz8+Pg==",
            "w7/DvsO9PDw/Pz8+Pg",
            "w7_DvsO9PDw_Pz8-Pg==",
            "w7_DvsO9PDw_Pz8-Pg",
            "w7/DvsO9\nPDw/Pz8+\nPg==\n",
        ] {
            assert_eq!(args(&[], None, Some(encoded)).read().unwrap(), "ÿþý<<???>>", "{encoded}");
        }
        assert!(refused(&args(&[], None, Some("not base64!"))).contains("not base64"));
        assert!(refused(&args(&[], None, Some("//79"))).contains("not base64 of UTF-8"));
        assert!(refused(&args(&[], None, Some(""))).contains("empty"));
    }
}
