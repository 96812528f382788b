//! The flags that every command takes.

use clap::{Args, builder::FalseyValueParser};

use crate::config::{ConfigArg, StoreArg};

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Globals {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) config: ConfigArg,
    /// Prints JSON for programs: the API's own object on one line, or one a line for a list of steps
    #[arg(long, global = true, env = "CODEXD_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}
