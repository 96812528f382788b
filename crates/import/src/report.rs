//! What an import tells when it is done.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most entries of each list; the last one says how many are left out.
const ENTRIES: usize = 1_000;

/// What came of an import. The four numbers and the damaged files add up to the files of sessions that there are, but for
/// what `damaged` has of other files and of sessions without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
pub struct Report {
    /// Sessions that are new here.
    pub imported: u64,
    /// Sessions that were here and got what is new in their file.
    pub extended: u64,
    /// Sessions that were here already, just so.
    pub unchanged: u64,
    /// Sessions that went another way here; they stay as they are.
    pub kept: u64,
    /// What could not be read, and was left out.
    pub damaged: Vec<Damage>,
    /// What else is worth knowing.
    pub notes: Vec<Damage>,
}

/// Something about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportDamage)]
pub struct Damage {
    /// The file, in the folder that was imported; `…` for those that are left out.
    pub file: String,
    /// What is wrong with it, where, and what that means.
    pub reason: String,
}

/// A list that stops growing at its bound and goes on counting.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    list: Vec<Damage>,
    more: u64,
}

impl Damages {
    pub(crate) fn push(&mut self, file: impl Into<String>, reason: impl Into<String>) {
        // The last place is for the number of those that have none.
        if self.list.len() < ENTRIES - 1 {
            self.list.push(Damage { file: file.into(), reason: reason.into() });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn finish(mut self) -> Vec<Damage> {
        if self.more > 0 {
            self.list.push(Damage { file: "…".to_owned(), reason: format!("and {} more", self.more) });
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_and_says_how_much_is_left_out() {
        let mut few = Damages::default();
        let mut many = Damages::default();
        for n in 0..5_000 {
            many.push(n.to_string(), "broken");
        }
        few.push("a", "broken");
        assert_eq!(few.finish().len(), 1);
        let many = many.finish();
        assert_eq!(many.len(), ENTRIES);
        assert_eq!(many.last().unwrap(), &Damage { file: "…".into(), reason: "and 4001 more".into() });
    }
}
