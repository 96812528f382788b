//! `codexd gc`: removes sessions in which nothing has happened for long. A running daemon does it, so that nothing is taken from under
//! it; without one the store is opened for as long as it takes, and made small.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use client::{Error, SessionQuery};
use serde_json::json;
use store::{Batch, NewEvent, Remembered, SessionFilter, Store, Write};
use types::{Code, EventName, Session, SessionStatus, Timestamp, WorktreeFate, WorktreeLeft};

use super::{confirmed, line::Line, sessions::worktree_left};
use crate::{
    config::parse_time,
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, Bar, Output, Spinner},
};

/// So many sessions are asked for at once.
const PAGE: u32 = 100;

/// So many are shown before somebody is asked.
const SHOWN: usize = 20;

/// Which sessions.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Sessions in which nothing has happened for that long, such as 90d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    older_than: Duration,
    /// Also those that are not archived, if nothing runs or waits in them
    #[arg(long)]
    all_idle: bool,
    /// Only tells which they are
    #[arg(long)]
    dry_run: bool,
    /// Deletes without asking; needed where nobody can be asked
    #[arg(long)]
    yes: bool,
}

/// Who removes them.
enum Way {
    Daemon(Box<Line>),
    Alone(Store),
}

/// What became of one.
enum Removed {
    /// It is gone; and its worktree, if it had one, or not.
    Gone(Option<WorktreeLeft>),
    /// Something has happened in it by now, or somebody has deleted it.
    NotOld,
}

/// Removes them.
pub(crate) async fn run(args: GcArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    if !args.yes && !args.dry_run && !output.can_ask() {
        let text = "deleting is for good; nobody can be asked here, so say --yes (or --dry-run)";
        return Err(Usage(text.to_owned()).into());
    }
    let age = i64::try_from(args.older_than.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(age));
    let dir = globals.store.dir()?;
    if !dir.join("store.db").exists() {
        return Err(store::CareError::NoStore(dir).into());
    }
    let (mut way, sessions) = found(&args, before, globals).await?;
    let result = removed(&args, &mut way, &sessions, before, &output).await;
    if let Way::Alone(store) = way {
        store.close().await;
    }
    result
}

async fn removed(
    args: &GcArgs,
    way: &mut Way,
    sessions: &[Session],
    before: Timestamp,
    output: &Output,
) -> anyhow::Result<Exit> {
    if args.dry_run {
        tell(output, sessions, &[], true)?;
        return Ok(Exit::Completed);
    }
    if !args.yes && !sessions.is_empty() {
        output.styled_aside(&listed(output, &sessions[..sessions.len().min(SHOWN)]));
        if sessions.len() > SHOWN {
            output.note(&format!("and {} more", sessions.len() - SHOWN));
        }
        let these = output::count(sessions.len() as u64, "session");
        if !confirmed(output, &format!("delete {these} with all that was said in them? [y/N] "))? {
            output.note("nothing was deleted");
            return Ok(Exit::Interrupted);
        }
    }
    let bar = Bar::start("deleting");
    let (mut gone, mut failed, mut worktrees) = (Vec::new(), None, Vec::new());
    for (n, session) in (0_u64..).zip(sessions) {
        match way.remove(session, before).await {
            Ok(Removed::Gone(left)) => {
                gone.push(session.id.clone());
                worktrees.extend(left);
            }
            // Somebody uses it, or has deleted it.
            Ok(Removed::NotOld) => {}
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        bar.set(n + 1, sessions.len() as u64);
    }
    drop(bar);
    if let Some(error) = failed {
        let these = output::count(gone.len() as u64, "session");
        return Err(error.context(format!("{these} of {} were deleted", sessions.len())));
    }
    if let Way::Alone(store) = way {
        let _spinner = Spinner::start("giving the space back");
        let day_ago = Timestamp::from_millis(Timestamp::now().as_millis() - Remembered::DAY);
        store.commit(Batch { writes: vec![Write::ForgetKeys { before: day_ago }] }).await?;
        if let Err(error) = store.compact().await {
            output.note(&format!("the space stays with the store for now: {error}"));
        }
    }
    if !output.json() {
        for left in worktrees.iter().filter(|left| !left.removed) {
            output.note(&format!("session {}: {}", session_of(left), worktree_left(left)));
        }
        let has_one = |session: &&Session| session.worktree.is_some() && gone.contains(&session.id);
        if matches!(way, Way::Alone(_)) && sessions.iter().any(|session| has_one(&session)) {
            output.note("the next start of codexd sees to the worktrees of these sessions; its log says which stay");
        }
    }
    let kept: Vec<&Session> = sessions.iter().filter(|session| !gone.contains(&session.id)).collect();
    let sessions: Vec<Session> = sessions.iter().filter(|session| gone.contains(&session.id)).cloned().collect();
    tell(output, &sessions, &kept, false)?;
    Ok(Exit::Completed)
}

/// Those that it would be, by the daemon if there is one.
async fn found(args: &GcArgs, before: Timestamp, globals: &Globals) -> anyhow::Result<(Way, Vec<Session>)> {
    let spinner = Spinner::start("looking for old sessions");
    let by_daemon = match Line::open(globals) {
        Ok(mut line) => match listed_by_daemon(args, before, &mut line, &spinner).await {
            Ok(sessions) => Some((Way::Daemon(Box::new(line)), sessions)),
            Err(Error::NoDaemon { .. }) => None,
            Err(error) => return Err(error.into()),
        },
        Err(error) if matches!(error.downcast_ref(), Some(Error::NoDaemon { .. })) => None,
        Err(error) => return Err(error),
    };
    if let Some(found) = by_daemon {
        return Ok(found);
    }
    let dir = globals.store.dir()?;
    let store = tokio::task::spawn_blocking(move || Store::open(&dir)).await.context("can't open the store")??;
    let archived = if args.all_idle { store::Archived::Too } else { store::Archived::Only };
    let (mut sessions, mut after) = (Vec::new(), None);
    loop {
        let filter = SessionFilter { archived, ..SessionFilter::default() };
        let (page, next) = store.sessions_page(filter, after, PAGE).await?;
        sessions.extend(page.into_iter().filter(|session| is_old(session, before)));
        after = next;
        if after.is_none() {
            return Ok((Way::Alone(store), sessions));
        }
    }
}

async fn listed_by_daemon(
    args: &GcArgs,
    before: Timestamp,
    line: &mut Line,
    spinner: &Spinner,
) -> Result<Vec<Session>, Error> {
    let archived = if args.all_idle { client::Archived::Too } else { client::Archived::Only };
    let mut which = SessionQuery { archived, limit: Some(PAGE), ..SessionQuery::default() };
    let mut sessions = Vec::new();
    loop {
        let page = line.ask(spinner, async |client| client.sessions(&which).await).await?.value;
        sessions.extend(page.sessions.into_iter().filter(|session| is_old(session, before)));
        match page.next_cursor {
            Some(cursor) => which.cursor = Some(cursor),
            None => return Ok(sessions),
        }
    }
}

/// A worktree's folder has the name of its session.
fn session_of(left: &WorktreeLeft) -> std::borrow::Cow<'_, str> {
    left.worktree.path.file_name().unwrap_or_default().to_string_lossy()
}

