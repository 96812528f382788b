//! The machine with a clock that stands still.

use std::{cell::Cell, sync::Arc};

use agent::{Answer, Applied, AskError, Capabilities, Outcome, Report, Route, What};
use types::{AgentId, ApprovalPolicy, Origin, Sandbox, SessionId, agent::Backend};
pub(super) use types::{Delivery, ItemBody, ItemStatus, Timestamp, TurnKind, TurnStatus, Usage};

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
        steer: inject,
        fork: true,
        ..Capabilities::default()
    };
    Input::AgentUp(Up { id: id.clone(), backend: Backend::AppServer, capabilities, attached: false })
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
            stop_grace: Duration::from_secs(10),
            approval: Duration::from_secs(1000),
            on_expiry: OnExpiry::Cancel,
        };
        let policy = Policy { sandbox: Sandbox::WorkspaceWrite, ..Policy::narrowest("/w".into()) };
        let limits = Limits { bounds, policy: Arc::new(policy) };
        Self { state: State::new(session, None, limits), asks: Cell::new(0), clock: Instant::now() }
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

    /// Another daemon reads the session, with the turn that runs.
    pub(super) fn restart(&mut self, running: Option<Running>, loaded: Option<&Loaded>) {
        let stored = StoredSession {
            session: self.state.session.clone(),
            principal: Principal::Local,
            origin: Origin::Http,
            developer_instructions: None,
            base: self.state.base.clone(),
            seen: None,
        };
        self.state = State::stored(stored, Vec::new(), running, self.state.limits.clone(), loaded);
    }

    /// From now on Codex can end commands that outlived their turn.
    pub(super) fn can_clean(&mut self) {
        self.state.agent.as_mut().unwrap().capabilities.clean_terminals = true;
    }

    /// More words for a turn, and what becomes of them when none takes them.
    pub(super) fn steer(
        &mut self,
        turn: Option<&TurnId>,
        prompt: &str,
        by: Principal,
        otherwise: Option<&str>,
    ) -> Result<Output, Refusal> {
        let otherwise = otherwise.map(|prompt| Box::new(self.new_turn(TurnKind::Prompt, prompt, by.clone())));
        let prompt = crate::Prompt::from(prompt.to_owned());
        let (item, turn) = (ItemId::fresh(), turn.cloned());
        let steering = Steering { item, turn, prompt, by, otherwise, remember: None };
        let mut result = Ok(());
        let out = self.run(|state, now, out| result = state.steer(steering, now, out));
        result.map(|()| out)
    }

    fn new_turn(&self, kind: TurnKind, prompt: &str, principal: Principal) -> NewTurn {
        NewTurn {
            id: TurnId::fresh(),
            session: self.state.session.id.clone(),
            prompt_item: ItemId::fresh(),
            kind,
            prompt: prompt.to_owned(),
            options: TurnOptions::default(),
            retry_of: None,
            principal,
            origin: Origin::Http,
            created_at: Timestamp::from_millis(1),
        }
    }

    fn submit_turn(
        &mut self,
        kind: TurnKind,
        prompt: &str,
        options: TurnOptions,
        on_busy: OnBusy,
        principal: Principal,
    ) -> Result<(TurnId, Output), Refusal> {
        let turn = NewTurn { options, ..self.new_turn(kind, prompt, principal) };
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

/// What a turn that ended is told of why.
pub(super) fn told(out: &Output) -> Option<&str> {
    out.batch.writes.iter().find_map(|write| match write {
        Write::UpdateTurn { change, .. } => change.error.as_ref().map(|error| error.message.as_str()),
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

/// Codex did not stop the turn; and whether it is to be started anew whatever else it runs.
pub(super) fn unstoppable(out: &Output) -> Option<bool> {
    out.effects.iter().find_map(|effect| match effect {
        Effect::Unstoppable { force, .. } => Some(*force),
        _ => None,
    })
}

/// What became of an addition.
pub(super) fn steered(out: &Output) -> Option<&Result<TurnId, Refusal>> {
    out.effects.iter().find_map(|effect| match effect {
        Effect::Steered { result, .. } => Some(result),
        _ => None,
    })
}

/// How items stand in the batch: their texts, and what they are now.
pub(super) fn messages(out: &Output) -> Vec<(&str, ItemStatus)> {
    let mut found = Vec::new();
    for write in &out.batch.writes {
        if let Write::PutItem { item, .. } = write
            && let ItemBody::UserMessage { text, .. } = &item.body
        {
            found.push((text.as_str(), item.status));
        }
    }
    found
}

/// The names of the batch's events.
pub(super) fn events(out: &Output) -> Vec<EventName> {
    let name = |write: &Write| if let Write::AddEvent(event) = write { Some(event.name) } else { None };
    out.batch.writes.iter().filter_map(name).collect()
}
