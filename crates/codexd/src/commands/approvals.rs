//! `codexd approvals`: what Codex asks before it acts, and the answers.

use std::collections::{BTreeMap, HashMap};

use anyhow::bail;
use clap::{Args, Subcommand};
use client::{ApprovalQuery, Error, Reply, Verdict};
use types::{Approval, ApprovalStatus, Code, Decision, SessionId};

use super::{line::Line, resolve};
use crate::{
    exit::{Exit, Usage},
    globals::Globals,
    output::{self, Output, Spinner, asked},
};

/// The columns of a session's title among the others.
const TITLE: usize = 30;

/// What to do with approvals.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// Lists what Codex waits with (what `codexd approvals` alone does)
    #[command(after_help = crate::exit::HELP)]
    List(ListArgs),
    /// Shows all that Codex asks: the command and its folder, changes as a diff, questions
    #[command(after_help = crate::exit::HELP)]
    Show {
        /// The approval's id, or the beginning of one that is pending
        approval: String,
    },
    /// Lets Codex do what it asks for
    #[command(after_help = crate::exit::HELP)]
    Accept {
        #[command(flatten)]
        which: WhichArgs,
        /// Also the same again in this session, without asking
        #[arg(long)]
        for_session: bool,
    },
    /// Doesn't let Codex do what it asks for; the turn goes on
    #[command(after_help = crate::exit::HELP)]
    Decline {
        #[command(flatten)]
        which: WhichArgs,
        /// Also ends the turn
        #[arg(long)]
        cancel: bool,
    },
    /// Answers the questions that Codex asks
    #[command(after_help = crate::exit::HELP)]
    Answer {
        /// The approval's id, or the beginning of one that is pending
        approval: String,
        /// The answers by the ids of their questions; the same question may be given several
        #[arg(value_name = "QUESTION=ANSWER", required = true, value_parser = answer)]
        answers: Vec<(String, String)>,
    },
}

/// Which of them.
#[derive(Debug, Clone, Args)]
struct ListArgs {
    /// Also those that were answered
    #[arg(long)]
    all: bool,
    /// Those of this session: its id, the beginning of its id, or the id of any Codex thread that it has had
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The approval's id, or the beginning of one that is pending [default: the only one that is pending]
    approval: Option<String>,
}

/// Runs it.
pub(crate) async fn run(args: ApprovalsArgs, globals: &Globals) -> anyhow::Result<Exit> {
    match args.command.unwrap_or(ApprovalsCommand::List(args.list)) {
        ApprovalsCommand::List(args) => list(&args, globals).await,
        ApprovalsCommand::Show { approval } => show(&approval, globals).await,
        ApprovalsCommand::Accept { which, for_session } => {
            let decision = if for_session { Decision::AcceptForSession } else { Decision::Accept };
            decide(which.approval.as_deref(), &Verdict::Decision(decision), globals).await
        }
        ApprovalsCommand::Decline { which, cancel } => {
            let decision = if cancel { Decision::Cancel } else { Decision::Decline };
            decide(which.approval.as_deref(), &Verdict::Decision(decision), globals).await
        }
        ApprovalsCommand::Answer { approval, answers } => {
            let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (question, answer) in answers {
                given.entry(question).or_default().push(answer);
            }
            decide(Some(&approval), &Verdict::Answers(given), globals).await
        }
    }
}

async fn list(args: &ListArgs, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let session = match &args.session {
        Some(given) => Some(resolve::session(&mut line, &spinner, given).await?.id.to_string()),
        None => None,
    };
    let which = ApprovalQuery { status: (!args.all).then_some(ApprovalStatus::Pending), session };
    let found = line.ask(&spinner, async |client| client.approvals(&which).await).await?;
    if output.json() {
        drop(spinner);
        output.object(&found.json)?;
        return Ok(Exit::Completed);
    }
    let approvals = &found.approvals;
    let titles = titles(&mut line, &spinner, approvals).await?;
    drop(spinner);
    if approvals.is_empty() {
        output.note(if args.all { "Codex has asked nothing yet" } else { "Codex waits for no answer" });
        return Ok(Exit::Completed);
    }
    let age = if output.width().is_some() { "AGE" } else { "ASKED" };
    let title = |approval: &Approval| output::cut(titles.get(&approval.session_id).map_or("", String::as_str), TITLE);
    let table = if args.all {
        let row = |approval: &Approval| {
            let (id, age) = (approval.id.to_string(), output.age(approval.requested_at));
            [id, age, approval.status.as_str().to_owned(), title(approval), asked::one_line(approval)]
        };
        let rows: Vec<[String; 5]> = approvals.iter().map(row).collect();
        output::table::rows(["APPROVAL", age, "STATUS", "SESSION", "CODEX ASKS"], &rows, output.width())
    } else {
        let row = |approval: &Approval| {
            let (id, age) = (approval.id.to_string(), output.age(approval.requested_at));
            [id, age, title(approval), asked::one_line(approval)]
        };
        let rows: Vec<[String; 4]> = approvals.iter().map(row).collect();
        output::table::rows(["APPROVAL", age, "SESSION", "CODEX ASKS"], &rows, output.width())
    };
    output.styled(&table)?;
    Ok(Exit::Completed)
}

