//! What the operator said: flags and environment, checked and made whole before anything starts.
//!
//! Whatever is wrong here ends the program with exit code 64 and a sentence that says which flag, why, and what to do.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, builder::FalseyValueParser};
use engine::Policy;
use etcetera::BaseStrategy as _;
use types::{ApprovalPolicy, Sandbox};

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
    #[arg(long, value_name = "COMMAND", env = "CODEXD_CODEX_CMD")]
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
    /// A token that requests over TCP must carry; it is visible in the process list, prefer --token-file
    #[arg(long, env = "CODEXD_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file that holds such a token
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
}

/// What separates folders in an environment variable.
const LIST: char = if cfg!(windows) { ';' } else { ':' };

/// Settings that are checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    /// The tokens for TCP.
    pub(crate) tokens: Vec<String>,
    /// TCP needs no token.
    pub(crate) open: bool,
    pub(crate) policy: Policy,
    /// What the operator should hear before it starts.
    pub(crate) warnings: Vec<String>,
}

impl ServeArgs {
    /// Checks what was given. `old_way`: without a subcommand, as the first version was called.
    pub(crate) fn settings(&self, old_way: bool) -> Result<Settings, BadConfig> {
        let mut warnings = Vec::new();
        let address = self.address()?;
        let tokens = self.read_tokens(&mut warnings)?;
        let open = self.no_auth || (old_way && tokens.is_empty());
        if !address.ip().is_loopback() {
            if open || tokens.is_empty() {
                return bad(format!(
                    "{address} is not a loopback address: whoever reaches it could run commands as you. Give a token with \
                     --token-file, or listen on 127.0.0.1 and put a tunnel in front"
                ));
            }
            warnings.push(format!(
                "{address} is not a loopback address and the traffic is plain text: put a tunnel or a TLS proxy in front"
            ));
        }
        if old_way && tokens.is_empty() {
            warnings.push(
                "called without a subcommand and without a token, as the first version was: anybody on this machine can use \
                 it. `codexd serve --token-file FILE` has authentication"
                    .to_owned(),
            );
        } else if self.no_auth && tokens.is_empty() {
            warnings.push("--no-auth: anybody on this machine can use it".to_owned());
        }
        Ok(Settings { address, tokens, open, policy: self.policy(&mut warnings)?, warnings })
    }

    fn address(&self) -> Result<SocketAddr, BadConfig> {
        let host = self.host.trim().trim_start_matches('[').trim_end_matches(']');
        let ip = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => match other.parse() {
                Ok(ip) => ip,
                Err(_) => return bad(format!("--host {other:?} is not an IP address; use 127.0.0.1")),
            },
        };
        Ok(SocketAddr::new(ip, self.port))
    }

    fn read_tokens(&self, warnings: &mut Vec<String>) -> Result<Vec<String>, BadConfig> {
        let mut tokens = Vec::new();
        if let Some(token) = &self.token {
            if std::env::var_os("CODEXD_TOKEN").is_none() {
                warnings.push("--token is visible to every user in the process list; prefer --token-file".to_owned());
            }
            tokens.push(checked_token(token, "--token (or CODEXD_TOKEN)")?);
        }
        if let Some(file) = &self.token_file {
            match std::fs::read_to_string(file) {
                Ok(text) => tokens.push(checked_token(&text, &file.display().to_string())?),
                Err(error) => return bad(format!("the token file {} can't be read: {error}", file.display())),
            }
        }
        Ok(tokens)
    }

    fn policy(&self, warnings: &mut Vec<String>) -> Result<Policy, BadConfig> {
        let cwd = match &self.cwd {
            Some(dir) => folder("--cwd", dir)?,
            None => match std::env::current_dir() {
                Ok(dir) => folder("the current folder", &dir)?,
                Err(error) => return bad(format!("the current folder can't be used ({error}); name one with --cwd")),
            },
        };
        let mut roots = vec![cwd.clone()];
        for root in &self.allow_root {
            roots.push(folder("--allow-root", root)?);
        }
        if self.sandbox == Sandbox::DangerFullAccess && !self.allow_danger_full_access {
            return bad(
                "--sandbox danger-full-access needs --allow-danger-full-access: nothing would confine Codex's commands",
            );
        }
        if self.allow_danger_full_access {
            warnings.push("--allow-danger-full-access: sessions may run without any sandbox".to_owned());
        }
        let writes = self.sandbox != Sandbox::ReadOnly;
        if self.approval_policy == ApprovalPolicy::Never && writes && !self.allow_never {
            return bad(
                "--approval-policy never with a sandbox that writes needs --allow-never: Codex would not ask before anything",
            );
        }
        Ok(Policy {
            cwd,
            roots,
            sandbox: self.sandbox,
            approval_policy: self.approval_policy,
            model: self.model.clone().filter(|model| !model.trim().is_empty()),
            allow_cwd_override: self.allow_cwd_override,
            allow_sandbox_override: self.allow_sandbox_override,
            allow_approval_override: self.allow_approval_override,
            allow_never: self.allow_never,
            allow_danger: self.allow_danger_full_access,
        })
    }
}

