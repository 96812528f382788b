//! What goes with a prompt: pictures, a model, a form for the answer, labels.

use std::{collections::BTreeMap, fs, path::PathBuf};

use clap::Args;
use serde_json::Value;
use types::InputPart;

use super::prompt::PromptArgs;
use crate::exit::Usage;

/// A prompt and what goes with it.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    #[command(flatten)]
    pub(super) prompt: PromptArgs,
    /// The model [default: the session's, else the daemon's]
    #[arg(long)]
    pub(super) model: Option<String>,
    /// How much the model thinks, in the model's own words (such as low, medium or high)
    #[arg(long)]
    pub(super) effort: Option<String>,
    /// A picture that goes with the prompt: a file, or a data: address (of Codex versions that fetch pictures themselves also
    /// an http: one); may be given several times
    #[arg(long, value_name = "FILE|URL")]
    image: Vec<String>,
    /// A file with the JSON Schema that the answer must have
    #[arg(long, value_name = "FILE")]
    output_schema: Option<PathBuf>,
}

/// The same, read and checked.
#[derive(Debug, PartialEq)]
pub(super) struct Input {
    /// The prompt, when there is nothing but it.
    pub(super) prompt: Option<String>,
    /// The prompt and the pictures, when there are some.
    pub(super) parts: Vec<InputPart>,
    pub(super) output_schema: Option<Value>,
}

impl InputArgs {
    /// Reads whatever has to be read.
    pub(super) fn read(&self) -> anyhow::Result<Input> {
        let prompt = self.prompt.read()?;
        let output_schema = self.output_schema.as_deref().map(schema).transpose()?;
        if self.image.is_empty() {
            return Ok(Input { prompt: Some(prompt), parts: Vec::new(), output_schema });
        }
        let mut parts = vec![InputPart::Text { text: prompt }];
        for image in &self.image {
            parts.push(picture(image)?);
        }
        Ok(Input { prompt: None, parts, output_schema })
    }
}

fn picture(given: &str) -> Result<InputPart, Usage> {
    let scheme = given.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    if matches!(scheme.as_deref(), Some("http" | "https" | "data")) {
        return Ok(InputPart::Image { url: given.to_owned() });
    }
    // The daemon stands elsewhere.
    let path =
        dunce::canonicalize(given).map_err(|error| Usage(format!("the picture `{given}` can't be read: {error}")))?;
    let path = path.to_str().ok_or_else(|| Usage(format!("the path of the picture `{given}` is not UTF-8")))?;
    Ok(InputPart::LocalImage { path: path.to_owned() })
}

fn schema(path: &std::path::Path) -> Result<Value, Usage> {
    let shown = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| Usage(format!("the schema file `{shown}` can't be read: {error}")))?;
    match serde_json::from_str(&text) {
        Ok(schema @ Value::Object(_)) => Ok(schema),
        Ok(_) => Err(Usage(format!("the schema file `{shown}` holds no JSON object, so no JSON Schema"))),
        Err(error) => Err(Usage(format!("the schema file `{shown}` is not JSON: {error}"))),
    }
}

/// A folder that was named as `what`, else the current one; canonical, as the daemon stands elsewhere.
pub(super) fn folder(given: Option<PathBuf>, what: &str) -> Result<PathBuf, Usage> {
    let (what, dir) = match given {
        Some(dir) => (what, dir),
        None => {
            let here = std::env::current_dir();
            let bad = |error| Usage(format!("the current folder can't be used: {error}; name one with {what}"));
            ("the current folder", here.map_err(bad)?)
        }
    };
    let real = dunce::canonicalize(&dir);
    real.map_err(|error| Usage(format!("{what}: the folder `{}` can't be used: {error}", dir.display())))
}

/// `NAME=VALUE`, as a label is written.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no label; write NAME=VALUE")),
    }
}

/// Labels of one session; the last one of a name counts.
pub(super) fn labels(given: Vec<(String, String)>) -> BTreeMap<String, String> {
    given.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_files_or_addresses() {
        for url in ["https://example.org/a.png", "HTTP://x", "data:image/png;base64,AAAA"] {
            assert_eq!(picture(url).unwrap(), InputPart::Image { url: url.to_owned() });
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.png");
        fs::write(&file, "x").unwrap();
        let real = dunce::canonicalize(&file).unwrap();
        let path = real.to_str().unwrap().to_owned();
        assert_eq!(picture(file.to_str().unwrap()).unwrap(), InputPart::LocalImage { path });
        assert!(picture("no-such.png").unwrap_err().to_string().contains("no-such.png"));
    }

    #[test]
    fn a_schema_is_an_object() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("schema.json");
        fs::write(&file, r#"{"type":"object"}"#).unwrap();
        assert_eq!(schema(&file).unwrap()["type"], "object");
        for wrong in ["[]", "{", ""] {
            fs::write(&file, wrong).unwrap();
            assert!(schema(&file).unwrap_err().to_string().contains("schema.json"), "{wrong}");
        }
        assert!(schema("/no/such".as_ref()).is_err());
    }

    #[test]
    fn labels_have_a_name_and_a_value() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(label("a="), Ok(("a".to_owned(), String::new())));
        assert!(label("a").is_err() && label("=b").is_err());
    }
}
