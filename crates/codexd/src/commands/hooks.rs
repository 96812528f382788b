//! `codexd hooks`: who is told when something happens, and whether telling them works. Needs no daemon.

use std::time::Instant;

use anyhow::bail;
use clap::Subcommand;
use hooks::{Hook, Place};
use serde_json::{Value, json};

use crate::{
    config::{HookEntry, Sources, ready},
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, BOLD, GOOD, Output, clean_line},
};

/// What to do with hooks.
#[derive(Debug, Subcommand)]
pub(crate) enum HooksCommand {
    /// Lists the hooks of the configuration file
    #[command(after_help = crate::exit::HELP)]
    List,
    /// Tells each hook, or the one that is named, of a made-up event (`hook.test`), and what came of it
    #[command(after_help = crate::exit::HELP)]
    Test {
        /// The hook's name, as `codexd hooks list` shows it [default: all of them]
        name: Option<String>,
    },
}

/// Runs it. `sources`: where the settings of this command line come from.
pub(crate) async fn run(command: HooksCommand, globals: &Globals, sources: &Sources) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    match command {
        HooksCommand::List => list(&output, globals, sources),
        HooksCommand::Test { name } => test(&output, globals, sources, name.as_deref()).await,
    }
}

fn list(output: &Output, globals: &Globals, sources: &Sources) -> anyhow::Result<Exit> {
    if output.json() {
        let hooks: Vec<Value> = sources.hooks.iter().map(HookEntry::object).collect();
        output.object(&serde_json::to_vec(&json!({ "hooks": hooks }))?)?;
        return Ok(Exit::Completed);
    }
    if sources.hooks.is_empty() {
        output.note(&none(globals, sources));
        return Ok(Exit::Completed);
    }
    let row = |hook: &HookEntry| [hook.name.clone(), hook.on.words().join(" "), clean_line(&hook.how())];
    let rows: Vec<[String; 3]> = sources.hooks.iter().map(row).collect();
    output.styled(&output::table::rows(["NAME", "ON", "TOLD BY"], &rows, output.width()))?;
    Ok(Exit::Completed)
}

async fn test(output: &Output, globals: &Globals, sources: &Sources, name: Option<&str>) -> anyhow::Result<Exit> {
    let wanted = |hook: &&HookEntry| name.is_none_or(|name| name == hook.name);
    let chosen: Vec<HookEntry> = sources.hooks.iter().filter(wanted).cloned().collect();
    if chosen.is_empty() {
        let Some(name) = name.filter(|_| !sources.hooks.is_empty()) else { bail!(none(globals, sources)) };
        let names: Vec<&str> = sources.hooks.iter().map(|hook| hook.name.as_str()).collect();
        return Err(Usage(format!("there is no hook {name:?}; there are {}", names.join(", "))).into());
    }
    let store_dir = globals.store.dir()?;
    // Where the daemon runs them, if there ever was one.
    let work = store_dir.join("work");
    let cwd = if work.is_dir() { work } else { std::env::temp_dir() };
    let place = Place { store_dir, cwd };
    let (mut all_told, mut objects) = (true, Vec::new());
    for entry in &chosen {
        let started = Instant::now();
        // A secret that can't be read is the matter of that one hook.
        let told = match ready(std::slice::from_ref(entry), &[]) {
            Ok(hooks) => first(&hooks, &place).await,
            Err(error) => Err(error.to_string()),
        };
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        all_told &= told.is_ok();
        if output.json() {
            let (told, detail) = (told.is_ok(), told.unwrap_or_else(|why| why));
            objects.push(json!({ "name": entry.name, "told": told, "detail": detail, "durationMs": millis }));
            continue;
        }
        let name = &entry.name;
        match told {
            Ok(how) => {
                let how = clean_line(&how);
                output.styled(&format!("{GOOD}told{GOOD:#} {BOLD}{name}{BOLD:#}: {how} after {millis} ms\n"))?;
            }
            Err(why) => output.styled(&format!("not told {BOLD}{name}{BOLD:#}: {}\n", clean_line(&why)))?,
        }
    }
    if output.json() {
        output.object(&serde_json::to_vec(&json!({ "hooks": objects }))?)?;
    }
    Ok(if all_told { Exit::Completed } else { Exit::Other })
}

async fn first(hooks: &[Hook], place: &Place) -> Result<String, String> {
    match hooks.first() {
        Some(hook) => hook.test(place).await.map_err(|failed| failed.to_string()),
        None => Err("it is not there".to_owned()),
    }
}

fn none(globals: &Globals, sources: &Sources) -> String {
    match (&sources.file, globals.config.path()) {
        (Some(file), _) => {
            format!("there are no hooks in {}; docs/hooks.md shows how they are written", file.display())
        }
        (None, Ok(path)) => {
            format!(
                "there is no configuration file {}; `codexd config init` writes one, which shows how hooks are written",
                path.display()
            )
        }
        (None, Err(_)) => "there is no configuration file; name one with --config".to_owned(),
    }
}
