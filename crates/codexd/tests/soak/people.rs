//! Those who use the daemon: each has a session, and one answers what Codex asks.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::wire::Call;
use tokio::time::sleep;

use crate::{chance::Chance, machine::Machine};

/// The longest pause between two prompts of one person.
const PAUSE: Duration = Duration::from_secs(10);

/// How long a person waits for an answer before the next prompt.
const WAIT: usize = 5;

/// A prompt that the daemon took.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) session: String,
    pub(crate) turn: String,
    /// By what it is known in everybody's records.
    pub(crate) mark: String,
    /// What the model answers when nobody stops it; not for what is said of a command.
    pub(crate) answer: Option<String>,
}

/// Uses a session until it is over.
pub(crate) async fn work(machine: Arc<Machine>, which: u64, mut chance: Chance) -> Result<Vec<Given>> {
    let (mut given, mut session) = (Vec::<Given>::new(), None::<String>);
    while !machine.is_over() {
        let mark = format!("[p{which}-{}]", given.len());
        let (script, answer) = prompt(&mut chance, &mark);
        let (interrupt, waits) =
            (chance.one_in(6).then(|| chance.up_to(Duration::from_millis(500))), chance.below(4) > 0);
        let pause = chance.up_to(PAUSE);
        let path = session.as_ref().map_or("/v1/sessions".to_owned(), |id| format!("/v1/sessions/{id}/turns"));
        let call = Call::json(&path, &json!({"prompt": format!("{script}\nThis is {mark}.")}));
        // The same key until there is an answer: whatever dies meanwhile, it is one turn.
        let taken = machine.call(&call.header("Idempotency-Key", &mark)).await?;
        if taken.status == 429 {
            sleep(pause).await;
            continue;
        }
        ensure!([200, 201, 202].contains(&taken.status), "{mark}: {taken:?}");
        let id = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{mark}: {taken:?}"));
        let turn = id(&taken.body["turn"]["id"])?;
        let of = id(&taken.body["turn"]["sessionId"])?;
        session = Some(of.clone());
        given.push(Given { session: of, turn: turn.clone(), mark, answer });
        if let Some(after) = interrupt {
            sleep(after).await;
            // One that has ended already says so.
            machine.call(&Call::json(&format!("/v1/turns/{turn}/interrupt"), &json!({}))).await?;
        } else if waits {
            machine.call(&Call::get(&format!("/v1/turns/{turn}?wait={WAIT}"))).await?;
        }
        sleep(pause).await;
    }
    Ok(given)
}

/// What is asked of the model, and what it answers.
fn prompt(chance: &mut Chance, mark: &str) -> (String, Option<String>) {
    let word = mark.trim_matches(['[', ']']);
    match chance.below(10) {
        0..=2 => (format!("SAY:well {word}"), Some(format!("well {word}"))),
        3..=5 => {
            let deltas = 5 + chance.below(60);
            let text: Vec<String> = (1..=deltas).map(|number| number.to_string()).collect();
            (format!("SLOW:{deltas}:{}", chance.below(30)), Some(text.join(" ")))
        }
        6 => (format!("RUN:echo {word}; sleep 0.{}", chance.below(10)), None),
        7 | 8 => (format!("ESCALATE:echo {word}"), None),
        _ => (format!("REASON:thinking of {word}\nSAY:thought"), Some("thought".to_owned())),
    }
}

/// Answers every question, as the seed wants it.
pub(crate) async fn answer_questions(machine: Arc<Machine>, seed: u64) -> Result<()> {
    loop {
        let open = machine.get("/v1/approvals?status=pending").await?;
        for approval in open["approvals"].as_array().into_iter().flatten() {
            let id = approval["id"].as_str().context("no id")?;
            let about = approval["command"].to_string();
            let word = about.split("echo ").nth(1).unwrap_or_default();
            let decision = match Chance::new(seed, word).below(8) {
                0 | 1 => "decline",
                2 => "cancel",
                3 => "acceptForSession",
                _ => "accept",
            };
            // Somebody may have been quicker, or the turn is over.
            machine.call(&Call::json(&format!("/v1/approvals/{id}"), &json!({ "decision": decision }))).await?;
        }
        sleep(Duration::from_millis(150)).await;
    }
}
