//! `codexd sessions`: lists, shows and searches.

use clap::{Args, Subcommand};
use client::{Message, Reply, SessionDetail, SessionSummary, Sessions};
use serde_json::Value;
use types::Timestamp;

use super::connect;
use crate::{
    exit::Exit,
    globals::Globals,
    output::{self, Output},
};

/// What to look at.
#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    command: Option<SessionsCommand>,
    /// The most that is shown: sessions, or messages of one session
    #[arg(long, value_name = "N", global = true)]
    limit: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// Lists sessions, newest activity first (what `codexd sessions` alone does)
    #[command(after_help = crate::exit::HELP)]
    List,
    /// Shows one session and what was said in it
    #[command(after_help = crate::exit::HELP)]
    Show {
        /// The session's id, or the id of any Codex thread that it has had
        id: String,
    },
    /// Searches titles and messages: the best matches, filled up with the newest sessions
    #[command(after_help = crate::exit::HELP)]
    Search {
        /// Words, or parts of words; all of them must be found
        #[arg(required = true)]
        query: Vec<String>,
    },
}

/// How many of a list people are shown when they don't say.
const SHOWN: u32 = 50;

/// Asks the daemon and prints.
pub(crate) async fn run(args: SessionsArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let client = connect(globals)?;
    let output = Output::new(globals.json);
    match args.command.unwrap_or(SessionsCommand::List) {
        SessionsCommand::List => list(&output, &client.sessions().await?, args.limit)?,
        SessionsCommand::Show { id } => show(&output, &client.session(&id).await?, args.limit)?,
        SessionsCommand::Search { query } => {
            let found = client.search(&query.join(" "), args.limit).await?;
            list(&output, &found, None)?;
        }
    }
    Ok(Exit::Completed)
}

fn list(output: &Output, reply: &Reply<Sessions>, limit: Option<u32>) -> anyhow::Result<()> {
    if output.json() {
        output.object(&limited(&reply.json, "sessions", limit, false)?)?;
        return Ok(());
    }
    if reply.sessions.is_empty() {
        output.note("there are no sessions yet; make one with: codexd start \"…\"");
        return Ok(());
    }
    let shown = usize::try_from(limit.unwrap_or(SHOWN)).unwrap_or(usize::MAX).min(reply.sessions.len());
    let rows: Vec<[String; 3]> = reply.sessions[..shown].iter().map(row).collect();
    output.styled(&output::table::sessions(&rows, output.width()))?;
    let more = reply.sessions.len() - shown;
    if more > 0 {
        output.note(&format!("{more} more; see them with --limit {}", reply.sessions.len()));
    }
    Ok(())
}

fn row(session: &SessionSummary) -> [String; 3] {
    let title = session.title.as_deref().unwrap_or_default();
    [session.session_id.clone(), output::age(session.updated_at_ms), title.to_owned()]
}

fn show(output: &Output, reply: &Reply<SessionDetail>, limit: Option<u32>) -> anyhow::Result<()> {
    if output.json() {
        output.object(&limited(&reply.json, "history", limit, true)?)?;
        return Ok(());
    }
    let mut facts = vec![("session", reply.session_id.clone())];
    facts.extend(reply.meta.title.clone().map(|title| ("title", title)));
    facts.extend(reply.meta.cwd.clone().map(|cwd| ("folder", cwd)));
    facts.extend(reply.meta.model.clone().map(|model| ("model", model)));
    facts.extend(reply.thread_id.clone().map(|thread| ("thread", thread)));
    facts.push(("created", when(reply.created_at_ms)));
    facts.push(("updated", when(reply.updated_at_ms)));
    if let Some(resumed) = reply.resumed {
        facts.push(("resumed", format!("{}, {}", resumed.how.as_str(), when(resumed.at.as_millis()))));
    }
    output.styled(&output::table::facts(&facts))?;

    let messages = &reply.history;
    let shown = usize::try_from(limit.unwrap_or(u32::MAX)).unwrap_or(usize::MAX).min(messages.len());
    for Message { role, text, ts_ms } in &messages[messages.len() - shown..] {
        output.heading(&format!("{role} · {}", output::ago(*ts_ms)))?;
        output.text(text)?;
    }
    Ok(())
}

/// How long ago a moment was, and which.
fn when(millis: i64) -> String {
    format!("{}, {}", output::ago(millis), Timestamp::from_millis(millis))
}

/// The API's object with no more of this list than was asked for: its beginning, or its end.
fn limited(json: &[u8], list: &str, limit: Option<u32>, newest_last: bool) -> anyhow::Result<Vec<u8>> {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Ok(json.to_vec()) };
    let mut object: Value = serde_json::from_slice(json)?;
    if let Some(entries) = object.get_mut(list).and_then(Value::as_array_mut) {
        if newest_last {
            entries.drain(..entries.len().saturating_sub(limit));
        }
        entries.truncate(limit);
    }
    Ok(serde_json::to_vec(&object)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_cuts_the_old_end_of_a_list() {
        let json = br#"{"x":1,"list":[1,2,3]}"#;
        assert_eq!(limited(json, "list", None, true).unwrap(), json);
        assert_eq!(limited(json, "list", Some(2), false).unwrap(), br#"{"list":[1,2],"x":1}"#);
        assert_eq!(limited(json, "list", Some(2), true).unwrap(), br#"{"list":[2,3],"x":1}"#);
        assert_eq!(limited(json, "list", Some(9), true).unwrap(), br#"{"list":[1,2,3],"x":1}"#);
    }
}
