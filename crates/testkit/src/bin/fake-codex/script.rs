//! What a prompt makes the double do: the fake model's words, without a model.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use fake_model::answers::{self, Given, Said};
use fake_model::{Answer, Script, Step};
use serde_json::{Value, json};

use crate::faults::{Asked, Faults};

/// What a turn does, from here to its end.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What a person is asked first.
    pub(crate) person: Option<Asked>,
    pub(crate) steps: VecDeque<Step>,
    pub(crate) reasoning: Option<String>,
    pub(crate) ending: Ending,
}

/// How a turn ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// With a message in these deltas; with a pause they come one by one.
    Say {
        deltas: VecDeque<String>,
        pause: Option<Duration>,
    },
    /// With a message of so many deltas, each of which says when it was said.
    Times {
        left: usize,
        pause: Duration,
    },
    /// With a message that has no deltas.
    SayAtOnce(String),
    /// With a message that tells what the steps did.
    Told,
    Fail(Failure),
    /// Not at all.
    Hang,
}

/// A failed call of the model.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// `codexErrorInfo`.
    pub(crate) info: Value,
    /// Whether Codex tries once more before it gives up.
    pub(crate) retried: bool,
}

/// The plan of a prompt on a thread where that was said before, for a turn that was given that.
pub(crate) fn plan(prompt: &str, earlier: &[Said], given: &Given, faults: &Faults) -> Plan {
    let script = Script::parse(prompt);
    let mut steps = VecDeque::from(script.steps);
    let spared = Faults::default();
    let faults = if faults.concern(prompt) { faults } else { &spared };
    let ending = match script.answer {
        Some(answer) => ending(answer, earlier, given),
        None if !steps.is_empty() || faults.person.is_some() => Ending::Told,
        None if script.reasoning.is_some() => say("reasoned"),
        None => match (faults.big_line, faults.flood) {
            (Some(bytes), _) => Ending::SayAtOnce(answers::big(bytes)),
            (None, Some(count)) => Ending::Say { deltas: (1..=count).map(|n| format!("{n} ")).collect(), pause: None },
            (None, None) => say(&answers::echo(prompt)),
        },
    };
    if faults.approval {
        steps.push_front(Step::Run { command: "echo hi".to_owned(), escalate: true });
    }
    Plan { person: faults.person, steps, reasoning: script.reasoning, ending }
}

/// The plan of a compaction of what was said: its answer is the summary.
pub(crate) fn compaction(earlier: &[Said]) -> Plan {
    let of_user = earlier.iter().rev().filter(|said| said.role == "user");
    let told = of_user.filter_map(|said| Script::parse(&said.text).compaction).next();
    let answer = told.unwrap_or_else(|| Answer::Say(format!("summary of {} messages", earlier.len())));
    Plan { person: None, steps: VecDeque::new(), reasoning: None, ending: ending(answer, earlier, &Given::default()) }
}

/// What a compaction leaves of what was said: the user's words and the summary.
pub(crate) fn compacted(earlier: Vec<Said>, summary: String) -> Vec<Said> {
    let mut left: Vec<Said> = earlier.into_iter().filter(|said| said.role == "user").collect();
    left.push(Said { role: "summary", text: summary });
    left
}

fn ending(answer: Answer, earlier: &[Said], given: &Given) -> Ending {
    match answer {
        Answer::Recall => say(&answers::recall(earlier)),
        Answer::Options => say(&answers::options(given)),
        Answer::Say(text) => say(&text),
        Answer::Big(bytes) => say(&answers::big(bytes)),
        Answer::Slow { deltas, pause } => Ending::Say {
            deltas: (1..=deltas).map(|n| if n == 1 { n.to_string() } else { format!(" {n}") }).collect(),
            pause: Some(pause),
        },
        Answer::Times { deltas, pause } => Ending::Times { left: deltas, pause },
        Answer::Fail(status) => Ending::Fail(http_failure(status)),
        Answer::Context => Ending::Fail(Failure {
            message:
                "Codex ran out of room in the model's context window. Start a new thread or clear earlier history \
                      before retrying."
                    .to_owned(),
            info: json!("contextWindowExceeded"),
            retried: false,
        }),
        Answer::Cut => Ending::Fail(Failure {
            message: "stream disconnected before completion: stream closed before response.completed".to_owned(),
            info: json!("other"),
            retried: true,
        }),
        Answer::Hang => Ending::Hang,
    }
}

fn say(text: &str) -> Ending {
    Ending::Say { deltas: answers::deltas(text).into_iter().map(str::to_owned).collect(), pause: None }
}

/// What 0.169.0 makes of an HTTP status.
fn http_failure(status: u16) -> Failure {
    match status {
        400 => Failure {
            message: json!({"error": {"message": "scripted failure 400", "type": "scripted", "code": "scripted"}})
                .to_string(),
            info: json!("other"),
            retried: false,
        },
        429 => Failure {
            message: "exceeded retry limit, last status: 429 Too Many Requests".to_owned(),
            info: json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}),
            retried: false,
        },
        500.. => Failure {
            message: "We\u{2019}re currently experiencing high demand, which may cause temporary errors.".to_owned(),
            info: json!("internalServerError"),
            retried: true,
        },
        _ => Failure {
            message: format!(
                "unexpected status {status}: scripted failure {status}, url: http://127.0.0.1/v1/responses"
            ),
            info: json!({"httpConnectionFailed": {"httpStatusCode": status}}),
            retried: false,
        },
    }
}

/// What the answer says about a command that "ran".
pub(crate) fn output_of(command: &str) -> String {
    format!("fake output of {command}\n")
}

/// Why a sandbox keeps a change from this file; nothing when it does not.
pub(crate) fn blocks(sandbox: Option<&str>, cwd: &str, file: &str) -> Option<&'static str> {
    match sandbox {
        Some("dangerFullAccess" | "danger-full-access") => None,
        Some("workspaceWrite" | "workspace-write") => {
            let inside = Path::new(cwd).join(file).starts_with(cwd);
            (!inside).then_some("writing outside of the project")
        }
        _ => Some("writing is blocked by read-only sandbox"),
    }
}

/// What the answer says about a step that would need an approval which the policy does not let Codex ask for.
pub(crate) fn refused(step: &Step, sandbox: Option<&str>) -> String {
    match step {
        Step::Run { .. } => {
            "ran: approval policy is Never; reject command \u{2014} you cannot ask for escalated permissions \
                             if the approval policy is Never"
                .to_owned()
        }
        Step::Patch { .. } => {
            let why = blocks(sandbox, "", "").unwrap_or("writing outside of the project");
            format!("patch failed: patch rejected: {why}; rejected by user approval settings")
        }
    }
}
