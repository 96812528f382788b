//! Waiting for a turn, and telling how it ended.

use std::time::Duration;

use client::{Answer, Error, Reply};

use crate::{
    exit::Exit,
    globals::Globals,
    output::{Output, Spinner},
    signals,
};

/// How long a turn is waited for. The daemon itself answers after 1800 s; this is for one that can't.
pub(super) const LIMIT: Duration = Duration::from_secs(1830);

/// Waits for the turn and prints what it answered.
pub(super) async fn wait(
    globals: &Globals,
    call: impl Future<Output = Result<Reply<Answer>, Error>>,
) -> anyhow::Result<Exit> {
    let output = Output::new(globals.json);
    let spinner = Spinner::start("Codex is working");
    let result = tokio::select! {
        result = call => result,
        signal = signals::asked_to_end() => {
            signal?;
            drop(spinner);
            output.note("no longer waiting; the turn goes on: `codexd sessions` lists its session");
            return Ok(Exit::Interrupted);
        }
    };
    drop(spinner);
    match result {
        Ok(reply) => tell(&output, &reply),
        Err(error) => {
            if let Error::Refused { session_id: Some(session), turn_id: Some(_), .. } = &error {
                output.note(&format!("nothing is lost; look at the session with: codexd sessions show {session}"));
            }
            Err(error.into())
        }
    }
}

fn tell(output: &Output, reply: &Reply<Answer>) -> anyhow::Result<Exit> {
    let exit = verdict(reply);
    if !reply.ignored_overrides.is_empty() {
        let names = reply.ignored_overrides.join(", ");
        output.note(&format!("the daemon does not allow these to be chosen, and used its own: {names}"));
    }
    if output.json() {
        output.object(&reply.json)?;
        return Ok(exit);
    }
    let text = reply.text();
    match exit {
        Exit::Completed => output.text(&text)?,
        Exit::Interrupted => crate::output::error(&format!("the turn was interrupted: {text}")),
        _ => crate::output::error(&format!("the turn failed: {text}")),
    }
    let session = &reply.session_id;
    output.aside(&format!("session {session} · continue with: codexd continue {session} \"…\""));
    Ok(exit)
}

/// How the reason begins when a turn was interrupted, in the words of the engine.
const INTERRUPTED: [&str; 4] =
    ["the turn was interrupted", "the turn took longer", "the turn did not begin", "Codex ended under the turn"];

/// What became of the turn. The answer of the first version has no word for it, only whether it is an error, and the reason
/// as its last paragraph; a daemon that tells the turn's status is believed.
fn verdict(answer: &Answer) -> Exit {
    if !answer.is_error {
        return Exit::Completed;
    }
    let text = answer.text();
    let reason = text.rsplit("\n\n").next().unwrap_or_default();
    let interrupted = match answer.status.as_deref() {
        Some(status) => status == "interrupted",
        None => INTERRUPTED.iter().any(|beginning| reason.starts_with(beginning)),
    };
    if interrupted { Exit::Interrupted } else { Exit::TurnFailed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: serde_json::Value) -> Exit {
        verdict(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn a_turn_that_was_interrupted_is_told_from_one_that_failed() {
        let text = |text: &str| serde_json::json!([{ "type": "text", "text": text }]);
        let of = |words: &str| answer(serde_json::json!({ "sessionId": "s", "isError": true, "content": text(words) }));
        assert_eq!(of("the model said no"), Exit::TurnFailed);
        assert_eq!(of("half an answer\n\nCodex ended under the turn: killed. The session goes on"), Exit::Interrupted);
        assert_eq!(of("the turn took longer than 5 s"), Exit::Interrupted);
        let told =
            serde_json::json!({ "sessionId": "s", "isError": true, "status": "interrupted", "content": text("?") });
        assert_eq!(answer(told), Exit::Interrupted);
        let well = serde_json::json!({ "sessionId": "s", "content": text("the turn was interrupted") });
        assert_eq!(answer(well), Exit::Completed);
    }
}
