//! What libFuzzer says at its end.

use std::{fmt::Write as _, fs};

/// So many lines of its last words are shown.
const LAST: usize = 40;

/// So many lines of a panic: where it was, and what it says.
const PANIC: usize = 4;

/// How many inputs were tried. A run that failed has no line of its own for that, but one of each progress that it made.
pub(super) fn executed(text: &str) -> u64 {
    let total = text.lines().filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let progress = text.lines().filter_map(|line| line.strip_prefix('#')?.split_whitespace().next());
    total.chain(progress).filter_map(|number| number.trim().parse().ok()).max().unwrap_or(0)
}

/// What was found: the last words, the input and how to have it again.
pub(super) fn failure(name: &str, text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("NEW_FUNC")).collect();
    let mut said = format!("{name} failed. Its last words:\n");
    // What did not hold stands above the traces, which may be longer than what is shown.
    let last = lines.len().saturating_sub(LAST);
    let panic = lines.iter().position(|line| line.contains("panicked at")).unwrap_or(last).min(last);
    let panic = &lines[panic..(panic + PANIC).min(last)];
    for line in panic.iter().chain(&lines[last..]) {
        let _ = writeln!(said, "    {}", line.chars().take(500).collect::<String>());
    }
    let input =
        text.lines().rev().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
    let Some(path) = input else {
        return said + "there is no input that it failed with";
    };
    let _ = writeln!(said, "the input that it failed with: {path}");
    if let Ok(bytes) = fs::read(path) {
        let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
        let _ = writeln!(said, "the same in a shell:           printf '{octal}' > {name}-input");
    }
    let _ = writeln!(said, "again:                         cargo xtask fuzz --only {name} --input {path}");
    let _ = write!(said, "to keep it:                    cp {path} fuzz/corpus/{name}/ && cargo test -p fuzzed");
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "#2\tINITED cov: 5\n#4096\tpulse  cov: 5\nDone 5000 runs in 3 second(s)\n\
        stat::number_of_executed_units: 5000\nstat::average_exec_per_sec:     1666\n";

    #[test]
    fn what_was_executed_is_read_also_of_a_run_that_failed() {
        let failed = "#2\tINITED cov: 5\n#4096\tpulse  cov: 5\n==1== ERROR: libFuzzer: deadly signal\n";
        assert_eq!((executed(GOOD), executed(failed), executed("")), (5000, 4096, 0));
    }

    #[test]
    fn a_finding_says_its_input_and_how_to_have_it_again() {
        let dir = std::env::temp_dir().join(format!("codexd-xtask-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let input = dir.join("stream-crash-1");
        fs::write(&input, b"a'\n\xff").unwrap();
        let text = format!(
            "#2\tINITED\nthread panicked at a\nartifact_prefix='x'; Test unit written to {}\nBase64: YQ==\n",
            input.display()
        );
        let said = failure("stream", &text);
        fs::remove_dir_all(&dir).unwrap();
        for part in
            ["thread panicked at a", r"printf '\141\047\012\377'", "--only stream --input", "cargo test -p fuzzed"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.contains(&input.display().to_string()) && !said.contains("INITED"), "{said}");
    }

    #[test]
    fn what_did_not_hold_is_shown_above_a_long_trace() {
        let trace = "frame\n".repeat(300);
        let said = failure("stream", &format!("INFO\nthread panicked at a.rs:1\nleft is not right\n{trace}"));
        assert!(said.contains("a.rs:1") && said.contains("left is not right") && !said.contains("INFO"), "{said}");
        assert!(said.lines().count() < 60, "{said}");
    }

    #[test]
    fn one_that_left_no_input_says_so() {
        assert!(failure("stream", "any: can't open\n").contains("there is no input"));
    }
}
