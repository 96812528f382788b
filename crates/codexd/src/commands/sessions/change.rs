//! What changes a session: its title, whether it is put away, and its end.

use std::path::PathBuf;

use client::{Changes, Reply};
use serde_json::json;
use types::{Session, WorktreeFate, WorktreeLeft};

use crate::{
    commands::{confirmed, input, line::Line, resolve},
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, Output, Spinner},
};

/// Gives it a title.
pub(super) async fn rename(given: &str, title: String, globals: &Globals) -> anyhow::Result<Exit> {
    if title.trim().is_empty() {
        return Err(Usage("the title is empty".to_owned()).into());
    }
    let changed = change(given, Changes { title: Some(title), ..Changes::default() }, globals).await?;
    tell(&changed, globals, &format!("the title is now \"{}\"", changed.title))
}

/// Takes the title from the latest prompt.
pub(super) async fn autoname(given: &str, force: bool, globals: &Globals) -> anyhow::Result<Exit> {
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = resolve::session(&mut line, &spinner, given).await?;
    let named = line.ask(&spinner, async |client| client.autoname(session.id.as_str(), force).await).await?;
    drop(spinner);
    if named.title_locked && !force {
        let text = format!("the title stays \"{}\": a person gave it; --force replaces it", named.title);
        return tell(&named, globals, &text);
    }
    tell(&named, globals, &format!("the title is now \"{}\"", named.title))
}

/// Gives it another folder.
pub(super) async fn relocate(given: &str, dir: Option<PathBuf>, globals: &Globals) -> anyhow::Result<Exit> {
    let cwd = Some(input::folder(dir, "DIR")?);
    let changed = change(given, Changes { cwd, ..Changes::default() }, globals).await?;
    let output = Output::new(globals.json);
    if output.json() {
        output.object(&changed.json)?;
    } else {
        output.note(&format!("session {} works from its next turn on in:", changed.id));
        output.text(&changed.cwd.display().to_string())?;
    }
    Ok(Exit::Completed)
}

/// Puts it away, or takes it back.
pub(super) async fn archive(given: &str, archived: bool, globals: &Globals) -> anyhow::Result<Exit> {
    let changed = change(given, Changes { archived: Some(archived), ..Changes::default() }, globals).await?;
    let id = &changed.id;
    let text = if archived {
        format!("archived; take it back with: codexd sessions unarchive {id}")
    } else {
        "it is back".to_owned()
    };
    tell(&changed, globals, &text)
}

/// Lets its turns go on that are held.
pub(super) async fn resume(given: &str, globals: &Globals) -> anyhow::Result<Exit> {
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = resolve::session(&mut line, &spinner, given).await?;
    let resumed = line.ask(&spinner, async |client| client.resume_session(session.id.as_str()).await).await?;
    drop(spinner);
    let text = format!("what waits in it goes on; see it with: codexd watch {}", resumed.id);
    tell(&resumed, globals, &text)
}

/// Deletes it.
pub(super) async fn delete(
    given: &str,
    thread: bool,
    fate: WorktreeFate,
    yes: bool,
    globals: &Globals,
) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = resolve::session(&mut line, &spinner, given).await?;
    drop(spinner);
    if !yes {
        if !output.can_ask() {
            return Err(Usage("deleting is for good; nobody can be asked here, so say --yes".to_owned()).into());
        }
        let Session { id, title, turn_count, .. } = &session.value;
        let turns = output::count(*turn_count, "turn");
        let what = if thread { ", and what Codex keeps of it" } else { "" };
        let lost = match fate {
            WorktreeFate::Remove if session.worktree.is_some() => ", and its worktree with whatever is only there",
            _ => "",
        };
        if !confirmed(&output, &format!("delete session {id} \"{title}\" with its {turns}{what}{lost}? [y/N] "))? {
            output.note("nothing was deleted");
            return Ok(Exit::Interrupted);
        }
    }
    let fate = session.worktree.is_some().then_some(fate);
    let spinner = Spinner::start("deleting");
    let left =
        line.ask(&spinner, async |client| client.delete_session(session.id.as_str(), thread, fate).await).await?;
    drop(spinner);
    if output.json() {
        let mut object = json!({ "deleted": session.id });
        if let Some(left) = &left {
            object["worktree"] = serde_json::to_value(left)?;
        }
        output.object(object.to_string().as_bytes())?;
    } else {
        output.note(&format!("session {} is deleted", session.id));
        if let Some(left) = &left {
            output.note(&worktree_left(left));
        }
    }
    Ok(Exit::Completed)
}

/// What became of a worktree, in words.
pub(crate) fn worktree_left(left: &WorktreeLeft) -> String {
    let path = left.worktree.path.display();
    if left.removed {
        return format!("its worktree {path} and the branch {} are gone as well", left.worktree.branch);
    }
    let reason = left.reason.as_deref().unwrap_or("nobody knows why");
    let by_hand =
        left.by_hand.as_ref().map(|how| format!(". To remove it with all that is in it: {how}")).unwrap_or_default();
    format!("its worktree {path} is still there, because {reason}{by_hand}")
}

/// Reads a word.
pub(super) fn fate(text: &str) -> Result<WorktreeFate, String> {
    let all = [WorktreeFate::Auto, WorktreeFate::Keep, WorktreeFate::Remove];
    let found = all.into_iter().find(|fate| fate.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is unknown; it is one of auto, keep, remove"))
}

async fn change(given: &str, changes: Changes, globals: &Globals) -> anyhow::Result<Reply<Session>> {
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = resolve::session(&mut line, &spinner, given).await?;
    Ok(line.ask(&spinner, async |client| client.change_session(session.id.as_str(), &changes).await).await?)
}

/// The session for programs, a sentence for people.
fn tell(session: &Reply<Session>, globals: &Globals, text: &str) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    if output.json() {
        output.object(&session.json)?;
    } else {
        output.note(text);
    }
    Ok(Exit::Completed)
}
