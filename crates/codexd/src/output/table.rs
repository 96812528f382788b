//! Tables that fit the terminal they are for. Pure: rows in, text out.

use super::{
    BOLD, DIM, clean_line,
    width::{cut, width},
};

/// Sessions: id, age, title. On a narrow terminal two lines each, for an id must stay whole: people copy it.
pub(crate) fn sessions(rows: &[[String; 3]], columns: Option<usize>) -> String {
    let rows: Vec<[String; 3]> = rows.iter().map(|row| row.each_ref().map(|text| clean_line(text))).collect();
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let (ids, ages) = (widest(0).max("SESSION".len()), widest(1).max("AGE".len()));
    let before = ids + 2 + ages + 2;
    let mut table = String::new();
    if columns.is_some_and(|columns| columns < before + 20) {
        let columns = columns.unwrap_or(0);
        for [id, age, title] in &rows {
            let title = cut(title, columns.saturating_sub(width(age) + 2));
            table.push_str(&format!("{DIM}{age}{DIM:#}  {title}\n  {id}\n"));
        }
        return table;
    }
    let mut line = |[id, age, title]: [&str; 3], dim: bool| {
        let title = columns.map_or_else(|| title.to_owned(), |columns| cut(title, columns - before));
        let (id, age) = (padded(id, ids), padded(age, ages));
        let line = format!("{id}  {age}  {title}");
        let line = line.trim_end();
        table.push_str(&if dim { format!("{DIM}{line}{DIM:#}\n") } else { format!("{line}\n") });
    };
    line(["SESSION", "AGE", "TITLE"], true);
    for [id, age, title] in &rows {
        line([id, age, title], false);
    }
    table
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

    fn rows() -> Vec<[String; 3]> {
        let row = |id: &str, age: &str, title: &str| [id.to_owned(), age.to_owned(), title.to_owned()];
        vec![
            row("019f0000-0000-7000-8000-000000000001", "now", "Make the build green again on all of…"),
            row("0123456789ab", "12 min", "日本語のとても長いタイトルがここにあります"),
            row("019f0000-0000-7000-8000-000000000002", "2025-11-30", "\x1b[31mred\nand two lines\u{202e}"),
        ]
    }

    fn plain(text: &str) -> Vec<String> {
        anstream::adapter::strip_str(text).to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_no_id_is_cut() {
        for columns in [40, 60, 68, 69, 70, 71, 80, 120] {
            let lines = plain(&sessions(&rows(), Some(columns)));
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
        let lines = plain(&sessions(&rows(), Some(40)));
        assert_eq!(
            lines,
            [
                "now  Make the build green again on all…",
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
        let lines = plain(&sessions(&rows(), None));
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "SESSION                               AGE         TITLE");
        assert!(lines[2].ends_with("日本語のとても長いタイトルがここにあります"), "{}", lines[2]);
        assert_eq!(lines[3], "019f0000-0000-7000-8000-000000000002  2025-11-30  red and two lines");
    }

    #[test]
    fn facts_line_up_and_are_cleaned() {
        let text = facts(&[("pid", "7".to_owned()), ("last error", "bad\x1b[2J\nworse".to_owned())]);
        assert_eq!(plain(&text), ["pid         7", "last error  bad worse"]);
    }
}
