//! What is wrong with a request, and where.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

/// The most characters of a caller's text that are repeated to them.
const SHOWN: usize = 64;

/// How near a name must be to a known one to have been meant, from 0 to 1.
const NEAR: f64 = 0.7;

/// A mistake in something that is read by [`serde`].
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    /// The field, from outside in: `input[2].url`; empty for the whole.
    path: String,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    /// A value that it can't have.
    Must { be: String, not: String },
    /// It is not there.
    Missing(&'static str),
    /// There is no such thing.
    Unknown { name: String, known: &'static [&'static str] },
    /// In words that come after the name of the field.
    Said(String),
}

impl Wrong {
    /// A mistake in words that come after the name of the field.
    pub(super) fn said(text: impl Into<String>) -> Self {
        What::Said(text.into()).into()
    }

    pub(super) fn must(be: impl Into<String>, not: impl Into<String>) -> Self {
        What::Must { be: be.into(), not: not.into() }.into()
    }

    /// It is in the value of this field.
    pub(super) fn within(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{}{dot}{}", shown(outer), self.path);
        self
    }

    /// The sentence; `noun` is what the outermost names are called.
    pub(crate) fn tell(&self, noun: &str) -> String {
        let path = &self.path;
        match &self.what {
            What::Must { be, not } => format!("`{path}` must be {be}, not {not}"),
            What::Missing(name) => format!("`{}` is missing", self.of(name)),
            What::Unknown { name, known: [] } => {
                format!("there is no {noun} `{}`; there is none at all", self.of(name))
            }
            What::Unknown { name, known } => match nearest(name, known) {
                Some(near) => format!("there is no {noun} `{}`; did you mean `{near}`?", self.of(name)),
                None => format!("there is no {noun} `{}`; there are {}", self.of(name), known.join(", ")),
            },
            What::Said(text) => format!("`{path}` {text}"),
        }
    }

    fn of(&self, name: &str) -> String {
        if self.path.is_empty() { shown(name) } else { format!("{}.{}", self.path, shown(name)) }
    }
}

impl From<What> for Wrong {
    fn from(what: What) -> Self {
        Self { path: String::new(), what }
    }
}

/// The known name that was probably meant.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let name = plain(&name.chars().take(SHOWN).collect::<String>());
    let near = known.iter().map(|known| (strsim::jaro_winkler(&name, &plain(known)), *known));
    near.filter(|(near, _)| *near >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// As much of a caller's text as is repeated to them, without what would steer a terminal.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell("field"))
    }
}

impl std::error::Error for Wrong {}

/// What Rust calls a thing, as JSON calls it.
fn expected(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "a boolean" => "true or false".to_owned(),
        "path string" => "a string".to_owned(),
        "a sequence" => "an array".to_owned(),
        "a map" => "an object".to_owned(),
        text if text.starts_with("struct ") || text.contains("tagged enum ") => "an object".to_owned(),
        text => text.to_owned(),
    }
}

impl de::Error for Wrong {
    fn custom<T: Display>(message: T) -> Self {
        Self::said(format!("can't be read: {message}"))
    }

    fn invalid_type(found: Unexpected<'_>, must: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a string",
            Unexpected::Unit | Unexpected::Option => "null",
            Unexpected::Seq => "an array",
            _ => "an object",
        };
        Self::must(expected(must), found)
    }

    fn invalid_value(found: Unexpected<'_>, must: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => format!("{:?}", shown(text)),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            other => other.to_string(),
        };
        Self::must(expected(must), found)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::must(format!("one of {}", known.join(", ")), format!("{:?}", shown(variant)))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        What::Unknown { name: field.to_owned(), known }.into()
    }

    fn missing_field(field: &'static str) -> Self {
        What::Missing(field).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = &["prompt", "input", "approvalPolicy", "outputSchema", "onBusy"];
        for (name, meant) in [
            ("promt", Some("prompt")),
            ("Prompt", Some("prompt")),
            ("approval_policy", Some("approvalPolicy")),
            ("output-schema", Some("outputSchema")),
            ("onbusy", Some("onBusy")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name:?}");
        }
    }
}
