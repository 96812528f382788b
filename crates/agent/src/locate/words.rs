//! The words of a command line.

use std::ffi::OsString;

/// Cuts a command line at whitespace. Both quotes keep it together; a backslash takes the meaning of the next character,
/// but not in single quotes and, since it separates folders there, not on Windows. `None`: a quote is not closed.
pub(super) fn split(text: &str) -> Option<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') if !cfg!(windows) => {
                word.get_or_insert_default().push(letters.next().unwrap_or('\\'))
            }
            (None, _) if letter.is_whitespace() => words.extend(word.take().map(OsString::from)),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word.map(OsString::from));
    quote.is_none().then_some(words)
}
