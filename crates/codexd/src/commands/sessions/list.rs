//! Lists of sessions: all of them in pages, and what a search found.

use clap::Args;
use client::{Archived, Found, SessionPage, SessionQuery};
use serde_json::{Map, Value};
use types::{Session, SessionStatus};

use crate::{
    commands::{input, line::Line},
    exit::Exit,
    globals::Globals,
    output::{self, Output, Spinner},
};

/// How many are asked for at once.
const PAGE: u32 = 200;

/// Which sessions.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// The most sessions that are listed
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "all")]
    limit: u32,
    /// Lists all of them, however many there are
    #[arg(long)]
    all: bool,
    /// Lists those that were put away
    #[arg(long)]
    archived: bool,
    /// Lists those that are idle, running or waitingApproval
    #[arg(long, value_parser = status)]
    status: Option<SessionStatus>,
    /// Lists those with this label; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::label)]
    label: Vec<(String, String)>,
}

/// Lists them.
pub(super) async fn run(args: &ListArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let wanted = if args.all { usize::MAX } else { usize::try_from(args.limit).unwrap_or(usize::MAX) };
    let mut which = SessionQuery {
        status: args.status,
        archived: if args.archived { Archived::Only } else { Archived::No },
        labels: args.label.clone(),
        ..SessionQuery::default()
    };
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    // What a newer daemon tells besides goes to programs as it is.
    let mut objects: Vec<Value> = Vec::new();
    let mut sessions: Vec<Session> = Vec::new();
    loop {
        which.limit = Some(u32::try_from(wanted - sessions.len()).unwrap_or(PAGE).min(PAGE));
        let reply = line.ask(&spinner, async |client| client.sessions(&which).await).await?;
        if output.json() {
            let mut page: Map<String, Value> = serde_json::from_slice(&reply.json)?;
            if let Some(Value::Array(page)) = page.remove("sessions") {
                objects.extend(page);
            }
        }
        let SessionPage { sessions: page, next_cursor } = reply.value;
        sessions.extend(page);
        which.cursor = next_cursor;
        if which.cursor.is_none() || sessions.len() >= wanted {
            break;
        }
    }
    drop(spinner);
    if output.json() {
        let mut whole = Map::from_iter([("sessions".to_owned(), Value::from(objects))]);
        whole.extend(which.cursor.map(|cursor| ("nextCursor".to_owned(), cursor.into())));
        output.object(Value::from(whole).to_string().as_bytes())?;
        return Ok(Exit::Completed);
    }
    if sessions.is_empty() {
        let all = !args.archived && args.status.is_none() && args.label.is_empty();
        output.note(if all {
            "there are no sessions yet; make one with: codexd start \"…\""
        } else {
            "there is no such session"
        });
        return Ok(Exit::Completed);
    }
    let rows: Vec<[String; 4]> = sessions.iter().map(|session| row(session, &output)).collect();
    let head = ["SESSION", output.age_head(), "STATUS", "TITLE"];
    output.styled(&output::table::rows(head, &rows, output.width()))?;
    if which.cursor.is_some() {
        output.note(&format!("there are more than these {}; --limit N or --all shows them", sessions.len()));
    }
    Ok(Exit::Completed)
}

/// Searches.
pub(super) async fn search(words: &str, limit: u32, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("searching");
    let found = line.ask(&spinner, async |client| client.search(words, Some(limit)).await).await?;
    drop(spinner);
    if output.json() {
        output.object(&found.json)?;
        return Ok(Exit::Completed);
    }
    let Found { results } = found.value;
    if results.is_empty() {
        output.note(
            "nothing was found; all words must be in one title or one message, and archived sessions are not searched",
        );
    }
    for hit in results {
        let [id, age, status, title] = row(&hit.session, &output);
        let about = [age, status].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
        output.styled(&output::table::hit(&id, &title, &about, &hit.snippet, output.width()))?;
    }
    Ok(Exit::Completed)
}

/// A session in one line.
fn row(session: &Session, output: &Output) -> [String; 4] {
    let status = match (session.archived_at, session.status) {
        (Some(_), _) => "archived",
        (None, SessionStatus::Idle) => "",
        (None, SessionStatus::Running) => "running",
        (None, SessionStatus::WaitingApproval) => "waiting",
    };
    [session.id.to_string(), output.age(session.updated_at), status.to_owned(), session.title.clone()]
}

fn status(text: &str) -> Result<SessionStatus, String> {
    let all = [SessionStatus::Idle, SessionStatus::Running, SessionStatus::WaitingApproval];
    let found = all.into_iter().find(|status| status.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is no status; it is one of idle, running, waitingApproval"))
}
