//! A prompt, as it is given on the command line.

use std::io::{self, Read as _};

use anyhow::Context as _;

use crate::exit::Usage;

/// More than any daemon takes.
const BIGGEST: u64 = 64 << 20;

/// The prompt; `-` reads it from standard input, which is what scripts should do with text that they did not write.
pub(super) fn read(given: String) -> anyhow::Result<String> {
    let prompt = if given == "-" { from_stdin()? } else { given };
    if prompt.trim().is_empty() {
        return Err(Usage("the prompt is empty".to_owned()).into());
    }
    Ok(prompt)
}

fn from_stdin() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(BIGGEST + 1)
        .read_to_end(&mut bytes)
        .context("can't read the prompt from standard input")?;
    if bytes.len() as u64 > BIGGEST {
        return Err(Usage(format!("the prompt on standard input is larger than {} MiB", BIGGEST >> 20)).into());
    }
    let mut prompt = String::from_utf8(bytes)
        .map_err(|error| Usage(format!("the prompt on standard input is not UTF-8: {}", error.utf8_error())))?;
    // The newline that `echo` and editors add is nobody's.
    if prompt.ends_with('\n') {
        prompt.pop();
    }
    Ok(prompt)
}
