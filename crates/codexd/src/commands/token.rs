//! `codexd token`: tokens that let programs in by TCP.
//!
//! A running daemon makes and ends them, so that they count at once. Without one the store is opened for the moment that it
//! takes.

use std::{io, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use audit::{Audit, Fact, Kind, Limits};
use clap::Subcommand;
use client::{Client, Error, NewToken, TokenMade, Tokens};
use engine::Grants;
use serde::Serialize;
use serde_json::json;
use store::Store;
use types::{Grant, Sandbox, Scope, Timestamp};

use super::connect;
use crate::{
    config::parse_time,
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, Output},
};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it; this is the only time that it is shown
    #[command(after_help = crate::exit::HELP)]
    New {
        /// Its name: letters, digits, dots, dashes and underscores
        #[arg(value_parser = checked_name)]
        name: String,
        /// What its holder may do: read, run, approve, approve-own, admin
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "read,run")]
        scope: Vec<Scope>,
        /// A folder that its holder may work in; may be given several times [default: those that the daemon allows]
        #[arg(long, value_name = "DIR")]
        root: Vec<PathBuf>,
        /// The widest sandbox that its holder may have: read-only, workspace-write or danger-full-access [default: what the
        /// daemon allows]
        #[arg(long, value_name = "SANDBOX")]
        max_sandbox: Option<Sandbox>,
        /// When it ends, such as 12h or 30d from now [default: never]
        #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
        expires: Option<Duration>,
    },
    /// Lists the tokens that were made, without what they are
    #[command(after_help = crate::exit::HELP)]
    List,
    /// Replaces a token by another one that opens the same, and prints it; this is the only time that it is shown
    #[command(after_help = crate::exit::HELP)]
    Rotate {
        /// The token's name
        name: String,
        /// How long the old token opens as well, such as 10m or 2d, at most 30d; only the last one that was replaced can [default:
        /// it ends at once]
        #[arg(long, value_name = "TIME", value_parser = parse_grace)]
        grace: Option<Duration>,
    },
    /// Ends a token: it opens nothing any more
    #[command(after_help = crate::exit::HELP)]
    Revoke {
        /// The token's name
        name: String,
    },
}

/// Runs it.
pub(crate) async fn run(command: TokenCommand, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    match command {
        TokenCommand::New { name, scope, root, max_sandbox, expires } => {
            let roots = root.into_iter().map(folder).collect::<Result<Vec<_>, _>>()?;
            let expires_at = expires.map(from_now);
            let new = NewToken { name, scopes: scope, roots, max_sandbox, expires_at };
            let made = make(&new, globals).await?;
            match tell_new(&output, &made)? {
                Ok(()) => Ok(Exit::Completed),
                // Nobody has it, and nobody could ever get it again.
                Err(error) => match revoke(&made.grant.name, globals).await {
                    Ok(()) => bail!("the token can't be printed ({error}), so it was revoked again"),
                    Err(other) => bail!(
                        "the token can't be printed ({error}), and not be revoked either ({other:#}); do that with: codexd token \
                         revoke {}",
                        made.grant.name
                    ),
                },
            }
        }
        TokenCommand::Rotate { name, grace } => {
            let made = rotate(&name, grace.unwrap_or_default(), globals).await?;
            if let Err(error) = tell_new(&output, &made)? {
                bail!(
                    "the token can't be printed ({error}), and the old one is replaced already; once that works, run again: codexd token rotate {name}"
                );
            }
            Ok(Exit::Completed)
        }
        TokenCommand::List => {
            let listed = list(globals).await?;
            if output.json() {
                output.object(&serde_json::to_vec(&listed)?)?;
            } else {
                tell_list(&output, &listed.tokens)?;
            }
            Ok(Exit::Completed)
        }
        TokenCommand::Revoke { name } => {
            revoke(&name, globals).await?;
            if output.json() {
                output.object(json!({ "revoked": name }).to_string().as_bytes())?;
            } else {
                output.note(&format!("the token \"{name}\" opens nothing any more"));
            }
            Ok(Exit::Completed)
        }
    }
}

async fn make(new: &NewToken, globals: &Globals) -> anyhow::Result<TokenMade> {
    if let Some(made) = by_daemon(globals, async |client| Ok(client.new_token(new).await?.value)).await? {
        return Ok(made);
    }
    let NewToken { name, scopes, roots, max_sandbox, expires_at } = new.clone();
    let grant = Grant { roots, max_sandbox, expires_at, ..Grant::new(name, scopes) };
    let (store, grants) = open(globals).await?;
    let made = grants.add(&store, grant).await;
    if let Ok((grant, _)) = &made {
        note(globals, Kind::TokenMade, grant)?;
    }
    store.close().await;
    let (grant, token) = made?;
    Ok(TokenMade { grant, token })
}

async fn rotate(name: &str, grace: Duration, globals: &Globals) -> anyhow::Result<TokenMade> {
    if let Some(made) = by_daemon(globals, async |client| Ok(client.rotate_token(name, grace).await?.value)).await? {
        return Ok(made);
    }
    let (store, grants) = open(globals).await?;
    let rotated = grants.rotate(&store, name, grace).await;
    if let Ok((grant, _)) = &rotated {
        note(globals, Kind::TokenRotated, grant)?;
    }
    store.close().await;
    let (grant, token) = rotated?;
    Ok(TokenMade { grant, token })
}

