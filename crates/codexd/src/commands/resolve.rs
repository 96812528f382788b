//! Which session is meant: an id, the id of a thread, the beginning of an id, or the last one; and which turn of it.

use anyhow::bail;
use client::{Archived, Error, PageQuery, Reply, SessionQuery};
use types::{Code, Session, SessionId, TurnId, TurnStatus};

use super::line::Line;
use crate::{
    exit::Usage,
    output::{Output, Spinner, clean_line},
};

/// The fewest characters that the beginning of an id has.
const PREFIX_CHARS: usize = 4;

/// How many candidates of a beginning are shown.
const CANDIDATES: u32 = 10;

/// How many of the newest sessions are looked through for one in this folder, and of the newest turns for one that has not ended.
const LOOKED_THROUGH: usize = 1000;

/// How many turns are asked for at once.
const TURNS: u32 = 50;

/// Finds the session that somebody named.
pub(super) async fn session(line: &mut Line, spinner: &Spinner, given: &str) -> anyhow::Result<Reply<Session>> {
    if given.trim().is_empty() {
        return Err(Usage("the session's id is empty; `codexd sessions` lists them".to_owned()).into());
    }
    // The whole id is the usual case, and it costs nothing more.
    let error = match line.ask(spinner, async |client| client.session(given).await).await {
        Ok(session) => return Ok(session),
        Err(error) => error,
    };
    let unknown = matches!(&error, Error::Refused { code: Some(Code::NoSession), .. });
    let is_prefix = given.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !unknown || !is_prefix {
        return Err(error.into());
    }
    if given.len() < PREFIX_CHARS {
        bail!("{error}; the beginning of an id needs at least {PREFIX_CHARS} characters");
    }
    let which = SessionQuery {
        id_prefix: Some(given.to_owned()),
        archived: Archived::Too,
        limit: Some(CANDIDATES + 1),
        ..SessionQuery::default()
    };
    let found = line.ask(spinner, async |client| client.sessions(&which).await).await?.value.sessions;
    match &found[..] {
        [] => Err(error.into()),
        [one] => Ok(line.ask(spinner, async |client| client.session(one.id.as_str()).await).await?),
        several => bail!(ambiguous(given, several)),
    }
}

fn ambiguous(given: &str, several: &[Session]) -> String {
    let most = usize::try_from(CANDIDATES).unwrap_or(usize::MAX);
    let mut text = format!("`{given}` is the beginning of several sessions; write more of the id:");
    for session in several.iter().take(most) {
        text.push_str(&format!("\n  {}  {}", session.id, clean_line(&session.title)));
    }
    if several.len() > most {
        text.push_str("\n  …");
    }
    text
}

/// The session in which something last happened: one of this folder if there is one. Says which it took.
pub(super) async fn last(line: &mut Line, spinner: &Spinner, output: &Output) -> anyhow::Result<Session> {
    let here = std::env::current_dir().ok().and_then(|dir| dunce::canonicalize(dir).ok());
    let mut which = SessionQuery { limit: Some(200), ..SessionQuery::default() };
    let mut newest: Option<Session> = None;
    let mut looked = 0;
    loop {
        let page = line.ask(spinner, async |client| client.sessions(&which).await).await?.value;
        looked += page.sessions.len();
        let is_here = |session: &Session| here.as_deref().is_some_and(|here| session.cwd == here);
        if let Some(session) = page.sessions.iter().find(|session| is_here(session)) {
            let told = format!("continuing the newest session of this folder: {}", named(session));
            spinner.suspend(|| output.note(&told));
            return Ok(session.clone());
        }
        newest = newest.or_else(|| page.sessions.into_iter().next());
        which.cursor = page.next_cursor;
        if which.cursor.is_none() || looked >= LOOKED_THROUGH {
            break;
        }
    }
    let Some(session) = newest else {
        bail!("there is no session to continue; make one with: codexd start \"…\"");
    };
    let folder = session.cwd.display();
    let told =
        format!("no session works in this folder; continuing the newest of all, in {folder}: {}", named(&session));
    spinner.suspend(|| output.note(&told));
    Ok(session)
}

/// The turn that somebody named; of a session the one that runs, else, if that will do, the first that waits. The session when
/// there is none in it.
pub(super) async fn turn(
    line: &mut Line,
    spinner: &Spinner,
    given: &str,
    waiting_will_do: bool,
) -> anyhow::Result<Result<TurnId, SessionId>> {
    if let Ok(id) = TurnId::parse(given) {
        match line.ask(spinner, async |client| client.turn(id.as_str(), None).await).await {
            Err(Error::Refused { code: Some(Code::NoTurn), .. }) => {}
            turn => return Ok(Ok(turn?.value.id)),
        }
    }
    let session = session(line, spinner, given).await?.value.id;
    let mut which = PageQuery { limit: Some(TURNS), newest_first: true, ..PageQuery::default() };
    let mut waiting: Option<TurnId> = None;
    let mut looked = 0;
    loop {
        let page = line.ask(spinner, async |client| client.turns(session.as_str(), &which).await).await?.value;
        looked += page.turns.len();
        for turn in page.turns {
            match turn.status {
                TurnStatus::Running => return Ok(Ok(turn.id)),
                TurnStatus::Queued => waiting = Some(turn.id),
                _ => {}
            }
        }
        which.cursor = page.next_cursor;
        if which.cursor.is_none() || looked >= LOOKED_THROUGH {
            break;
        }
    }
    Ok(waiting.filter(|_| waiting_will_do).ok_or(session))
}

fn named(session: &Session) -> String {
    format!("{} \"{}\"", session.id, session.title)
}

#[cfg(test)]
mod tests {
    use types::{ApprovalPolicy, Sandbox, Timestamp};

    use super::*;

    #[test]
    fn candidates_are_told_with_their_titles() {
        let session = |n: usize| {
            let id = SessionId::parse(&format!("abcd{n}")).unwrap();
            let at = Timestamp::from_millis(0);
            let mut session = Session::new(id, "/".into(), Sandbox::ReadOnly, ApprovalPolicy::Never, at);
            session.title = format!("title {n}\x1b[2J");
            session
        };
        let few: Vec<Session> = (0..2).map(session).collect();
        let text = ambiguous("abcd", &few);
        assert!(text.ends_with("\n  abcd0  title 0\n  abcd1  title 1"), "{text:?}");
        let many: Vec<Session> = (0..11).map(session).collect();
        let text = ambiguous("abcd", &many);
        assert!(text.ends_with("abcd9  title 9\n  …"), "{text:?}");
    }
}
