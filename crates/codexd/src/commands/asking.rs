//! What Codex asks while somebody waits for its turn.
//!
//! Questions come by the stream of events, and so does what became of them. A person at a terminal is asked one after another;
//! where nobody is, what Codex asks is told once, and so is that somebody answered it. The waiting itself is somebody else's:
//! [`Asking::line`] gives the next line that a person types, and may be given up at any time.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    future,
};

use client::Verdict;
use types::{Approval, ApprovalId, ApprovalStatus, Code, Decision};

use super::{
    line::Line,
    person::{Person, is_in_background},
};
use crate::output::{self, Output, asked, live::Live};

/// The lines of a command or a change that are shown before a question.
const LINES: usize = 200;

/// The decisions in the order in which they are offered.
const OFFERED: [(Decision, &str, &str, &str); 4] = [
    (Decision::Accept, "y", "yes", "[y]es"),
    (Decision::AcceptForSession, "a", "always", "[a]lways in this session"),
    (Decision::Decline, "n", "no", "[n]o"),
    (Decision::Cancel, "c", "cancel", "[c]ancel the turn"),
];

/// Tells and asks.
pub(super) struct Asking {
    line: Line,
    output: Output,
    person: Option<Person>,
    /// What was told, or waits to be asked here.
    told: HashSet<ApprovalId>,
    /// What others are to answer.
    open: Vec<ApprovalId>,
    /// What the person is to be asked next.
    next: VecDeque<Approval>,
    /// What the person is asked now.
    now: Option<Question>,
}

impl Asking {
    /// Goes to the daemon by a way of its own.
    pub(super) fn new(line: &Line, output: &Output) -> Self {
        Self {
            line: line.clone(),
            output: *output,
            person: None,
            told: HashSet::new(),
            open: Vec::new(),
            next: VecDeque::new(),
            now: None,
        }
    }

    /// Whether something was told that others are to answer.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Codex asks that, or still does.
    pub(super) fn asked(&mut self, approval: Approval, live: &mut Live) {
        if approval.status != ApprovalStatus::Pending || !self.told.insert(approval.id.clone()) {
            return;
        }
        if self.output.can_ask() && !is_in_background() {
            self.next.push_back(approval);
            self.go_on(live);
        } else {
            live.question(&asked::whole(&approval, LINES), &approval.changes);
            self.leave_open(&approval, live);
        }
    }

    /// That was answered, here or elsewhere.
    pub(super) fn resolved(&mut self, approval: &Approval, live: &mut Live) {
        self.next.retain(|next| next.id != approval.id);
        let is_now = self.now.as_ref().is_some_and(|now| now.approval.id == approval.id);
        let was_open = self.open.iter().position(|open| *open == approval.id);
        if let Some(at) = was_open {
            self.open.remove(at);
        }
        if is_now {
            self.now = None;
            live.console.withdraw();
        }
        if is_now || was_open.is_some() {
            live.console.note(&meanwhile(approval));
        }
        self.go_on(live);
    }

    /// The next line that the person types; nothing when nobody types any more. Never, while nobody is asked.
    pub(super) async fn line(&mut self) -> Option<String> {
        match (&self.now, &mut self.person) {
            (Some(_), Some(person)) => person.line().await,
            _ => future::pending().await,
        }
    }

    /// The person has typed that.
    pub(super) async fn typed(&mut self, line: Option<String>, live: &mut Live) {
        let Some(mut question) = self.now.take() else { return };
        let Some(line) = line else {
            live.console.withdraw();
            return self.leave_open(&question.approval, live);
        };
        live.console.answered();
        match question.answer(line.trim()) {
            Some(verdict) => {
                self.decide(question.approval, &verdict, live).await;
                self.go_on(live);
            }
            None => self.put(question, live),
        }
    }

    /// Nobody waits any more, and nobody is asked. `leaves`: what is asked now is told to be open.
    pub(super) fn close(&mut self, leaves: bool, live: &mut Live) {
        self.next.clear();
        if let Some(question) = self.now.take() {
            live.console.withdraw();
            if leaves {
                self.leave_open(&question.approval, live);
            }
        }
    }

    /// Asks the next one.
    fn go_on(&mut self, live: &mut Live) {
        if self.now.is_some() {
            return;
        }
        let Some(approval) = self.next.pop_front() else { return };
        live.question(&asked::whole(&approval, LINES), &approval.changes);
        self.person.get_or_insert_with(Person::new).forget();
        self.put(Question::new(approval), live);
    }

    fn put(&mut self, question: Question, live: &mut Live) {
        // Nobody sees a question that can't be written.
        match live.console.ask(&question.prompt()) {
            Ok(()) => self.now = Some(question),
            Err(_) => self.leave_open(&question.approval, live),
        }
    }

