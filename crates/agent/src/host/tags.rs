//! Which lines were given to Codex, by their tags.
//!
//! So the next client learns whether an ask that it has on disk was ever given to Codex. A line whose tag is known is not given
//! again. A line without a tag is not remembered.

use std::{
    collections::{HashSet, VecDeque},
    rc::Rc,
};

/// So many are remembered. At most 64 requests are with Codex at a time.
const MOST: usize = 8192;

/// See the module.
#[derive(Default)]
pub(super) struct Tags {
    order: VecDeque<Rc<str>>,
    known: HashSet<Rc<str>>,
}

impl Tags {
    /// Remembers one; false when it was known.
    pub(super) fn add(&mut self, tag: &str) -> bool {
        if tag.is_empty() {
            return true;
        }
        let tag: Rc<str> = tag.into();
        if !self.known.insert(tag.clone()) {
            return false;
        }
        self.order.push_back(tag);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// This one never reached Codex after all.
    pub(super) fn forget(&mut self, tag: &str) {
        if self.known.remove(tag) {
            self.order.retain(|known| &**known != tag);
        }
    }

    /// All, oldest first.
    pub(super) fn all(&self) -> Vec<String> {
        self.order.iter().map(|tag| tag.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_until_many_came_after_it() {
        let mut tags = Tags::default();
        assert!(tags.add("1") && !tags.add("1"));
        assert!(tags.add("") && tags.add(""));
        for tag in 2..=MOST {
            tags.add(&tag.to_string());
        }
        assert!(!tags.add("1"));
        tags.add("one more");
        assert_eq!((tags.all().len(), tags.all()[0].as_str()), (MOST, "2"));
        assert!(tags.add("1"));
        tags.forget("1");
        assert!(tags.add("1"));
    }
}