async fn list(globals: &Globals) -> anyhow::Result<Tokens> {
    if let Some(listed) = by_daemon(globals, async |client| Ok(client.tokens().await?.value)).await? {
        return Ok(listed);
    }
    // Looking makes nothing.
    if !globals.store.dir()?.exists() {
        return Ok(Tokens { tokens: Vec::new() });
    }
    let (store, grants) = open(globals).await?;
    store.close().await;
    Ok(Tokens { tokens: grants.list() })
}

async fn revoke(name: &str, globals: &Globals) -> anyhow::Result<()> {
    if by_daemon(globals, async |client| client.revoke_token(name).await).await?.is_some() {
        return Ok(());
    }
    let (store, grants) = open(globals).await?;
    let removed = grants.remove(&store, name).await;
    if removed.is_ok() {
        note(globals, Kind::TokenRevoked, json!({ "name": name }))?;
    }
    store.close().await;
    Ok(removed?)
}

/// For the audit log, which is ours for as long as the store is.
fn note(globals: &Globals, kind: Kind, token: impl Serialize) -> anyhow::Result<()> {
    let audit = Audit::start(&globals.store.dir()?, Limits::default());
    audit.note(Fact::of_store(kind).about("token", serde_json::to_value(token)?));
    audit.close();
    Ok(())
}

/// What the daemon says, if there is one.
async fn by_daemon<T>(globals: &Globals, call: impl AsyncFn(&Client) -> Result<T, Error>) -> anyhow::Result<Option<T>> {
    let client = match connect(globals) {
        Ok(client) => client,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match call(&client).await {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::NoDaemon { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_nobody(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::NoDaemon { .. }))
}

async fn open(globals: &Globals) -> anyhow::Result<(Store, Grants)> {
    let dir = globals.store.dir()?;
    let store = tokio::task::spawn_blocking(move || Store::open(&dir)).await.context("can't open the store")??;
    let grants = Grants::load(&store).await?;
    Ok((store, grants))
}

fn folder(dir: PathBuf) -> Result<PathBuf, Usage> {
    dunce::canonicalize(&dir)
        .map_err(|error| Usage(format!("--root: the folder `{}` can't be used: {error}", dir.display())))
}

fn from_now(time: Duration) -> Timestamp {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(Timestamp::now().as_millis().saturating_add(millis))
}

/// The longest name of a token, in characters.
const NAME_CHARS: usize = 64;

/// The latest end of a token, in days from now.
const DAYS: u64 = 36_500;

fn checked_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.chars().count() > NAME_CHARS || !text.chars().all(plain) {
        return Err(format!("a token's name has 1 to {NAME_CHARS} letters, digits, dots, dashes and underscores"));
    }
    Ok(text.to_owned())
}

fn parse_expiry(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if time.as_secs() > DAYS * 86_400 {
        return Err(format!("that is more than {DAYS} days; without --expires a token does not end by itself"));
    }
    Ok(time)
}

/// The longest grace of a replaced token: thirty days.
const GRACE_DAYS: u64 = 30;

fn parse_grace(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if time > Duration::from_secs(GRACE_DAYS * 86_400) {
        return Err(format!("the old token may open for {GRACE_DAYS} days at most"));
    }
    Ok(time)
}

/// The token alone on stdout, so that a script can keep it; the rest beside it. Within: whether it went out.
fn tell_new(output: &Output, made: &TokenMade) -> anyhow::Result<io::Result<()>> {
    if output.json() {
        return Ok(output.must_say(&serde_json::to_string(made)?));
    }
    let Grant { name, scopes, expires_at, rotated_at, previous_until, .. } = &made.grant;
    let end = expires_at.map_or_else(|| "it does not end by itself".to_owned(), |end| format!("it ends at {end}"));
    let before = match (rotated_at, previous_until) {
        (_, Some(until)) => format!("; the old one opens until {until}"),
        (Some(_), None) => "; the old one opens nothing any more".to_owned(),
        (None, None) => String::new(),
    };
    output.note(&format!("token \"{name}\" for {}; {end}{before}. It is shown this once:", words(scopes)));
    Ok(output.must_say(&made.token))
}

fn tell_list(output: &Output, tokens: &[Grant]) -> anyhow::Result<()> {
    if tokens.is_empty() {
        output.note("there are no tokens; make one with: codexd token new NAME");
        return Ok(());
    }
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let row = |grant: &Grant| {
        let roots: Vec<String> = grant.roots.iter().map(|root| root.display().to_string()).collect();
        [
            grant.name.clone(),
            words(&grant.scopes),
            or_dash(grant.max_sandbox.map(|sandbox| sandbox.to_string())),
            or_dash(grant.expires_at.map(|end| end.to_string())),
            or_dash(grant.last_used_at.map(|at| output.time(at))),
            or_dash((!roots.is_empty()).then(|| roots.join(", "))),
        ]
    };
    let rows: Vec<[String; 6]> = tokens.iter().map(row).collect();
    let head = ["NAME", "SCOPES", "SANDBOX", "ENDS", "LAST USED", "FOLDERS"];
    Ok(output.styled(&output::table::rows(head, &rows, output.width()))?)
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}
