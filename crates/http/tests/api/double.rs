//! A Codex that echoes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use agent::{
    Answer, ApprovalRequest, Ask, AskError, Capabilities, Message, Outcome, Port, Reply, Report, RequestId, Route, What,
};
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use types::{
    AgentId, ApprovalKind, AskId, ChangeKind, Decision, FileChange, InputPart, ItemBody, ItemStatus, PlanStep,
    Question, ThreadId, TurnError, TurnErrorCode,
    agent::{AgentInfo, AgentStatus, Backend, Model, Supported},
};

/// Answers every prompt with `echo: ...`, at once. `fail` fails after a few words, `stop` is interrupted, `hang` ends only
/// when [`Echo::release`] is called, `work` does one of everything, and `ask` and `question` wait for an answer.
pub(crate) struct Echo {
    agent: Mutex<AgentId>,
    messages: mpsc::Sender<Message>,
    info: Mutex<AgentInfo>,
    count: AtomicU64,
    released: Arc<Notify>,
    forgetful: AtomicBool,
    /// How it was told to start anew: which one, how, why.
    pub(crate) restarts: Mutex<Vec<String>>,
    /// What it asked and waits with: the thread and its turn.
    asked: Mutex<HashMap<RequestId, (ThreadId, String)>>,
}

impl Echo {
    /// One that is up, and what it says.
    pub(crate) async fn start() -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (messages, inbox) = mpsc::channel(4096);
        let info = AgentInfo {
            status: AgentStatus::Ready,
            backend: Some(Backend::AppServer),
            version: Some("0.160.0".to_owned()),
            supported: Supported { from: "0.98.0".to_owned(), to: "0.160.0".to_owned(), tested: Some(true) },
            program: None,
            pid: Some(4321),
            started_at: None,
            restarts: 0,
            last_error: None,
            next_try_at: None,
            restart: None,
        };
        let echo = Self {
            agent: Mutex::new(AgentId::fresh()),
            messages,
            info: Mutex::new(info),
            count: AtomicU64::new(0),
            released: Arc::default(),
            forgetful: AtomicBool::new(false),
            restarts: Mutex::default(),
            asked: Mutex::default(),
        };
        echo.up().await;
        (Arc::new(echo), inbox)
    }

    async fn up(&self) {
        let agent = self.agent();
        let capabilities = Capabilities {
            interrupt: true,
            compact: true,
            delete: true,
            turn_options: true,
            ..Capabilities::default()
        };
        self.messages
            .send(Message::Up { agent, backend: Backend::AppServer, capabilities, attached: false })
            .await
            .unwrap();
    }

    /// It ends and is there again, and has forgotten every conversation.
    pub(crate) async fn forget_everything(&self) {
        let agent = Some(self.agent());
        let down = Message::Down { agent, error: "it ended".to_owned(), retrying: true };
        self.messages.send(down).await.unwrap();
        *self.agent.lock().unwrap() = AgentId::fresh();
        self.forgetful.store(true, Ordering::Relaxed);
        self.up().await;
    }

    fn agent(&self) -> AgentId {
        self.agent.lock().unwrap().clone()
    }

    fn report(&self, route: Route, what: What) {
        let seq = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let report = Report { agent: self.agent(), seq, line: seq, route, what };
        self.messages.try_send(Message::Report(report)).expect("the engine listens");
    }

    pub(crate) fn set_status(&self, status: AgentStatus, error: Option<&str>) {
        let mut info = self.info.lock().unwrap();
        info.status = status;
        info.last_error = error.map(str::to_owned);
    }

    /// Lets one `hang` end.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

fn completed(codex_id: &str, status: ItemStatus, body: ItemBody) -> What {
    What::ItemCompleted { codex_id: codex_id.to_owned(), status, body }
}

fn item(codex_id: &str, body: ItemBody) -> What {
    completed(codex_id, ItemStatus::Completed, body)
}

