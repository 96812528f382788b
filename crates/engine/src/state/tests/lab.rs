//! The machine with a clock that stands still.

use std::{cell::Cell, sync::Arc};

use agent::{Answer, Applied, AskError, Capabilities, Outcome, Report, Route, What};
use types::{AgentId, ApprovalPolicy, ItemStatus, Origin, Sandbox, SessionId, TurnStatus, agent::Backend};

use super::super::*;
use store::NewTurn;

use crate::{OnBusy, OnExpiry, Policy, Refusal};

/// A session with a clock that stands still and numbers that count up.
pub(super) struct Lab {
    pub(super) state: State,
    pub(super) asks: Cell<i64>,
    pub(super) clock: Instant,
}

pub(super) fn session() -> Session {
    let at = Timestamp::from_millis(0);
    Session::new(SessionId::fresh(), "/w".into(), Sandbox::WorkspaceWrite, ApprovalPolicy::OnRequest, at)
}

pub(super) fn up(id: &AgentId, inject: bool) -> Input {
    let capabilities = Capabilities {
        inject,
        interrupt: true,
        compact: true,
        delete: true,
        turn_options: true,
        ..Capabilities::default()
    };
    Input::AgentUp(Up { id: id.clone(), backend: Backend::AppServer, capabilities })
}

pub(super) fn thread(name: &str) -> ThreadId {
    ThreadId::parse(name).unwrap()
}

pub(super) fn narrow() -> Applied {
    Applied {
        sandbox: Ok(Sandbox::ReadOnly),
        network: false,
        approval_policy: Ok(ApprovalPolicy::OnRequest),
        model: Some("base".into()),
        effort: Some("low".into()),
    }
}

pub(super) fn loaded(name: &str) -> Answer {
    Answer::Thread { thread: Some(thread(name)), applied: Some(narrow()) }
}

impl Lab {
    pub(super) fn new(session: Session) -> Self {
        let bounds = Bounds {
            queue: 3,
            turn: Duration::from_secs(100),
            inject_chars: 1000,
            awake: 8,
            linger: Duration::from_secs(1),
            approval: Duration::from_secs(1000),
            on_expiry: OnExpiry::Cancel,
        };
        let policy = Policy { sandbox: Sandbox::WorkspaceWrite, ..Policy::narrowest("/w".into()) };
        let limits = Limits { bounds, policy: Arc::new(policy) };
        Self {
            state: State::new(session, None, None, Vec::new(), limits, None),
            asks: Cell::new(0),
            clock: Instant::now(),
        }
    }

    pub(super) fn run(&mut self, act: impl FnOnce(&mut State, &Now<'_>, &mut Output)) -> Output {
        let next_ask = || {
            self.asks.set(self.asks.get() + 1);
            AskId(self.asks.get())
        };
        let now = Now { clock: self.clock, at: Timestamp::from_millis(1), next_ask: &next_ask };
        let mut out = Output::default();
        act(&mut self.state, &now, &mut out);
        out
    }

    pub(super) fn input(&mut self, input: Input) -> Output {
        self.run(|state, now, out| state.handle(input, now, out))
    }

    pub(super) fn say(&mut self, agent: &AgentId, what: What) -> Output {
        let report = Report { agent: agent.clone(), seq: 9, line: 9, route: Route::Ask(AskId(0)), what };
        self.input(Input::Report(report))
    }

    pub(super) fn answer(&mut self, agent: &AgentId, answer: Result<Answer, AskError>) -> Output {
        self.say(agent, What::Answer(AskId(self.asks.get()), answer))
    }

    pub(super) fn submit(&mut self, prompt: &str) -> Result<(TurnId, Output), Refusal> {
        self.submit_with(TurnKind::Prompt, prompt, TurnOptions::default(), OnBusy::Queue)
    }

    pub(super) fn submit_with(
        &mut self,
        kind: TurnKind,
        prompt: &str,
        options: TurnOptions,
        on_busy: OnBusy,
    ) -> Result<(TurnId, Output), Refusal> {
        self.submit_turn(kind, prompt, options, on_busy, Principal::Local)
    }

    /// A turn of somebody else.
    pub(super) fn submit_as(&mut self, principal: Principal, prompt: &str) {
        self.submit_turn(TurnKind::Prompt, prompt, TurnOptions::default(), OnBusy::Queue, principal).unwrap();
    }

    fn submit_turn(
        &mut self,
        kind: TurnKind,
        prompt: &str,
        options: TurnOptions,
        on_busy: OnBusy,
        principal: Principal,
    ) -> Result<(TurnId, Output), Refusal> {
        let turn = NewTurn {
            id: TurnId::fresh(),
            session: self.state.session.id.clone(),
            prompt_item: ItemId::fresh(),
            kind,
            prompt: prompt.to_owned(),
            options,
            retry_of: None,
            principal,
            origin: Origin::Http,
            created_at: Timestamp::from_millis(1),
        };
        let id = turn.id.clone();
        let mut result = Ok(());
        let out = self.run(|state, now, out| result = state.submit(turn, on_busy, now, out));
        result.map(|()| (id, out))
    }

    pub(super) fn complete(&mut self, agent: &AgentId, text: &str) -> Output {
        let prompt = ItemBody::UserMessage { text: "?".into(), images: vec![] };
        self.say(agent, What::ItemCompleted { codex_id: "u".into(), status: ItemStatus::Completed, body: prompt });
        let body = ItemBody::AgentMessage { text: text.into() };
        self.say(agent, What::ItemCompleted { codex_id: "m".into(), status: ItemStatus::Completed, body });
        self.say(
            agent,
            What::TurnEnded { codex_turn: Some("c".into()), outcome: Outcome::Completed, last_message: None },
        )
    }
}

pub(super) fn asked(out: &Output) -> Vec<&Ask> {
    let asks =
        out.effects.iter().filter_map(|effect| if let Effect::Ask { ask, .. } = effect { Some(ask) } else { None });
    asks.collect()
}

/// What the caller wrote in the turn that is asked for.
pub(super) fn text(turn: &agent::TurnSpec) -> &str {
    match &turn.input[0] {
        types::InputPart::Text { text } => text,
        other => panic!("{other:?}"),
    }
}

/// Each ask that goes out stands in the batch that is committed before.
pub(super) fn stored_asks(out: &Output) -> usize {
    out.batch.writes.iter().filter(|write| matches!(write, Write::AddAsk(_))).count()
}

pub(super) fn ending(out: &Output) -> Option<(TurnStatus, Delivery, Option<TurnErrorCode>)> {
    out.batch.writes.iter().find_map(|write| match write {
        Write::UpdateTurn { change, .. } if change.status.is_some_and(TurnStatus::ended) => {
            Some((change.status?, change.delivery?, change.error.as_ref().map(|error| error.code)))
        }
        _ => None,
    })
}

/// The turn that waits for a look at its folder.
pub(super) fn checking(out: &Output) -> Option<TurnId> {
    out.effects
        .iter()
        .find_map(|effect| if let Effect::CheckCwd { turn, .. } = effect { Some(turn.clone()) } else { None })
}

pub(super) fn running(name: &str) -> (Lab, AgentId) {
    let (mut lab, agent) = (Lab::new(session()), AgentId::fresh());
    lab.input(up(&agent, true));
    lab.submit("one").unwrap();
    lab.answer(&agent, Ok(loaded(name)));
    lab.answer(&agent, Ok(Answer::Turn { codex_turn: "c".into() }));
    (lab, agent)
}
