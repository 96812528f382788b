//! The checks that no parser makes: whether the settings, taken together, are safe and can be used.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use engine::Policy;
use types::{ApprovalPolicy, Sandbox};

use super::{BadConfig, ServeArgs, bad, hooks::ready};

/// Settings that are checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: SocketAddr,
    /// The tokens for TCP.
    pub(crate) tokens: Vec<String>,
    /// TCP needs no token.
    pub(crate) open: bool,
    pub(crate) policy: Policy,
    /// Who is told what happens.
    pub(crate) hooks: Vec<hooks::Hook>,
    /// What the operator should hear before it starts.
    pub(crate) warnings: Vec<String>,
}

impl ServeArgs {
    /// Checks what was given. `old_way`: without a subcommand, as the first version was called.
    pub(crate) fn settings(&self, old_way: bool) -> Result<Settings, BadConfig> {
        let mut warnings = self.file_warnings.clone();
        let address = self.address()?;
        if self.max_connections == 0 {
            return bad("--max-connections 0 would let nobody in; the least is 1, and without the flag it is 1024");
        }
        if let Some(origin) = self.allow_origin.iter().find(|origin| !is_origin(origin)) {
            return bad(format!(
                "--allow-origin {origin:?} is no origin; write scheme://host or scheme://host:port, such as \
                 http://localhost:3000"
            ));
        }
        let tokens = self.read_tokens(&mut warnings)?;
        let open = self.no_auth || (old_way && tokens.is_empty());
        if !address.ip().is_loopback() {
            if open || tokens.is_empty() {
                return bad(format!(
                    "--host: {address} is not a loopback address: whoever reaches it could run commands as you. Give a token \
                     with --token-file, or listen on 127.0.0.1 and put a tunnel in front"
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
        let policy = self.policy(&mut warnings)?;
        let hooks = ready(&self.hooks, &confining(&policy.roots))?;
        Ok(Settings { address, tokens, open, policy, hooks, warnings })
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
                Ok(text) => tokens.push(checked_token(&text, &format!("--token-file {}", file.display()))?),
                Err(error) => return bad(format!("--token-file: {} can't be read: {error}", file.display())),
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
            shared_cwd: self.exclusive_cwd,
            config_keys: self.config_keys()?,
            store: None,
            grants: engine::Grants::default(),
        })
    }
}

impl ServeArgs {
    fn config_keys(&self) -> Result<Vec<String>, BadConfig> {
        for key in &self.allow_config {
            let plain = |part: &str| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            };
            if !key.split('.').all(plain) {
                return bad(format!(
                    "--allow-config {key:?} is no key of Codex's configuration, such as tools.web_search"
                ));
            }
            if engine::is_guarded(key) {
                return bad(format!(
                    "--allow-config {key} would let requests widen what they may do; sandbox, approvals and trust have flags \
                     of their own"
                ));
            }
        }
        Ok(self.allow_config.clone())
    }
}

/// `scheme://host[:port]`, as browsers send it; one slash behind it does no harm.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let host_end = if rest.starts_with('[') { rest.find(']').map(|at| at + 1) } else { rest.find(':') };
    let (host, port) = rest.split_at(host_end.unwrap_or(rest.len()));
    let scheme_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let plain_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(host_char),
    };
    let is_port = |port: &str| port.starts_with(|c: char| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(scheme_char)
        && plain_host
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
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
            &["--max-connections", "0"],
            &["--allow-origin", "localhost:3000"],
            &["--allow-origin", "null"],
            &["--allow-origin", "http://"],
            &["--allow-origin", "http://a/path"],
            &["--allow-origin", "http://a:"],
            &["--allow-origin", "http://a:99999"],
            &["--allow-origin", "http://u@a"],
            &["--allow-origin", "http://[x]"],
            &["--allow-origin", "*"],
        ] {
            assert!(settings(flags, false).is_err(), "{flags:?}");
            assert!(settings(flags, true).is_err(), "{flags:?}");
        }
        for origin in
            ["http://localhost:3000", "https://Box.example/", "app://x-y", "http://[::1]:1", "vscode-webview://a_b"]
        {
            assert!(settings(&["--allow-origin", origin], false).is_ok(), "{origin}");
        }
        assert!(settings(&["--model", ""], false).unwrap().policy.model.is_none());
        assert!(settings(&["--host", "0.0.0.0", "--token", "x"], false).is_ok());
        assert!(settings(&["--approval-policy", "never", "--sandbox", "read-only"], false).is_ok());
    }
}