fn is_old(session: &Session, before: Timestamp) -> bool {
    session.status == SessionStatus::Idle && session.updated_at < before
}

impl Way {
    /// Removes one, unless something has happened in it by now. Without a daemon its worktree is left to the next one, which finds it without a session.
    async fn remove(&mut self, session: &Session, before: Timestamp) -> anyhow::Result<Removed> {
        let id = session.id.as_str();
        match self {
            Self::Daemon(line) => {
                let spinner = Spinner::none();
                let now = match line.ask(&spinner, async |client| client.session(id).await).await {
                    Ok(now) => now.value,
                    Err(error) if error.code() == Some(Code::NoSession) => return Ok(Removed::NotOld),
                    Err(error) => return Err(error.into()),
                };
                if !is_old(&now, before) || now.archived_at.is_some() != session.archived_at.is_some() {
                    return Ok(Removed::NotOld);
                }
                let fate = now.worktree.is_some().then_some(WorktreeFate::Auto);
                match line.ask(&spinner, async |client| client.delete_session(id, false, fate).await).await {
                    // It was asked again after a cut.
                    Err(error) if error.code() == Some(Code::NoSession) => Ok(Removed::Gone(None)),
                    Err(error) => Err(error.into()),
                    Ok(left) => Ok(Removed::Gone(left)),
                }
            }
            Self::Alone(store) => {
                let event = NewEvent {
                    name: EventName::SessionDeleted,
                    at: Timestamp::now(),
                    session: None,
                    turn: None,
                    item: None,
                    detail: Some(json!({ "sessionId": session.id })),
                };
                let writes = vec![Write::DeleteSession(session.id.clone()), Write::AddEvent(Box::new(event))];
                store.commit(Batch { writes }).await?;
                Ok(Removed::Gone(None))
            }
        }
    }
}

fn listed(output: &Output, sessions: &[Session]) -> String {
    let rows: Vec<[String; 4]> = sessions
        .iter()
        .map(|session| {
            let turns = session.turn_count.to_string();
            [session.id.to_string(), output.age(session.updated_at), turns, session.title.clone()]
        })
        .collect();
    output::table::rows(["SESSION", output.age_head(), "TURNS", "TITLE"], &rows, output.width())
}

fn tell(output: &Output, sessions: &[Session], kept: &[&Session], dry_run: bool) -> anyhow::Result<()> {
    if output.json() {
        let ids: Vec<_> = sessions.iter().map(|session| &session.id).collect();
        let kept: Vec<_> = kept.iter().map(|session| &session.id).collect();
        let name = if dry_run { "wouldDelete" } else { "deleted" };
        output.object(json!({ name: ids, "kept": kept }).to_string().as_bytes())?;
        return Ok(());
    }
    let these = output::count(sessions.len() as u64, "session");
    if !dry_run {
        output.note(&format!("deleted {these}"));
    } else if sessions.is_empty() {
        output.note("nothing is that old");
    } else {
        output.styled(&listed(output, sessions))?;
        output.note(&format!("{these} would be deleted"));
    }
    if !kept.is_empty() {
        output.note(&format!("{} stayed: something happened in them just now", kept.len()));
    }
    Ok(())
}
