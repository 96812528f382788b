//! Plays a script: writes the events of one response.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::answers;
use crate::conversation::{Conversation, report, tool_call};
use crate::events::{self, Usage, tokens};
use crate::script::{Answer, Script};

/// The client has gone.
pub(crate) struct Gone;

/// Writes the events of one response.
pub(crate) struct Player {
    /// What the ids of the response and its items end with.
    pub(crate) id: String,
    /// The sizes of the request and of its prompt, in bytes.
    pub(crate) input: usize,
    pub(crate) prompt: usize,
    pub(crate) sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Player {
    async fn send(&self, events: Bytes) -> Result<(), Gone> {
        self.sender.send(Ok(events)).await.map_err(|_| Gone)
    }

    pub(crate) async fn play(&self, request: &Value, conversation: &Conversation, script: &Script) -> Result<(), Gone> {
        if script.answer == Some(Answer::Hang) {
            self.sender.closed().await;
            return Err(Gone);
        }
        self.send(events::created(&self.id)).await?;
        if script.answer == Some(Answer::Context) {
            return self.send(events::context_length_exceeded(&self.id)).await;
        }
        if let Some(step) = script.steps.get(conversation.outputs.len()) {
            let Some((name, arguments)) = tool_call(request, step) else {
                return self.say(&["no shell tool is offered"], 0).await;
            };
            self.send(events::function_call(&self.id, &name, &arguments)).await?;
            return self.complete(arguments.to_string().len(), 0).await;
        }
        let mut reasoned = 0;
        if let Some(text) = &script.reasoning {
            reasoned = text.len();
            self.send(events::reasoning(&format!("rs_{}", self.id), text)).await?;
        }
        match &script.answer {
            Some(Answer::Say(text)) => self.say(&answers::deltas(text), reasoned).await,
            Some(Answer::Recall) => self.say(&answers::deltas(&answers::recall(&conversation.earlier)), reasoned).await,
            Some(Answer::Options) => self.say(&[&answers::options(&conversation.given(request))], reasoned).await,
            Some(Answer::Big(bytes)) => self.say(&answers::deltas(&answers::big(*bytes)), reasoned).await,
            Some(Answer::Slow { deltas, pause }) => {
                let number = |n: usize| if n == 1 { n.to_string() } else { format!(" {n}") };
                self.say_slowly(*deltas, *pause, number, reasoned).await
            }
            Some(Answer::Times { deltas, pause }) => {
                self.say_slowly(*deltas, *pause, |_| answers::moment(), reasoned).await
            }
            Some(Answer::Cut) => self.cut().await,
            // These two never come here.
            Some(Answer::Fail(_) | Answer::Context | Answer::Hang) => Ok(()),
            None if !script.steps.is_empty() => {
                let told: Vec<String> =
                    script.steps.iter().zip(&conversation.outputs).map(|(step, output)| report(step, output)).collect();
                self.say(&answers::deltas(&told.join("\n")), reasoned).await
            }
            None if script.reasoning.is_some() => self.say(&["reasoned"], reasoned).await,
            None => {
                let answer = answers::echo(&conversation.prompt);
                let (begin, rest) = answer.split_at("echo: ".len());
                self.say(&[begin, rest], reasoned).await
            }
        }
    }

    /// A message in these deltas, and the end of the response.
    async fn say(&self, deltas: &[&str], reasoned: usize) -> Result<(), Gone> {
        let id = format!("msg_{}", self.id);
        self.send(events::message_added(&id)).await?;
        for delta in deltas {
            self.send(events::text_delta(&id, delta)).await?;
        }
        let text = deltas.concat();
        self.send(events::message_done(&id, &text)).await?;
        self.complete(text.len(), reasoned).await
    }

    async fn say_slowly(
        &self,
        deltas: usize,
        pause: Duration,
        delta: impl Fn(usize) -> String,
        reasoned: usize,
    ) -> Result<(), Gone> {
        let id = format!("msg_{}", self.id);
        self.send(events::message_added(&id)).await?;
        let mut text = String::new();
        for n in 1..=deltas {
            if n > 1 {
                tokio::time::sleep(pause).await;
            }
            let delta = delta(n);
            text.push_str(&delta);
            self.send(events::text_delta(&id, &delta)).await?;
        }
        self.send(events::message_done(&id, &text)).await?;
        self.complete(text.len(), reasoned).await
    }

    async fn cut(&self) -> Result<(), Gone> {
        let id = format!("msg_{}", self.id);
        self.send(events::message_added(&id)).await?;
        self.send(events::text_delta(&id, "the first half")).await?;
        let broken = io::Error::new(io::ErrorKind::ConnectionReset, "the script says CUT");
        self.sender.send(Err(broken)).await.map_err(|_| Gone)
    }

    /// The end of the response, for an answer and a reasoning of that many bytes.
    async fn complete(&self, output: usize, reasoned: usize) -> Result<(), Gone> {
        let usage = Usage {
            input: tokens(self.input),
            cached: tokens(self.input.saturating_sub(self.prompt)),
            output: tokens(output + reasoned),
            reasoning: tokens(reasoned),
        };
        self.send(events::completed(&self.id, usage)).await
    }
}
