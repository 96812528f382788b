//! `codexd man`: manual pages, made from the same tree as `--help`.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::{
    cli,
    exit::{Exit, Usage},
    output,
};

/// Which pages.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command whose page is printed, such as `sessions list` [default: codexd itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Vec<String>,
    /// Writes all pages into this folder instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints one, or writes all.
pub(crate) fn run(args: &ManArgs) -> anyhow::Result<Exit> {
    // Pages of `help` itself say nothing.
    let mut tree = cli::tree().disable_help_subcommand(true);
    tree.build();
    if let Some(dir) = &args.out {
        let failed = || format!("can't write manual pages into `{}`", dir.display());
        fs::create_dir_all(dir).with_context(failed)?;
        clap_mangen::generate_to(tree, dir).with_context(failed)?;
        return Ok(Exit::Completed);
    }
    let mut page = Vec::new();
    Man::new(find(&tree, &args.command)?.clone()).render(&mut page)?;
    output::plain(&page)?;
    Ok(Exit::Completed)
}

fn find<'a>(tree: &'a Command, words: &[String]) -> Result<&'a Command, Usage> {
    let mut found = tree;
    for word in words {
        let unknown = || Usage(format!("there is no command `{}`; `codexd --help` lists them", words.join(" ")));
        found = found.find_subcommand(word).ok_or_else(unknown)?;
    }
    Ok(found)
}
