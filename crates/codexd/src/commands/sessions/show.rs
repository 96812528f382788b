//! One session: what it is, and its newest turns with what became of each.

use client::{PageQuery, Reply, TurnPage};
use serde_json::{Map, Value};
use types::{Session, SessionStatus, TitleSource, Turn, TurnKind, TurnStatus};

use crate::{
    commands::{
        line::Line,
        resolve,
        tell::{declined, reason, warnings},
        wait,
    },
    exit::Exit,
    globals::Globals,
    output::{self, Output, Spinner},
};

/// How many turns are asked for at once.
const PAGE: usize = 50;

/// Shows it.
pub(super) async fn run(given: &str, wanted: u32, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = resolve::session(&mut line, &spinner, given).await?;
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut turns: Vec<Turn> = Vec::new();
    let mut objects: Vec<Value> = Vec::new();
    let mut which = PageQuery { newest_first: true, ..PageQuery::default() };
    while turns.len() < wanted {
        which.limit = u32::try_from((wanted - turns.len()).min(PAGE)).ok();
        let reply = line.ask(&spinner, async |client| client.turns(session.id.as_str(), &which).await).await?;
        if output.json() {
            let mut page: Map<String, Value> = serde_json::from_slice(&reply.json)?;
            if let Some(Value::Array(page)) = page.remove("turns") {
                objects.extend(page);
            }
        }
        let TurnPage { turns: page, next_cursor } = reply.value;
        turns.extend(page);
        which.cursor = next_cursor;
        if which.cursor.is_none() {
            break;
        }
    }
    drop(spinner);
    turns.reverse();
    objects.reverse();
    if output.json() {
        output.object(object(&session, objects)?.as_bytes())?;
        return Ok(Exit::Completed);
    }
    output.styled(&output::table::facts(&facts(&session, &output)))?;
    let earlier = session.turn_count.saturating_sub(turns.len() as u64);
    if earlier > 0 && wanted > 0 {
        output.note(&format!(
            "{} not shown here; --turns N shows more, `codexd sessions export {}` all",
            output::count(earlier, "earlier turn"),
            session.id
        ));
    }
    for turn in &turns {
        tell(turn, &output)?;
    }
    Ok(Exit::Completed)
}

/// The API's own session, with these turns in it. Their items stay where they are: an export has them.
fn object(session: &Reply<Session>, mut turns: Vec<Value>) -> serde_json::Result<String> {
    for turn in turns.iter_mut().filter_map(Value::as_object_mut) {
        turn.remove("items");
    }
    let mut object: Map<String, Value> = serde_json::from_slice(&session.json)?;
    object.insert("turns".to_owned(), Value::from(turns));
    serde_json::to_string(&object)
}

fn facts(session: &Session, output: &Output) -> Vec<(&'static str, String)> {
    let mut facts = vec![("session", session.id.to_string())];
    let source = match (session.title_locked, session.title_source) {
        (true, _) => " (locked)",
        (false, TitleSource::Auto) => " (automatic)",
        (false, TitleSource::Manual) => "",
    };
    facts.push(("title", format!("{}{source}", session.title)));
    let status = match session.status {
        SessionStatus::Idle => "idle",
        SessionStatus::Running => "running",
        SessionStatus::WaitingApproval => "waiting for an answer",
    };
    facts.push(("status", status.to_owned()));
    facts.extend(session.archived_at.map(|at| ("archived", output.time(at))));
    facts.push(("folder", session.cwd.display().to_string()));
    if let Some(worktree) = &session.worktree {
        let base: String = worktree.base.chars().take(12).collect();
        let mut text = format!("branch {} of {}, from {base}", worktree.branch, worktree.repository.display());
        if !session.cwd.starts_with(&worktree.path) {
            text.push_str(&format!(", in {}", worktree.path.display()));
        }
        facts.push(("worktree", text));
    }
    facts.extend(session.model.clone().map(|model| ("model", model)));
    facts.push(("policy", format!("{}, asks {}", session.sandbox, session.approval_policy)));
    if !session.labels.is_empty() {
        let labels: Vec<String> = session.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        facts.push(("labels", labels.join(" ")));
    }
    let backend = session.backend.as_ref().map(|backend| format!(" (by {backend})")).unwrap_or_default();
    facts.extend(session.thread_id.as_ref().map(|thread| ("thread", format!("{thread}{backend}"))));
    facts.extend(session.forked_from.as_ref().map(|from| ("forked from", from.to_string())));
    if let Some(resumed) = session.resumed {
        facts.push(("resumed", format!("{}, {}", resumed.how.as_str(), output.time(resumed.at))));
    }
    facts.push(("turns", session.turn_count.to_string()));
    facts.extend(session.usage.map(|usage| ("tokens", output::items::tokens(&usage))));
    facts.push(("created", output.time(session.created_at)));
    facts.push(("updated", output.time(session.updated_at)));
    facts
}

/// A turn: who asked what, what was answered, and what went wrong.
fn tell(turn: &Turn, output: &Output) -> anyhow::Result<()> {
    let state = match turn.status {
        TurnStatus::Completed => String::new(),
        _ => format!(" · {}", wait::state(turn)),
    };
    let time = output.time(turn.ended_at.or(turn.started_at).unwrap_or(turn.created_at));
    output.heading(&format!("turn {}{state} · {time}", turn.id))?;
    match turn.kind {
        TurnKind::Prompt => output.text(&quoted(&turn.prompt))?,
        TurnKind::Compact => output.text("(the conversation was shortened)")?,
    }
    if let Some(answer) = &turn.answer {
        output.text(&format!("\n{answer}"))?;
    }
    let mut remarks: Vec<String> = reason(turn).into_iter().collect();
    remarks.extend(turn.held.then(|| wait::held(turn)));
    remarks.extend(warnings(turn).map(|(_, warning)| format!("warning: {warning}")));
    remarks.extend(declined(turn));
    for remark in remarks {
        output.remark(&remark)?;
    }
    Ok(())
}

/// A prompt stands out from its answer without a colour, too.
fn quoted(prompt: &str) -> String {
    prompt.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}
