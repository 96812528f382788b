//! Words: how the texts of a query and of what is stored are compared, and cut for show. No SQL.

/// The most words that are looked for.
const WORDS: usize = 32;
/// The most of a query that is looked at.
const QUERY_CHARS: usize = 4_096;
/// The most trigrams of one word that are asked for; the text itself decides in the end.
const TRIGRAMS: usize = 8;
/// The length of a snippet, in characters, and how many of them stand before the hit.
const SNIPPET_CHARS: usize = 160;
const SNIPPET_BEFORE: usize = 40;

/// A word of a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// As it was written: what the index is asked for. It folds by itself, and knows some 450 letters less than [`fold`]
    /// (Cherokee, Georgian capitals, ...), which are found in the case in which they were written.
    pub(crate) spelled: String,
    /// As it is compared with what is stored.
    pub(crate) folded: String,
}

impl Word {
    /// True when a folded text has it.
    pub(crate) fn is_in(&self, folded: &str) -> bool {
        folded.contains(&self.folded)
    }
}

/// The words of a query. One that is part of another adds nothing.
pub(crate) fn words_of(query: &str) -> Vec<Word> {
    let query: String = query.chars().take(QUERY_CHARS).collect();
    let words = query.split_whitespace().take(WORDS);
    let mut words: Vec<Word> = words.map(|word| Word { spelled: word.to_owned(), folded: fold(word) }).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.folded.len()));
    let mut kept: Vec<Word> = Vec::new();
    for word in words {
        if !kept.iter().any(|longer| word.is_in(&longer.folded)) {
            kept.push(word);
        }
    }
    kept
}

/// Some characters around the first hit, on one line.
pub(crate) fn snippet(text: &str, words: &[Word]) -> String {
    let folded = fold(text);
    let first = words.iter().filter_map(|word| folded.find(&word.folded)).min().unwrap_or(0);
    // Folding keeps the number of characters, so that a place in one is a place in the other.
    let hit = folded.get(..first).map_or(0, |before| before.chars().count());
    let start = hit.saturating_sub(SNIPPET_BEFORE);
    let mut rest = text.chars().skip(start);
    let mut snippet = String::from(if start > 0 { "…" } else { "" });
    snippet
        .extend(rest.by_ref().take(SNIPPET_CHARS).map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c }));
    if rest.next().is_some() {
        snippet.push('…');
    }
    snippet
}

pub(crate) fn has_all(folded: &str, words: &[Word]) -> bool {
    words.iter().all(|word| word.is_in(folded))
}

/// The trigrams to ask the index for, spread over the word; none when it is too short. The index leaves NULs out.
pub(crate) fn trigrams(word: &str) -> Vec<String> {
    let chars: Vec<char> = longest_piece(word).chars().collect();
    let all: Vec<String> = chars.windows(3).map(|trigram| trigram.iter().collect()).collect();
    let step = all.len().div_ceil(TRIGRAMS).max(1);
    let last = all.last().cloned().filter(|_| all.len() % step != 1 && step > 1);
    let mut spread: Vec<String> = all.into_iter().step_by(step).chain(last).collect();
    spread.sort_unstable();
    spread.dedup();
    spread
}

pub(crate) fn longest_piece(word: &str) -> &str {
    word.split('\0').max_by_key(|piece| piece.chars().count()).unwrap_or_default()
}

/// All of these trigrams, each as a quoted text: nothing in it is an operator.
pub(crate) fn expression(trigrams: &[String]) -> String {
    let quoted: Vec<String> = trigrams.iter().map(|trigram| format!("\"{}\"", trigram.replace('"', "\"\""))).collect();
    quoted.join(" AND ")
}

/// The text without the difference of cases, character by character, as the index does. What has no single counterpart stays as it is.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(fold_char).collect() }
}

fn fold_char(c: char) -> char {
    if c.is_ascii() || c == 'ı' {
        // The dotless i is another letter, although its upper case is that of the dotted one.
        return c.to_ascii_lowercase();
    }
    // By way of the upper case, so that the two small sigmas and the long s meet their siblings.
    single(single(c, char::to_uppercase), char::to_lowercase)
}

fn single<I: Iterator<Item = char>>(c: char, convert: impl Fn(char) -> I) -> char {
    let mut converted = convert(c);
    match (converted.next(), converted.next()) {
        (Some(other), None) => other,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folding_keeps_characters_apart() {
        assert_eq!(fold("ÄÖÜ ΣΑΣ ςſ İß"), "äöü σασ σs İß");
    }

    #[test]
    fn a_snippet_is_cut_at_characters() {
        let words = words_of("needle");
        let cut = snippet(&format!("{}\nNeedle {}", "日".repeat(500), "本".repeat(500)), &words);
        assert!(cut.starts_with('…') && cut.ends_with('…') && cut.contains(" Needle 本"), "{cut}");
        assert_eq!(cut.chars().count(), SNIPPET_CHARS + 2);
        assert_eq!(snippet("one\ttwo needle", &words), "one two needle");
    }

    #[test]
    fn a_word_within_a_word_is_not_looked_for_twice() {
        let folded = |query| words_of(query).into_iter().map(|word| word.folded).collect::<Vec<_>>();
        assert_eq!(folded(" Foo fooBar  FOO x"), ["foobar", "x"]);
        assert_eq!(folded(" \n\t "), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn folding_keeps_the_number_of_characters(text in any::<String>()) {
            prop_assert_eq!(fold(&text).chars().count(), text.chars().count());
        }

        #[test]
        fn a_long_word_has_few_trigrams(word in "\\PC{3,60}") {
            let trigrams = trigrams(&fold(&word));
            prop_assert!(!trigrams.is_empty() && trigrams.len() <= TRIGRAMS + 1);
        }
    }
}