    async fn decide(&mut self, approval: Approval, verdict: &Verdict, live: &mut Live) {
        match self.line.once(async |client| client.decide(approval.id.as_str(), verdict).await).await {
            Ok(now) => live.console.aside(&asked::outcome(&now)),
            Err(error) if error.code() == Some(Code::ApprovalResolved) => match self.seen(&approval.id).await {
                Some(now) => live.console.note(&meanwhile(&now)),
                None => live.console.note(&error.to_string()),
            },
            Err(error) if error.is_cut() => {
                live.console.end_of_line();
                output::error(&format!("the answer may not have been heard: {error}"));
                // It comes again with the connection, if it was not.
                self.told.remove(&approval.id);
            }
            Err(error) => {
                live.console.end_of_line();
                output::error(&error.to_string());
                self.leave_open(&approval, live);
            }
        }
    }

    /// Others may answer it.
    fn leave_open(&mut self, approval: &Approval, live: &mut Live) {
        live.console.note(&asked::how(approval));
        self.open.push(approval.id.clone());
    }

    /// How it is now; nothing when that can't be known at the moment.
    async fn seen(&mut self, id: &ApprovalId) -> Option<Approval> {
        let reply = self.line.once(async |client| client.approval(id.as_str()).await).await;
        reply.ok().map(|reply| reply.value)
    }
}

fn meanwhile(approval: &Approval) -> String {
    format!("answered meanwhile: {}", asked::outcome(approval))
}

/// What a person is asked, and what they have said so far.
struct Question {
    approval: Approval,
    answers: BTreeMap<String, Vec<String>>,
}

impl Question {
    fn new(approval: Approval) -> Self {
        Self { approval, answers: BTreeMap::new() }
    }

    /// The one that is asked next.
    fn next(&self) -> Option<&types::Question> {
        self.approval.questions.iter().find(|question| !self.answers.contains_key(&question.id))
    }

    /// What stands before the cursor.
    fn prompt(&self) -> String {
        if let Some(question) = self.next() {
            return format!("answer to {}: ", question.id);
        }
        let words: Vec<&str> = self.offered().map(|(.., shown)| *shown).collect();
        format!("{}? ", words.join(", "))
    }

    fn offered(&self) -> impl Iterator<Item = &'static (Decision, &'static str, &'static str, &'static str)> {
        OFFERED.iter().filter(|(decision, ..)| self.approval.decisions.contains(decision))
    }

    /// What the person decides by what they typed, as soon as that is known.
    fn answer(&mut self, line: &str) -> Option<Verdict> {
        if self.approval.questions.is_empty() {
            let line = line.to_lowercase();
            let found = self.offered().find(|(_, short, long, _)| line == *short || line == *long);
            return found.map(|(decision, ..)| Verdict::Decision(*decision));
        }
        let id = self.next()?.id.clone();
        if !line.is_empty() {
            self.answers.insert(id, vec![line.to_owned()]);
        }
        self.next().is_none().then(|| Verdict::Answers(std::mem::take(&mut self.answers)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn question(more: Value) -> Question {
        let mut object = json!({"id": "a1", "sessionId": "s1", "turnId": "u1", "kind": "command", "status": "pending",
            "decisions": ["accept", "cancel"], "requestedAt": "2026-01-01T00:00:00.000Z",
            "expiresAt": "2026-01-02T00:00:00.000Z"});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Question::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_decision_is_one_of_those_that_are_offered() {
        let mut question = question(json!({}));
        assert_eq!(question.prompt(), "[y]es, [c]ancel the turn? ");
        for line in ["", "what", "n", "no", "always"] {
            assert_eq!(question.answer(line), None, "{line}");
        }
        assert_eq!(question.answer("YES"), Some(Verdict::Decision(Decision::Accept)));
        assert_eq!(question.answer("c"), Some(Verdict::Decision(Decision::Cancel)));
    }

    #[test]
    fn every_question_has_its_own_answer() {
        let questions = json!([{"id": "a", "question": "A?"}, {"id": "b", "question": "B?"}]);
        let mut question = question(json!({ "questions": questions }));
        assert_eq!((question.prompt().as_str(), question.answer("one")), ("answer to a: ", None));
        assert_eq!((question.prompt().as_str(), question.answer("")), ("answer to b: ", None));
        let answers =
            BTreeMap::from([("a", "one"), ("b", "two")].map(|(id, said)| (id.to_owned(), vec![said.to_owned()])));
        assert_eq!(question.answer("two"), Some(Verdict::Answers(answers)));
    }
}
