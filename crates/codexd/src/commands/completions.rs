//! `codexd completions`: what a shell needs to complete our commands and flags.

use clap::Args;
use clap_complete::Shell;

use crate::{cli, exit::Exit, output};

/// For which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints it.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::tree(), cli::NAME, &mut script);
    output::plain(&script)?;
    Ok(Exit::Completed)
}
