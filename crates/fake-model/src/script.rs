//! The words by which a prompt tells the model what to do (the table is in the crate's documentation).

use std::time::Duration;

/// The largest answer that `BIG` gives, in bytes.
const BIGGEST_ANSWER: usize = 64 << 20;

/// What one prompt asks for: tool calls, then an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// Tool calls in the order in which they are to run.
    pub steps: Vec<Step>,
    /// A reasoning summary to send before the answer.
    pub reasoning: Option<String>,
    /// The answer that the prompt spells out, if it does.
    pub answer: Option<Answer>,
    /// `COMPACT:`: how a compaction of the conversation is answered from now on.
    pub compaction: Option<Answer>,
}

/// One tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `RUN:` or `ESCALATE:`, a shell command.
    Run {
        /// The command, for the shell.
        command: String,
        /// Whether to ask for running it outside the sandbox.
        escalate: bool,
    },
    /// `PATCH:`, a new file.
    Patch {
        /// The file's path, absolute or relative to the turn's directory.
        file: String,
        /// The one line to put into it.
        text: String,
    },
}

/// How a turn ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `RECALL`: all that was said before.
    Recall,
    /// `OPTIONS`: what the turn was given beside its prompt.
    Options,
    /// `SAY:`: this text.
    Say(String),
    /// `SLOW:`: many deltas.
    Slow {
        /// How many.
        deltas: usize,
        /// The time between two of them.
        pause: Duration,
    },
    /// `TIMES:`: many deltas, each of which says when it was said.
    Times {
        /// How many.
        deltas: usize,
        /// The time between two of them.
        pause: Duration,
    },
    /// `BIG:`: that many bytes.
    Big(usize),
    /// `FAIL:`: an HTTP status.
    Fail(u16),
    /// `CONTEXT`: the context window is full.
    Context,
    /// `CUT`: the stream breaks in the middle of the answer.
    Cut,
    /// `HANG`: headers and nothing more.
    Hang,
}

impl Script {
    /// Reads the script of a prompt. A line that is not well formed (`FAIL:abc`) is prose, and prose is no error.
    ///
    /// ```
    /// use fake_model::{Answer, Script};
    /// let script = Script::parse("Please do this:\nRUN:ls\nSAY:done");
    /// assert_eq!(script.steps.len(), 1);
    /// assert_eq!(script.answer, Some(Answer::Say("done".into())));
    /// ```
    #[must_use]
    pub fn parse(prompt: &str) -> Self {
        let mut script = Self::default();
        for line in prompt.lines() {
            if let Some(step) = parse_step(line) {
                script.steps.push(step);
            } else if let Some(text) = line.strip_prefix("REASON:") {
                script.reasoning = Some(text.to_owned());
            } else if let Some(answer) = line.strip_prefix("COMPACT:") {
                script.compaction = parse_answer(answer);
            } else if script.answer.is_none() {
                script.answer = parse_answer(line);
            }
        }
        script
    }
}

fn parse_step(line: &str) -> Option<Step> {
    let (word, rest) = line.split_once(':')?;
    match word {
        "RUN" | "ESCALATE" => Some(Step::Run { command: rest.to_owned(), escalate: word == "ESCALATE" }),
        "PATCH" => {
            rest.split_once(':').map(|(file, text)| Step::Patch { file: file.to_owned(), text: text.to_owned() })
        }
        _ => None,
    }
}

fn parse_answer(line: &str) -> Option<Answer> {
    let Some((word, rest)) = line.split_once(':') else {
        return match line.trim_end() {
            "RECALL" => Some(Answer::Recall),
            "OPTIONS" => Some(Answer::Options),
            "CONTEXT" => Some(Answer::Context),
            "CUT" => Some(Answer::Cut),
            "HANG" => Some(Answer::Hang),
            _ => None,
        };
    };
    match word {
        "SAY" => Some(Answer::Say(rest.to_owned())),
        "SLOW" | "TIMES" => {
            let (deltas, pause) = rest.split_once(':').unwrap_or((rest, "50"));
            let deltas = deltas.trim().parse().ok()?;
            let pause = Duration::from_millis(pause.trim().parse().ok()?);
            Some(if word == "SLOW" { Answer::Slow { deltas, pause } } else { Answer::Times { deltas, pause } })
        }
        "BIG" => Some(Answer::Big(rest.trim().parse::<usize>().ok()?.min(BIGGEST_ANSWER))),
        "FAIL" => {
            let status: u16 = rest.trim().parse().ok()?;
            (400..600).contains(&status).then_some(Answer::Fail(status))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_the_start_of_a_line() {
        assert_eq!(Script::parse("hello\nplease RUN:ls and SAY:x"), Script::default());
        assert_eq!(Script::parse("RECALL everything"), Script::default());
        assert_eq!(Script::parse("COMPACT:nonsense"), Script::default());
        assert_eq!(Script::parse("FAIL:200\nSLOW:x"), Script::default());
    }

    #[test]
    fn steps_keep_their_order_and_the_first_answer_counts() {
        let script = Script::parse("RUN:a: b\nPATCH:f.txt:x:y\nESCALATE:c\nSLOW:3\nSAY:no");
        assert_eq!(
            script.steps,
            [
                Step::Run { command: "a: b".into(), escalate: false },
                Step::Patch { file: "f.txt".into(), text: "x:y".into() },
                Step::Run { command: "c".into(), escalate: true },
            ]
        );
        assert_eq!(script.answer, Some(Answer::Slow { deltas: 3, pause: Duration::from_millis(50) }));
    }
}
