//! How many columns a text takes. A rule of thumb, good enough for lining up titles: wide are the scripts of East Asia and
//! the pictures, nothing takes what combines with the character before it.

/// The columns of a text on one line.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(of).sum()
}

/// The text, in at most that many columns; a cut one ends with an ellipsis.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 0;
    for c in text.chars() {
        if taken + of(c) >= columns {
            break;
        }
        taken += of(c);
        kept.push(c);
    }
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// The end of the text, in at most that many columns; a cut one begins with an ellipsis.
pub(super) fn cut_front(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |(_, c): &(usize, char)| {
        taken += of(*c);
        taken < columns
    };
    let from = text.char_indices().rev().take_while(fits).last().map_or(text.len(), |(at, _)| at);
    format!("…{}", &text[from..])
}

fn of(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{200b}'..='\u{200f}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_characters_are_counted_as_they_are_shown() {
        assert_eq!(width("abc"), 3);
        assert_eq!(width("日本"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(cut("日本語です", 6), "日本…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("word word", 6), "word…");
        assert_eq!(cut("abc", 1), "…");
        assert_eq!(cut_front("a/long/path.rs", 8), "…path.rs");
        assert_eq!(cut_front("日本語です", 6), "…です");
        assert_eq!(cut_front("a/b", 3), "a/b");
    }
}
