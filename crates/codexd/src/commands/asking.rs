//! What Codex asks while somebody waits for its turn.
//!
//! The end of a turn is waited for in one long question, and that is not answered when Codex asks something. So the open
//! approvals of the session are looked at once a second beside it. A person at a terminal is asked at once; where nobody is,
//! what Codex asks is told once, and so is that somebody answered it.

use std::{collections::HashSet, future, time::Duration};

use client::{ApprovalQuery, Error, Verdict};
use tokio::time::{Instant, sleep, sleep_until};
use types::{Approval, ApprovalId, ApprovalStatus, Code, Decision, Turn};

use super::{
    approvals::how,
    line::Line,
    person::{Person, is_in_background},
};
use crate::output::{self, Output, asked};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// The lines of a command or a change that are shown before a question.
const LINES: usize = 200;

/// The decisions in the order in which they are offered.
const OFFERED: [(Decision, &str, &str, &str); 4] = [
    (Decision::Accept, "y", "yes", "[y]es"),
    (Decision::AcceptForSession, "a", "always", "[a]lways in this session"),
    (Decision::Decline, "n", "no", "[n]o"),
    (Decision::Cancel, "c", "cancel", "[c]ancel the turn"),
];

/// What became known.
pub(super) enum News {
    /// Codex asks that.
    Asked(Box<Approval>),
    /// That was answered elsewhere.
    Answered(Box<Approval>),
}

/// Looks, tells and asks.
pub(super) struct Asking {
    line: Line,
    output: Output,
    person: Option<Person>,
    /// What was told, or asked here.
    told: HashSet<ApprovalId>,
    /// Those of them that others are to answer.
    open: Vec<ApprovalId>,
    /// A question stands there without an answer.
    prompting: bool,
}

impl Asking {
    /// Goes to the daemon by a way of its own.
    pub(super) fn new(line: &Line, output: &Output) -> Self {
        let (line, output) = (line.clone(), *output);
        Self { line, output, person: None, told: HashSet::new(), open: Vec::new(), prompting: false }
    }

    /// Whether something was told that others are to answer.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Waits for the next news of this turn.
    pub(super) async fn news(&mut self, turn: &Turn) -> News {
        let which = ApprovalQuery { status: Some(ApprovalStatus::Pending), session: Some(turn.session_id.to_string()) };
        loop {
            match self.line.once(async |client| client.approvals(&which).await).await {
                Ok(reply) => {
                    let pending = reply.value.approvals;
                    let gone = self.open.iter().position(|id| pending.iter().all(|approval| approval.id != *id));
                    if let Some(at) = gone
                        && let Some(answered) = self.seen(&self.open[at].clone()).await
                    {
                        self.open.remove(at);
                        return News::Answered(Box::new(answered));
                    }
                    let is_new = |approval: &Approval| approval.turn_id == turn.id && !self.told.contains(&approval.id);
                    if let Some(approval) = pending.into_iter().find(is_new) {
                        return News::Asked(Box::new(approval));
                    }
                }
                // It will not say anything else later.
                Err(error @ Error::TooOld { .. }) => return never(&error).await,
                Err(error) if error.code() == Some(Code::Forbidden) => return never(&error).await,
                // Whoever waits for the turn notices what is wrong.
                Err(_) => {}
            }
            sleep(LOOK).await;
        }
    }