/// The titles of their sessions. One that was deleted meanwhile has none.
async fn titles(
    line: &mut Line,
    spinner: &Spinner,
    approvals: &[Approval],
) -> Result<HashMap<SessionId, String>, Error> {
    let mut titles = HashMap::new();
    for id in approvals.iter().map(|approval| &approval.session_id) {
        if titles.contains_key(id) {
            continue;
        }
        let title = match line.ask(spinner, async |client| client.session(id.as_str()).await).await {
            Ok(session) => session.value.title,
            Err(Error::Refused { code: Some(Code::NoSession), .. }) => String::new(),
            Err(error) => return Err(error),
        };
        titles.insert(id.clone(), title);
    }
    Ok(titles)
}

async fn show(given: &str, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let approval = meant(&mut line, &spinner, Some(given)).await?;
    drop(spinner);
    if output.json() {
        output.object(&approval.json)?;
        return Ok(Exit::Completed);
    }
    let mut facts = vec![("approval", approval.id.to_string()), ("status", asked::outcome(&approval))];
    facts.push(("session", approval.session_id.to_string()));
    facts.push(("turn", approval.turn_id.to_string()));
    facts.push(("asked", output.time(approval.requested_at)));
    if approval.status == ApprovalStatus::Pending {
        facts.push(("answered by itself", approval.expires_at.to_string()));
    }
    facts.extend(approval.resolved_at.map(|at| ("answered", output.time(at))));
    output.styled(&output::table::facts(&facts))?;
    output.styled(&format!("\n{}", asked::whole(&approval, usize::MAX)))?;
    if approval.status == ApprovalStatus::Pending {
        output.note(&asked::how(&approval));
    }
    Ok(Exit::Completed)
}

async fn decide(given: Option<&str>, verdict: &Verdict, globals: &Globals) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let mut line = Line::open(globals)?;
    let spinner = Spinner::start("asking codexd");
    let approval = meant(&mut line, &spinner, given).await?;
    let now = line.ask(&spinner, async |client| client.decide(approval.id.as_str(), verdict).await).await?;
    drop(spinner);
    if output.json() {
        output.object(&now.json)?;
    } else {
        output.note(&format!("{}: {}", asked::outcome(&now), asked::one_line(&now)));
    }
    Ok(Exit::Completed)
}

/// The approval that somebody named, or the only one that is pending.
async fn meant(line: &mut Line, spinner: &Spinner, given: Option<&str>) -> anyhow::Result<Reply<Approval>> {
    let mut unknown = None;
    if let Some(given) = given {
        if given.trim().is_empty() {
            return Err(Usage("the approval's id is empty; `codexd approvals` lists them".to_owned()).into());
        }
        match line.ask(spinner, async |client| client.approval(given).await).await {
            Err(error) if error.code() == Some(Code::NoApproval) => unknown = Some(error),
            approval => return Ok(approval?),
        }
    }
    let which = ApprovalQuery { status: Some(ApprovalStatus::Pending), session: None };
    let mut found = line.ask(spinner, async |client| client.approvals(&which).await).await?.value.approvals;
    found.retain(|approval| given.is_none_or(|given| approval.id.as_str().starts_with(given)));
    match (&found[..], unknown, given) {
        ([one], ..) => Ok(line.ask(spinner, async |client| client.approval(one.id.as_str()).await).await?),
        ([], Some(unknown), _) => Err(unknown.into()),
        ([], None, _) => bail!("Codex waits for no answer"),
        (several, _, Some(given)) => {
            bail!("`{given}` is the beginning of several approvals; write more of the id:{}", named(several))
        }
        (several, ..) => Err(Usage(format!("Codex waits for several answers; name one:{}", named(several))).into()),
    }
}

fn named(several: &[Approval]) -> String {
    several.iter().map(|approval| format!("\n  {}  {}", approval.id, asked::one_line(approval))).collect()
}

/// `QUESTION=ANSWER`.
fn answer(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((question, answer)) if !question.is_empty() => Ok((question.to_owned(), answer.to_owned())),
        _ => Err(format!("{text:?} is no answer; write QUESTION=ANSWER")),
    }
}
