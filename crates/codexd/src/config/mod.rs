//! What the operator said: a configuration file, the environment and flags, checked and made whole before anything starts.
//!
//! # Theory of operation
//!
//! A flag wins over its environment variable, that over the file ([`mod@file`]), and that over the default. clap has the first
//! and the last two of them; [`layers`] puts the file between, by parsing twice: once to learn what the flags and the
//! environment leave open, and once more with the file's values as the defaults of the rest. So the file's values go through the
//! same parsers as everybody else's.
//!
//! Which settings there are is said once, by the fields of [`ServeArgs`] and [`StoreArg`]. What a file may have ([`keys`]),
//! what `codexd config init` writes ([`mod@template`]) and what `codexd config show` tells are read off clap's description of
//! them: a new flag is a new key, with its type.
//!
//! A condition between settings belongs into [`checked`]: clap's own (`requires`, `conflicts_with`) don't see the file.
//!
//! Whatever is wrong in the file, in an environment variable ([`environment`]), or with what the settings say together ([`checked`]), ends the program with exit code 64 and
//! a sentence that says which flag or line, why, and what to do. Commands that only look for the daemon want nothing but
//! `store-dir` from the file, and the rest of it can't break them.

mod checked;
mod environment;
mod file;
mod hooks;
mod keys;
mod layers;
mod template;
mod units;

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, ValueHint,
    builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser},
};
use engine::OnExpiry;
use etcetera::BaseStrategy as _;
use types::{ApprovalPolicy, Sandbox};

pub(crate) use self::{
    checked::{Settings, confining},
    environment::blamed,
    file::{HookEntry, HowEntry},
    hooks::ready,
    layers::{Layered, Origin, Shown, Sources, layered},
    template::template,
    units::{OrOff, parse_size, parse_size_or_off, parse_time, parse_time_or_off},
};

/// A setting that can't be used. Exit code 64.
#[derive(Debug)]
pub(crate) struct BadConfig(pub(crate) String);

impl std::fmt::Display for BadConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadConfig {}

fn bad<T>(text: impl Into<String>) -> Result<T, BadConfig> {
    Err(BadConfig(text.into()))
}

/// Where the store is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct StoreArg {
    /// The folder that holds sessions, the socket and what `codex install` installs
    #[arg(long, value_name = "DIR", env = "CODEXD_STORE_DIR", global = true)]
    pub(crate) store_dir: Option<PathBuf>,
}

impl StoreArg {
    /// The folder, absolute. It need not exist.
    pub(crate) fn dir(&self) -> anyhow::Result<PathBuf> {
        match &self.store_dir {
            Some(dir) if dir.as_os_str().is_empty() => Err(BadConfig("--store-dir is empty".into()).into()),
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => Ok(default_store_dir()?),
        }
    }
}

/// Which configuration file is read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArg {
    /// The configuration file [default: the one that `codexd config path` prints, if it is there]
    #[arg(long, value_name = "FILE", env = "CODEXD_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
}

impl ConfigArg {
    /// The file that was named, or the one of this user; absolute. It need not exist.
    pub(crate) fn path(&self) -> Result<PathBuf, BadConfig> {
        match &self.config {
            Some(file) => match std::path::absolute(file) {
                Ok(path) => Ok(path),
                Err(error) => bad(format!("--config: the file {} can't be used: {error}", file.display())),
            },
            None => default_config_file().ok_or_else(|| {
                BadConfig("there is no home folder to look for a configuration file in; name one with --config".into())
            }),
        }
    }
}

/// `~/.config/codex-mcp-bridge/config.toml` (or below `$XDG_CONFIG_HOME`), `~/Library/Application Support/…`, `%APPDATA%\…`.
/// `None`: there is no home folder.
fn default_config_file() -> Option<PathBuf> {
    let base = etcetera::base_strategy::choose_native_strategy().ok()?;
    let folder = if cfg!(target_os = "macos") { base.data_dir() } else { base.config_dir() };
    Some(folder.join("codex-mcp-bridge").join("config.toml"))
}

/// `~/.local/state/codex-mcp-bridge` (or below `$XDG_STATE_HOME`), `~/Library/Application Support/codex-mcp-bridge`,
/// `%LOCALAPPDATA%\codex-mcp-bridge`.
fn default_store_dir() -> Result<PathBuf, BadConfig> {
    let no_home = |_| BadConfig("there is no home folder to keep the store in; name one with --store-dir".into());
    let base = etcetera::base_strategy::choose_native_strategy().map_err(no_home)?;
    let folder = if cfg!(target_os = "macos") {
        base.data_dir()
    } else if cfg!(windows) {
        base.cache_dir()
    } else {
        base.state_dir().unwrap_or_else(|| base.home_dir().join(".local/state"))
    };
    Ok(folder.join("codex-mcp-bridge"))
}

