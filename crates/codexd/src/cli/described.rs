//! The tree of commands is described in three places, and tested in one: `tests/help` has the help text of each command as it
//! is printed, `docs/cli.md` has all of them behind its introduction, and [`TESTED`] names an end-to-end test for each
//! command. What differs from the tree fails here; `UPDATE_HELP=1 cargo nextest run -p codex-mcp-bridge described` writes the
//! first two anew.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use clap::Command;

use super::{GLOBALS, tree};

/// As wide as clap's own where there is no terminal.
const COLUMNS: usize = 100;

/// Where `docs/cli.md` goes on by itself.
const MARK: &str =
    "<!-- From here on written by `UPDATE_HELP=1 cargo nextest run -p codex-mcp-bridge described`. -->\n";

/// Each command that does something, and the test that runs it: its file below `tests/`, its name, and the words by which it
/// is called there.
const TESTED: &[(&str, &str, &str, &str)] = &[
    (
        "agent",
        "operate/restart.rs",
        "a_drain_waits_for_turns_and_their_questions_while_new_ones_wait_for_it",
        r#"&["agent"]"#,
    ),
    (
        "agent restart",
        "operate/restart.rs",
        "at_once_ends_what_runs_and_says_who_wanted_it",
        r#"&["agent", "restart", "--now", "--wait"]"#,
    ),
    (
        "agent show",
        "operate/breaker.rs",
        "one_that_ends_again_and_again_is_tried_now_and_then_and_says_why",
        r#"&["agent", "show"]"#,
    ),
    ("approvals", "cli/approvals.rs", "what_codex_asks_is_listed_shown_and_accepted", r#"&["approvals"]"#),
    (
        "approvals accept",
        "cli/approvals.rs",
        "what_codex_asks_is_listed_shown_and_accepted",
        r#"&["approvals", "accept"]"#,
    ),
    ("approvals answer", "cli/approvals.rs", "questions_are_answered", r#""approvals", "answer""#),
    ("approvals decline", "cli/approvals.rs", "of_several_one_must_be_named", r#""approvals", "decline""#),
    ("approvals list", "cli/approvals.rs", "what_codex_asks_is_listed_shown_and_accepted", r#""approvals", "list""#),
    ("approvals show", "cli/approvals.rs", "what_codex_asks_is_listed_shown_and_accepted", r#""approvals", "show""#),
    ("backup", "store/backup.rs", "a_backup_is_made_beside_a_daemon_and_restored_into_a_new_one", r#""backup", file"#),
    ("check", "store/check.rs", "what_is_wrong_is_told_and_mended_while_no_daemon_runs", r#""check", "--repair""#),
    ("codex install", "cli/whole.rs", "it_installs_the_real_codex_where_it_then_finds_it", r#""codex", "install""#),
    ("codex which", "cli/whole.rs", "it_installs_the_real_codex_where_it_then_finds_it", r#""codex", "which""#),
    ("completions", "cli/described.rs", "shells_get_their_completions", r#""completions", shell"#),
    (
        "config init",
        "config/file.rs",
        "init_writes_a_file_that_says_nothing_until_it_is_uncommented",
        r#""config", "init""#,
    ),
    (
        "config path",
        "config/file.rs",
        "init_writes_a_file_that_says_nothing_until_it_is_uncommented",
        r#""config", "path""#,
    ),
    ("config show", "config/layers.rs", "show_tells_where_each_value_comes_from", r#""config", "show""#),
    ("continue", "cli/start.rs", "a_script_gets_the_answer_and_nothing_else", r#""continue", id"#),
    ("demo", "cli/whole.rs", "the_demo_holds_on_the_real_codex", r#""demo", "--json""#),
    ("fork", "cli/live.rs", "a_session_is_forked_and_resumed", r#""fork", "s1""#),
    ("gc", "store/gc.rs", "old_archived_sessions_go_through_the_daemon_and_others_stay", r#""gc", "--older-than""#),
    ("hooks list", "cli/hooks.rs", "they_are_listed_and_tested", r#""hooks", "list""#),
    ("hooks test", "cli/hooks.rs", "they_are_listed_and_tested", r#""hooks", "test""#),
    ("import", "cli/import.rs", "a_daemon_does_it_while_it_runs", r#""import", path"#),
    ("interrupt", "cli/approvals.rs", "a_turn_is_interrupted_by_its_id_or_its_session", r#""interrupt", &session"#),
    ("man", "cli/described.rs", "manual_pages_are_printed_and_written", r#""man", "sessions", "list""#),
    (
        "restore",
        "store/backup.rs",
        "a_backup_is_made_beside_a_daemon_and_restored_into_a_new_one",
        r#""restore", file"#,
    ),
    ("serve", "cli/whole.rs", "status_is_no_success_while_codex_is_not_there", r#""serve", "--port""#),
    ("sessions", "cli/sessions.rs", "lists_have_the_newest_first_and_say_when_there_is_more", r#"&["sessions"]"#),
    ("sessions archive", "cli/sessions.rs", "a_session_is_put_away_and_comes_back", r#""sessions", "archive""#),
    ("sessions autoname", "cli/sessions.rs", "titles_are_given_and_taken", r#""sessions", "autoname""#),
    ("sessions delete", "cli/sessions.rs", "deleting_is_said_twice", r#""sessions", "delete""#),
    ("sessions export", "cli/export.rs", "a_transcript_is_written_whole", r#""sessions", "export""#),
    ("sessions list", "cli/sessions.rs", "a_session_is_put_away_and_comes_back", r#""sessions", "list""#),
    ("sessions move", "cli/sessions.rs", "a_session_moves_to_another_folder", r#""sessions", "move""#),
    ("sessions rename", "cli/sessions.rs", "titles_are_given_and_taken", r#""sessions", "rename""#),
    ("sessions resume", "cli/live.rs", "a_session_is_forked_and_resumed", r#""sessions", "resume""#),
    ("sessions search", "cli/sessions.rs", "a_search_finds_what_was_said", r#""sessions", "search""#),
    ("sessions show", "cli/sessions.rs", "show_tells_what_became_of_each_turn", r#""sessions", "show""#),
    ("sessions unarchive", "cli/sessions.rs", "a_session_is_put_away_and_comes_back", r#""sessions", "unarchive""#),
    ("start", "cli/start.rs", "a_script_gets_the_answer_and_nothing_else", r#""start", "SAY:the""#),
    ("status", "cli/whole.rs", "status_tells_the_daemon_its_codex_and_what_one_may", r#"&["status"]"#),
    ("stop", "operate/stop.rs", "a_turn_that_runs_goes_on_for_the_next_codexd", "stop(&lab, &[])"),
    ("steer", "cli/live.rs", "a_turn_that_runs_is_steered", r#""steer", which"#),
    ("token list", "cli/tokens.rs", "without_a_daemon_the_store_itself_is_written", r#""token", "list""#),
    ("token new", "cli/tokens.rs", "without_a_daemon_the_store_itself_is_written", r#""token", "new""#),
    (
        "token rotate",
        "cli/tokens.rs",
        "a_daemon_takes_a_new_token_at_once_and_a_revoked_one_no_more",
        r#""token", "rotate""#,
    ),
    ("token revoke", "cli/tokens.rs", "without_a_daemon_the_store_itself_is_written", r#""token", "revoke""#),
    ("turn retry", "cli/turns.rs", "a_turn_that_failed_is_asked_again", r#""turn", "retry""#),
    ("turn show", "cli/turns.rs", "an_answer_is_read_in_pages", r#""turn", "show""#),
    ("turn wait", "cli/turns.rs", "when_the_time_is_over_the_turn_goes_on", r#""turn", "wait""#),
    ("watch", "cli/live.rs", "a_session_is_watched_and_so_are_all", r#""watch", "--after""#),
];

/// Every command of the tree by its words, `codexd` first; `help` is clap's own.
fn commands() -> Vec<(String, Command)> {
    fn walk(words: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((words.to_owned(), command.clone()));
        for nested in command.get_subcommands().filter(|nested| nested.get_name() != "help") {
            walk(&format!("{words} {}", nested.get_name()), nested, found);
        }
    }
    let mut tree = bare(tree()).term_width(COLUMNS);
    tree.build();
    let mut found = Vec::new();
    walk("codexd", &tree, &mut found);
    found
}

/// Without what the environment of this test has in it.
fn bare(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(bare)
}

fn help(mut command: Command) -> String {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// Without what every command says; the first one says it for all.
fn own(help: &str, words: &str) -> String {
    if words == "codexd" {
        return help.to_owned();
    }
    let end = [GLOBALS, "Exit codes:"].iter().filter_map(|part| help.find(&format!("\n{part}"))).min();
    help[..end.unwrap_or(help.len())].to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn updating() -> bool {
    env::var_os("UPDATE_HELP").is_some()
}

const HOW: &str =
    "look at the change; if it is meant, run UPDATE_HELP=1 cargo nextest run -p codex-mcp-bridge described";

#[test]
fn help_is_as_it_is_kept() {
    let folder = root().join("tests/help");
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for (words, command) in commands() {
        let name = format!("{}.txt", words.replace(' ', "-"));
        let (file, text) = (folder.join(&name), help(command));
        kept.insert(name);
        if updating() {
            fs::write(&file, &text).unwrap();
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(there, text, "`{words} --help` differs from {}: {HOW}", file.display());
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if updating() && !kept.contains(&name) {
            fs::remove_file(folder.join(&name)).unwrap();
        } else {
            assert!(kept.contains(&name), "{name} is of no command any more: {HOW}");
        }
    }
}

#[test]
fn the_reference_has_every_command() {
    let file = root().join("../../docs/cli.md");
    let there = fs::read_to_string(&file).unwrap();
    let (introduction, _) = there.split_once(MARK).expect("docs/cli.md has lost its mark");
    let mut text = format!("{introduction}{MARK}\n## Commands\n");
    for (words, command) in commands() {
        text.push_str(&format!("\n### {words}\n\n```text\n{}```\n", own(&help(command), &words)));
    }
    if updating() {
        fs::write(&file, &text).unwrap();
        return;
    }
    assert!(there == text, "docs/cli.md differs from the commands as they are: {HOW}");
}

#[test]
fn every_command_is_run_by_a_test() {
    let all = commands();
    let leaves: BTreeSet<&str> = all
        .iter()
        .filter(|(_, command)| !command.is_subcommand_required_set())
        .map(|(words, _)| words.strip_prefix("codexd ").unwrap_or(""))
        .collect();
    let tested: BTreeSet<&str> = TESTED.iter().map(|(words, ..)| *words).collect();
    let untested: Vec<_> = leaves.difference(&tested).collect();
    assert!(untested.is_empty(), "no end-to-end test runs these: {untested:?}; write one and name it in TESTED");
    let gone: Vec<_> = tested.difference(&leaves).collect();
    assert!(gone.is_empty(), "TESTED names commands that are not there: {gone:?}");
    for (words, file, test, call) in TESTED {
        let source = fs::read_to_string(root().join("tests").join(file)).unwrap_or_default();
        let begin = source.find(&format!("fn {test}(")).unwrap_or_else(|| panic!("{file} has no test {test}"));
        let body = &source[begin..];
        let end = body.find("\n}").unwrap_or(body.len());
        assert!(body[..end].contains(call), "the test {test} of {file} does not run `codexd {words}` with {call}");
    }
}
