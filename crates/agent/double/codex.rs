//! A Codex that does what it is told.

use std::io::{self, BufRead as _, Write as _};

pub(crate) fn run() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
        match words[0] {
            "lines" => {
                for index in 1..=number(1) {
                    writeln!(out, "{index:0width$}", width = number(2))?;
                }
            }
            "say" => writeln!(out, "{}", line.strip_prefix("say ").unwrap_or_default())?,
            "long" => {
                let piece = vec![b'x'; 64 * 1024];
                for _ in 0..=number(1) / piece.len() {
                    out.write_all(&piece)?;
                }
                writeln!(out)?;
            }
            "exit" => {
                out.flush()?;
                writeln!(io::stderr(), "told to end")?;
                std::process::exit(i32::try_from(number(1)).unwrap_or(1));
            }
            _ => writeln!(out, "what is {line}?")?,
        }
        out.flush()?;
    }
    Ok(())
}