    /// Tells them; a person is asked, until that moment.
    pub(super) async fn tell(&mut self, news: News, until: Option<Instant>) {
        let approval = match news {
            News::Asked(approval) => approval,
            News::Answered(approval) => return self.answered(&approval),
        };
        self.told.insert(approval.id.clone());
        self.output.styled_aside(&asked::whole(&approval, LINES));
        if !self.output.can_ask() || is_in_background() {
            return self.leave_open(&approval);
        }
        let ended = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => future::pending().await,
            }
        };
        let mut person = self.person.take().unwrap_or_else(Person::new);
        person.forget();
        self.prompting = true;
        let output = self.output;
        let verdict = tokio::select! {
            verdict = ask(&mut person, &output, &approval) => Some(verdict),
            now = self.resolved(&approval.id) => {
                self.leave_prompt();
                match now {
                    Some(now) => self.answered(&now),
                    None => output.note("Codex does not wait for that any more"),
                }
                None
            }
            () = ended => {
                self.leave_prompt();
                self.leave_open(&approval);
                None
            }
        };
        self.person = Some(person);
        match verdict {
            Some(Some(verdict)) => {
                self.prompting = false;
                self.decide(&approval, &verdict).await;
            }
            Some(None) => {
                self.leave_prompt();
                self.leave_open(&approval);
            }
            None => {}
        }
    }

    /// Ends the line on which a question stands.
    pub(super) fn leave_prompt(&mut self) {
        if std::mem::take(&mut self.prompting) {
            self.output.styled_aside("\n");
        }
    }

    async fn decide(&mut self, approval: &Approval, verdict: &Verdict) {
        match self.line.once(async |client| client.decide(approval.id.as_str(), verdict).await).await {
            Ok(now) => self.output.aside(&asked::outcome(&now)),
            Err(error) if error.code() == Some(Code::ApprovalResolved) => match self.seen(&approval.id).await {
                Some(now) => self.answered(&now),
                None => self.output.note(&error.to_string()),
            },
            Err(error) if error.is_cut() => {
                output::error(&format!("the answer may not have been heard: {error}"));
                self.told.remove(&approval.id);
            }
            Err(error) => {
                output::error(&error.to_string());
                self.leave_open(approval);
            }
        }
    }

    fn answered(&self, approval: &Approval) {
        self.output.note(&format!("answered meanwhile: {}", asked::outcome(approval)));
    }

    /// Others may answer it.
    fn leave_open(&mut self, approval: &Approval) {
        self.output.note(&how(approval));
        self.open.push(approval.id.clone());
    }

    /// How it is now; nothing when that can't be known at the moment.
    async fn seen(&mut self, id: &ApprovalId) -> Option<Approval> {
        let reply = self.line.once(async |client| client.approval(id.as_str()).await).await;
        reply.ok().map(|reply| reply.value)
    }

    /// Waits until it is no longer open; nothing when it is not there any more.
    async fn resolved(&mut self, id: &ApprovalId) -> Option<Approval> {
        loop {
            sleep(LOOK).await;
            match self.line.once(async |client| client.approval(id.as_str()).await).await {
                Ok(now) if now.status != ApprovalStatus::Pending => return Some(now.value),
                Err(error) if error.code() == Some(Code::NoApproval) => return None,
                _ => {}
            }
        }
    }
}

async fn never(_: &Error) -> News {
    future::pending().await
}

/// What the person decides, or answers; nothing when nobody types any more.
async fn ask(person: &mut Person, output: &Output, approval: &Approval) -> Option<Verdict> {
    if !approval.questions.is_empty() {
        let mut answers = std::collections::BTreeMap::new();
        for question in &approval.questions {
            let answer = loop {
                let line = prompted(person, output, &format!("answer to {}: ", question.id)).await?;
                if !line.is_empty() {
                    break line;
                }
            };
            answers.insert(question.id.clone(), vec![answer]);
        }
        return Some(Verdict::Answers(answers));
    }
    let offered: Vec<_> = OFFERED.iter().filter(|(decision, ..)| approval.decisions.contains(decision)).collect();
    let words: Vec<&str> = offered.iter().map(|(.., shown)| *shown).collect();
    let question = format!("{}? ", words.join(", "));
    loop {
        let line = prompted(person, output, &question).await?.to_lowercase();
        if let Some((decision, ..)) = offered.iter().find(|(_, short, long, _)| line == *short || line == *long) {
            return Some(Verdict::Decision(*decision));
        }
    }
}

async fn prompted(person: &mut Person, output: &Output, question: &str) -> Option<String> {
    // Nobody sees a question that can't be written.
    output.ask(question).ok()?;
    Some(person.line().await?.trim().to_owned())
}