/// Flags of `codexd serve`. Those of the first version are kept, with their meanings.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ServeArgs {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", env = "CODEXD_HOST", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port to listen on; 0 takes a free one and prints it
    #[arg(long, env = "CODEXD_PORT", default_value_t = 8787)]
    pub(crate) port: u16,
    /// The folder that sessions work in when they don't say [default: the current folder]
    #[arg(long, value_name = "DIR", env = "CODEXD_CWD")]
    pub(crate) cwd: Option<PathBuf>,
    /// One more folder that requests may name; may be given several times
    #[arg(long, value_name = "DIR", env = "CODEXD_ALLOW_ROOT", value_delimiter = LIST)]
    pub(crate) allow_root: Vec<PathBuf>,
    /// The Codex to run [default: `codex` on PATH, else the one that `codexd codex install` installed]
    #[arg(long, value_name = "COMMAND", env = "CODEXD_CODEX_CMD", value_hint = ValueHint::CommandString)]
    pub(crate) codex_cmd: Option<String>,
    /// The model for sessions that don't name one [default: Codex's own]
    #[arg(long, env = "CODEXD_MODEL")]
    pub(crate) model: Option<String>,
    /// What Codex's commands may touch: read-only, workspace-write or danger-full-access
    #[arg(long, env = "CODEXD_SANDBOX", default_value = "workspace-write")]
    pub(crate) sandbox: Sandbox,
    /// When Codex asks before it acts: untrusted, on-request or never
    #[arg(long, value_name = "POLICY", env = "CODEXD_APPROVAL_POLICY", default_value = "on-request")]
    pub(crate) approval_policy: ApprovalPolicy,
    /// The most characters of a saved conversation that a new thread is given
    #[arg(long, value_name = "N", env = "CODEXD_MAX_INJECT_CHARS", default_value_t = 200_000)]
    pub(crate) max_inject_chars: usize,
    /// How long one turn may take, such as 90m or 6h
    #[arg(long, value_name = "TIME", env = "CODEXD_TURN_TIMEOUT", default_value = "6h", value_parser = parse_time)]
    pub(crate) turn_timeout: Duration,
    /// How long Codex waits for the answer to a question, such as 10m or 24h
    #[arg(long, value_name = "TIME", env = "CODEXD_APPROVAL_TIMEOUT", default_value = "24h", value_parser = parse_time)]
    pub(crate) approval_timeout: Duration,
    /// What a question that nobody answered in time does: cancel interrupts the turn, decline says no and lets it go on
    #[arg(long, value_name = "WHAT", env = "CODEXD_ON_EXPIRY", default_value = "cancel", value_parser = on_expiry())]
    pub(crate) on_expiry: OnExpiry,
    /// How long Codex may take to stop a turn that is interrupted, before it is started anew or the turn is given up
    #[arg(long, value_name = "TIME", env = "CODEXD_INTERRUPT_GRACE", default_value = "10s", value_parser = parse_time)]
    pub(crate) interrupt_grace: Duration,
    /// What turns that waited do after a restart: run, hold, or auto, which is run after a clean stop and hold after a crash
    #[arg(long, value_name = "WHAT", env = "CODEXD_ON_RESTART", default_value = "auto", value_parser = on_restart())]
    pub(crate) on_restart: OnRestart,
    /// How long Codex goes on without a codexd while no turn runs
    #[arg(long, value_name = "TIME", env = "CODEXD_ORPHAN_GRACE", default_value = "15m", value_parser = parse_time)]
    pub(crate) orphan_grace: Duration,
    /// How long Codex goes on without a codexd at all
    #[arg(long, value_name = "TIME", env = "CODEXD_ORPHAN_MAX", default_value = "24h", value_parser = parse_time)]
    pub(crate) orphan_max: Duration,
    /// How old Codex may become before it is started anew, once no turn runs, or off
    #[arg(long, value_name = "TIME", env = "CODEXD_AGENT_RECYCLE", default_value = "12h", value_parser = parse_time_or_off)]
    pub(crate) agent_recycle: OrOff<Duration>,
    /// How much memory Codex may have before it is started anew, once no turn runs, such as 2GiB, or off
    #[arg(long, value_name = "SIZE", env = "CODEXD_AGENT_MAX_RSS", default_value = "2GiB", value_parser = parse_size_or_off)]
    pub(crate) agent_max_rss: OrOff<usize>,
    /// Ends running turns, and Codex with them, when codexd is told to stop; without, they go on for the next codexd
    #[arg(long, env = "CODEXD_STOP_AGENTS", value_parser = FalseyValueParser::new())]
    pub(crate) stop_agents: bool,
    /// A token that requests over TCP must carry; it is visible in the process list, prefer --token-file
    #[arg(long, env = "CODEXD_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file that holds a token that requests over TCP must carry
    #[arg(long, value_name = "FILE", env = "CODEXD_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Lets anybody on this machine use the daemon over TCP; only on a loopback address
    #[arg(long, env = "CODEXD_NO_AUTH", value_parser = FalseyValueParser::new())]
    pub(crate) no_auth: bool,
    /// The largest request body, in bytes or such as 1MiB
    #[arg(long, value_name = "SIZE", env = "CODEXD_MAX_BODY_BYTES", default_value = "262144", value_parser = parse_size)]
    pub(crate) max_body_bytes: usize,
    /// How many connections may be open at once
    #[arg(long, value_name = "N", env = "CODEXD_MAX_CONNECTIONS", default_value_t = 1024)]
    pub(crate) max_connections: usize,
    /// One more name by which requests may call this daemon (the Host header); may be given several times
    #[arg(long, value_name = "NAME", env = "CODEXD_ALLOW_HOST", value_delimiter = ',')]
    pub(crate) allow_host: Vec<String>,
    /// A web origin that may send requests, such as http://localhost:3000; may be given several times
    #[arg(long, value_name = "ORIGIN", env = "CODEXD_ALLOW_ORIGIN", value_delimiter = ',')]
    pub(crate) allow_origin: Vec<String>,
    /// Lets requests choose a folder within --cwd and --allow-root
    #[arg(long, env = "CODEXD_ALLOW_CWD_OVERRIDE", value_parser = FalseyValueParser::new())]
    pub(crate) allow_cwd_override: bool,
    /// Lets requests widen the sandbox, up to workspace-write
    #[arg(long, env = "CODEXD_ALLOW_SANDBOX_OVERRIDE", value_parser = FalseyValueParser::new())]
    pub(crate) allow_sandbox_override: bool,
    /// Lets requests choose a policy that asks less
    #[arg(long, env = "CODEXD_ALLOW_APPROVAL_OVERRIDE", value_parser = FalseyValueParser::new())]
    pub(crate) allow_approval_override: bool,
    /// Lets the policy `never` go with a sandbox that writes
    #[arg(long, env = "CODEXD_ALLOW_NEVER", value_parser = FalseyValueParser::new())]
    pub(crate) allow_never: bool,
    /// Lets sessions run without any sandbox
    #[arg(long, env = "CODEXD_ALLOW_DANGER_FULL_ACCESS", value_parser = FalseyValueParser::new())]
    pub(crate) allow_danger_full_access: bool,
    /// One more key of Codex's own configuration that requests may set with `config`; may be given several times
    #[arg(long, value_name = "KEY", env = "CODEXD_ALLOW_CONFIG", value_delimiter = ',')]
    pub(crate) allow_config: Vec<String>,
    /// What the operator should hear about the configuration file.
    #[arg(skip)]
    pub(crate) file_warnings: Vec<String>,
    /// Who is told what happens, by the configuration file.
    #[arg(skip)]
    pub(crate) hooks: Vec<HookEntry>,
}

/// What separates folders in an environment variable.
const LIST: char = if cfg!(windows) { ';' } else { ':' };

/// What becomes of turns that waited when the last daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnRestart {
    /// They go on.
    Run,
    /// They wait until somebody asks for something in their session.
    Hold,
    /// They go on unless the daemon crashed.
    Auto,
}

fn on_restart() -> impl TypedValueParser<Value = OnRestart> {
    let words = PossibleValuesParser::new(["auto", "run", "hold"]);
    words.map(|word| match word.as_str() {
        "run" => OnRestart::Run,
        "hold" => OnRestart::Hold,
        _ => OnRestart::Auto,
    })
}

/// Reads what becomes of a question that nobody answers.
fn on_expiry() -> impl TypedValueParser<Value = OnExpiry> {
    let words = PossibleValuesParser::new(["cancel", "decline"]);
    words.map(|word| if word == "decline" { OnExpiry::Decline } else { OnExpiry::Cancel })
}
