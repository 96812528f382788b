//! Tables that fit the terminal they are for. Pure: rows in, text out.

use super::{
    BOLD, DIM, clean_line,
    width::{cut, width},
};

/// Rows under a head. The first column is what people copy, so it always stays whole; the last one is cut to the terminal.
/// On a narrow terminal a row takes two lines.
pub(crate) fn rows<const N: usize>(head: [&str; N], rows: &[[String; N]], columns: Option<usize>) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|text| clean_line(text))).collect();
    let (Some(last), mut table) = (N.checked_sub(1), String::new()) else { return String::new() };
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0).max(width(head[column]));
    let widths: Vec<usize> = (0..last).map(widest).collect();
    let before: usize = widths.iter().map(|width| width + 2).sum();
    if let Some(columns) = columns.filter(|columns| *columns < before + 20) {
        for row in &rows {
            let middle: String = row
                .get(1..last)
                .unwrap_or_default()
                .iter()
                .filter(|text| !text.is_empty())
                .fold(String::new(), |middle, text| format!("{middle}{text}  "));
            let text = cut(&row[last], columns.saturating_sub(width(&middle)));
            table.push_str(&format!("{DIM}{middle}{DIM:#}{text}\n  {}\n", row[0]));
        }
        return table;
    }
    let mut line = |row: [&str; N], dim: bool| {
        let mut line: String = row.iter().zip(&widths).map(|(text, width)| padded(text, *width) + "  ").collect();
        line.push_str(&columns.map_or_else(|| row[last].to_owned(), |columns| cut(row[last], columns - before)));
        let line = line.trim_end();
        table.push_str(&if dim { format!("{DIM}{line}{DIM:#}\n") } else { format!("{line}\n") });
    };
    line(head, true);
    for row in &rows {
        line(row.each_ref().map(String::as_str), false);
    }
    table
}

/// A session that was found: what it is, and the words around what was looked for.
pub(crate) fn hit(id: &str, title: &str, about: &str, snippet: &str, columns: Option<usize>) -> String {
    let fitted = |text: &str, before: usize| {
        let text = clean_line(text);
        columns.map_or_else(|| text.clone(), |columns| cut(&text, columns.saturating_sub(before)))
    };
    let (id, about) = (clean_line(id), clean_line(about));
    let title = fitted(title, 0);
    let mut text = format!("{BOLD}{title}{BOLD:#}\n  {id}  {DIM}{about}{DIM:#}\n");
    if !snippet.trim().is_empty() {
        text.push_str(&format!("  {}\n", fitted(snippet.trim(), 2)));
    }
    text
}

/// Names and values, one a line.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let names = facts.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let lines = facts.iter().map(|(name, value)| {
        let (name, value) = (padded(name, names), clean_line(value));
        format!("{BOLD}{name}{BOLD:#}  {value}\n")
    });
    lines.collect()
}

fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [&str; 4] = ["SESSION", "AGE", "STATUS", "TITLE"];

    fn rows() -> Vec<[String; 4]> {
        let row = |id: &str, age: &str, status: &str, title: &str| [id, age, status, title].map(str::to_owned);
        vec![
            row("019f0000-0000-7000-8000-000000000001", "now", "running", "Make the build green again on all of…"),
            row("0123456789ab", "12 min", "", "日本語のとても長いタイトルがここにあります"),
            row("019f0000-0000-7000-8000-000000000002", "2025-11-30", "", "\x1b[31mred\nand two lines\u{202e}"),
        ]
    }

    fn plain(text: &str) -> Vec<String> {
        anstream::adapter::strip_str(text).to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_no_id_is_cut() {
        for columns in [40, 60, 77, 78, 79, 80, 81, 120] {
            let lines = plain(&super::rows(HEAD, &rows(), Some(columns)));
            for line in &lines {
                assert!(width(line) <= columns, "{columns}: {line:?}");
            }
            for [id, ..] in rows() {
                assert!(lines.iter().any(|line| line.contains(&id)), "{columns}: {id}");
            }
        }
    }

    #[test]
    fn forty_columns_take_two_lines_each() {
        let lines = plain(&super::rows(HEAD, &rows(), Some(40)));
        assert_eq!(
            lines,
            [
                "now  running  Make the build green agai…",
                "  019f0000-0000-7000-8000-000000000001",
                "12 min  日本語のとても長いタイトルがこ…",
                "  0123456789ab",
                "2025-11-30  red and two lines",
                "  019f0000-0000-7000-8000-000000000002",
            ]
        );
    }

    #[test]
    fn a_pipe_gets_whole_lines() {
        let lines = plain(&super::rows(HEAD, &rows(), None));
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "SESSION                               AGE         STATUS   TITLE");
        assert!(lines[2].ends_with("日本語のとても長いタイトルがここにあります"), "{}", lines[2]);
        assert_eq!(lines[3], "019f0000-0000-7000-8000-000000000002  2025-11-30           red and two lines");
    }

    #[test]
    fn what_was_found_fits_the_terminal() {
        let text = hit("0123456789ab", "a\x1b[2J title", "12 min", " …the ladder is in the shed, behind…\n", Some(20));
        assert_eq!(plain(&text), ["a title", "  0123456789ab  12 min", "  …the ladder is in…"]);
        assert_eq!(plain(&hit("i", "t", "now", " ", None)), ["t", "  i  now"]);
    }

    #[test]
    fn facts_line_up_and_are_cleaned() {
        let text = facts(&[("pid", "7".to_owned()), ("last error", "bad\x1b[2J\nworse".to_owned())]);
        assert_eq!(plain(&text), ["pid         7", "last error  bad worse"]);
    }
}