fn message(text: String) -> What {
    item("answer", ItemBody::AgentMessage { text })
}

/// One of everything, with what would break a transcript that takes no care.
fn work() -> Vec<What> {
    let step = |step: &str, status: &str| PlanStep { step: step.to_owned(), status: status.to_owned() };
    let change = |path: &str, kind, diff: &str| FileChange { path: path.to_owned(), kind, diff: diff.to_owned() };
    let command = ItemBody::CommandExecution {
        command: "echo '```'".to_owned(),
        cwd: "/work".to_owned(),
        output: Some("````\n# not a heading\n\u{1b}[31mred".to_owned()),
        output_truncated: Some(true),
        exit_code: Some(3),
        duration_ms: Some(12),
    };
    let changes = vec![
        change("a`b.md", ChangeKind::Update, "--- a\n+++ b\n@@ -1 +1 @@\n-```\n+x"),
        change("new.txt", ChangeKind::Add, "hello"),
    ];
    vec![
        item("r", ItemBody::Reasoning { summary: "**Think**".to_owned() }),
        completed("c", ItemStatus::Failed, command),
        completed("f", ItemStatus::Declined, ItemBody::FileChange { changes }),
        item("p", ItemBody::Plan { steps: vec![step("first", "completed"), step("# second", "pending")] }),
        item(
            "m",
            ItemBody::McpToolCall {
                server: "docs".to_owned(),
                tool: "search".to_owned(),
                arguments: json!({"q": "x"}),
                result: Some(json!(["y"])),
            },
        ),
        item("s", ItemBody::WebSearch { query: "rust".to_owned() }),
        item("o", ItemBody::Other { raw: json!({"type": "new"}) }),
        What::Warning("mind the ```".to_owned()),
        message("done:\n```rust\nnever closed".to_owned()),
    ]
}

/// What Codex asks: may it run a command, or what a person thinks.
fn question(request: RequestId, prompt: &str) -> ApprovalRequest {
    let command = prompt == "ask";
    let (kind, decisions) = match command {
        true => (ApprovalKind::Command, vec![Decision::Accept, Decision::Decline, Decision::Cancel]),
        false => (ApprovalKind::UserInput, vec![Decision::Decline, Decision::Cancel]),
    };
    let colour = Question {
        id: "colour".to_owned(),
        question: "Which colour?".to_owned(),
        options: vec!["red".to_owned(), "blue".to_owned()],
    };
    ApprovalRequest {
        rule: Vec::new(),
        request,
        kind,
        codex_item: None,
        command: command.then(|| "touch x".to_owned()),
        cwd: command.then(|| "/work".to_owned()),
        reason: None,
        changes: Vec::new(),
        questions: if command { Vec::new() } else { vec![colour] },
        decisions,
    }
}

/// The port, which needs a handle of its own for turns that end later.
pub(crate) struct EchoPort(pub(crate) Arc<Echo>);

