//! The skill: that its head is what OpenClaw and agentskills.io read, and that every command that it teaches is one that codexd has.
//! Whether OpenClaw takes it is for `cargo xtask openclaw`.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result};

use crate::systemd::Systemd;

const FOLDER: &str = "codex-mcp-bridge";

fn text(path: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

fn skill() -> Result<String> {
    text(&format!("skills/{FOLDER}/SKILL.md"))
}

#[test]
fn its_head_is_what_agents_read() -> Result<()> {
    let skill = skill()?;
    let (head, body) = skill.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).context("no head")?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    assert_eq!(field("name"), Some(FOLDER), "OpenClaw leaves out a skill whose folder has another name");
    let description = field("description").context("no description")?;
    assert!(description.len() < 160 && !description.contains(": "), "{} characters", description.len());
    assert!(field("compatibility").is_some_and(|text| text.len() <= 500 && !text.contains(": ")));
    assert!(!head.contains("requires"), "a gateway would look for the program on itself and not on the node");
    assert!(skill.len() < 64 * 1024 && !body.trim().is_empty());
    for limit in ["--timeout 90", "--limit 8000", "--detach", "--prompt-b64", "host=node", "/usr/local/bin/codexd"] {
        assert!(body.contains(limit), "{limit}");
    }
    Ok(())
}

/// The commands of codexd that stand in code, as words.
fn commands(markdown: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut block = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
            continue;
        }
        let code: Vec<&str> = if block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for code in code {
            let code = code.split(" #").next().unwrap_or_default().split("<<").next().unwrap_or_default();
            let mut words = code.split_whitespace().map(|word| word.trim_matches('"').to_owned());
            let program = words.next().unwrap_or_default();
            let words: Vec<String> = words.take_while(|word| !["&&", "|", ">"].contains(&word.as_str())).collect();
            if (program == "codexd" || program.ends_with("/codexd")) && !words.is_empty() {
                found.insert(words);
            }
        }
    }
    found
}

#[tokio::test]
async fn what_it_teaches_exists() -> Result<()> {
    let systemd = Systemd::new().await?;
    let mut all = commands(&skill()?);
    assert!(all.len() >= 10, "{all:?}");
    all.extend(commands(&text("docs/openclaw.md")?));
    for command in all {
        // Placeholders are in capitals; clap takes them for what they stand for.
        let path = command.iter().take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        let mut asked: Vec<&str> = path.map(String::as_str).collect();
        asked.push("--help");
        let (code, help) = systemd.cli(&asked).await?;
        assert_eq!(code, Some(0), "codexd {}: {help}", command.join(" "));
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap_or_default();
            let known = help.split([' ', '\n', ',', '=', '[']).any(|word| word == flag);
            assert!(known, "codexd {}: {flag} is not in\n{help}", command.join(" "));
        }
    }
    Ok(())
}

#[tokio::test]
async fn its_exit_codes_are_codexds() -> Result<()> {
    let systemd = Systemd::new().await?;
    let (_, help) = systemd.cli(&["--help"]).await?;
    let known: BTreeSet<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Exit codes"))
        .filter_map(|line| line.split_whitespace().next().filter(|word| word.parse::<u8>().is_ok()))
        .collect();
    let skill = skill()?;
    let rows = skill.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let taught: BTreeSet<&str> = rows.filter(|cell| cell.parse::<u8>().is_ok()).collect();
    assert!(taught.contains("6") && taught.is_subset(&known), "{taught:?} of {known:?}");
    Ok(())
}
