//! Titles: white space folded, control characters left out, at most [`TITLE_CHARS`] characters, cut with an ellipsis.

/// The most characters that a title has, the ellipsis of a cut one included.
pub const TITLE_CHARS: usize = 40;

/// Folds white space and cuts a title that a person gave. `None` when nothing is left of it.
#[must_use]
pub fn fold_title(text: &str) -> Option<String> {
    let mut folded = String::new();
    for word in text.split_whitespace() {
        let start = folded.len();
        if start > 0 {
            folded.push(' ');
        }
        folded.extend(word.chars().filter(|char| !char.is_control()));
        if folded.len() == start + usize::from(start > 0) {
            folded.truncate(start);
        }
        // A prompt may be a megabyte; what lies behind the cut is never looked at.
        if folded.chars().nth(TITLE_CHARS).is_some() {
            let mut cut: String = folded.chars().take(TITLE_CHARS - 1).collect();
            cut.truncate(cut.trim_end().len());
            cut.push('…');
            return Some(cut);
        }
    }
    (!folded.is_empty()).then_some(folded)
}

/// The automatic title of a prompt: its first line that has words.
#[must_use]
pub fn auto_title(prompt: &str) -> Option<String> {
    prompt.lines().find_map(fold_title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_line_with_words_is_the_title() {
        assert_eq!(auto_title("\n\n  fix\tthe   build \nplease"), Some("fix the build".to_owned()));
        assert_eq!(auto_title(" \n\t "), None);
        assert_eq!(auto_title("\u{1b} \u{7}\n\u{1b}[31mred\u{0} \u{1b} x"), Some("[31mred x".to_owned()));
    }

    #[test]
    fn a_long_title_is_cut_with_an_ellipsis() {
        let title = fold_title(&"word ".repeat(20)).unwrap();
        assert_eq!(title, "word word word word word word word word…");
        assert_eq!(fold_title(&"x".repeat(40)), Some("x".repeat(40)));
        assert_eq!(fold_title(&"é".repeat(41)), Some("é".repeat(39) + "…"));
    }

    proptest! {
        #[test]
        fn a_title_is_one_bounded_line(text in "(\\PC|\\s|\u{1b}){0,200}") {
            if let Some(title) = fold_title(&text) {
                prop_assert!(title.chars().count() <= TITLE_CHARS);
                prop_assert_eq!(fold_title(&title), Some(title.clone()));
            }
        }
    }
}