impl Port for EchoPort {
    fn ask(&self, _: &AgentId, id: AskId, ask: Ask) {
        let echo = &self.0;
        let answer = |answer| echo.report(Route::Ask(id), What::Answer(id, answer));
        match ask {
            Ask::StartThread(_) => {
                let thread = ThreadId::parse(&format!("thread-{id}")).ok();
                answer(Ok(Answer::Thread { thread, applied: None }));
            }
            Ask::ResumeThread { .. } if echo.forgetful.load(Ordering::Relaxed) => {
                answer(Err(AskError::NoRecord("no rollout found".to_owned())));
            }
            Ask::ResumeThread { thread, .. } => answer(Ok(Answer::Thread { thread: Some(thread), applied: None })),
            Ask::StartTurn(turn) => {
                let codex_turn = format!("codex-{id}");
                answer(Ok(Answer::Turn { codex_turn: codex_turn.clone() }));
                let texts = turn.input.iter().filter_map(|part| match part {
                    InputPart::Text { text } => Some(text.as_str()),
                    _ => None,
                });
                let prompt = texts.collect::<Vec<_>>().join("\n\n");
                self.play(turn.thread.expect("a thread was named"), codex_turn, prompt);
            }
            Ask::Compact { thread } => {
                answer(Ok(Answer::Done));
                let codex_turn = format!("codex-{id}");
                echo.report(Route::Thread(thread.clone()), What::TurnStarted { codex_turn: codex_turn.clone() });
                end(echo, thread, codex_turn, Outcome::Completed);
            }
            Ask::Interrupt { thread, codex_turn } => {
                answer(Ok(Answer::Done));
                end(echo, thread, codex_turn, Outcome::Interrupted);
            }
            Ask::DeleteThread { .. } => answer(Ok(Answer::Done)),
            Ask::Models => answer(Ok(Answer::Models(vec![Model {
                id: "gpt-x".to_owned(),
                name: "GPT X".to_owned(),
                description: None,
                default: true,
                efforts: vec!["low".to_owned(), "high".to_owned()],
                default_effort: Some("low".to_owned()),
            }]))),
            Ask::Limits => answer(Ok(Answer::Limits(json!({"primary": {"usedPercent": 12}})))),
            _ => answer(Err(AskError::NotSupported)),
        }
    }

    fn reply(&self, _: &AgentId, request: RequestId, reply: Reply) {
        let (thread, codex_turn) = self.0.asked.lock().unwrap().remove(&request).expect("it is answered once");
        let outcome = match reply {
            Reply::Decide(Decision::Cancel) => Outcome::Interrupted,
            other => {
                self.0.report(Route::Thread(thread.clone()), message(format!("{other:?}")));
                Outcome::Completed
            }
        };
        end(&self.0, thread, codex_turn, outcome);
    }

    fn ack(&self, _: &AgentId, _: u64) {}

    fn replace(&self, _: &AgentId, _: &str) {}

    fn restart(&self, agent: Option<&AgentId>, drain: bool, why: &str) {
        let told =
            format!("{} {} {why}", if agent.is_some() { "it" } else { "none" }, if drain { "drain" } else { "now" });
        self.0.restarts.lock().unwrap().push(told);
    }

    fn info(&self) -> AgentInfo {
        self.0.info.lock().unwrap().clone()
    }
}

impl EchoPort {
    fn play(&self, thread: ThreadId, codex_turn: String, prompt: String) {
        let echo = &self.0;
        let say = |what| echo.report(Route::Thread(thread.clone()), what);
        say(What::TurnStarted { codex_turn: codex_turn.clone() });
        say(item("user", ItemBody::UserMessage { text: prompt.clone(), images: Vec::new() }));
        let outcome = match prompt.as_str() {
            "fail" => {
                say(message("so far".to_owned()));
                Outcome::Failed(TurnError::new(TurnErrorCode::ModelError, "the model said no"))
            }
            "stop" => Outcome::Interrupted,
            "hang" => {
                let echo = echo.clone();
                tokio::spawn(async move {
                    echo.released.notified().await;
                    echo.report(Route::Thread(thread.clone()), message("at last".to_owned()));
                    end(&echo, thread, codex_turn, Outcome::Completed);
                });
                return;
            }
            "ask" | "question" => {
                let request = RequestId(codex_turn.clone());
                echo.asked.lock().unwrap().insert(request.clone(), (thread.clone(), codex_turn));
                return say(What::Approval(question(request, &prompt)));
            }
            "work" => {
                work().into_iter().for_each(say);
                Outcome::Completed
            }
            _ => {
                say(message(format!("echo: {prompt}")));
                Outcome::Completed
            }
        };
        end(echo, thread, codex_turn, outcome);
    }
}

fn end(echo: &Echo, thread: ThreadId, codex_turn: String, outcome: Outcome) {
    let ended = What::TurnEnded { codex_turn: Some(codex_turn), outcome, last_message: None };
    echo.report(Route::Thread(thread), ended);
}
