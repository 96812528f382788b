//! The engine over a real store: what is on disk at the moment when Codex is asked.

#![expect(clippy::unwrap_used, reason = "the double's own failures are failures of the test")]

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use agent::{Answer, Ask, Capabilities, Message, Outcome, Port, Reply, Report, RequestId, Route, What};
use engine::{Accepted, Engine, Idempotency, NewSession, OnBusy, Options, Policy, Prompt, Refusal, Work};
use store::Store;
use tokio::sync::mpsc;
use types::{
    AgentId, AskId, Delivery, InputPart, ItemBody, ItemStatus, Origin, Principal, SessionId, ThreadId, TurnStatus,
    agent::{AgentInfo, AgentStatus, Backend, Supported},
};

/// A Codex that looks at the disk whenever it is asked something.
struct Witness {
    store: Store,
    agent: AgentId,
    messages: mpsc::Sender<Message>,
    asked: AtomicUsize,
    missing: Mutex<Vec<String>>,
}

impl Witness {
    fn say(&self, seq: u64, route: Route, what: What) {
        let report = Report { agent: self.agent.clone(), seq, line: seq, route, what };
        self.messages.try_send(Message::Report(report)).unwrap();
    }

    /// What a second process would find now.
    fn look<T: Send>(&self, read: impl AsyncFnOnce(Store) -> T + Send) -> T {
        let store = self.store.clone();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(read(store))
            });
            thread.join().unwrap()
        })
    }
}

impl Port for Witness {
    fn ask(&self, _agent: &AgentId, id: AskId, ask: Ask) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.look(async |store| store.pending_asks().await.unwrap().iter().any(|pending| pending.id == id)) {
            self.missing.lock().unwrap().push(format!("the ask {id}"));
        }
        let thread = match &ask {
            Ask::StartTurn(turn) => turn.thread.clone().unwrap(),
            _ => ThreadId::parse(&format!("t{id}")).unwrap(),
        };
        match ask {
            Ask::StartTurn(turn) => {
                let id_of_turn = turn.turn.clone();
                let found = self.look(async move |store| store.turn(&id_of_turn).await.unwrap());
                let heard = found.is_some_and(|found| {
                    let prompt = vec![InputPart::Text { text: found.prompt }];
                    (prompt, found.status, found.delivery) == (turn.input, TurnStatus::Running, Delivery::Unknown)
                });
                if !heard {
                    self.missing.lock().unwrap().push(format!("the prompt of {id}"));
                }
                let to = Route::Thread(thread);
                self.say(1, Route::Ask(id), What::Answer(id, Ok(Answer::Turn { codex_turn: "c".into() })));
                let prompt = ItemBody::UserMessage { text: String::new(), images: vec![] };
                for (codex_id, body) in [("u", prompt), ("m", ItemBody::AgentMessage { text: "yes".into() })] {
                    let done = What::ItemCompleted { codex_id: codex_id.into(), status: ItemStatus::Completed, body };
                    self.say(2, to.clone(), done);
                }
                let ended =
                    What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Completed, last_message: None };
                self.say(3, to, ended);
            }
            _ => {
                let answer = Answer::Thread { thread: Some(thread), applied: None };
                self.say(4, Route::Ask(id), What::Answer(id, Ok(answer)));
            }
        }
    }

    fn reply(&self, _agent: &AgentId, _request: RequestId, _reply: Reply) {}

    fn ack(&self, _agent: &AgentId, _seq: u64) {}

    fn replace(&self, _: &AgentId, _: &str) {}

    fn restart(&self, _: Option<&AgentId>, _: bool, _: &str) {}

    fn info(&self) -> AgentInfo {
        AgentInfo {
            status: AgentStatus::Ready,
            backend: None,
            version: None,
            supported: Supported { from: String::new(), to: String::new(), tested: None },
            program: None,
            pinned: None,
            pid: None,
            started_at: None,
            restarts: 0,
            last_error: None,
            next_try_at: None,
            restart: None,
        }
    }
}

fn create(prompt: &str) -> Work {
    Work::Create(Box::new(NewSession { prompt: Some(prompt.to_owned().into()), ..NewSession::default() }))
}

fn submit(session: &SessionId, prompt: &str) -> Work {
    let prompt = Box::new(Prompt::from(prompt.to_owned()));
    Work::Submit { session: session.to_string(), prompt, on_busy: OnBusy::Queue }
}