fn checked_token(text: &str, from: &str) -> Result<String, BadConfig> {
    let token = text.trim();
    if token.is_empty() {
        return bad(format!("the token from {from} is empty; that never means \"no authentication\", --no-auth does"));
    }
    if token.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return bad(format!("the token from {from} has white space or control characters in it"));
    }
    Ok(token.to_owned())
}

/// The folders of `roots` that no program is run from. One that holds the whole home folder is not counted, since nothing would
/// be left to run.
pub(crate) fn confining(roots: &[PathBuf]) -> Vec<PathBuf> {
    let home = etcetera::home_dir().ok().and_then(|home| dunce::canonicalize(home).ok());
    let holds_home = |root: &&PathBuf| home.as_ref().is_some_and(|home| home.starts_with(root));
    roots.iter().filter(|root| !holds_home(root)).cloned().collect()
}

fn folder(what: &str, dir: &Path) -> Result<PathBuf, BadConfig> {
    match dunce::canonicalize(dir) {
        Ok(real) if real.is_dir() => Ok(real),
        Ok(_) => bad(format!("{what}: {} is not a folder", dir.display())),
        Err(error) => bad(format!("{what}: the folder {} can't be used: {error}", dir.display())),
    }
}

/// `600s`, `10m`, `24h`, or seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("{text:?} is no time; write seconds, or such as 600s, 10m, 24h")),
    };
    let seconds =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).filter(|seconds| *seconds > 0);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} is no time; write seconds, or such as 600s, 10m, 24h"))
}

/// `262144`, `256KiB`, `1MiB`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1024,
        "m" | "mb" | "mib" => 1024 * 1024,
        "g" | "gb" | "gib" => 1024 * 1024 * 1024,
        _ => return Err(format!("{text:?} is no size; write bytes, or such as 256KiB, 1MiB")),
    };
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("{text:?} is no size; write bytes, or such as 256KiB, 1MiB"))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn settings(flags: &[&str], old_way: bool) -> Result<Settings, BadConfig> {
        let words = std::iter::once("codexd").chain(flags.iter().copied());
        Program::parse_from(words).serve.settings(old_way)
    }

    #[test]
    fn authentication_is_on_unless_someone_says_otherwise() {
        assert!(!settings(&[], false).unwrap().open);
        assert!(settings(&["--no-auth"], false).unwrap().open);
        assert!(settings(&[], true).unwrap().open, "the first version had none without a token");
        assert!(!settings(&["--token", "x"], true).unwrap().open);
        assert!(!settings(&[], true).unwrap().warnings.is_empty());
    }

    #[test]
    fn what_would_open_the_machine_does_not_start() {
        for flags in [
            &["--token", ""][..],
            &["--token", "  "],
            &["--token", "a b"],
            &["--host", "0.0.0.0"],
            &["--host", "0.0.0.0", "--no-auth"],
            &["--host", "example.org", "--token", "x"],
            &["--sandbox", "danger-full-access"],
            &["--approval-policy", "never"],
            &["--cwd", "/no/such/folder"],
            &["--allow-root", "/no/such/folder"],
        ] {
            assert!(settings(flags, false).is_err(), "{flags:?}");
            assert!(settings(flags, true).is_err(), "{flags:?}");
        }
        assert!(settings(&["--host", "0.0.0.0", "--token", "x"], false).is_ok());
        assert!(settings(&["--approval-policy", "never", "--sandbox", "read-only"], false).is_ok());
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(parse_time("600s"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse_time("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_time("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_size("262144"), Ok(262_144));
        assert_eq!(parse_size("256KiB"), Ok(262_144));
        for wrong in ["", "0", "x", "-1", "1y", "99999999999999999999"] {
            assert!(parse_time(wrong).is_err() && parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
