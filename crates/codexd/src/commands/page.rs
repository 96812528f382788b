//! A part of a long answer, for callers whose output is cut. Everything is counted in characters.

use clap::Args;
use serde_json::{Map, Value};

/// Which part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct PageArgs {
    /// Leaves out the characters of the answer before this one; the first is 0
    #[arg(long, value_name = "N", conflicts_with = "tail")]
    from: Option<usize>,
    /// The most characters of the answer that are printed
    #[arg(long, value_name = "N", conflicts_with = "tail", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Prints only that many characters of the answer's end
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    tail: Option<usize>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<'a> {
    pub(super) text: &'a str,
    /// The character that it begins with.
    pub(super) from: usize,
    /// The character behind it.
    pub(super) to: usize,
    /// How many the whole text has.
    pub(super) of: usize,
}

impl PageArgs {
    /// That part of a text.
    pub(super) fn cut<'a>(&self, text: &'a str) -> Page<'a> {
        let of = text.chars().count();
        let from = self.tail.map_or(self.from.unwrap_or(0), |tail| of.saturating_sub(tail)).min(of);
        let to = self.limit.map_or(of, |limit| from.saturating_add(limit).min(of));
        let byte = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
        Page { text: &text[byte(from)..byte(to)], from, to, of }
    }

    /// Whether a part was asked for.
    pub(super) fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// Puts that part in the place of an object's `answer`, and says which it is.
    pub(super) fn cut_answer(&self, turn: &mut Map<String, Value>) {
        let Some(answer) = turn.get("answer").and_then(Value::as_str) else { return };
        let page = self.cut(answer);
        let (text, from, of) = (page.text.to_owned(), page.from, page.of);
        turn.insert("answer".to_owned(), text.into());
        turn.insert("answerFrom".to_owned(), from.into());
        turn.insert("answerChars".to_owned(), of.into());
    }
}

impl Page<'_> {
    /// Which part it is and how to see the rest; nothing when it is all.
    pub(super) fn told(&self, turn: &str) -> Option<String> {
        let Self { from, to, of, .. } = *self;
        let show = format!("codexd turn show {turn}");
        if to < of {
            let limit = (to - from).max(1);
            let again = format!("{show} --from {to} --limit {limit}");
            return Some(format!("characters {from} to {to} of {of}; go on with --from {to}: {again}"));
        }
        (from > 0).then(|| format!("characters {from} to {to} of {of}; what is before them: {show} --limit {from}"))
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{text:?} is no number from 1 on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(from: Option<usize>, limit: Option<usize>, tail: Option<usize>) -> PageArgs {
        PageArgs { from, limit, tail }
    }

    #[test]
    fn pages_are_counted_in_characters_and_join_without_a_gap() {
        let text = "aäb語c👧d";
        let page = args(None, None, None).cut(text);
        assert_eq!((page.text, page.told("u")), (text, None));
        let mut joined = String::new();
        let mut at = 0;
        loop {
            let page = args(Some(at), Some(3), None).cut(text);
            joined.push_str(page.text);
            if page.to == page.of {
                break;
            }
            assert!(page.told("u").unwrap().ends_with(&format!("--from {} --limit 3", page.to)));
            at = page.to;
        }
        assert_eq!(joined, text);
        assert_eq!(args(None, None, Some(2)).cut(text).text, "👧d");
        assert_eq!(args(None, None, Some(99)).cut(text).text, text);
        assert_eq!(args(Some(99), None, None).cut(text).text, "");
        assert_eq!(args(Some(1), Some(usize::MAX), None).cut(text).text, &text[1..]);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let text = "x".repeat(53_211);
        let told = |args: PageArgs| args.cut(&text).told("u1").unwrap();
        let first = told(args(None, Some(8000), None));
        assert_eq!(
            first,
            "characters 0 to 8000 of 53211; go on with --from 8000: codexd turn show u1 --from 8000 --limit 8000"
        );
        let end = told(args(None, None, Some(11)));
        assert_eq!(end, "characters 53200 to 53211 of 53211; what is before them: codexd turn show u1 --limit 53200");
    }

    #[test]
    fn an_object_says_which_part_its_answer_is() {
        let mut turn = Map::from_iter([("answer".to_owned(), Value::from("abcdef")), ("id".to_owned(), "u".into())]);
        args(Some(2), Some(3), None).cut_answer(&mut turn);
        let json = Value::from(turn).to_string();
        assert_eq!(json, r#"{"answer":"cde","answerChars":6,"answerFrom":2,"id":"u"}"#);
        let mut none = Map::new();
        args(None, None, None).cut_answer(&mut none);
        assert!(none.is_empty());
    }
}
