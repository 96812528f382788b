//! `codexd config`: writes, shows and finds the configuration file.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    config::{BadConfig, HookEntry, Origin, ServeArgs, Shown, Sources, StoreArg, template},
    exit::{self, Exit},
    globals::Globals,
    output::{BOLD, DIM, Output, clean_line},
};

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Writes a file with every setting, what it means and its default, all commented out
    #[command(after_help = exit::HELP)]
    Init {
        /// Replaces a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Shows what `codexd serve` with the same flags would use, and where each value comes from
    #[command(after_help = exit::HELP)]
    Show(Box<ServeArgs>),
    /// Prints where the file is, or would be
    #[command(after_help = exit::HELP)]
    Path,
}

/// Does it. `sources`: where the settings of this command line come from.
pub(crate) fn run(command: &ConfigCommand, globals: &Globals, sources: &Sources) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    match command {
        ConfigCommand::Init { force } => init(&output, &globals.config.path()?, *force)?,
        ConfigCommand::Show(serve) => {
            show(&output, globals, sources)?;
            let mut serve = serve.clone();
            serve.hooks = sources.hooks.clone();
            if let Err(error) = serve.settings(false) {
                let why = sources.explain(error.into());
                output.note(&format!("`codexd serve` would not start with this: {why:#}"));
            }
        }
        ConfigCommand::Path => {
            let path = globals.config.path()?;
            if output.json() {
                output.object(&serde_json::to_vec(&json!({ "path": path, "exists": path.exists() }))?)?;
            } else {
                output.text(&path.display().to_string())?;
            }
        }
    }
    Ok(Exit::Completed)
}

fn show(output: &Output, globals: &Globals, sources: &Sources) -> anyhow::Result<()> {
    for warning in &sources.warnings {
        output.note(&format!("warning: {warning}"));
    }
    let store_dir = Value::from(globals.store.dir()?.to_string_lossy());
    // Its default depends on the machine and is no default of the flag.
    let shown: Vec<(&Shown, &Value)> = sources
        .settings
        .iter()
        .map(|setting| (setting, if setting.name == "store-dir" { &store_dir } else { &setting.value }))
        .collect();
    if output.json() {
        let setting = |(shown, value): &(&Shown, &Value)| {
            let origin = match &shown.origin {
                Origin::Default => json!({ "kind": "default" }),
                Origin::File { file, line } => json!({ "kind": "file", "file": file, "line": line }),
                Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
                Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
            };
            json!({ "name": shown.name, "value": value, "origin": origin })
        };
        let settings: Vec<Value> = shown.iter().map(setting).collect();
        let hooks: Vec<Value> = sources.hooks.iter().map(HookEntry::object).collect();
        return Ok(output.object(&serde_json::to_vec(&json!({ "settings": settings, "hooks": hooks }))?)?);
    }
    let settings = shown.iter().map(|(shown, value)| {
        [shown.name.clone(), clean_line(&in_words(value)), clean_line(&shown.origin.to_string())]
    });
    let hook = |hook: &HookEntry| [format!("hook {}", hook.name), clean_line(&hook.how()), clean_line(&hook.origin())];
    let rows: Vec<[String; 3]> = settings.chain(sources.hooks.iter().map(hook)).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, values) = (widest(0), widest(1).min(60));
    let mut table = String::new();
    for [name, value, origin] in &rows {
        table.push_str(&format!("{BOLD}{name:names$}{BOLD:#}  {value:values$}  {DIM}{origin}{DIM:#}\n"));
    }
    Ok(output.styled(&table)?)
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Writes the file whole or not at all. Only its owner may read it, as what it names is nobody else's business.
fn init(output: &Output, path: &Path, force: bool) -> anyhow::Result<()> {
    // What a link leads to is replaced, not the link.
    let target = dunce::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let no_folder = || BadConfig(format!("--config: {} can't be a file", path.display()));
    let folder = target.parent().ok_or_else(no_folder)?;
    make_folder(folder).with_context(|| format!("the folder {} can't be made", folder.display()))?;
    let unwritable = || format!("{} can't be written", target.display());
    let mut file = tempfile::Builder::new().prefix(".config.toml.").tempfile_in(folder).with_context(unwritable)?;
    let store_dir = StoreArg::default().dir().ok();
    file.write_all(template(store_dir.as_deref()).as_bytes()).with_context(unwritable)?;
    file.as_file().sync_all().with_context(unwritable)?;
    let written = if force { file.persist(&target) } else { file.persist_noclobber(&target) };
    match written {
        Ok(_) => {}
        Err(error) if !force && error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            anyhow::bail!(
                "{} is there already; --force replaces it, and what you changed in it is lost",
                path.display()
            );
        }
        Err(error) => return Err(error.error).with_context(unwritable),
    }
    written_to(output, path.to_owned())
}

fn written_to(output: &Output, path: PathBuf) -> anyhow::Result<()> {
    if output.json() {
        return Ok(output.object(&serde_json::to_vec(&json!({ "path": path }))?)?);
    }
    output.note("every setting is in it, commented out:");
    Ok(output.text(&path.display().to_string())?)
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