/// An engine over a store in this folder, with its Codex.
async fn engine(root: &Path) -> (Engine, Arc<Witness>, Store) {
    let store = Store::open(&root.join("store")).unwrap();
    let (messages, inbox) = mpsc::channel(64);
    let witness = Arc::new(Witness {
        store: store.clone(),
        agent: AgentId::fresh(),
        messages,
        asked: AtomicUsize::new(0),
        missing: Mutex::default(),
    });
    let capabilities = Capabilities { inject: true, interrupt: true, ..Capabilities::default() };
    let up = Message::Up { agent: witness.agent.clone(), backend: Backend::AppServer, capabilities, attached: false };
    witness.messages.send(up).await.unwrap();
    let options = Options {
        audit: audit::Audit::nowhere(),
        policy: Policy::narrowest(root.to_owned()),
        max_inject_chars: 1000,
        turn_limit: Duration::from_secs(60),
        queue_limit: 4,
        awake_limit: 4,
        linger: Duration::from_millis(1),
        stop_grace: Duration::from_secs(10),
        hold: true,
        approval_limit: Duration::from_secs(60),
        on_expiry: engine::OnExpiry::default(),
        git: engine::Git::nowhere(),
    };
    let engine = Engine::start(store.clone(), witness.clone(), inbox, options).await.unwrap();
    (engine, witness, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_under_one_key_is_one_turn() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (engine, _, store) = engine(&root).await;
    let who = Principal::Local;
    let key = |key: &str, path: &str, body: u8| {
        Some(Idempotency { key: key.into(), method: "POST".into(), path: path.into(), body: [body; 32] })
    };
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (engine, who, key) = (engine.clone(), who.clone(), key("k", "/v1/sessions", 1));
            tokio::spawn(async move { engine.work(&who, Origin::Http, create("one"), key).await.unwrap() })
        })
        .collect();
    let mut answers: Vec<Accepted> = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    let first = answers.remove(0);
    assert!(answers.iter().all(|answer| answer.session == first.session));
    assert_eq!(store.turns(&first.session).await.unwrap().len(), 1);

    let again = async |key| -> Result<Accepted, Refusal> { engine.work(&who, Origin::Http, create("one"), key).await };
    assert_eq!(again(key("k", "/v1/sessions", 2)).await.unwrap_err().code, types::Code::IdempotencyMismatch);
    for other in [key("k", "/start", 1), key("l", "/v1/sessions", 1)] {
        assert!(!again(other).await.unwrap().replayed);
    }
    let (anonymous, work) = (Principal::Anonymous, create("one"));
    assert!(!engine.work(&anonymous, Origin::Http, work, key("k", "/v1/sessions", 1)).await.unwrap().replayed);

    // What is gone is not done again.
    engine.delete(first.session.as_str(), false, types::WorktreeFate::Auto).await.unwrap();
    assert_eq!(engine.session(first.session.as_str()).await.unwrap_err().code, types::Code::NoSession);
    assert!(again(key("k", "/v1/sessions", 1)).await.unwrap().replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_refused_leaves_its_key_free() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (engine, _, _) = engine(&root).await;
    let key = Idempotency { key: "k".into(), method: "POST".into(), path: "/x".into(), body: [1; 32] };
    let who = Principal::Local;
    let refused = engine.work(&who, Origin::Http, create(" "), Some(key.clone())).await;
    assert_eq!(refused.unwrap_err().code, types::Code::BadRequest);
    assert!(!engine.work(&who, Origin::Http, create("one"), Some(key)).await.unwrap().replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_codex_hears_is_on_disk_and_what_a_caller_hears_too() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (engine, witness, store) = engine(&root).await;

    let (who, limit) = (Principal::Local, Duration::from_secs(60));
    let mut submitted = engine.work(&who, Origin::Http, create("0"), None).await.unwrap().turn.unwrap();
    for number in 1..100 {
        let finished = engine.wait(&submitted, limit).await.unwrap().unwrap();
        assert_eq!(finished.answer.as_deref(), Some("yes"));
        let found = store.turn(&submitted.turn).await.unwrap().unwrap();
        assert_eq!((found.status, found.answer.as_deref()), (TurnStatus::Completed, Some("yes")), "told before stored");
        let work = submit(&submitted.session, &number.to_string());
        submitted = engine.work(&who, Origin::Http, work, None).await.unwrap().turn.unwrap();
    }
    engine.wait(&submitted, limit).await.unwrap();
    assert_eq!(*witness.missing.lock().unwrap(), Vec::<String>::new());
    assert!(witness.asked.load(Ordering::SeqCst) >= 101, "one thread and a hundred turns");

    // Sessions that have nothing to do make room for others.
    drop(submitted);
    for number in 0..20 {
        let until = std::time::Instant::now() + limit;
        let started = loop {
            match engine.work(&who, Origin::Http, create(&number.to_string()), None).await {
                Ok(accepted) => break accepted.turn.unwrap(),
                Err(refusal) => {
                    assert_eq!(refusal.code, types::Code::Overloaded);
                    assert!(std::time::Instant::now() < until, "no session went to rest");
                    tokio::task::yield_now().await;
                }
            }
        };
        engine.wait(&started, limit).await.unwrap();
    }
}
