//! Which events a hook is told.

use std::str::FromStr as _;

use types::EventName;

/// How much alike two names must be for the one to be meant by the other.
const ALIKE: f64 = 0.7;

/// Names of events, `turn.*` for all of a kind, `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    words: Vec<String>,
    names: Vec<EventName>,
}

/// There is no such event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no event {word:?}{}", hint(.nearest.as_deref()))]
pub struct UnknownEvent {
    /// What was asked for.
    pub word: String,
    /// What was meant, perhaps.
    pub nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean \"{nearest}\"?"),
        None => format!("; there are {}", every_word().collect::<Vec<_>>().join(", ")),
    }
}

impl Selection {
    /// Reads one word, and adds what it stands for.
    ///
    /// # Errors
    /// When there is no such event.
    pub fn add(&mut self, word: &str) -> Result<(), UnknownEvent> {
        let found: Vec<EventName> = match word.strip_suffix('*') {
            Some("") => EventName::all().collect(),
            Some(kind) if kind.ends_with('.') => {
                EventName::all().filter(|name| name.as_str().starts_with(kind)).collect()
            }
            Some(_) => Vec::new(),
            None => EventName::from_str(word).into_iter().collect(),
        };
        if found.is_empty() {
            let likeness = |known: &str| strsim::jaro(word, known);
            let nearest = every_word().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            return Err(UnknownEvent {
                word: word.to_owned(),
                nearest: nearest.filter(|nearest| likeness(nearest) > ALIKE),
            });
        }
        self.words.push(word.to_owned());
        self.names.extend(found);
        Ok(())
    }

    /// Nothing yet.
    #[must_use]
    pub const fn none() -> Self {
        Self { words: Vec::new(), names: Vec::new() }
    }

    /// Whether this event is told.
    #[must_use]
    pub fn has(&self, name: EventName) -> bool {
        self.names.contains(&name)
    }

    /// As it was written.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

/// All that can be written.
fn every_word() -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    for name in EventName::all() {
        let name = name.as_str();
        let kind = format!("{}.*", name.split('.').next().unwrap_or_default());
        if !words.contains(&kind) {
            words.push(kind);
        }
        words.push(name.to_owned());
    }
    words.push("*".to_owned());
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Selection, UnknownEvent> {
        let mut selection = Selection::none();
        words.iter().try_for_each(|word| selection.add(word))?;
        Ok(selection)
    }

    #[test]
    fn names_kinds_and_all() {
        let some = of(&["turn.*", "approval.requested"]).unwrap();
        assert!(some.has(EventName::TurnFailed) && some.has(EventName::ApprovalRequested));
        assert!(!some.has(EventName::ApprovalResolved) && !some.has(EventName::ItemStarted));
        let all = of(&["*"]).unwrap();
        assert!(EventName::all().all(|name| all.has(name)));
        for word in every_word() {
            assert!(of(&[&word]).is_ok(), "{word}");
        }
    }

    #[test]
    fn what_there_is_not_names_the_nearest() {
        for (word, nearest) in [
            ("turn.complete", Some("turn.completed")),
            ("approval.request", Some("approval.requested")),
            ("turns.*", Some("turn.*")),
            ("turn*", Some("turn.*")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(of(&[word]).unwrap_err().nearest.as_deref(), nearest, "{word}");
        }
        assert!(of(&["zzz"]).unwrap_err().to_string().contains("turn.completed"));
    }
}
